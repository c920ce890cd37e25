"""What was printed and what was shown come out as the code wrote them: in events, and in a session's notebook."""

import itertools
import json

import pytest

from harness.sessions import Streamed, made

ERR = "import sys\nerr = lambda text: print(text, file=sys.stderr)\n"


def told(outputs):
    """The outputs of a cell in a few words."""
    words = []
    for one in outputs:
        if one["output_type"] == "stream":
            words.append((one["name"], one["text"]))
        elif one["output_type"] == "display_data":
            words.append(("display", one["data"]["text/plain"]))
        elif one["output_type"] == "execute_result":
            words.append(("result", one["data"]["text/plain"]))
        else:
            words.append(("error", one["ename"]))
    return words


def cell_of(session, code, **fields):
    session.run(code, **fields)
    return told(json.loads(session.server.get(session.path + "/notebook").text)["cells"][-1]["outputs"])


def events_of(session, code, **fields):
    streamed = Streamed(session, code, **fields)
    streamed.ended()
    return [(name, data["text"] if name in ("stdout", "stderr") else data["text/plain"])
            for name, data in streamed.events if name != "done"]


PROGRAMS = {
    "around a display": ("print('a')\ndisplay(1)\nprint('b')", [("stdout", "a\n"), ("display", "1"), ("stdout", "b\n")]),
    "the value last": ("print('a')\ndisplay(1)\nprint('b')\n2",
                       [("stdout", "a\n"), ("display", "1"), ("stdout", "b\n"), ("result", "2")]),
    "displays next to each other": ("display(1)\ndisplay(2)\nprint('a')", [("display", "1"), ("display", "2"), ("stdout", "a\n")]),
    "both streams": (ERR + "print('a')\nerr('x')\nprint('b')\ndisplay(1)\nerr('y')\nprint('c')",
                     [("stdout", "a\n"), ("stderr", "x\n"), ("stdout", "b\n"), ("display", "1"), ("stderr", "y\n"),
                      ("stdout", "c\n")]),
    "os.write": ("import os\nos.write(1, b'a')\ndisplay(1)\nos.write(1, b'b');",
                 [("stdout", "a"), ("display", "1"), ("stdout", "b")]),
    "text that is held back": ("import io, sys\nsys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, 'w', closefd=False)))\n"
                               "print('a')\ndisplay(1)\nprint('b')\nsys.stdout.flush()\nsys.stdout = sys.__stdout__",
                               [("stdout", "a\n"), ("display", "1"), ("stdout", "b\n")]),
    "an error at the end": ("print('a')\ndisplay(1)\nprint('b')\n1 / 0",
                            [("stdout", "a\n"), ("display", "1"), ("stdout", "b\n"), ("error", "ZeroDivisionError")]),
    "large": ("print('a' * 200000)\ndisplay(1)\nprint('b' * 200000)\ndisplay(2)\nprint('c')",
              [("stdout", "a" * 200000 + "\n"), ("display", "1"), ("stdout", "b" * 200000 + "\n"), ("display", "2"),
               ("stdout", "c\n")]),
    "slow": ("import time\nfor i in range(3):\n    print('before')\n    time.sleep(0.01)\n    display(i)\n    print('after')\n"
             "    time.sleep(0.01)",
             [word for i in "012" for word in (("stdout", "before\n"), ("display", i), ("stdout", "after\n"))]),
}


def merged(words):
    """Pieces of one stream that stand next to each other are one."""
    result = []
    for name, text in words:
        if result and result[-1][0] == name and name in ("stdout", "stderr"):
            text = result.pop()[1] + text
        result.append((name, text))
    return result


@pytest.mark.parametrize("code,wanted", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_in_a_notebook(server, code, wanted):
    with made(server) as session:
        assert merged(cell_of(session, code)) == merged(wanted)


@pytest.mark.parametrize("code,wanted", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_in_events(server, code, wanted):
    """Standard error is in its place among the displays, and anywhere among what stands between two of them."""
    wanted = [word for word in wanted if word[0] != "error"]
    with made(server) as session:
        events = events_of(session, code)
    for stream, other in (("stdout", "stderr"), ("stderr", "stdout")):
        assert merged(word for word in events if word[0] != other) == merged(word for word in wanted if word[0] != other)


def test_many_displays_among_much_output(server):
    code = "for i in range(60):\n    print('x' * 5000, i)\n    display(i)"
    wanted = [word for i in range(60) for word in (("stdout", "x" * 5000 + f" {i}\n"), ("display", str(i)))]
    with made(server) as session:
        assert cell_of(session, code) == wanted
        assert merged(events_of(session, code)) == wanted


def test_figures_of_the_end_come_behind_the_value(server):
    """As a notebook has it: first what the cell returns, then what it has drawn and not shown."""
    with made(server) as session:
        words = cell_of(session, "import matplotlib.pyplot as plt\nprint('a')\nplt.plot([1, 2])\n5")
        assert [name for name, _ in words] == ["stdout", "result", "display"]
        words = cell_of(session, "print('a')\nplt.plot([1, 2])\nplt.show()\nprint('b')\n5")
        assert [name for name, _ in words] == ["stdout", "display", "stdout", "result"]


def test_output_that_is_cut(server):
    """Its head and its tail stay in their places among the displays, and what was left out is told once."""
    with made(server) as session:
        code = "print('a' * 600)\ndisplay(1)\nprint('b' * 600)\ndisplay(2)\nprint('c' * 600)"
        assert cell_of(session, code, limits={"output_bytes": 1000}) == [
            ("stdout", "a" * 500 + "\n[… 803 bytes left out …]\n"), ("display", "1"), ("display", "2"),
            ("stdout", "c" * 499 + "\n")]


def test_of_a_run_that_is_killed(server):
    """What lives is told as far as it had come."""
    with made(server) as session:
        code = "print('a')\ndisplay(1)\nprint('b')\nwhile True: pass"
        assert cell_of(session, code, limits={"wall_ms": 1500}) == \
            [("stdout", "a\n"), ("display", "1"), ("stdout", "b\n"), ("error", "Timeout")]


def test_a_run_counts_from_its_own_start(server):
    with made(server) as session:
        session.run("print('much' * 1000)\nimport sys\nprint('e' * 1000, file=sys.stderr)")
        assert cell_of(session, "print('a')\ndisplay(1)\nprint('b')") == \
            [("stdout", "a\n"), ("display", "1"), ("stdout", "b\n")]


def test_what_a_thread_has_printed_between_runs(server):
    with made(server) as session:
        session.run("import threading, os\ngo, done = threading.Event(), threading.Event()\n"
                    "def work():\n    go.wait()\n    print('between' * 100)\n    done.set()\nthreading.Thread(target=work).start()")
        session.run("threading.Timer(0.01, go.set).start()")
        session.run("done.wait()")
        words = cell_of(session, "print('a')\ndisplay(1)\nprint('b')")
        assert [word for word in words if "between" not in word[1]] == [("stdout", "a\n"), ("display", "1"), ("stdout", "b\n")]


def test_after_a_reset_of_the_interpreter(make_server):
    """The recycle policy `reset` keeps the process."""
    server = make_server("--recycle", "reset", "--workers", "1")
    for _ in range(3):
        answer = server.post("/v1/execute", {"code": "print('a')\ndisplay(1)\nprint('b')"}, {"Accept": "text/event-stream"})
        blocks = [block.split("\n") for block in answer.text.split("\n\n") if block.startswith("event: ")]
        # What is printed may come in several events.
        names = [name for name, _ in itertools.groupby(name for name, _ in blocks)]
        assert names == ["event: stdout", "event: display", "event: stdout", "event: done"]
