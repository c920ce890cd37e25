"""Programs that will not end: the supervisor's clock ends them, whatever they catch, hold or stop."""

import pytest

from hostile import attack

# Long enough for a first line on a machine that stands still for a second.
BUSY = {"wall_ms": 2000, "cpu_ms": 10000}

ENDLESS = {
    "busy": "while True: pass",
    "swallows everything": """
while True:
    try:
        while True: pass
    except BaseException: pass
""",
    "holds the interpreter lock in C": "import re; re.match(r'(a+)+$', 'a' * 64 + 'b')",
    "computes without the lock": """
import numpy as np
a = np.random.rand(600, 600)
while True: a = a @ a / 1e3
""",
    "stops itself": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
    "sleeps": "import time; time.sleep(3600)",
    "ignores every signal": """
import signal, time
for number in signal.valid_signals():
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True: time.sleep(1)
""",
    "blocks every signal": """
import signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
while True: time.sleep(1)
""",
    "has a slow handler": """
import signal, time
signal.signal(signal.SIGTERM, lambda *a: time.sleep(99))
time.sleep(99)
""",
    "never ends its loop of coroutines": "import asyncio; asyncio.run(asyncio.Event().wait())",
    "waits for a lock that it holds": "import threading; l = threading.Lock(); l.acquire(); l.acquire()",
    "compiles for ever": "eval('lambda: ' + '(' * 90 + '1' + ')' * 90)\nwhile True: compile('x = 1\\n' * 10000, 'x', 'exec')",
    "hangs while its value is shown": "class A:\n    def __repr__(self):\n        while True: pass\nprint('shown'); A()",
    "hangs while its exception is told": "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E()",
    "hangs in a finalizer": "class A:\n    def __del__(self):\n        while True: pass\na = A()\ndel a",
}


@pytest.mark.parametrize("code", ENDLESS.values(), ids=ENDLESS.keys())
def test_the_clock_ends_it(server, code):
    run = attack(server, "import sys\nsys.stdout.write('before\\n')\n" + code, "timeout", limits=BUSY)
    assert run["stdout"].startswith("before\n")
    assert run["usage"]["wall_ms"] >= BUSY["wall_ms"]
    assert (run["exit_code"], run["result"]) == (None, None)


SPENDING = {
    "one thread": "while True: pass",
    "several threads": """
import threading, hashlib
def spend():
    block = b'x' * (1 << 20)
    while True: hashlib.sha256(block).digest()
for _ in range(4): threading.Thread(target=spend).start()
""",
    "in the kernel": "import os\nwhile True: os.urandom(1 << 20)",
}


@pytest.mark.parametrize("code", SPENDING.values(), ids=SPENDING.keys())
def test_processor_time_is_limited(server, code):
    """Threads that go on after the last statement are part of the run only while it lasts."""
    run = attack(server, code + "\nimport time; time.sleep(30)", "cpu_limit", limits={"wall_ms": 30000, "cpu_ms": 300})
    assert run["usage"]["cpu_ms"] >= 300


def test_sleep_is_no_processor_time(server):
    """The control to the one above: it is not the wall clock under another name."""
    attack(server, "import time; time.sleep(0.6)", "ok", limits={"cpu_ms": 300})


def test_own_limits_cannot_be_raised(server):
    # Those that stand for memory, processes and files in another form (data is part of the address space) may be free.
    run = attack(server, """
import resource
infinite = resource.RLIM_INFINITY
for name in ("AS", "CORE", "CPU", "FSIZE", "MEMLOCK", "MSGQUEUE", "NICE", "NOFILE", "NPROC", "RTPRIO", "SIGPENDING", "STACK"):
    number = getattr(resource, "RLIMIT_" + name)
    soft, hard = resource.getrlimit(number)
    for limits in ((infinite, infinite), (hard + 1, hard + 1), (soft, infinite)):
        try:
            resource.setrlimit(number, limits); print("RAISED", name, limits)
        except (ValueError, OSError): pass
    if hard == infinite or soft > hard: print("INFINITE", name)
print("done")
""", "ok")
    assert run["stdout"] == "done\n"


@pytest.mark.parametrize("call", ["os.nice(-20)", "os.setpriority(os.PRIO_PROCESS, 0, -20)",
                                  "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))"])
def test_no_priority_over_others(server, call):
    run = attack(server, "import os\n" + call, "error")
    assert run["error"]["type"] == "PermissionError"


@pytest.mark.parametrize("hook", ["import atexit; atexit.register(__import__('time').sleep, 3600)",
                                  "import threading; threading.Thread(target=__import__('time').sleep, args=(3600,)).start()",
                                  "import threading; threading._register_atexit(__import__('time').sleep, 3600)",
                                  "import weakref, sys; f = weakref.finalize(sys, __import__('time').sleep, 3600)"])
def test_what_hangs_at_the_end_is_not_waited_for_beyond_the_limit(server, hook):
    run = attack(server, hook + "\nprint('done')", {"ok", "timeout"}, limits={"wall_ms": 3000})
    assert run["stdout"] == "done\n"


def test_threads_end_with_their_run(server):
    """Many that spin: the processor is free again once the answer is there, which the next cases need. The first thread has to
    wait for its turn among them."""
    attack(server, """
import threading
def spin():
    while True: pass
for _ in range(16): threading.Thread(target=spin, daemon=True).start()
""", {"ok", "cpu_limit"}, limits={"cpu_ms": 2000, "wall_ms": 60000})
