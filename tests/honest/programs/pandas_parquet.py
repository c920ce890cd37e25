# needs: pyarrow
import pandas as pd

frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]})
frame.to_parquet("table.parquet")
assert pd.read_parquet("table.parquet").equals(frame)
