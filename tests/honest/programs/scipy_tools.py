# needs: scipy
import numpy as np
from scipy import integrate, interpolate, optimize, sparse, stats
from scipy.sparse import linalg

assert abs(optimize.minimize(lambda x: (x[0] - 3) ** 2 + x[1] ** 2, [0, 1]).x[0] - 3) < 1e-4
assert abs(integrate.quad(np.sin, 0, np.pi)[0] - 2) < 1e-9
matrix = sparse.diags([1, -2, 1], [-1, 0, 1], shape=(50, 50), format="csc")
assert np.allclose(matrix @ linalg.spsolve(matrix, np.ones(50)), 1)
assert stats.ttest_ind(np.arange(50), np.arange(50) + 40).pvalue < 1e-9
assert abs(float(interpolate.CubicSpline([0, 1, 2], [0, 1, 4])(1.5)) - 2.25) < 1e-9
