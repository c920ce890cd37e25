"""How a run ends that does not reach its end: exceptions, syntax errors, exits."""

import pytest
from supervisor import EXITED, RAISED


def test_exception(run):
    outcome = run("def f(x):\n    return 1 / x\n\nf(0)")
    assert (outcome.outcome, outcome.exit_code) == (RAISED, 1)
    assert outcome.error["type"] == "ZeroDivisionError"
    assert outcome.error["message"] == "division by zero"
    lines = outcome.error["traceback"].splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert [line for line in lines if "File" in line] == \
        ['  File "<snippet>", line 4, in <module>', '  File "<snippet>", line 2, in f']
    assert "    return 1 / x" in lines
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert outcome.line == 2
    assert outcome.stderr == b""
    assert "hatchery" not in outcome.error["traceback"]


def test_qualified_type(run):
    assert run("import json\njson.loads('{')").error["type"] == "json.decoder.JSONDecodeError"
    assert run("class Mine(Exception): pass\nraise Mine('x')").error["type"] == "Mine"


def test_line_is_the_users_own(run):
    outcome = run("import json\n\njson.loads('{')\n")
    assert outcome.line == 3
    assert "decoder.py" in outcome.error["traceback"]


@pytest.mark.parametrize("code, line", [("x = (", 1), ("a = 1\nb = = 2", 2), ("def f():\nreturn", 2), ("x = 'abc", 1),
                                        ("a = 1\n  b = 2", 2), ("return 1", 1), ("1 +", 1), ("a=1\nb=2\n1 + ;", 3),
                                        ("await x", 1), ("break", 1)])
def test_syntax_error(run, code, line):
    outcome = run(code)
    assert outcome.outcome == RAISED
    assert outcome.error["type"] in ("SyntaxError", "IndentationError")
    assert outcome.line == line
    assert f'File "<snippet>", line {line}' in outcome.error["traceback"]
    assert "<hatchery>" not in outcome.error["traceback"]


def test_null_bytes_are_a_syntax_error(run):
    outcome = run(b"print(1)\n\0print(2)")
    assert outcome.error["type"] == "SyntaxError"
    assert "null bytes" in outcome.error["message"]
    assert outcome.stdout == b""


def test_causes_are_shown(run):
    text = run("try:\n    1/0\nexcept Exception as e:\n    raise ValueError('v') from e").error["traceback"]
    assert "ZeroDivisionError" in text and "direct cause" in text and "ValueError: v" in text


@pytest.mark.parametrize("code", [
    "e = ValueError('a'); f = ValueError('b')\ne.__cause__ = f; f.__cause__ = e\nraise e",
    "e = ValueError('a')\ne.__cause__ = e\nraise e",
    "e = ValueError('a')\ne.__context__ = e\nraise e",
    "e = None\nfor i in range(100000):\n    n = ValueError(i); n.__context__ = e; e = n\nraise e",
    "raise ExceptionGroup('g', [ValueError(1), ExceptionGroup('h', [TypeError(2)])])",
    "e = ValueError()\nfor i in range(5000): e = ExceptionGroup('g', [e])\nraise e",
])
def test_odd_chains_end(run, code):
    outcome = run(code)
    assert outcome.outcome == RAISED
    assert outcome.error["type"] in ("ValueError", "ExceptionGroup")
    assert outcome.error["traceback"]


def test_recursion(run):
    outcome = run("def f(): f()\nf()")
    assert outcome.error["type"] == "RecursionError"
    assert outcome.line == 1


def test_very_deep_recursion_is_bounded(run):
    outcome = run("import sys\nsys.setrecursionlimit(10**6)\ndef f(n):\n    if n == 0: 1/0\n    f(n-1)\nf(200000)")
    assert outcome.error["type"] == "ZeroDivisionError"
    assert outcome.line == 4
    assert len(outcome.error["traceback"]) < 256 << 10


def test_a_large_message_is_cut(run):
    outcome = run("raise ValueError('é' * 10**6)")
    assert len(outcome.error["message"].encode()) <= 256 << 10
    assert len(outcome.error["traceback"].encode()) <= 256 << 10
    assert outcome.error["message"].startswith("éé") and outcome.error["message"].endswith("éé")


def test_surrogates_in_a_message(run):
    assert run("raise ValueError('\\ud800')").error["message"] == "\\ud800"


@pytest.mark.parametrize("body", ["raise TypeError", "return 3", "raise SystemExit(4)", "return str(self)"])
def test_a_broken_exception(run, body):
    outcome = run(f"class Broken(Exception):\n    def __str__(self): {body}\nraise Broken('x')")
    assert outcome.outcome == RAISED
    assert outcome.error["type"] == "Broken"


@pytest.mark.parametrize("name", ["KeyboardInterrupt", "GeneratorExit", "BaseException", "StopIteration"])
def test_base_exceptions_are_exceptions(run, name):
    outcome = run(f"raise {name}('x')")
    assert (outcome.outcome, outcome.error["type"], outcome.error["message"]) == (RAISED, name, "x")


def test_interrupt(run):
    outcome = run("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)")
    assert outcome.error["type"] == "KeyboardInterrupt"


@pytest.mark.parametrize("code, status", [("None", 0), ("0", 0), ("3", 3), ("256", 0), ("-1", 255), ("True", 1),
                                          ("10**30", 0), ("2.5", 1), ("()", 0)])
def test_exit(run, code, status):
    outcome = run(f"import sys\nsys.exit({code})")
    assert (outcome.outcome, outcome.exit_code) == (EXITED, status)
    assert outcome.error == {}


def test_exit_with_a_text(run):
    outcome = run("print('x')\nraise SystemExit('sorry')")
    assert (outcome.outcome, outcome.exit_code, outcome.stderr) == (EXITED, 1, b"sorry\n")


def test_a_monkeypatched_interpreter_still_reports(run):
    outcome = run("import builtins\nbuiltins.__dict__.clear()\n1/0")
    assert outcome.error["type"] == "ZeroDivisionError"
    outcome = run("import traceback\ntraceback.TracebackException = None\n1/0")
    assert outcome.error["type"] == "ZeroDivisionError"


def test_an_interrupt_while_the_value_is_written(run):
    """A run that says that all is well, and has no value, would look as if there were none."""
    outcome = run("""
import sys
def interrupt(frame, event, argument):
    if event == 'call' and frame.f_code.co_name == 'encode_value':
        sys.setprofile(None)
        raise KeyboardInterrupt
x = 5
sys.setprofile(interrupt)
x
""")
    assert (outcome.outcome, outcome.exit_code) == (RAISED, 1)
    assert outcome.error["type"] == "KeyboardInterrupt" and outcome.value is None
