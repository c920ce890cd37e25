import pandas as pd

df = pd.DataFrame({"key": ["a", "b", "c", "d"] * 250, "value": range(1000)})
print(df.describe())
print(df.groupby("key")["value"].agg(["mean", "sum", "max"]))
