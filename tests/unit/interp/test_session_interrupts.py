"""Interrupts of the runs of a session, at any time."""

import os
import select
import signal
import threading

import pytest
from harness import proc
from harness.hatchery import eventually
from session_worker import await_go, begin, end, value_of, worker  # noqa: F401
from supervisor import COMPLETED, RAISED, SECONDS, request

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
BUSY = ("loop", "numpy", "comprehension", "beside a busy thread")


@pytest.mark.parametrize("name", WAITS)
def test_interrupt(worker, name):
    # What an interrupt meets while a module is imported may drop it: CPython has callbacks there that cannot raise.
    worker.run("x = 1\nimport asyncio, numpy, os, queue, select, threading, time")
    begin(worker, WAITS[name])
    if name not in BUSY:
        eventually(lambda: proc.state(worker.pid) == "S", SECONDS, "it waits")
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
    eventually(lambda: not pending(worker.request_fd), SECONDS, "the request has been read")
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
