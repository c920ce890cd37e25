import numpy as np

rng = np.random.default_rng(7)
a = rng.normal(size=(300, 300))
u, s, vt = np.linalg.svd(a)
assert np.allclose(u * s @ vt, a)
b = rng.normal(size=300)
assert np.allclose(a @ np.linalg.solve(a, b), b)
assert np.allclose(np.fft.ifft(np.fft.fft(b)).real, b)
values, vectors = np.linalg.eigh(a @ a.T)
assert (values > -1e-9).all()
assert np.linalg.matrix_rank(a) == 300 and np.sort(rng.permutation(1000))[500] == 500
np.save("a.npy", a)
assert np.array_equal(np.load("a.npy", mmap_mode="r"), a)
np.savez_compressed("many.npz", a=a, b=b)
assert np.load("many.npz")["b"].shape == (300,)
