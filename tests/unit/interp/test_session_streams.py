"""The standard streams of a worker of a session: what of them is of one run, and what a run may do to them."""

import pytest
from session_worker import value_of, worker  # noqa: F401
from supervisor import COMPLETED, EXITED


# ── Standard input ──

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
