# needs: sklearn
import numpy as np
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression

rng = np.random.default_rng(3)
x = rng.normal(size=(300, 4))
assert abs(LinearRegression().fit(x, x @ [1, 2, 3, 4]).coef_[3] - 4) < 1e-9
assert len(set(KMeans(3, n_init=2, random_state=1).fit(x).labels_)) == 3
assert RandomForestClassifier(20, n_jobs=2, random_state=1).fit(x, x[:, 0] > 0).score(x, x[:, 0] > 0) > 0.9
assert HistGradientBoostingRegressor(max_iter=10).fit(x, x[:, 0]).score(x, x[:, 0]) > 0.3
