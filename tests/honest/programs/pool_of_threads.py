import multiprocessing
from multiprocessing.dummy import Pool
from multiprocessing.pool import ThreadPool

with ThreadPool(3) as pool:
    assert pool.map(abs, [-1, -2]) == [1, 2]
with Pool(2) as pool:
    assert pool.apply(len, ("abc",)) == 3
ours, theirs = multiprocessing.Pipe()
ours.send({"a": 1})
assert theirs.recv() == {"a": 1}
