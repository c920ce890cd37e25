# environment: OPENBLAS_NUM_THREADS=4 OMP_NUM_THREADS=4
from concurrent.futures import ThreadPoolExecutor
import numpy as np

a = np.random.default_rng(1).normal(size=(400, 400))
with ThreadPoolExecutor(4) as pool:
    found = list(pool.map(lambda n: np.linalg.svd(a + n, compute_uv=False)[0], range(4)))
assert len(found) == 4 and all(value > 0 for value in found)
