"""A worker of a session: what one run leaves to the next, and what it does not."""

import os
import select
import signal

import pytest
from harness.hatchery import eventually
from session_worker import value_of, worker  # noqa: F401
from supervisor import (BIND_ANALYSIS, BIND_JSON, BIND_PLOT, COMPLETED, DEFAULT_FLAGS, EXITED, NEW_PACKAGES, RAISED, READY, REHEARSE,
                        RESULT_END, SECONDS, SESSION, is_sanitized, request)


# ── What stays ──

def test_variables_modules_and_functions_stay(worker):
    worker.run("import collections as c\nx = [1]\ndef f(): return x\nclass A: pass\na = A()")
    assert value_of(worker, "x.append(2)\nf()") == [1, 2]
    assert value_of(worker, "isinstance(a, A), c.__name__") == [True, "collections"]


def test_files_directory_and_environment_stay(worker):
    worker.run("import os\nf = open('a', 'w+')\nf.write('x' * 9)\nos.mkdir('d'); os.chdir('d')\nos.environ['OWN'] = '1'")
    assert value_of(worker, "f.seek(0)\n[f.read(), os.getcwd().endswith('/work/0/d'), os.environ['OWN']]") == ["x" * 9, True, "1"]


def test_no_frame_comes_between_two_runs(worker):
    for _ in range(3):
        assert worker.run("1").kinds[-1] == RESULT_END
        assert READY not in worker.run("1").kinds
    assert not select.select([worker.result_fd], [], [], 0)[0]


def test_exit_ends_the_run_only(worker):
    outcome = worker.run("x = 1\nimport sys\nsys.exit(3)")
    assert (outcome.outcome, outcome.exit_code) == (EXITED, 3)
    assert value_of(worker, "x") == 1


def test_an_exception_ends_the_run_only(worker):
    assert worker.run("x = 1\n1/0").outcome == RAISED
    assert worker.run("def").outcome == RAISED
    assert value_of(worker, "x") == 1


def test_the_end_of_the_process_is_the_end(worker):
    worker.send(request("import os\nos._exit(7)"))
    assert worker.next_frame() is None
    assert worker.wait() == 7


def test_the_end_of_the_request_pipe_is_the_end(worker):
    worker.run("1")
    assert worker.wait() == 0


def test_many_runs(worker):
    worker.run("n = 0")
    for _ in range(300):
        worker.run("n += 1")
    assert value_of(worker, "n") == 300


def test_exit_functions_do_not_run(worker):
    assert worker.run("import atexit\natexit.register(print, 'over')").text == ""
    assert worker.run("1").text == ""


# ── Its places ──

def test_places(worker):
    found = value_of(worker, "import os, sys, tempfile\n[os.getcwd(), os.environ['HOME'], tempfile.gettempdir(), sys.path[-1]]")
    home = worker.directory
    assert found == [f"{home}/work/0", f"{home}/work/0", f"{home}/tmp", f"{home}/packages/0"]


def test_member_has_places_of_its_own(zygote):
    worker = zygote.spawn(REHEARSE | SESSION, member=7)
    try:
        assert value_of(worker, "import os, sys\n[os.getcwd(), sys.path[-1]]") == \
            [f"{worker.directory}/work/7", f"{worker.directory}/packages/7"]
    finally:
        worker.end()


def test_new_packages_are_found(worker):
    assert worker.run("import fresh_package").error["type"] == "ModuleNotFoundError"
    with open(f"{worker.directory}/packages/0/fresh_package.py", "w") as file:
        file.write("x = 5")
    assert value_of(worker, "import fresh_package\nfresh_package.x", flags=DEFAULT_FLAGS | NEW_PACKAGES) == 5


def test_packages_of_the_template_win(worker):
    with open(f"{worker.directory}/packages/0/colorsys.py", "w") as file:
        file.write("raise SystemExit")
    assert value_of(worker, "import colorsys\ncolorsys.__name__", flags=DEFAULT_FLAGS | NEW_PACKAGES) == "colorsys"


# ── What does not stay ──

def test_arguments_are_of_one_run(worker):
    code = "import sys\nsys.argv[1:]"
    assert value_of(worker, code, args=["a", "b"]) == ["a", "b"]
    assert value_of(worker, code) == []
    worker.run("sys.argv = None")
    assert value_of(worker, "1") == 1


def test_arguments_under_another_name_are_of_one_run(worker):
    worker.run("from sys import argv")
    assert value_of(worker, "argv[1:]", args=["a"]) == ["a"]
    assert value_of(worker, "argv[1:]") == []
    assert value_of(worker, "argv[1:]", args=["b"]) == ["b"]


def test_what_a_library_makes_fail_keeps_nothing_else_from_being_put_back(worker):
    worker.run("import os, sys\nsys.modules['matplotlib._pylab_helpers'] = object()")
    code = "[sys.argv[1:], os.environ.get('A'), sys.stdin.read()]"
    assert value_of(worker, code, args=["a"], env={"A": "1"}, stdin=b"x") == [["a"], "1", "x"]
    assert value_of(worker, code) == [[], None, ""]


def test_variables_of_the_environment_are_of_one_run(worker):
    code = "import os, time\n[os.environ.get('A'), os.environ.get('HOME'), time.tzname[0]]"
    before = value_of(worker, code)
    assert value_of(worker, code, env={"A": "1", "HOME": "/x", "TZ": "Asia/Tokyo"}) == ["1", "/x", "JST"]
    assert value_of(worker, code) == before


def test_they_are_so_in_a_copy_of_the_environment(worker):
    code = "import os\nos.environ = dict(os.environ)\nos.environ['A']"
    for _ in range(2):  # made in the run, and before it
        assert value_of(worker, code, env={"A": "1"}) == "1"
        assert value_of(worker, "os.environ.get('A')") is None


def test_what_the_code_makes_of_a_given_variable_stays(worker):
    worker.run("import os\nos.environ['A'] = 'own'", env={"A": "given"})
    assert value_of(worker, "os.environ['A']") == "own"


def test_values_are_let_go(worker):
    worker.run("import weakref, gc\nclass A: pass\nmade = []\ndef make():\n    a = A()\n    made.append(weakref.ref(a))\n    return a")
    worker.run("make()")
    worker.run("def fail():\n    a = make()\n    raise ValueError(a)\nfail()")
    assert value_of(worker, "gc.collect()\n[one() is None for one in made]") == [True, True]


def test_a_large_request_is_let_go(worker):
    code = "[int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmRSS')][0]"
    before = value_of(worker, code)
    worker.run("#" + "x" * (32 << 20))
    worker.run("1")
    assert value_of(worker, code) < before + (16 << 10)


# ── Names bound for it ──

def test_what_the_code_has_made_of_a_bound_name_stays(worker):
    flags = DEFAULT_FLAGS | BIND_ANALYSIS
    assert value_of(worker, "pd.__name__, np.__name__", flags=flags) == ["pandas", "numpy"]
    worker.run("np = 5", flags=flags)
    assert value_of(worker, "np", flags=flags) == 5


def test_json_is_bound(worker):
    assert worker.run("json").outcome == RAISED
    assert value_of(worker, "json.loads('[1]')", flags=DEFAULT_FLAGS | BIND_JSON) == [1]


def test_plot_is_bound(worker):
    pytest.importorskip("matplotlib")
    assert value_of(worker, "plt.__name__", flags=DEFAULT_FLAGS | BIND_PLOT) == "matplotlib.pyplot"


# ── Displays ──

def test_figures_are_shown_once(worker):
    pytest.importorskip("matplotlib")
    assert len(worker.run("import matplotlib.pyplot as plt\nplt.plot([1])\nf = plt.gcf()\nNone").displays) == 1
    assert worker.run("1").displays == []
    assert worker.run("f.canvas = None\nplt.figure()\nplt.gcf().savefig = None\nNone").outcome == COMPLETED
    assert worker.run("None").displays == []


def test_displays_between_runs_are_dropped(worker):
    worker.run("import threading\ngo, done = threading.Event(), threading.Event()\n"
               "def show():\n    go.wait()\n    display('late')\n    open('shown', 'w').close()\n    done.set()\n"
               "t = threading.Timer(0.05, go.set)\nthreading.Thread(target=show).start()\nt.start()")
    eventually(lambda: os.path.exists(f"{worker.directory}/work/0/shown"), SECONDS, "the thread has shown something")
    assert not select.select([worker.result_fd], [], [], 0)[0]
    outcome = worker.run("done.wait()\ndisplay('now')")
    assert [display["text/plain"] for display in outcome.displays] == ["'now'"]


def test_threads_run_between_runs(worker):
    worker.run("import os, threading, time\ndef answer():\n    while not os.path.exists('asked'): time.sleep(0.001)\n"
               "    os.mkdir('answered')\nthreading.Thread(target=answer, daemon=True).start()")
    folder = f"{worker.directory}/work/0"
    open(f"{folder}/asked", "w").close()
    eventually(lambda: os.path.exists(f"{folder}/answered"), SECONDS, "the thread has run")


# ── Tracebacks ──

def test_functions_of_earlier_runs_show_their_lines(worker):
    worker.run("def f():\n    return 1/0  # of the first")
    worker.run("# line\ndef g():\n    return f()  # of the second")
    outcome = worker.run("\n\ng()  # of the third")
    text = outcome.error["traceback"]
    assert 'File "<snippet>", line 2' in text and "return 1/0  # of the first" in text
    assert 'File "<snippet 2>", line 3' in text and "return f()  # of the second" in text
    assert 'File "<snippet 3>", line 3' in text and "g()  # of the third" in text
    assert outcome.line == 3


def test_a_syntax_error_has_its_line(worker):
    worker.run("1")
    outcome = worker.run("x = 1\ndef (")
    assert outcome.line == 2 and "<snippet 2>" in outcome.error["traceback"]


def test_the_first_run_is_like_any_other(zygote, worker):
    code = "def f():\n    1/0\nf()"
    assert worker.run(code).error == zygote.run(code).error


def test_old_sources_are_let_go(worker):
    worker.run("import linecache")
    for _ in range(3):
        worker.run("#" * (4 << 20))
    assert value_of(worker, "sum(e[0] for n, e in linecache.cache.items() if n[0] == '<') < (9 << 20)") is True


# ── Limits ──

def test_limits_of_each_run_hold(worker):
    assert worker.run("x = bytearray(100 << 20)", memory_bytes=32 << 20).error["type"] == "MemoryError"
    assert worker.run("x = bytearray(100 << 20)\ndel x", memory_bytes=256 << 20).outcome == COMPLETED
    assert worker.run("open('f', 'wb').write(b'x' * 9000)", file_bytes=4096).error["type"] == "OSError"
    assert worker.run("open('f', 'wb').write(b'x' * 9000)", file_bytes=1 << 20).outcome == COMPLETED


def test_a_maximum_that_the_code_has_lowered_stays(worker):
    worker.run("import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))")
    for _ in range(2):
        assert value_of(worker, "list(resource.getrlimit(resource.RLIMIT_FSIZE))") == [5000, 5000]


def test_processor_time_of_a_run_ends_the_process(worker):
    worker.run("import time\nt = time.process_time()\nwhile time.process_time() < t + 1.2: pass", cpu_seconds=2)
    worker.run("1", cpu_seconds=1)
    worker.send(request("while True: pass", cpu_seconds=1))
    assert worker.next_frame() is None
    assert worker.wait() in (-signal.SIGXCPU, -signal.SIGKILL)


@pytest.mark.skipif(is_sanitized(), reason="AddressSanitizer has page faults of its own")
def test_runs_do_not_pile_up_memory(worker):
    code = "[int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmRSS')][0]"
    for _ in range(50):
        worker.run("x = {n: str(n) for n in range(1000)}\nprint('x' * 100)\nx")
    before = value_of(worker, code)
    for _ in range(300):
        worker.run("x = {n: str(n) for n in range(1000)}\nprint('x' * 100)\nx")
    assert value_of(worker, code) < before + 2048
