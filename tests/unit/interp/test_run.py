"""One run in a fresh worker: its streams, and what a request brings along."""

import json
import math

import pytest
from supervisor import COMPLETED, ERROR_TYPE, RAISED, RESULT_END, VALUE, WANT_VALUE, value_text


# ── Streams ──

def test_streams_keep_the_order_in_which_they_were_written(run):
    outcome = run("""
import os, sys, ctypes
print("a", end="")
os.write(1, b"b")
ctypes.CDLL(None).printf(b"c")
sys.stdout.write("d")
os.write(1, b"e")
print("x", file=sys.stderr, end="")
os.write(2, b"y")
""")
    assert outcome.stdout == b"abcde"
    assert outcome.stderr == b"xy"


def test_signals_cut_nothing_off_what_is_printed(run):
    """Each may end a write(2) in the middle of what the pipe had no room for."""
    outcome = run("""
import signal
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
print("x" * 5_000_000)
signal.setitimer(signal.ITIMER_REAL, 0)
""")
    assert outcome.kinds[-1] == RESULT_END
    assert len(outcome.stdout) == 5_000_001


def test_output_before_a_hard_end_is_kept(run):
    outcome = run("import os\nprint('partial', end='')\nos._exit(7)")
    assert outcome.stdout == b"partial"
    assert outcome.kinds == []
    assert outcome.status == 7


def test_streams_are_utf_8(run):
    assert run("print('é😀')").stdout == "é😀\n".encode()


def test_nothing_is_read_from_an_absent_stdin(run):
    assert run("import sys\nsys.stdin.read()").value["text/plain"] == "''"


def test_stdin(run):
    outcome = run("import sys\na = input()\nb = sys.stdin.read()\nsys.stdin.seek(0)\n(a, b, sys.stdin.readline())",
                  stdin=b"one\ntwo\nthree")
    assert value_text(outcome) == "('one', 'two\\nthree', 'one\\n')"


def test_large_stdin(run):
    assert value_text(run("import sys\nlen(sys.stdin.buffer.read())", stdin=b"x" * 3_000_000)) == "3000000"


def test_open_files_are_flushed(run, zygote):
    worker = zygote.spawn()
    worker.run("""
one = open("one", "w"); one.write("1")
class Holder:
    def __init__(self):
        self.file = open("two", "w"); self.file.write("2")
holder = Holder()
""")
    contents = [open(f"{worker.directory}/work/{name}").read() for name in ("one", "two")]
    worker.end()
    assert contents == ["1", "2"]


def test_an_open_file_is_flushed_whatever_was_closed_before_it(zygote):
    worker = zygote.spawn()
    worker.run("files = [open(str(n), 'w') for n in range(200)]\nfor file in files[:-1]: file.close()\nfiles[-1].write('x')")
    with open(f"{worker.directory}/work/199") as file:
        content = file.read()
    worker.end()
    assert content == "x"


def test_a_file_in_the_place_of_the_standard_input_is_flushed(zygote):
    worker = zygote.spawn()
    outcome = worker.run("text = open(0).read()\nfile = open('one', 'w')\nfile.write(text)\nfile.fileno()", stdin=b"x")
    with open(f"{worker.directory}/work/one") as file:
        content = file.read()
    worker.end()
    assert (outcome.value["application/json"], content) == (0, "x")


@pytest.mark.parametrize("code", ["import weakref\nclass A: pass\na = A()\nproxy = weakref.proxy(a)\ndel a",
                                  "class A:\n    @property\n    def __class__(self): raise ValueError\na = A()"])
def test_open_files_are_flushed_whatever_other_objects_say(zygote, code):
    worker = zygote.spawn()
    worker.run(code + "\nfile = open('one', 'w')\nfile.write('x')")
    with open(f"{worker.directory}/work/one") as file:
        content = file.read()
    worker.end()
    assert content == "x"


def test_exit_handlers_run_and_stdio_is_flushed(run):
    outcome = run("""
import atexit, sys, io
atexit.register(print, "bye")
sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=False)
print("buffered")
""")
    assert outcome.stdout.split() == [b"buffered", b"bye"]


def test_threads_that_go_on_are_not_waited_for(run):
    outcome = run("import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\nprint('done')")
    assert (outcome.outcome, outcome.stdout) == (COMPLETED, b"done\n")


# ── What a request brings ──

def test_arguments(run):
    assert value_text(run("import sys\nsys.argv[1:]", args=["a", "é b", ""])) == "['a', 'é b', '']"
    assert value_text(run("import sys\nlen(sys.argv)")) == "1"


def test_environment(run):
    outcome = run("import os, ctypes\nget = ctypes.CDLL(None).getenv\nget.restype = ctypes.c_char_p\n"
                  "[os.environ['A'], get(b'A'), os.environ['B']]", env={"A": "1=2", "B": ""})
    assert value_text(outcome) == "['1=2', b'1=2', '']"


def test_time_zone(run):
    assert value_text(run("import time\ntime.tzname[0]", env={"TZ": "XYZ-3"})) == "'XYZ'"


def test_places(zygote):
    worker = zygote.spawn()
    outcome = worker.run("import os, tempfile\n[os.getcwd(), os.environ['HOME'], os.environ['TMPDIR'], "
                         "tempfile.gettempdir(), os.environ['MPLCONFIGDIR']]")
    work, tmp = f"{worker.directory}/work", f"{worker.directory}/tmp"
    assert value_text(outcome) == str([work, work, tmp, tmp, tmp])
    worker.end()


def test_files(zygote):
    worker = zygote.spawn()
    outcome = worker.run("import os, helper\nassert open('a/b/c.bin', 'rb').read() == bytes(range(256))\n"
                         "[helper.x, sorted(os.listdir()), oct(os.stat('helper.py').st_mode & 0o777)]",
                         files=[("a/b/c.bin", bytes(range(256))), ("helper.py", b"x = 5"), ("empty", b"")])
    assert value_text(outcome) == "[5, ['a', 'empty', 'helper.py'], '0o600']"
    worker.end()


def test_a_file_that_cannot_be_written_is_the_runs_error(run):
    outcome = run("print(1)", files=[("a", b"x"), ("a/b", b"y")])
    assert outcome.outcome == RAISED
    assert outcome.error["type"] in ("FileExistsError", "NotADirectoryError")
    assert outcome.stdout == b""


def test_data(run):
    data = {"x": 1, "big": 10**30, "nested": {"a": [None, True, 1.5]}, "not an identifier": "é"}
    outcome = run("[x, big, nested, globals()['not an identifier']]", data=data)
    assert outcome.value["application/json"] == list(data.values())


def test_huge_integers_in_data(run):
    digits = "7" * 10000
    assert value_text(run("x % 10**9, x.bit_length()", data=b'{"x": %s}' % digits.encode())) == \
        str((int("7" * 9), math.floor(math.log2(7 / 9) + 10000 * math.log2(10)) + 1))


def test_large_data(run):
    data = {"rows": [{"a": i, "b": "x" * 20} for i in range(100000)]}
    assert value_text(run("len(rows), rows[-1]['a']", data=data)) == "(100000, 99999)"


def test_source_is_known_to_inspect(run):
    outcome = run("import inspect\ndef f():\n    return 'é'\ninspect.getsource(f)")
    assert value_text(outcome) == repr("def f():\n    return 'é'\n")


def test_main_is_a_module(run):
    outcome = run("import __main__, sys, pickle\nclass A: pass\na = pickle.loads(pickle.dumps(A()))\n"
                  "[__name__, __main__.A is A, type(a) is A, sorted(n for n in globals() if n[0] != '_')]")
    assert value_text(outcome) == "['__main__', True, True, ['A', '__main__', 'a', 'pickle', 'sys']]".replace(
        "'A', '__main__'", "'A'")


def test_the_smallest_answer_is_one_write(zygote):
    """END leaves with the value: nothing is to be seen before it."""
    outcome = zygote.run("1")
    assert outcome.kinds == [VALUE, RESULT_END]
    outcome = zygote.run("1/0", flags=WANT_VALUE)
    assert outcome.kinds[0] == ERROR_TYPE and outcome.kinds[-1] == RESULT_END


def test_json_is_ascii(run):
    assert all(byte < 128 for byte in dict(run("'é\\ud800'").frames)[VALUE])
    assert json.loads(dict(run("'é'").frames)[VALUE])["application/json"] == "é"
