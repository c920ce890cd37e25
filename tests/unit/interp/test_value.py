"""The value of a last expression: as text, as JSON, as a notebook shows it, and how much of it."""

import base64

import pytest
from supervisor import COMPLETED, RESULT_END, VALUE, WANT_DISPLAYS, value_text


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
    found = value_text(run(code))
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


def test_a_value_for_which_there_is_no_memory_is_shown_in_short(run):
    outcome = run("""
import sys
def exhaust(frame, event, argument):
    if event == 'call' and frame.f_code.co_name == 'document':
        sys.setprofile(None)
        raise MemoryError
class Thing:
    def __repr__(self): return 'x' * 10000
thing = Thing()
sys.setprofile(exhaust)
thing
""")
    assert outcome.outcome == COMPLETED
    assert outcome.value["text/plain"].startswith("xxx") and len(outcome.value["text/plain"]) < 1000


def test_deep_nesting_is_no_crash(run):
    outcome = run("x = []\nfor _ in range(100000): x = [x]\nx")
    assert outcome.outcome == COMPLETED
    assert "application/json" not in outcome.value


def test_tiny_value_bytes(run):
    for size in (0, 1, 100, 200):
        outcome = run("list(range(1000))", value_bytes=size)
        assert outcome.outcome == COMPLETED
        assert len(dict(outcome.frames).get(VALUE, b"")) <= size
