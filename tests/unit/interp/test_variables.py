"""Variables that a run leaves, in the native form and as the code-execution-sandbox API has them."""

import json

import pytest
from supervisor import BIND_ANALYSIS, COMPLETED, PLAIN_VARIABLES, RAISED, REPRS, VARIABLES, WANT_ALL_VARIABLES

ALL = WANT_ALL_VARIABLES
PLAIN = WANT_ALL_VARIABLES | PLAIN_VARIABLES


def test_none_unless_asked(run):
    assert run("x = 1").variables is None


def test_by_name(run):
    outcome = run("import pandas as pd\nx = 1\ny = object()\ndf = pd.DataFrame({'a': [1]})\n_p = 2",
                  variables=["x", "df", "y", "missing", "_p"])
    assert outcome.variables.pop("y").startswith("<object object")
    assert outcome.variables == {"x": 1, "df": [{"a": 1}], "_p": 2}
    assert outcome.reprs == ["y"]


def test_all(run):
    outcome = run("import math\nfrom os import path\nx = 1\n_hidden = 2\ndef f(): pass\nclass C: pass\nc = C()\ng = print\n"
                  "for i in range(3): pass\nglobals()[5] = 6", flags=ALL, data={"given": [1]})
    assert outcome.variables.pop("c").startswith("<__main__.C object")
    assert outcome.variables == {"x": 1, "i": 2, "given": [1]}
    assert outcome.reprs == ["c"]


def test_all_of_nothing(run):
    outcome = run("", flags=ALL)
    assert (outcome.variables, outcome.reprs) == ({}, None)


def test_kept_after_an_exception(run):
    outcome = run("x = 1\n1/0", flags=ALL)
    assert (outcome.outcome, outcome.variables) == (RAISED, {"x": 1})


def test_bounded_in_total(run):
    outcome = run("small = 1\nlarge = 'x' * 10**7\nmany = list(range(10**6))\nlast = 2", flags=ALL, value_bytes=50000)
    frames = dict(outcome.frames)
    assert len(frames[VARIABLES]) <= 50000 and len(frames[REPRS]) <= 50000
    assert (outcome.variables["small"], outcome.variables["last"]) == (1, 2)
    assert outcome.reprs == ["large", "many"]
    assert outcome.variables["large"].startswith("'xxx") and len(outcome.variables["large"]) < 5000


@pytest.mark.parametrize("size", [0, 1, 2, 10, 100])
def test_bounded_when_almost_nothing_fits(run, size):
    outcome = run("".join(f"name{i} = 'value {i}'\n" for i in range(50)), flags=ALL, value_bytes=size)
    assert outcome.outcome == COMPLETED
    assert all(len(body) <= size for kind, body in outcome.frames if kind in (VARIABLES, REPRS))


def test_odd_names(run):
    names = ["é", "with space", "a\"b", "\ud800"]
    outcome = run(f"globals().update({{name: 1 for name in {names!r}}})", flags=ALL)
    assert outcome.variables == {name: 1 for name in names}


def test_broken_objects(run):
    outcome = run("""
class Broken:
    def __repr__(self): raise ValueError
    def __getattr__(self, name): raise RuntimeError(name)
    @property
    def __class__(self): raise RuntimeError
class Liar(dict):
    def items(self): raise KeyError
class Float(float):
    def __repr__(self): return "not json"
broken, liar, odd, deep = Broken(), Liar(a=1), Float(1.5), []
for _ in range(10000): deep = [deep]
""", flags=ALL)
    assert outcome.variables["broken"].startswith("<Broken")
    assert outcome.variables["odd"] == 1.5
    assert set(outcome.reprs) == {"broken", "liar", "deep"}


def test_plain(run):
    outcome = run("""
import datetime, math
class C:
    def __init__(self):
        self.a, self.when, self.nan = 1, datetime.date(2020, 1, 2), float("nan")
class Slots:
    __slots__ = ()
    def __str__(self): return "slots"
def f(): pass
x, text, c, s, _one, __two = [1], "t", C(), Slots(), 3, 4
when, mixed = datetime.date(2020, 1, 2), [datetime.date(2020, 1, 2)]
array = np.array([[1.0, np.nan]])
df = pd.DataFrame({"t": pd.to_datetime(["2020-01-01"]), "v": [None]})
builtin = print
f.note = {1, 2}
""", flags=PLAIN | BIND_ANALYSIS)
    found = outcome.variables
    assert "pd" not in found and "np" not in found and "math" not in found and "__two" not in found
    assert found["x"] == [1] and found["text"] == "t" and found["_one"] == 3
    assert found["c"] == {"a": 1, "when": "2020-01-02", "nan": None}
    assert found["s"] == "slots"
    assert found["f"] == {"note": "{1, 2}"}
    assert found["when"] == "2020-01-02"
    assert found["mixed"] == "[datetime.date(2020, 1, 2)]"
    assert found["array"] == [[1.0, None]]
    assert found["df"] == [{"t": 1577836800000, "v": None}]
    assert found["builtin"] == "<built-in function print>"
    assert found["C"]["__module__"] == "__main__"


def test_plain_large_values_are_cut(run):
    outcome = run("x = 'y' * 10**6\na = np.zeros(10**6)\nd = pd.DataFrame({'a': range(10**6)})\nz = 1",
                  flags=PLAIN | BIND_ANALYSIS, value_bytes=20000)
    assert outcome.variables["z"] == 1
    assert outcome.reprs == ["x", "a", "d"]
    assert len(json.dumps(outcome.variables)) < 20000


def test_analysis_modules_are_bound(run):
    assert run("[pd.__name__, np.__name__]", flags=1 | BIND_ANALYSIS).value["application/json"] == ["pandas", "numpy"]
