"""corpus: what a template's modules are commonly used for. The zygote practises all of it, which imports what modules put off, fills
caches and lets the bytecode be specialized. The common part is run once more in a process that is thrown away, so that the
pages which such work touches are known (interp/touch.h): more of them would make more runs quick, and each idle spare larger.
What is missed here costs a run some time, and nothing else."""

import sys

NUMPY = """
import numpy as np
a = np.arange(12.0).reshape(3, 4)
b = np.linspace(0, 1, 50) ** 2
a @ a.T, a.mean(axis=0), a.sum(), a.std(), np.sort(b)[::-1], np.unique(np.array([3, 1, 3])), a[a > 3].max()
np.random.default_rng().normal(size=8), np.random.rand(3), np.random.choice(["x", "y"], 4), np.random.randint(0, 9, 5)
np.linalg.norm(b), np.concatenate([b, b]).cumsum(), np.where(a > 2, a, 0), np.isnan(a).any(), np.arange(5) % 2
print(a, b[:3], a.dtype, a.shape)
"""

PANDAS = """
import numpy as np
import pandas as pd
frame = pd.DataFrame({
    "day": pd.date_range("2021-03-01", periods=12, freq="D"),
    "units": np.arange(12) % 5, "price": np.linspace(1, 9, 12),
    "shop": ["north", "south", "west"] * 4,
})
print(frame.head(), frame.shape)
print(frame.describe())
print(frame.groupby("shop")["price"].agg(["sum", "mean"]))
print(frame[frame["price"] > 4].sort_values("price").loc[frame["units"].idxmax()])
"""

MORE_PANDAS = """
import numpy as np
import pandas as pd
frame = pd.DataFrame({
    "day": pd.date_range("2021-03-01", periods=12, freq="D"),
    "units": np.arange(12) % 5, "price": np.linspace(1, 9, 12),
    "shop": ["north", "south", "west"] * 4,
})
frame["revenue"] = frame["units"] * frame["price"]
print(frame.dtypes, frame.groupby(["shop"]).size(), frame["shop"].value_counts())
print(frame.set_index("day")["units"].resample("W").sum())
print(frame.pivot_table(index="shop", columns="units", values="price", aggfunc="sum").fillna(0))
print(frame.merge(pd.DataFrame({"shop": ["north", "west"], "city": ["A", "B"]}), on="shop", how="left").tail(3))
frame["shop"].str.upper().map(len), frame["price"].rolling(3).mean(), frame["units"].apply(lambda n: n + 1)
frame.isna().sum(), frame.corr(numeric_only=True), frame["price"].quantile([.1, .9]), frame.to_csv(index=False)
frame.drop(columns="day").to_dict("records"), pd.concat([frame, frame]).drop_duplicates().reset_index(drop=True)
frame.head(3)._repr_html_()
"""


def sources(common_only):
    """The sources for the modules that are loaded. Work with pandas is work with numpy."""
    if "pandas" not in sys.modules:
        return [NUMPY] if "numpy" in sys.modules else []
    return [PANDAS] if common_only else [PANDAS, NUMPY, MORE_PANDAS]
