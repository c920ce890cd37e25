"""Programs that break their interpreter, or end it in odd ways: only their own run is affected, and told as what it was."""

import signal

import pytest

from hostile import attack

CRASHES = {
    "null pointer": ("import ctypes; ctypes.string_at(0)", {signal.SIGSEGV}),
    "abort": ("import os; os.abort()", {signal.SIGABRT}),
    "segmentation fault": ("import faulthandler; faulthandler._sigsegv()", {signal.SIGSEGV}),
    "fatal error": ("import faulthandler; faulthandler._fatal_error_c_thread()", {signal.SIGABRT}),
    "stack overflow in C": ("import faulthandler; faulthandler._stack_overflow()", {signal.SIGSEGV, signal.SIGBUS}),
    "division in C": ("import faulthandler; faulthandler._sigfpe()", {signal.SIGFPE}),
    "illegal instruction": ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", {signal.SIGILL}),
    "bad system call": ("import os, signal; os.kill(os.getpid(), signal.SIGBUS)", {signal.SIGBUS}),
    "terminated by itself": ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", {signal.SIGTERM}),
    "killed by itself": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", {signal.SIGKILL}),
    "alarm": ("import signal, time; signal.setitimer(signal.ITIMER_REAL, .05); time.sleep(9)", {signal.SIGALRM}),
    "trap": ("import ctypes, mmap\nm = mmap.mmap(-1, 4096, prot=7); m.write(b'\\xcc')\n"
             "ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()", {signal.SIGTRAP}),
}


@pytest.mark.parametrize("code, signals", CRASHES.values(), ids=CRASHES.keys())
def test_a_crash_names_its_signal(server, code, signals):
    run = attack(server, "import sys\nsys.stdout.write('before\\n')\n" + code, "crashed")
    assert run["signal"] in signals
    assert (run["stdout"], run["exit_code"], run["result"]) == ("before\n", None, None)
    assert signal.Signals(run["signal"]).name in run["error"]["message"]


# What becomes of these differs from version to version; it stays with them.
BREAKAGES = {
    "None is freed": "import ctypes\nfor _ in range(10**6): ctypes.pythonapi.Py_DecRef(ctypes.py_object(None))",
    "bytecode that is none": "f = lambda: 0\nexec(f.__code__.replace(co_code=b'\\xff' * 100))",
    "bytecode that pops nothing": "f = lambda: 0\nexec(f.__code__.replace(co_code=bytes([1, 0] * 50), co_stacksize=0))",
    "type is overwritten": "import ctypes\nctypes.memset(id(type), 0xff, 400)",
    "heap is overwritten": "import ctypes\nx = bytearray(100)\nctypes.memset(id(x), 0x41, 1 << 16)",
    "stack is overwritten": "import ctypes\nb = ctypes.create_string_buffer(8)\nctypes.memset(ctypes.addressof(b), 0x41, 1 << 24)",
    "recursion without a bound": """
import sys
sys.setrecursionlimit(10**9)
class A:
    def __getattr__(self, name): return getattr(self, name + "x")
A().y""",
    "recursion in C": "import sys\nsys.setrecursionlimit(10**9)\nx = []\nfor _ in range(10**6): x = [x]\nrepr(x)",
    "nested source": "eval('(' * 100000 + ')' * 100000)",
    "nested lambdas": "eval('lambda: ' * 50000 + '1')",
    "a null byte in the middle": "exec('x = 1\\0\\ny = 2')",
    "finalized": "import ctypes\nctypes.pythonapi.Py_FinalizeEx()",
    "thread state is gone": "import ctypes\nctypes.pythonapi.PyEval_SaveThread()",
    "lock is given back twice": "import ctypes\nctypes.CDLL(None).PyEval_ReleaseThread(None)",
    "builtins are gone": "import builtins\nbuiltins.__dict__.clear()",
    "modules are gone": "import sys\nsys.modules.clear()\nimport os",
    "modules is none": "import sys\nsys.modules = None\nimport json",
    "every dictionary is emptied": "import gc\nfor o in gc.get_objects():\n    if type(o) is dict: o.clear()",
    "every list is emptied": "import gc\nfor o in gc.get_objects():\n    if type(o) is list: o.clear()",
    "import is broken": "import builtins\nbuiltins.__import__ = None\n1 + 1",
    "tracing raises": "import sys\ndef t(*a): raise ValueError\nsys.settrace(t)\nsys.setprofile(t)\nprint(1)",
    "audit raises": "import sys\ndef hook(*a): raise RuntimeError('no')\nsys.addaudithook(hook)\nimport json",
    "allocator fails": "import _testcapi\n_testcapi.set_nomemory(0)\n[object() for _ in range(1000)]",
    "descriptors run out": "import os\nfds = []\ntry:\n    while True: fds.append(os.dup(1))\nexcept OSError: pass",
    "storm of signals": """
import signal
signal.signal(signal.SIGALRM, lambda *a: None)
signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-5)
for i in range(20000): print(i)""",
    "signals raise": """
import signal
def no(*a): raise ValueError("no")
signal.signal(signal.SIGALRM, no)
signal.setitimer(signal.ITIMER_REAL, .01, 1e-3)
while True: pass""",
    "main thread ends": "import threading, _thread\nthreading.Thread(target=_thread.interrupt_main).start()\nimport time; time.sleep(1)",
    "exits in a thread": "import os, threading\nthreading.Thread(target=os._exit, args=(0,)).start()\nimport time; time.sleep(5)",
    "thread of C ends the process": "import ctypes\nctypes.CDLL(None).syscall(60, 0)",
    "main thread exits alone": "import ctypes, threading, time\nthreading.Thread(target=time.sleep, args=(.2,)).start()\n"
                               "ctypes.CDLL(None).pthread_exit(None)",
}


@pytest.mark.parametrize("code", BREAKAGES.values(), ids=BREAKAGES.keys())
def test_a_broken_interpreter_stays_alone(server, code):
    attack(server, code, {"ok", "error", "exit", "crashed", "timeout", "memory_limit", "cpu_limit", "violation"},
           limits={"wall_ms": 3000})


EXITS = {
    "os._exit": ("import os; os._exit(7)", 7),
    "os._exit 0": ("import os; os._exit(0)", 0),
    "sys.exit": ("import sys; sys.exit(3)", 3),
    "SystemExit 0": ("raise SystemExit(0)", 0),
    "SystemExit None": ("raise SystemExit", 0),
    "quit": ("quit()", 0),
    "exit": ("exit(5)", 5),
    "libc": ("import ctypes; ctypes.CDLL(None).exit(0)", 0),
    "libc _exit": ("import ctypes; ctypes.CDLL(None)._exit(256 + 9)", 9),
    "the number of a failed start": ("import os; os._exit(119)", 119),
    "the number of a broken request": ("import os; os._exit(120)", 120),
}


@pytest.mark.parametrize("code, exit_code", EXITS.values(), ids=EXITS.keys())
def test_an_exit_is_never_ok(server, code, exit_code):
    run = attack(server, "import sys\nsys.stdout.write('x\\n')\n" + code, "exit")
    assert (run["exit_code"], run["stdout"], run["error"]) == (exit_code, "x\n", None)


INPUTS = {
    "none": ("input()", "", "error"),
    "one line": ("print(int(input()) + 1)", "65535", "ok"),
    "past the end": ("print(repr(input())); input()", "x\n", "error"),
    "more than there is": ("import sys; print(len(sys.stdin.buffer.read(10**9)))", "x" * 100000, "ok"),
    "never read": ("print(1)", "x" * (4 << 20), "ok"),
    "of bytes": ("import os; print(len(os.read(0, 100)))", "x" * 50, "ok"),
}


@pytest.mark.parametrize("code, text, status", INPUTS.values(), ids=INPUTS.keys())
def test_input(server, code, text, status):
    run = attack(server, code, status, stdin=text)
    if status == "error":
        assert run["error"]["type"] == "EOFError"


def test_every_worker_crashes_at_once(server):
    """Many in a row: the slots are filled again, and none is given up."""
    for _ in range(40):
        assert attack(server, "import ctypes; ctypes.string_at(0)", "crashed")["signal"] == signal.SIGSEGV
