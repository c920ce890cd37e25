import io
import pandas as pd

frame = pd.DataFrame({"city": ["Oslo", "Rom", None], "n": [1, 2, 3], "x": [0.5, None, 1e300],
                      "when": pd.date_range("2024-02-28", periods=3)})
frame.to_csv("table.csv", index=False)
again = pd.read_csv("table.csv", parse_dates=["when"])
pd.testing.assert_frame_equal(again, frame.fillna({"city": float("nan")}), check_dtype=False)
frame.to_csv("table.csv.gz", index=False, compression="gzip")
assert pd.read_csv("table.csv.gz").shape == (3, 4)
assert pd.read_json(io.StringIO(frame.to_json(orient="records")), orient="records").n.sum() == 6
frame.to_pickle("table.pkl")
assert pd.read_pickle("table.pkl").equals(frame)
assert "<table" in frame.to_html() and "Oslo" in frame.to_string()
