# needs: openpyxl
import pandas as pd

frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]})
frame.to_excel("table.xlsx", index=False)
assert pd.read_excel("table.xlsx").equals(frame)
