"""Output, values and exceptions that are too much, malformed, or made to break who shows them."""

import pytest

from harness.hatchery import eventually
from hostile import attack, short

CAP = {"output_bytes": 20000}
MARKER = " bytes left out …]"


def kept(text):
    """The output without the line that says how much was left out."""
    return [line for line in text.split("\n") if MARKER not in line]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_flood(server, stream):
    run = attack(server, f"import sys\nwhile True: sys.{stream}.write('a' * 1000)", {"timeout", "cpu_limit"},
                 limits={**CAP, "wall_ms": 2000})
    assert run["truncated"] == {"stdout": stream == "stdout", "stderr": stream == "stderr"}
    assert run["usage"][stream + "_bytes"] > 20000
    assert len(run[stream]) < 20100 and MARKER in run[stream]


def test_flood_on_both(server):
    """Neither starves the other, and each keeps its own."""
    run = attack(server, """
import os, threading
def flood(fd, text):
    while True: os.write(fd, text * 1000)
threading.Thread(target=flood, args=(1, b"out"), daemon=True).start()
flood(2, b"err")
""", {"timeout", "cpu_limit"}, limits={**CAP, "wall_ms": 2000})
    assert run["truncated"] == {"stdout": True, "stderr": True}
    assert "err" not in run["stdout"] and "out" not in kept(run["stderr"])[0]


def test_flood_that_is_fatal(server):
    run = attack(server, "while True: print('a' * 1000)", "output_limit", limits=CAP, output_overrun="kill")
    assert run["stdout"].startswith("a" * 1000)


def test_just_under_the_cap_is_whole(server):
    run = attack(server, "print('a' * 19999)", "ok", limits=CAP, output_overrun="kill")
    assert len(run["stdout"]) == 20000 and not run["truncated"]["stdout"]


def test_slow_drip(server):
    run = attack(server, "import time\nfor i in range(10**6): print(i); time.sleep(.05)", "timeout", limits={"wall_ms": 2000})
    lines = run["stdout"].split()
    assert lines == [str(i) for i in range(len(lines))] and len(lines) >= 2


@pytest.mark.parametrize("limit", range(1000, 1004))
def test_a_character_at_the_cut(server, limit):
    """What is left of a character that was cut is not shown as something else."""
    run = attack(server, "print('é€😀' * 5000, end='')", "ok", limits={"output_bytes": limit})
    assert run["truncated"]["stdout"]
    assert set("".join(kept(run["stdout"]))) <= set("é€😀\ufffd")
    # At most one broken character on each side of the cut.
    assert run["stdout"].count("\ufffd") <= 2 * 3


def test_control_characters_come_back(server):
    text = "\x00\x1b[31m\r\x07\x7f\x85\u2028\u2029\ufeff"
    run = attack(server, f"import sys; sys.stdout.write({text!r}); sys.stderr.write({text!r})", "ok")
    assert (run["stdout"], run["stderr"]) == (text, text)
    run = attack(server, f"raise ValueError({text!r})", "error")
    assert run["error"]["message"] == text


def test_the_log_has_one_line_for_one_thing(server):
    attack(server, "raise ValueError('\\nfaked log line\\n\\x1b[31m')", "error")
    attack(server, "import os; os.write(2, b'\\nfaked log line\\n'); os.abort()", "crashed")
    assert "faked log line" not in server.log()


def test_output_that_goes_elsewhere(server):
    run = attack(server, "import os\nos.dup2(os.open('f', os.O_CREAT | os.O_WRONLY), 1)\nprint('to file')", "ok", collect=["f"])
    assert run["stdout"] == "" and run["files"][0]["size"] == 8


def test_output_that_may_not_block(server):
    run = attack(server, "import os\nos.set_blocking(1, False)\nprint('x' * 10**7)", {"ok", "error"})
    if run["status"] == "error":
        assert run["error"]["type"] == "BlockingIOError"
    assert run["stdout"].startswith("x")


@pytest.mark.parametrize("code", ["sys.stdout.close()", "os.close(1)", "os.closerange(0, 3)", "sys.stdout = None",
                                  "del sys.stdout", "sys.stdout = sys.stderr = 7", "sys.stdout.detach()",
                                  "sys.stdin.close(); sys.__stdout__.close(); sys.__stderr__.close()"])
def test_streams_that_are_broken(server, code):
    run = attack(server, "import os, sys\nprint('before')\n" + code + "\n1 + 1", {"ok", "error"})
    assert run["stdout"].startswith("before\n")


VALUES = {
    "repr of 256 MB": "class A: __repr__ = lambda s: 'x' * (1 << 28)\nA()",
    "repr that raises": "class A:\n    def __repr__(self): raise ValueError('no')\nA()",
    "repr that exits": "class A:\n    def __repr__(self): raise SystemExit(0)\nA()",
    "repr that is no text": "class A: __repr__ = lambda s: 7\nA()",
    "contains itself": "l = []; l.append(l); l",
    "contains itself deeply": "d = {}; d['x'] = [d, (d, [d])]; d",
    "nested": "x = []\nfor _ in range(100000): x = [x]\nx",
    "nested dictionaries": "x = {}\nfor _ in range(100000): x = {'a': x}\nx",
    "large": "list(range(10**6))",
    "half a surrogate pair": "'\\ud800'",
    "every character": "''.join(map(chr, range(0xd800)))",
    "numbers that are none": "[float('nan'), float('inf'), -float('inf'), 10**5000, 1e400]",
    "keys that are no text": "{1: 2, None: 3, (1, 2): 4, True: 5, b'x': 6}",
    "two keys with one name": "{1: 'a', '1': 'b'}",
    "bytes": "bytes(range(256))",
    "a class that lies": "class A:\n    __class__ = dict\n    def items(self): return 7\nA()",
    "a list that lies": "class A(list):\n    def __iter__(self): return iter(int, 1)\n    def __len__(self): return -1\nA([1])",
    "a hook that lies": "class A:\n    def _repr_html_(self): return 7\n    def _repr_mimebundle_(self, **k): return {1: 2, 'text/html': A}\nA()",
    "a hook that floods": "class A:\n    def _repr_html_(self): return 'x' * (1 << 28)\nA()",
    "an attribute for everything": "class A:\n    def __getattr__(self, name): return self\n    __call__ = lambda s, *a, **k: s\nA()",
    "a metaclass that raises": "class M(type):\n    def __getattribute__(c, n): raise KeyError(n)\nclass A(metaclass=M): pass\nA()",
    "frame with equal columns": "import pandas as pd\npd.DataFrame([[1, 2]], columns=['a', 'a'])",
    "frame with levels": "import pandas as pd\npd.DataFrame({('a', 1): [1], ('b', 2): [pd.NaT]})",
    "frame of 100 MB": "import pandas as pd\npd.DataFrame({'a': range(10**6)})",
    "numpy scalars": "import numpy as np\n[np.float32('nan'), np.int64(5), np.datetime64('NaT'), np.complex128(1j), np.bool_(1)]",
    "array of objects": "import numpy as np\na = np.empty(1, object); a[0] = a; a",
}


@pytest.mark.parametrize("code", VALUES.values(), ids=VALUES.keys())
def test_values(server, code):
    """The run went well or its value's own code failed; it is never our encoder that breaks."""
    run = attack(server, code, {"ok", "memory_limit", "error", "exit"}, variables=True, limits={"wall_ms": 8000})
    assert run["status"] != "error" or run["error"]["type"] in ("MemoryError", "RecursionError"), short(run)


EXCEPTIONS = {
    "text that raises": ("class E(Exception):\n    def __str__(self): raise ValueError('no')\nraise E()", "E"),
    "text of 100 MB": ("raise ValueError('x' * (100 << 20))", "ValueError"),
    "text that is no text": ("class E(Exception): __str__ = lambda s: 7\nraise E()", "E"),
    "half a surrogate pair": ("raise ValueError('\\ud800')", "ValueError"),
    "causes in a circle": ("""
class E(Exception):
    def __str__(self): raise ValueError("no")
e = E(); f = E(); e.__cause__ = f; f.__cause__ = e
raise e""", "E"),
    "a chain of 10000": ("""
e = None
for i in range(10000):
    f = ValueError(i); f.__context__ = e; e = f
raise e""", "ValueError"),
    "deep recursion": ("import sys\nsys.setrecursionlimit(5000)\ndef f(): f()\nf()", "RecursionError"),
    "frames of 100000": ("""
def step(n):
    try:
        if n: raise ValueError
    finally: pass
e = ValueError('x')
def again():
    for _ in range(3000):
        try: raise e
        except ValueError: pass
again()
raise e""", "ValueError"),
    "a name of 1 MB": ("raise type('E' * (1 << 20), (Exception,), {})()", None),
    "a name with control characters": ("raise type('E\\n\\x1b\\udc80', (Exception,), {})()", None),
    "a traceback that is gone": ("e = ValueError('x')\ne.__traceback__ = None\nraise e", "ValueError"),
    "file names that lie": ("exec(compile('1/0', '/etc/passwd', 'exec'))", "ZeroDivisionError"),
    "a file name that is a device": ("exec(compile('1/0', '/dev/zero', 'exec'))", "ZeroDivisionError"),
    "groups": ("raise ExceptionGroup('g', [ValueError(1), ExceptionGroup('h', [KeyError(2)])])", "ExceptionGroup"),
    "interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "generator exit": ("raise GeneratorExit", "GeneratorExit"),
    "base": ("raise BaseException('x')", "BaseException"),
    "attributes that raise": ("""
class E(Exception):
    def __getattribute__(self, name): raise KeyError(name)
raise E()""", "E"),
    "a broken hook": ("import sys\nsys.excepthook = 7\nsys.unraisablehook = 7\nraise ValueError('x')", "ValueError"),
    "a syntax error that lies": ("raise SyntaxError('x', ('f', 10**9, -5, None))", "SyntaxError"),
    "exit with text": ("raise SystemExit('x' * 10)", "exit"),
    "exit with what is no number": ("class A:\n    def __str__(self): raise ValueError\nraise SystemExit(A())", "exit"),
    "exit with a large number": ("raise SystemExit(10**30)", "exit"),
}


@pytest.mark.parametrize("code, name", EXCEPTIONS.values(), ids=EXCEPTIONS.keys())
def test_exceptions(server, code, name):
    if name == "exit":
        assert attack(server, code, "exit")["exit_code"] in range(256)
        return
    run = attack(server, code, {"error", "memory_limit"})
    if run["status"] == "memory_limit":
        return
    assert len(str(run["error"])) < 1 << 20
    assert name is None or run["error"]["type"] == name, run["error"]["type"]


def test_displays_are_bounded(server):
    run = attack(server, "for i in range(10000): display(i)", "ok")
    assert 0 < len(run["displays"]) <= 64 and run["truncated"]["displays"]
    run = attack(server, "for i in range(60): display('x' * (1 << 20))", {"ok", "memory_limit"})
    assert sum(len(str(shown)) for shown in run["displays"]) <= 2 * (8 << 20)


def test_a_watcher_sees_the_flood_end(server):
    """Many floods at once: the server goes on answering others meanwhile, which the witness beside this sees."""
    for _ in range(4):
        attack(server, "import os\nwhile True: os.write(1, b'\\xff' * 65536)", {"timeout", "cpu_limit"},
               limits={"wall_ms": 300})
    eventually(lambda: server.health()["status"] == "healthy", 20, "healthy")
