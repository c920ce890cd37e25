"""Programs that want all memory: they are ended as memory_limit, or Python itself says MemoryError; nobody else notices."""

import pytest

from harness.aftermath import at_rest
from hostile import attack

LIMITS = {"memory_mb": 128}
LIMIT_KB = 128 << 10


def test_step_by_step(server):
    """A little at a time, so that the address space is not what stops it first."""
    run = attack(server, """
kept = []
while True: kept.append(bytearray(b"x") * (1 << 20))
""", {"memory_limit", "error"}, limits=LIMITS)
    assert run["status"] == "memory_limit" or run["error"]["type"] == "MemoryError"
    assert run["usage"]["peak_memory_kb"] < 3 * LIMIT_KB


def test_all_at_once_is_an_exception(server):
    run = attack(server, "x = bytearray(1 << 36)", "error", limits=LIMITS)
    assert run["error"]["type"] == "MemoryError"


def test_below_the_limit_is_fine(server):
    """The control: the limit is not simply near nothing."""
    run = attack(server, "x = bytearray(b'x') * (80 << 20); print(len(x))", "ok", limits=LIMITS)
    assert run["stdout"] == f"{80 << 20}\n"
    assert run["usage"]["peak_memory_kb"] >= 80 << 10


def test_shared_mapping(server):
    """Shared anonymous memory is counted as shared, and no RLIMIT_DATA applies to it."""
    run = attack(server, """
import mmap
m = mmap.mmap(-1, 1 << 30)
for i in range(0, 1 << 30, 4096): m[i] = 1
""", {"memory_limit", "error"}, limits=LIMITS)
    assert run["status"] == "memory_limit" or run["error"]["type"] in ("OSError", "MemoryError")


def test_memory_behind_a_descriptor(server):
    """memfd_create(2) memory belongs to no address space until it is mapped; the file limit bounds each."""
    run = attack(server, """
import os
total = 0
try:
    fd = os.memfd_create("x")
    while True: total += os.write(fd, b"x" * (1 << 20))
except OSError as error:
    print("stopped", total >> 20)
""", {"ok", "memory_limit", "output_limit", "error"}, limits={**LIMITS, "disk_mb": 16})
    if run["status"] == "ok":
        assert int(run["stdout"].split()[1]) <= 16


@pytest.mark.parametrize("code", [
    "import pandas as pd\na = pd.DataFrame({'k': [0] * 60000})\na.merge(a, on='k')",
    "import numpy as np\nnp.ones((100000, 100000))",
    "'x' * (1 << 40)",
    "list(range(10**10))",
    "x = 'a'\nwhile True: x += x",
    "x = {}\nfor i in range(10**9): x[i] = i",
    "x = 10 ** (10 ** 9)",
    "import itertools\nlist(itertools.product(range(100), repeat=9))",
    "x = [[]]\nwhile True: x = [x, x * 2, list(x)] * 2",
    "import sys\nsys.setrecursionlimit(1 << 30)\nf = lambda n: f([n])\nf(0)",
], ids=["merge", "numpy", "text", "list", "doubling", "dictionary", "number", "product", "nested", "frames"])
def test_blow_ups(server, code):
    run = attack(server, code, {"memory_limit", "error", "cpu_limit", "timeout", "crashed"},
                 limits={**LIMITS, "wall_ms": 4000})
    if run["status"] == "error":
        # numpy's is a subclass with a name of its own.
        assert "Memory" in run["error"]["type"] or run["error"]["type"] in ("RecursionError", "OverflowError"), run["error"]


def test_the_peak_is_measured(server):
    run = attack(server, "x = bytearray(b'x') * (64 << 20)\ndel x", "ok", limits=LIMITS)
    assert run["usage"]["peak_memory_kb"] >= 64 << 10


def test_running_out_while_the_value_is_made(server):
    run = attack(server, "x = bytearray(b'x') * (110 << 20)\nx", {"ok", "memory_limit", "error"},
                 limits=LIMITS, variables=["x"])
    assert run["usage"]["peak_memory_kb"] >= 110 << 10


def test_buffers_of_the_kernel(server):
    """Pipes hold memory that no process is charged for; the number of descriptors bounds it."""
    run = attack(server, """
import os, fcntl
held = 0
try:
    while True:
        r, w = os.pipe()
        os.set_blocking(w, False)
        try: fcntl.fcntl(w, 1031, 1 << 20)  # F_SETPIPE_SZ
        except OSError: pass
        try:
            while True: held += os.write(w, b"x" * 65536)
        except BlockingIOError: pass
except OSError as error:
    print(error.errno, held >> 20)
""", {"ok", "memory_limit"}, limits=LIMITS)
    if run["status"] == "ok":
        error, held = map(int, run["stdout"].split())
        assert error == 24 and held <= 128, "EMFILE"


def test_the_kernel_would_take_a_worker_first(server):
    """The score of a run is looked at from outside: inside there may be no /proc."""

    def score(pid):
        with open(f"/proc/{pid}/oom_score_adj") as file:
            return int(file.read())

    at_rest(server)
    pool, own = [*((pid, 1) for pid in server.workers()), *((pid, 0) for pid in server.makers_and_keepers())], score(server.pid)
    for pid, more in pool:
        try:
            assert score(pid) >= own + more
        except (FileNotFoundError, ProcessLookupError):  # the neighbour has just used it
            pass


def test_memory_of_threads_that_outlive_the_first_one_counts(server):
    """The files in /proc of a process whose first thread has ended say nothing of memory; its other threads have it all the same."""
    attack(server, """
import ctypes, threading, time
def eat():
    blocks = []
    for _ in range(40):
        blocks.append(b"x" * (8 << 20))
        time.sleep(.01)
    time.sleep(60)
threading.Thread(target=eat).start()
SYS_EXIT = {"x86_64": 60, "aarch64": 93}[__import__("platform").machine()]
ctypes.CDLL(None).syscall(SYS_EXIT, 0)
""", "memory_limit", limits={"memory_mb": 128})
