"""The recycle policy `reset`: after each of these runs the worker is new, or it ends."""

import os

import pytest
from supervisor import COMPLETED, REHEARSE, RESET, SUBPROCESSES, is_sanitized

@pytest.fixture
def worker(zygote):
    one = zygote.spawn(REHEARSE | RESET)
    yield one
    one.end()


def again(worker, code, **parts):
    """Runs it, and waits until the worker is ready for the next."""
    outcome = worker.run(code, **parts)
    assert outcome.outcome is not None
    worker.await_ready()
    return outcome


def same_before_and_after(worker, dirty, probe, **parts):
    """What probe says must not be changed by what dirty does."""
    before = again(worker, probe)
    assert before.outcome == COMPLETED, before.error
    done = again(worker, dirty, **parts)
    assert done.outcome == COMPLETED, done.error
    after = again(worker, probe)
    assert after.outcome == COMPLETED, after.error
    assert after.value == before.value
    assert after.stdout == before.stdout


CASES = {
    "namespace": ("x = 1", "sorted(n for n in globals())"),
    "modules": ("import colorsys, wave, xml.dom", "import sys\n[n in sys.modules for n in ('colorsys', 'wave', 'xml.dom')]"),
    "replaced module": ("import sys\nsys.modules['json'] = 5", "import json\njson.dumps(1)"),
    "removed module": ("import sys\ndel sys.modules['json']", "import sys\n'json' in sys.modules"),
    "attribute of a package": ("import xml, xml.sax", "import xml\nhasattr(xml, 'sax')"),
    "builtins": ("import builtins\nbuiltins.len = None\nbuiltins.extra = 1\ndel builtins.abs",
                 "import builtins\n[len([1]), hasattr(builtins, 'extra'), abs(-1)]"),
    "display": ("del __builtins__.display", "display"),
    "environment": ("import os\nos.environ['A'] = '1'\ndel os.environ['HOME']\nos.environ['PATH'] = 'x'",
                    "import os\nsorted(os.environ.items())"),
    "environment object": ("import os\nos.environ = {}", "import os\nsorted(os.environ.items())"),
    "environment in C": ("import os\nos.environ['A'] = '1'",
                         "import ctypes\nget = ctypes.CDLL(None).getenv\nget.restype = ctypes.c_char_p\nget(b'A')"),
    "directory": ("import os\nos.chdir('/')", "import os\nos.getcwd()"),
    "removed directory": ("import os\nos.mkdir('d'); os.chdir('d'); os.rmdir('../d')", "import os\nos.getcwd()"),
    "umask": ("import os\nos.umask(0)", "import os\nold = os.umask(0o77)\nold"),
    "argv": ("import sys\nsys.argv.append('x')", "import sys\nsys.argv"),
    "argv replaced": ("import sys\nsys.argv = []", "import sys\nsys.argv"),
    "path": ("import sys\nsys.path.clear()", "import sys\nsys.path"),
    "meta_path": ("import sys\nsys.meta_path.clear()", "import sys\nlen(sys.meta_path)"),
    "hooks": ("import sys\nsys.displayhook = sys.excepthook = None", "import sys\n[sys.displayhook, sys.excepthook]"),
    "ps1": ("import sys\nsys.ps1 = 'x'", "import sys\nhasattr(sys, 'ps1')"),
    "trace": ("import sys\nsys.settrace(lambda *a: None)", "import sys\nsys.gettrace()"),
    "recursion limit": ("import sys\nsys.setrecursionlimit(5000)", "import sys\nsys.getrecursionlimit()"),
    "switch interval": ("import sys\nsys.setswitchinterval(1)", "import sys\nsys.getswitchinterval()"),
    "digits": ("import sys\nsys.set_int_max_str_digits(0)", "import sys\nsys.get_int_max_str_digits()"),
    "stdout": ("import sys, io\nsys.stdout = io.StringIO()", "print('x')"),
    "stdout closed": ("import sys\nsys.stdout.close()", "print('x')"),
    "stdout detached": ("import sys\nsys.stdout.detach()", "print('x')"),
    "stdout reconfigured": ("import sys\nsys.stdout.reconfigure(encoding='latin-1', write_through=False)",
                            "import sys\nprint('é')\n[sys.stdout.encoding, sys.stdout.write_through]"),
    "stdout of old": ("import sys\nsys.__stdout__ = None", "import sys\nprint('x', file=sys.__stdout__)"),
    "stdin closed": ("import sys\nsys.stdin.close()", "import sys\nsys.stdin.read()"),
    "warnings": ("import warnings\nwarnings.simplefilter('error')\nwarnings.showwarning = None",
                 "import warnings\nwarnings.filters"),
    "logging": ("import logging\nlogging.basicConfig(level='DEBUG')\nlogging.disable()\nlogging.getLogger('new')",
                "import logging\n[logging.root.level, logging.root.handlers, logging.root.manager.disable, "
                "'new' in logging.root.manager.loggerDict]"),
    "locale": ("import locale\nlocale.setlocale(locale.LC_ALL, 'C')", "import locale\nlocale.setlocale(locale.LC_ALL)"),
    "decimal": ("import decimal\ndecimal.getcontext().prec = 3", "import decimal\ndecimal.getcontext().prec"),
    "signal handler": ("import signal\nsignal.signal(signal.SIGTERM, print)\nsignal.signal(signal.SIGINT, signal.SIG_IGN)",
                       "import signal\n[signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)]"),
    "signal mask": ("import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])",
                    "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [])"),
    "timer": ("import signal\nsignal.setitimer(signal.ITIMER_REAL, 1000)",
              "import signal\nsignal.getitimer(signal.ITIMER_REAL)"),
    "collector": ("import gc\ngc.disable()\ngc.set_threshold(1)\ngc.set_debug(gc.DEBUG_STATS)\ngc.callbacks.append(print)\n"
                  "gc.set_debug(0)", "import gc\n[gc.isenabled(), gc.get_threshold(), gc.callbacks]"),
    "numpy options": ("import numpy as np\nnp.set_printoptions(precision=1)\nnp.seterr(all='raise')",
                      "import numpy as np\n[repr(np.array([1.23456])), np.geterr()]"),
    "pandas options": ("import pandas as pd\npd.set_option('display.max_rows', 1)\npd.options.display.precision = 1",
                       "import pandas as pd\n[pd.get_option('display.max_rows'), pd.options.display.precision]"),
    "context variable": ("import contextvars\nv = contextvars.ContextVar('v')\nv.set(1)",
                         "import contextvars\nlen(contextvars.copy_context())"),
    "exit handler": ("import atexit\natexit.register(print, 'late')", "import atexit\natexit._ncallbacks()"),
    "tempfile": ("import tempfile\ntempfile.tempdir = '/'", "import tempfile\ntempfile.gettempdir()"),
    "linecache": ("import linecache\nlinecache.cache['x'] = 1", "import linecache\n'x' in linecache.cache"),
}


@pytest.mark.parametrize("name", CASES)
def test_put_back(worker, name):
    same_before_and_after(worker, *CASES[name])


def test_put_back_what_a_request_brings(worker):
    again(worker, "import sys\nassert sys.stdin.read() == 'in'", stdin=b"in", args=["a"], env={"TZ": "XYZ-3", "A": "b"},
          data={"x": 1})
    outcome = again(worker, "import sys, os, time\n[sys.stdin.read(), sys.argv[1:], 'A' in os.environ, 'XYZ' in time.tzname, "
                            "'x' in globals()]")
    assert outcome.value["application/json"] == ["", [], False, False, False]
    assert again(worker, "input()", stdin=b"again").value["text/plain"] == "'again'"
    assert again(worker, "open(0).read()", stdin=b"closed by it").value["text/plain"] == "'closed by it'"
    assert again(worker, "input()", stdin=b"again").value["text/plain"] == "'again'"


def test_streams_stay_whole_after_one_was_made_anew(worker):
    again(worker, "import sys\nsys.stdout.close()\nsys.stdin.close()")
    for _ in range(3):
        outcome = again(worker, "import sys\nprint('x', file=sys.__stdout__)\nsys.stdout is sys.__stdout__, sys.stdin.closed")
        assert (outcome.stdout, outcome.value["text/plain"]) == (b"x\n", "(True, False)")


def test_random_state_is_new(worker):
    code = "import random, numpy\nrandom.seed(1)\nnumpy.random.seed(1)"
    probe = "import random, numpy\n[random.random(), random.gauss(0, 1), numpy.random.random()]"
    again(worker, code)
    one = again(worker, probe).value["application/json"]
    again(worker, code)
    two = again(worker, probe).value["application/json"]
    assert not set(one) & set(two)


def test_after_exceptions_and_exits(worker):
    for code in ("1/0", "x = (", "import sys\nsys.exit(3)", "raise KeyboardInterrupt", "def f(): f()\nf()"):
        again(worker, code)
    assert again(worker, "1+1").value["text/plain"] == "2"


def test_finalizers_run_with_their_run(worker):
    again(worker, "class A:\n    def __del__(self): open('gone', 'w').close()\na = A()\na.me = a")
    assert os.path.exists(f"{worker.directory}/work/gone")


def test_hundreds_of_runs(worker):
    for number in range(300):
        assert again(worker, f"def f(): return {number}\nf()").value["text/plain"] == str(number)


def test_figures_are_closed(make_zygote):
    pytest.importorskip("matplotlib")
    # What drawing loads besides, lest it retire the worker.
    one = make_zygote(imports=["numpy", "matplotlib.pyplot", "matplotlib.backends.backend_agg", "PIL.PngImagePlugin"])
    worker = one.spawn(REHEARSE | RESET)
    same_before_and_after(worker, "import matplotlib.pyplot as plt\nplt.rcParams['figure.dpi'] = 20\nplt.figure();",
                          "import matplotlib.pyplot as plt\n[plt.get_fignums(), plt.rcParams['figure.dpi']]")


DOUBTS = {
    "thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
    "descriptor": "import os\nkeep = os.dup(1)",
    "high descriptor": "import os\nos.dup2(1, 200)",
    "stdout elsewhere": "import os\nos.dup2(2, 1)",
    "stdout gone": "import os\nos.close(2)",
    "non-blocking stdout": "import os\nos.set_blocking(1, False)",
    "lowered limit": "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))",
    "lowered stack": "import resource\nresource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 64 << 20))",
    "memory": "import mmap\nmmap.mmap(-1, 200 << 20)\nimport ctypes\n"
              "m = ctypes.CDLL(None).malloc\nm.restype = ctypes.c_void_p\nm(ctypes.c_size_t(200 << 20))",
}


@pytest.mark.parametrize("name", DOUBTS)
def test_doubt_retires(worker, name):
    assert worker.run(DOUBTS[name]).outcome == COMPLETED
    assert worker.next_frame() is None
    assert worker.wait() == 0


def test_an_extension_module_retires(zygote):
    worker = zygote.spawn(REHEARSE | RESET)
    outcome = worker.run("import matplotlib._path")
    if outcome.outcome != COMPLETED:
        pytest.skip("no extension module to load")
    assert worker.next_frame() is None
    worker.end()


def test_a_child_process_retires(zygote):
    worker = zygote.spawn(REHEARSE | RESET | SUBPROCESSES)
    assert worker.run("import os\nif os.fork() == 0: os._exit(0)", processes=8).outcome == COMPLETED
    assert worker.next_frame() is None
    worker.end()


@pytest.mark.skipif(is_sanitized(), reason="AddressSanitizer keeps freed memory for a while")
def test_limits_are_of_each_run(worker):
    assert again(worker, "x = bytearray(200 << 20)", memory_bytes=100 << 20).error["type"] == "MemoryError"
    assert again(worker, "x = bytearray(200 << 20)\nlen(x)", memory_bytes=400 << 20).outcome == COMPLETED
    assert again(worker, "with open('x', 'wb') as f: f.write(bytes(2000))", file_bytes=1000).error["type"] == "OSError"
    assert again(worker, "with open('x', 'wb') as f: f.write(bytes(2000))", file_bytes=3000).outcome == COMPLETED


def test_processor_time_is_of_each_run(zygote):
    """Three runs of most of a second each are within a limit of one second each."""
    worker = zygote.spawn(REHEARSE | RESET, cpu_seconds=1)
    for _ in range(4):
        again(worker, "import time\nend = time.process_time() + 0.8\nwhile time.process_time() < end: pass", cpu_seconds=1)
    worker.end()


def test_touching_between_runs(worker):
    again(worker, "1")
    worker.touch()
    again(worker, "1")
