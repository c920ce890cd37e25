"""One run in a fresh worker: streams, value, exceptions, exits, and what a request brings along."""

import base64
import json
import math

import pytest
from supervisor import COMPLETED, ERROR_TYPE, EXITED, RAISED, RESULT_END, VALUE, WANT_DISPLAYS, WANT_VALUE


def value_of(outcome):
    assert outcome.outcome == COMPLETED, outcome.error
    return outcome.value and outcome.value["text/plain"]


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
    assert value_of(outcome) == "('one', 'two\\nthree', 'one\\n')"


def test_large_stdin(run):
    assert value_of(run("import sys\nlen(sys.stdin.buffer.read())", stdin=b"x" * 3_000_000)) == "3000000"


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


# ── The value of a last expression ──

@pytest.mark.parametrize("code, expected", [
    ("1+1", "2"),
    ("  \n1\n\n# end", "1"),
    ("x = 1", None),
    ("x = 1\nx", "1"),
    ("x = 5;", None),
    ("1;", None),
    ("x = 1; x + 1", "2"),
    ("x = 1; x + 1;", None),
    ("x = 1; x + 1 ;  # no", None),
    ("'a;b'", "'a;b'"),
    ("import math; math.pi", "3.141592653589793"),
    ("if 1: x = 1; x", None),
    ("None", None),
    ("print()", None),
    ("", None),
    ("# only a comment", None),
    ("'docstring'", "'docstring'"),
    ("'doc'\nx = 1\n__doc__", "'doc'"),
    ("def f(): return 3\nf()", "3"),
    ("def f():\n  return 3\n", None),
    ("if True:\n  7", None),
    ("if False:\n  1\nelse:\n  2", None),
    ("for i in [1]:\n  i", None),
    ("(1,\n2\n)", "(1, 2)"),
    ("[\n1,\n2]", "[1, 2]"),
    ("f'''\nx = 5'''", "'\\nx = 5'"),
    ("str('''\nx = 5 ''')", "'\\nx = 5 '"),
    ("x = '''\n1+1\n'''", None),
    ("x = 1 + \\\n2", None),
    ("1 + \\\n2", "3"),
    ("1 + \\\n2 # c", "3"),
    ("d = {}\nd['k'] = 5", None),
    ("x = 1\nx == 1", "True"),
    ("x = 1\nx <= 1", "True"),
    ("lambda a=1: a", "<function <lambda> at"),
    ("(lambda a=1: a)()", "1"),
    ("dict(a=1)", "{'a': 1}"),
    ("f'{1 == 1}'", "'True'"),
    ("f'{1=}'", "'1=1'"),
    ("(y := 4)", "4"),
    ("x: int = 3", None),
    ("x: int", None),
    ("@staticmethod\ndef f(): pass", None),
    ("class A: pass\nA()", "<__main__.A object at"),
    ("import math\nmath.pi", "3.141592653589793"),
    ("x = 1\r\nx + 1", "2"),
    ("x = 1\rx + 1", "2"),
    ("for i in []:\n  pass\n\fx = 2\nx", "2"),
    ("try:\n  1\nexcept E:\n  2\nfinally:\n  3", None),
    ("match = 3\nmatch", "3"),
    ("match 3:\n  case 3:\n    4", None),
    ("not 1", "False"),
    ("-1", "-1"),
    ("...", "Ellipsis"),
    ("assert True", None),
    ("del_ = 4\ndel_", "4"),
    ("from __future__ import annotations\ndef f(x: undefined): 1\nf.__annotations__", "{'x': 'undefined'}"),
    ("x = 'é'\nx", "'é'"),
    ("x = 1\nx  # 'quote", "1"),
    ("x = [1]\nx[0]  ", "1"),
    ("x = 5\n\n\n  # comment\nx\n\n", "5"),
    ("async def f(): return 1\nimport asyncio\nasyncio.run(f())", "1"),
])
def test_value(run, code, expected):
    found = value_of(run(code))
    if expected is not None and expected.endswith(" at"):
        assert found.startswith(expected)
    else:
        assert found == expected


def test_lines_of_the_last_statement_are_true(run):
    outcome = run("x = 1\n\n\n(1 /\n 0)")
    assert outcome.line == 4
    assert "line 4" in outcome.error["traceback"] and "(1 /" in outcome.error["traceback"]


def test_no_value_when_it_is_not_wanted(run):
    outcome = run("1+1", flags=WANT_DISPLAYS)
    assert outcome.kinds == [RESULT_END]


@pytest.mark.parametrize("expression, expected", [
    ("True", True), ("2**70", 2**70), ("-2**300", -2**300), ("1.5", 1.5), ("float('nan')", None), ("float('inf')", None),
    ("[1, 'a', None, 2.5]", [1, "a", None, 2.5]),
    ("{'a': [1], 2: 3, None: 4, True: 5, 1.5: 6}", {"a": [1], "2": 3, "null": 4, "true": 5, "1.5": 6}),
    ("(1, (2,))", [1, [2]]),
    ("{3}", [3]),
    ("'\\ud800'", "\ud800"),
    ("'\"\\\\\\n\\x00'", '"\\\n\x00'),
    ("__import__('datetime').datetime(2020, 1, 2, 3, 4, 5, 6)", "2020-01-02T03:04:05.000006"),
    ("__import__('datetime').date(2020, 1, 2)", "2020-01-02"),
    ("{__import__('datetime').date(2020, 1, 2): 1}", {"2020-01-02": 1}),
    ("__import__('datetime').timedelta(days=1, seconds=3661.5)", "P1DT1H1M1.5S"),
    ("__import__('uuid').UUID(int=1)", "00000000-0000-0000-0000-000000000001"),
    ("np.int64(5)", 5), ("np.float32(0.5)", 0.5), ("np.float64('nan')", None), ("np.bool_(True)", True),
    ("np.arange(3)", [0, 1, 2]), ("np.array([[1.5, np.nan]])", [[1.5, None]]), ("np.array(7)", 7),
    ("np.array(['2020-01-01'], dtype='M8[ns]')", ["2020-01-01T00:00:00.000000000"]),
    ("np.array([1, 'a', None], dtype=object)", [1, "a", None]),
    ("pd.Timestamp('2020-01-02 03:04')", "2020-01-02T03:04:00"), ("pd.NaT", None), ("pd.NA", None),
    ("pd.Timedelta('1h')", "P0DT1H0M0S"),
    ("pd.Series([1, 2])", [1, 2]), ("pd.Series([1.5, None])", [1.5, None]),
    ("pd.Series([1, None], dtype='Int64')", [1, None]),
    ("pd.Series(['a', 'b'], dtype='category')", ["a", "b"]),
    ("pd.Series(pd.to_datetime(['2020-01-01', None]))", ["2020-01-01T00:00:00", None]),
    ("pd.Index([3, 4])", [3, 4]),
    ("pd.DataFrame({'a': [1, 2], 'b': ['x', None], 3: [0.5, np.inf]})",
     [{"a": 1, "b": "x", "3": 0.5}, {"a": 2, "b": None, "3": None}]),
    ("pd.DataFrame({('a', 'b'): [1]})", [{"('a', 'b')": 1}]),
    ("pd.DataFrame({'t': pd.to_datetime(['2020-01-01'])})", [{"t": "2020-01-01T00:00:00"}]),
    ("pd.DataFrame()", []),
    ("[pd.Timestamp('2020-01-01'), np.int8(1), {'s': pd.Series([1])}]", ["2020-01-01T00:00:00", 1, {"s": [1]}]),
])
def test_value_as_json(run, expression, expected):
    outcome = run(f"import numpy as np, pandas as pd\n{expression}")
    assert outcome.value["application/json"] == expected


@pytest.mark.parametrize("expression", ["object()", "1j", "b'x'", "print", "int", "[object()]", "10**5000", "iter([])",
                                        "__import__('sys')", "(x := [], x.append(x))[0]"])
def test_value_without_json(run, expression):
    outcome = run(expression)
    assert "application/json" not in outcome.value
    assert outcome.value["text/plain"]


def test_data_frame_is_shown_as_a_notebook_shows_it(run):
    value = run("import pandas as pd\npd.DataFrame({'a': [1]})").value
    assert value["text/plain"] == "   a\n0  1"
    assert "<table" in value["text/html"]


def test_rich_representations(run):
    value = run("""
class Rich:
    def _repr_html_(self): return "<b>"
    def _repr_png_(self): return b"png"
    def _repr_svg_(self): return "<svg>"
    def _repr_latex_(self): return "$x$"
    def _repr_markdown_(self): return "# m"
    def _repr_jpeg_(self): raise ValueError
    def _repr_mimebundle_(self, **arguments): return {"application/x-thing": {"a": 1}}
    def __repr__(self): return "rich"
Rich()
""").value
    assert value == {"text/plain": "rich", "text/html": "<b>", "image/svg+xml": "<svg>", "text/latex": "$x$",
                     "text/markdown": "# m", "image/png": base64.b64encode(b"png").decode(),
                     "application/x-thing": {"a": 1}}


@pytest.mark.parametrize("body", ["raise ValueError", "return 5", "raise SystemExit", "raise KeyboardInterrupt",
                                  "return f'{self!r}'", "import sys; sys.exit(3)"])
def test_a_broken_repr_is_a_placeholder(run, body):
    outcome = run(f"class Broken:\n    def __repr__(self): {body}\nBroken()")
    assert outcome.outcome == COMPLETED
    assert outcome.value["text/plain"].startswith("<Broken")


def test_a_value_is_bounded(run):
    for code in ("'x' * 10**7", "['y' * 10**6] * 10", "list(range(10**6))", "'\\U0001F600' * 10**6",
                 "import pandas as pd\npd.DataFrame({'a': range(10**6)})", "b'\\x00' * 10**6",
                 "class C:\n    def __repr__(self): return 'é' * 10**7\n    def _repr_html_(self): return 'z' * 10**7\nC()"):
        outcome = run(code, value_bytes=20000)
        body = dict(outcome.frames)[VALUE]
        assert len(body) <= 20000
        assert "application/json" not in outcome.value


def test_deep_nesting_is_no_crash(run):
    outcome = run("x = []\nfor _ in range(100000): x = [x]\nx")
    assert outcome.outcome == COMPLETED
    assert "application/json" not in outcome.value


def test_tiny_value_bytes(run):
    for size in (0, 1, 100, 200):
        outcome = run("list(range(1000))", value_bytes=size)
        assert outcome.outcome == COMPLETED
        assert len(dict(outcome.frames).get(VALUE, b"")) <= size


# ── Exceptions ──

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


# ── What a request brings ──

def test_arguments(run):
    assert value_of(run("import sys\nsys.argv[1:]", args=["a", "é b", ""])) == "['a', 'é b', '']"
    assert value_of(run("import sys\nlen(sys.argv)")) == "1"


def test_environment(run):
    outcome = run("import os, ctypes\nget = ctypes.CDLL(None).getenv\nget.restype = ctypes.c_char_p\n"
                  "[os.environ['A'], get(b'A'), os.environ['B']]", env={"A": "1=2", "B": ""})
    assert value_of(outcome) == "['1=2', b'1=2', '']"


def test_time_zone(run):
    assert value_of(run("import time\ntime.tzname[0]", env={"TZ": "XYZ-3"})) == "'XYZ'"


def test_places(zygote):
    worker = zygote.spawn()
    outcome = worker.run("import os, tempfile\n[os.getcwd(), os.environ['HOME'], os.environ['TMPDIR'], "
                         "tempfile.gettempdir(), os.environ['MPLCONFIGDIR']]")
    work, tmp = f"{worker.directory}/work", f"{worker.directory}/tmp"
    assert value_of(outcome) == str([work, work, tmp, tmp, tmp])
    worker.end()


def test_files(zygote):
    worker = zygote.spawn()
    outcome = worker.run("import os, helper\nassert open('a/b/c.bin', 'rb').read() == bytes(range(256))\n"
                         "[helper.x, sorted(os.listdir()), oct(os.stat('helper.py').st_mode & 0o777)]",
                         files=[("a/b/c.bin", bytes(range(256))), ("helper.py", b"x = 5"), ("empty", b"")])
    assert value_of(outcome) == "[5, ['a', 'empty', 'helper.py'], '0o600']"
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
    assert value_of(run("x % 10**9, x.bit_length()", data=b'{"x": %s}' % digits.encode())) == \
        str((int("7" * 9), math.floor(math.log2(7 / 9) + 10000 * math.log2(10)) + 1))


def test_large_data(run):
    data = {"rows": [{"a": i, "b": "x" * 20} for i in range(100000)]}
    assert value_of(run("len(rows), rows[-1]['a']", data=data)) == "(100000, 99999)"


def test_source_is_known_to_inspect(run):
    outcome = run("import inspect\ndef f():\n    return 'é'\ninspect.getsource(f)")
    assert value_of(outcome) == repr("def f():\n    return 'é'\n")


def test_main_is_a_module(run):
    outcome = run("import __main__, sys, pickle\nclass A: pass\na = pickle.loads(pickle.dumps(A()))\n"
                  "[__name__, __main__.A is A, type(a) is A, sorted(n for n in globals() if n[0] != '_')]")
    assert value_of(outcome) == "['__main__', True, True, ['A', '__main__', 'a', 'pickle', 'sys']]".replace(
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
