import numpy as np
import pandas as pd

hours = pd.date_range("2024-03-30", periods=72, freq="H", tz="Europe/Berlin")
frame = pd.DataFrame({"at": hours, "who": np.tile(["a", "b", "c"], 24), "n": np.arange(72)})
assert frame.groupby("who").n.sum().to_dict() == {"a": 828, "b": 852, "c": 876}
days = frame.set_index("at").n.resample("D").sum()
assert list(frame.set_index("at").n.resample("D").count())[:2] == [24, 23]  # the clock goes forward
assert days.sum() == 71 * 72 // 2
assert str(hours[0].tz_convert("America/New_York")) == "2024-03-29 19:00:00-04:00"
names = pd.DataFrame({"who": ["a", "b"], "name": ["Ann", "Bob"]})
assert frame.merge(names, on="who", how="left").name.isna().sum() == 24
assert frame.pivot_table(index="who", values="n", aggfunc=["mean", "max"]).shape == (3, 2)
assert frame.n.rolling(3).mean().iloc[-1] == 70 and frame.n.describe()["max"] == 71
assert frame.query("n > 60 and who == 'a'").shape == (3, 3)
