"""A worker of a session: what one run leaves to the next, what it does not, and interrupts."""

import os
import select
import signal
import threading

import pytest
from supervisor import (BIND_ANALYSIS, BIND_JSON, BIND_PLOT, COMPLETED, DEFAULT_FLAGS, EXITED, NEW_PACKAGES, RAISED, READY, REHEARSE,
                        RESULT_END, SESSION, Outcome, is_sanitized, request)


@pytest.fixture
def worker(zygote):
    one = zygote.spawn(REHEARSE | SESSION)
    yield one
    one.end()


def value_of(worker, code, **parts):
    outcome = worker.run(code, **parts)
    assert outcome.outcome == COMPLETED, outcome.error
    return outcome.value and outcome.value.get("application/json", outcome.value["text/plain"])


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

def test_standard_input_is_of_one_run(worker):
    assert value_of(worker, "input()", stdin=b"first\nrest\n") == "first"
    assert value_of(worker, "import sys\nsys.stdin.read()") == ""
    assert value_of(worker, "[input(), sys.stdin.read()]", stdin=b"second\nrest") == ["second", "rest"]
    assert worker.run("input()").error["type"] == "EOFError"
    worker.run("import io\nsys.stdin = io.StringIO('own\\n' * 9)")
    assert value_of(worker, "input()", stdin=b"given") == "given"
    assert value_of(worker, "input()") == "own"


def test_exit_leaves_a_standard_input(worker):
    """exit() closes sys.stdin."""
    for stdin in (b"", b"given"):
        assert worker.run("exit()", stdin=stdin).outcome == EXITED
        assert value_of(worker, "import sys\n[sys.stdin.read(), sys.__stdin__.read()]") == ["", ""]
        assert worker.run("input()").error["type"] == "EOFError"


def test_standard_input_that_the_code_has_closed_is_there_again(worker):
    """As open(0) does, when the file that it makes is let go."""
    for number in range(3):
        assert value_of(worker, "open(0).read()", stdin=b"given %d" % number) == f"given {number}"
        assert value_of(worker, "open(0).read()") == ""
    assert worker.run("input()").error["type"] == "EOFError"
    assert value_of(worker, "f = open('own', 'w+')\nf.write('kept')") == 4
    assert value_of(worker, "input()", stdin=b"given\n") == "given"
    assert value_of(worker, "f.seek(0)\nf.read()") == "kept"


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


# ── Standard output ──

@pytest.mark.parametrize("code", ["sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')",
                                  "sys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding='utf-8')",
                                  "sys.stdout = open(sys.stdout.fileno(), mode='w', encoding='utf-8', buffering=1)",
                                  "sys.stdout = os.fdopen(1, 'w')",
                                  "sys.stderr = open(2, 'w', closefd=False)"])
def test_a_stream_that_each_run_wraps_anew_stays_open(worker, code):
    """The wrapper before closes, when it is let go, what the new one writes to."""
    worker.run("import io, os, sys")
    for number in range(5):
        outcome = worker.run(f"{code}\nprint({number})\nprint('é', file=sys.stderr)")
        assert outcome.outcome == COMPLETED and (outcome.text, outcome.stderr) == (f"{number}\n", "é\n".encode()), outcome.error


@pytest.mark.parametrize("code", ["sys.stdout.close()", "sys.stdout.detach()", "sys.stdout.buffer.close()",
                                  "with open('log', 'w') as sys.stdout: print('there')",
                                  "sys.stdout = io.StringIO()\nsys.stdout.close()"])
def test_a_stream_that_a_run_has_closed_is_new_in_the_next(worker, code):
    worker.run("import io, sys\n" + code)
    assert worker.run("print('here')").text == "here\n"
    assert worker.run("print('here', file=sys.__stdout__)").text == "here\n"


@pytest.mark.parametrize("code", ["sys.stdout = io.TextIOWrapper(io.BytesIO())", "import os\nos.close(1)\nsys.stdout.close()",
                                  "class A(io.RawIOBase):\n    def writable(self): return True\n"
                                  "    def fileno(self): raise ValueError\n    def write(self, data): raise ValueError\n"
                                  "sys.stdout = io.TextIOWrapper(A(), write_through=True)", "del sys.stdout, sys.__stdout__"])
def test_streams_of_any_kind_keep_nothing_from_being_put_back(worker, code):
    worker.run("import io, sys\n" + code, args=["a"], env={"A": "1"}, stdin=b"x")
    assert value_of(worker, "import os\n[sys.argv[1:], os.environ.get('A'), sys.stdin.read()]") == [[], None, ""]


def test_a_stream_that_the_code_has_put_there_stays(worker):
    worker.run("import io, sys\nsys.stdout = own = io.StringIO()")
    assert worker.run("print('kept')").text == ""
    assert value_of(worker, "own.getvalue()") == "kept\n"
    worker.run("import weakref\nsys.stdout = open('log', 'w')\nseen = weakref.ref(sys.stdout)\nprint('x')")
    assert value_of(worker, "sys.stdout = sys.__stdout__\n[seen() is None, open('log').read()]") == [True, "x\n"]
    worker.run("sys.stdout = None")
    assert value_of(worker, "sys.stdout is None") is True


def test_streams_are_looked_for_only_where_a_file_can_be_written_to(worker):
    """That is a walk over all objects; and a library may keep files open that it reads."""
    worker.run("import io\nflushed = []\nclass A(io.RawIOBase):\n    def flush(self): flushed.append(1)\na = A()\nopen('x', 'w').close()")
    worker.run("flushed.clear()\nfile = open('x')")
    worker.run("input()", stdin=b"x")
    assert value_of(worker, "len(flushed)") == 0
    worker.run("file = open('x', 'a')")
    assert value_of(worker, "len(flushed)") == 1


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
    reader, writer = os.pipe()
    worker.run("import threading\ngo, done = threading.Event(), threading.Event()\n"
               "def show():\n    go.wait()\n    display('late')\n    open('shown', 'w').close()\n    done.set()\n"
               "t = threading.Timer(0.05, go.set)\nthreading.Thread(target=show).start()\nt.start()")
    for _ in range(1000):
        if os.path.exists(f"{worker.directory}/work/0/shown"):
            break
        select.select([reader], [], [], 0.01)
    os.close(reader)
    os.close(writer)
    assert not select.select([worker.result_fd], [], [], 0)[0]
    outcome = worker.run("done.wait()\ndisplay('now')")
    assert [display["text/plain"] for display in outcome.displays] == ["'now'"]


def test_threads_run_between_runs(worker):
    worker.run("import threading, time\nn = 0\ndef count():\n    global n\n    while True:\n        n += 1\n        time.sleep(0.001)\n"
               "threading.Thread(target=count, daemon=True).start()")
    before = value_of(worker, "n")
    select.select([], [], [], 0.2)
    assert value_of(worker, "n") > before + 5


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


# ── Interrupts ──

WAITS = {
    "loop": "while True: pass",
    "sleep": "import time\ntime.sleep(1000)",
    "select": "import select, os\nr, w = os.pipe()\nselect.select([r], [], [])",
    "poll": "import select, os\nr, w = os.pipe()\np = select.poll()\np.register(r)\np.poll()",
    "read": "import os\nr, w = os.pipe()\nos.read(r, 1)",
    "lock": "import threading\nl = threading.Lock()\nl.acquire()\nl.acquire()",
    "event": "import threading\nthreading.Event().wait()",
    "queue": "import queue\nqueue.Queue().get()",
    "input": "import os\nr, w = os.pipe()\nos.dup2(r, 0)\ninput()",
    "numpy": "import numpy\na = numpy.ones(9)\nwhile True: a = a + 1",
    "comprehension": "[n for n in iter(int, 1)]",
    "asyncio": "import asyncio\nasyncio.run(asyncio.sleep(1000))",
    "thread joined": "import threading, time\nt = threading.Thread(target=time.sleep, args=(1000,), daemon=True)\nt.start()\nt.join()",
    "beside a busy thread": "import threading\ndef busy():\n    while True: pass\n"
                            "threading.Thread(target=busy, daemon=True).start()\nwhile True: pass",
}


def begin(worker, code, **parts):
    """Starts it, and returns when its first line has been executed."""
    worker.send(request("import os\nos.write(1, b'go')\n" + code, **parts))
    await_go(worker)


def await_go(worker):
    os.set_blocking(worker.stdout_fd, True)
    assert os.read(worker.stdout_fd, 2) == b"go"


def end(worker):
    outcome = Outcome()
    while found := worker.next_frame(outcome):
        outcome.add(*found)
        if found[0] == RESULT_END:
            return outcome
    raise AssertionError("the worker ended")


@pytest.mark.parametrize("name", WAITS)
def test_interrupt(worker, name):
    worker.run("x = 1")
    begin(worker, WAITS[name])
    for _ in range(50):  # those that wait are to be in their waiting
        with open(f"/proc/{worker.pid}/stat") as file:
            if file.read().rpartition(")")[2].split()[0] == "S":
                break
        select.select([], [], [], 0.001)
    os.kill(worker.pid, signal.SIGINT)
    outcome = end(worker)
    assert outcome.outcome == RAISED and outcome.error["type"] == "KeyboardInterrupt"
    assert outcome.line >= 2
    assert value_of(worker, "x") == 1


def test_an_interrupt_between_runs_hits_nothing(worker):
    worker.run("x = 1")
    for _ in range(3):
        os.kill(worker.pid, signal.SIGINT)
        assert value_of(worker, "[x for n in range(1000)][0]") == 1


def test_an_interrupt_before_the_first_run_hits_nothing(worker):
    os.kill(worker.pid, signal.SIGINT)
    assert value_of(worker, "1") == 1


def test_an_interrupt_of_a_run_that_has_been_read_is_its_own(worker):
    """Sent before its first line, when the request has left the pipe but for the last frame."""
    data = request("while True: pass")
    worker.send(data[:-10])
    for _ in range(1000):
        if not pending(worker.request_fd):
            break
        select.select([], [], [], 0.001)
    os.kill(worker.pid, signal.SIGINT)
    worker.send(data[-10:])
    assert end(worker).error["type"] == "KeyboardInterrupt"
    assert value_of(worker, "1") == 1


def pending(fd):
    """Bytes that wait in a pipe, of which we have the end that is written to."""
    import array
    import fcntl
    import termios
    count = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


def test_interrupts_at_any_time_leave_a_whole_session(worker):
    """Whatever they hit: each run has its answer, and a run before which none was sent is as always."""
    stop = threading.Event()

    def interrupt():
        while not stop.is_set():
            os.kill(worker.pid, signal.SIGINT)
            stop.wait(0.0003)
    code = ("x = {'a': [1, 2.5, None]}\nclass A:\n    def __repr__(self): return 'A' * 99\n"
            "print('text')\ndisplay(A())\nimport os, sys\nf = open('out', 'w')\nf.write('x')\n[A(), x]")
    for round_number in range(4):
        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            for _ in range(40):
                outcome = worker.run(code, stdin=b"abc", args=["1"], env={"GIVEN": "1"})
                assert outcome.outcome == COMPLETED or outcome.error["type"] == "KeyboardInterrupt", outcome.error
        finally:
            stop.set()
            thread.join()
            stop.clear()
        outcome = worker.run("import sys, os\nprint('p')\n[sys.argv[1:], os.environ.get('GIVEN'), sys.stdin.read()]")
        assert outcome.outcome == COMPLETED, outcome.error
        assert outcome.value["application/json"] == [[], None, ""] and outcome.text == "p\n"


@pytest.mark.parametrize("code", ["class A:\n    def _repr_html_(self):\n        os.write(1, b'go')\n        while True: pass\nA()",
                                  "class A:\n    def __repr__(self):\n        os.write(1, b'go')\n        while True: pass\nA()",
                                  "class A:\n    def write(self, text): pass\n    def flush(self):\n        os.write(1, b'go')\n"
                                  "        while True: pass\nsys.stdout = A()",
                                  "class A(Exception):\n    def __str__(self):\n        os.write(1, b'go')\n"
                                  "        while True: pass\nraise A"])
def test_an_interrupt_after_the_last_line_leaves_an_answer(worker, code):
    worker.run("import os, sys")
    worker.send(request(code))
    await_go(worker)
    while True:
        os.kill(worker.pid, signal.SIGINT)
        if select.select([worker.result_fd], [], [], 0.2)[0]:
            break
    assert end(worker).outcome is not None
    worker.run("sys.stdout = sys.__stdout__")
    assert value_of(worker, "1") == 1


ENDLESS = "\n        os.write(1, b'go')\n        while True: pass"


def interrupted(worker, code, **parts):
    """One interrupt, after which nothing but its end may come of the run."""
    worker.send(request(code, **parts))
    await_go(worker)
    os.kill(worker.pid, signal.SIGINT)
    outcome = end(worker)
    assert outcome.outcome == RAISED and outcome.error["type"] == "KeyboardInterrupt"
    assert value_of(worker, "len(passed)") == 0


@pytest.mark.parametrize("method", ["__repr__(self)", "_repr_html_(self)", "_repr_mimebundle_(self)"])
def test_an_interrupt_of_a_display_ends_the_run(worker, method):
    worker.run(f"import os\npassed = []\nclass A:\n    def {method}:{ENDLESS}")
    interrupted(worker, "display(A())\npassed.append(1)")
    interrupted(worker, "A()")


def test_an_interrupt_of_a_display_as_json_ends_the_run(worker):
    worker.run(f"import os\npassed = []\nclass A(dict):\n    def items(self):{ENDLESS}")
    interrupted(worker, "display(A())\npassed.append(1)")


def test_an_interrupt_of_a_figure_ends_the_run(worker):
    pytest.importorskip("matplotlib")
    worker.run("import os, matplotlib.pyplot as plt\nfrom matplotlib.artist import Artist\npassed = []\n"
               f"class A(Artist):\n    def draw(self, renderer):{ENDLESS}")
    interrupted(worker, "plt.gca().add_artist(A())\nplt.show()\npassed.append(1)")
    interrupted(worker, "plt.gca().add_artist(A())\ndisplay(plt.gcf())\npassed.append(1)")
    interrupted(worker, "plt.gca().add_artist(A());")
    assert worker.run("None").displays == []


def test_an_interrupt_while_variables_are_written_is_told(worker):
    worker.run(f"import os\npassed = []\nclass A(dict):\n    def items(self):{ENDLESS}\nclass B:\n    def __repr__(self):{ENDLESS}")
    interrupted(worker, "a = A()", variables=["a"])
    interrupted(worker, "b = B()", variables=["b"])


def test_a_handler_of_the_code_stays_and_is_asked(worker):
    worker.run("import signal, time\nhits = []\nsignal.signal(signal.SIGINT, lambda *a: hits.append(1))")
    begin(worker, "while not hits: pass")
    os.kill(worker.pid, signal.SIGINT)
    assert end(worker).outcome == COMPLETED
    os.kill(worker.pid, signal.SIGINT)
    assert value_of(worker, "time.sleep(0.01)\nlen(hits)") == 1
    worker.run("signal.signal(signal.SIGINT, signal.default_int_handler)")
    begin(worker, "while True: pass")
    os.kill(worker.pid, signal.SIGINT)
    assert end(worker).error["type"] == "KeyboardInterrupt"


def test_an_alarm_between_runs_ends_no_later_run(worker):
    worker.run("import signal, time\nn = 0\ndef ring(*a):\n    global n\n    n += 1\n    raise ValueError\n"
               "signal.signal(signal.SIGALRM, ring)\nsignal.setitimer(signal.ITIMER_REAL, 0.02)")
    select.select([], [], [], 0.1)
    assert value_of(worker, "n") == 1


@pytest.mark.skipif(is_sanitized(), reason="AddressSanitizer has page faults of its own")
def test_runs_do_not_pile_up_memory(worker):
    code = "[int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmRSS')][0]"
    for _ in range(50):
        worker.run("x = {n: str(n) for n in range(1000)}\nprint('x' * 100)\nx")
    before = value_of(worker, code)
    for _ in range(300):
        worker.run("x = {n: str(n) for n in range(1000)}\nprint('x' * 100)\nx")
    assert value_of(worker, code) < before + 2048
