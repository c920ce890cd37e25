import numpy as np

a = np.arange(10_000, dtype=float).reshape(100, 100)
b = a @ a.T
print(b.shape, int(b.trace()), int(np.sort(b, axis=None)[-1]))
