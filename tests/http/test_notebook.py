"""The notebook of a session: what is in it, that its readers take it, how it survives, and how it stays bounded."""

import base64
import json
import os
import random

import nbformat
import pytest

from harness.hatchery import eventually
from harness.sessions import Background, Streamed, made, make
from http_wire import BARE


def checked(session):
    """Valid for its format, and for whoever writes it as UTF-8."""
    answer = session.server.get(session.path + "/notebook")
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "application/x-ipynb+json"
    return checked_text(answer.text)


def checked_text(text):
    notebook = json.loads(text)
    nbformat.validate(notebook)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    nbformat.writes(nbformat.from_dict(notebook)).encode()
    return notebook


def codes(notebook):
    return [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"]


def notes(notebook):
    return [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "markdown"]


def outputs(session, code, **fields):
    """Of the cell that this run has made."""
    run = session.run(code, **fields)
    cell = checked(session)["cells"][-1]
    assert cell["id"] == run["id"] and cell["source"] == code
    assert cell["execution_count"] == run["session"]["run"]
    return cell["outputs"]


# ── What is in it ──


def test_nothing_yet(server):
    with made(server) as session:
        notebook = checked(session)
        assert notebook["cells"] == []
        assert notebook["metadata"]["kernelspec"]["name"] == "python3"
        version = server.get("/v1/templates").json()["templates"][0]["python"]
        assert version.startswith(notebook["metadata"]["language_info"]["version"])


def test_a_file_to_keep(server):
    with made(server, id='a "b" ü') as session:
        answer = server.get(session.path + "/notebook")
        assert answer.headers["content-disposition"] == \
            "attachment; filename=\"a _b_ __.ipynb\"; filename*=UTF-8''a%20%22b%22%20%C3%BC.ipynb"


def test_each_kind_of_output(server):
    with made(server) as session:
        assert outputs(session, "print('a')\nimport sys\nprint('b', file=sys.stderr)\n1 + 1") == [
            {"output_type": "stream", "name": "stdout", "text": "a\n"},
            {"output_type": "stream", "name": "stderr", "text": "b\n"},
            {"output_type": "execute_result", "execution_count": 1, "data": {"text/plain": "2"}, "metadata": {}}]
        shown = outputs(session, "import pandas as pd\ndf = pd.DataFrame({'a': [1]})\ndisplay(df)\ndf")
        assert [one["output_type"] for one in shown] == ["display_data", "execute_result"]
        assert all(set(one["data"]) == {"text/plain", "text/html"} for one in shown)
        figure, = outputs(session, "import matplotlib.pyplot as plt\nplt.plot([1, 2]);")
        assert set(figure["data"]) == {"text/plain", "image/png"}
        error, = outputs(session, "\n1 / 0")
        assert (error["ename"], error["evalue"]) == ("ZeroDivisionError", "division by zero")
        assert error["traceback"][0].startswith("Traceback") and error["traceback"][-1].startswith("ZeroDivisionError")
        assert outputs(session, "x = 1") == []
        ended, = outputs(session, "sys.exit(4)")
        assert (ended["ename"], ended["evalue"]) == ("SystemExit", "4")
        late, = outputs(session, "while True: pass", limits={"wall_ms": 100})
        assert late["ename"] == "Timeout" and "100 ms" in late["evalue"]


def test_a_figure_is_a_picture(server):
    with made(server) as session:
        figure, = outputs(session, "import matplotlib.pyplot as plt\nplt.plot([1, 2]);")
        picture = base64.b64decode(figure["data"]["image/png"], validate=True)
        assert picture.startswith(b"\x89PNG\r\n\x1a\n") and picture.endswith(b"IEND\xaeB`\x82")


def test_a_traceback_is_plain_lines(server):
    with made(server) as session:
        session.run("def f():\n    return 1 / 0")
        error, = outputs(session, "f()")
        assert len(error["traceback"]) > 3 and not any("\x1b" in line or "\n" in line for line in error["traceback"])
        assert "    return 1 / 0" in error["traceback"]


def test_displays_that_are_dropped_are_told(server):
    with made(server) as session:
        shown = outputs(session, "for i in range(70): display(i)\n'the value'")
        assert [one["output_type"] for one in shown] == ["display_data"] * 64 + ["execute_result", "stream"]
        assert "further displays are left out" in shown[-1]["text"]


def test_numbers_go_on(server):
    """With the session, whatever becomes of its interpreter."""
    with made(server) as session:
        session.run("x = 1")
        session.reset()
        session.run("import os; os._exit(1)")
        session.run("1 / 0")
        session.run("y = 1")
        cells = [cell for cell in checked(session)["cells"] if cell["cell_type"] == "code"]
        assert [cell["execution_count"] for cell in cells] == [1, 2, 3, 4]


def test_streamed_runs_are_in_it(server):
    with made(server) as session:
        Streamed(session, "print('streamed')\ndisplay({'a': 1})\n2").ended()
        cell, = checked(session)["cells"]
        assert [one["output_type"] for one in cell["outputs"]] == ["stream", "display_data", "execute_result"]


def test_times(server):
    with made(server) as session:
        session.run("import time\ntime.sleep(0.2)")
        times = checked(session)["cells"][0]["metadata"]["execution"]
        assert times["iopub.execute_input"] < times["shell.execute_reply"] and times["shell.execute_reply"].endswith("Z")


HOSTILE = [
    "class A:\n    def _repr_mimebundle_(self, **k):\n        return {'text/plain': '\\ud800', 'x/y': '\\udfff\\ud800'}\nA()",
    "class A:\n    def _repr_html_(self):\n        return '</script>\\u2028\\x00\\x1b[31m'\nA()",
    "class A:\n    def _repr_mimebundle_(self, **k):\n        return {'text/html': 5, 'text/plain': ['a', 1], 'no mime': 'a', '': ''}\nA()",
    "class A:\n    def _repr_mimebundle_(self, **k):\n        return {'application/vnd.x+json': {'a': ['\\ud83d']}}\nA()",
    "print('\\x00\\x1b[2J', end='')\nimport os\nos.write(1, b'\\xff\\xfe\\xc3(')\nos.write(2, bytes(range(256)));",
    "'\\ud800'",
    "raise Exception('\\ud800\\x00\\u2029')",
    "# \\ud800 \u2028 \x85 \" '''\n'\U0001f986'",
    "type('\\n', (Exception,), {})\nraise type('a\\nb', (Exception,), {})('x' * 100000)",
    "print('a' * 3000000)",
    "display(*[chr(i) for i in range(0xd7f0, 0xd810)])",
]


@pytest.mark.parametrize("code", HOSTILE)
def test_what_readers_would_choke_on(server, code):
    with made(server) as session:
        session.run(code)
        cell, = checked(session)["cells"]
        assert cell["source"] == code
        session.run("'after'")
        assert len(checked(session)["cells"]) == 2


def test_forged_frames_do_not_break_lines(server):
    """A value's document may hold line breaks between its tokens."""
    with made(server) as session:
        session.run("class A:\n    def _repr_mimebundle_(self, **k):\n        return {'application/vnd.x+json': 1, 'text/plain': 'a'}\nA()")
        session.run("display({'a': '\\n{\"cell_type\":\"code\"}\\n'})")
        assert len(checked(session)["cells"]) == 2


# ── Its life ──


def test_reset_and_loss_leave_a_note(server):
    with made(server) as session:
        session.run("x = 1")
        session.reset()
        session.run("import os; os._exit(1)")
        session.run("y = 1")
        notebook = checked(session)
        assert codes(notebook) == ["x = 1", "import os; os._exit(1)", "y = 1"]
        first, second = notes(notebook)
        assert "files were kept" in first and "variables" in second


def test_a_reset_that_removes_files_begins_a_new_notebook(server):
    with made(server) as session:
        session.run("x = 1")
        session.reset(keep_files=False)
        session.run("y = 2")
        notebook = checked(session)
        assert codes(notebook) == ["y = 2"]
        assert "files were removed" in notes(notebook)[0]


def test_a_copy_goes_on_with_a_notebook_of_its_own(server):
    with made(server) as source:
        source.run("x = 1")
        copy, _ = source.fork()
        copy.run("y = 2")
        source.run("z = 3")
        assert codes(checked(copy)) == ["x = 1", "y = 2"]
        assert codes(checked(source)) == ["x = 1", "z = 3"]
        copy.end()


def cells_file(session):
    session.notebook()  # a run is taken down after its answer
    return session.folder().parent.parent / "0.cells"


def test_it_survives_a_crash_in_the_middle_of_a_line(make_server):
    server = make_server(*BARE)
    session = make(server, id="s")
    session.run("a = 1")
    path = cells_file(session)
    server.kill()
    with open(path, "a") as cells:
        cells.write('\n{"cell_type":"code","id":"torn","source":"b = ')
    server.start()
    assert codes(checked(session)) == ["a = 1"]
    session.run("c = 3")
    notebook = checked(session)
    assert codes(notebook) == ["a = 1", "c = 3"]
    assert any("variables" in note for note in notes(notebook))
    assert os.stat(path).st_mode & 0o077 == 0


def test_garbage_is_skipped(make_server):
    server = make_server(*BARE)
    session = make(server)
    session.run("a = 1")
    path = cells_file(session)
    whole = path.read_bytes()
    chance = random.Random(1)
    for _ in range(30):
        cut = chance.randrange(len(whole))
        path.write_bytes(whole + whole[:cut] + b"\xff\0\n" + b"[]\nnull\n{}x\n" + whole[:cut])
        assert codes(checked(session))[0] == "a = 1"


def test_the_oldest_outputs_go_first(make_server):
    server = make_server(*BARE, "--notebook-bytes", "65536")
    session = make(server)
    session.run("# first\nprint('x' * 8000)")
    for number in range(20):
        session.run(f"print('{number}', 'y' * 8000)")
    eventually(lambda: cells_file(session).stat().st_size <= 65536, 20, "it is trimmed")
    notebook = checked(session)
    first, last = notebook["cells"][0], notebook["cells"][-1]
    assert first["source"].startswith("# first") and "left out" in first["outputs"][0]["text"]
    assert last["outputs"][0]["text"].startswith("19 yyy")
    assert len(codes(notebook)) == 21


def test_then_the_oldest_cells(make_server):
    server = make_server(*BARE, "--notebook-bytes", "65536")
    session = make(server)
    for number in range(40):
        session.run(f"# {number}\n'{'z' * 4000}';")
    eventually(lambda: cells_file(session).stat().st_size <= 65536, 20, "it is trimmed")
    notebook = checked(session)
    assert "left out" in notebook["cells"][0]["source"]
    assert [one for one in notes(notebook) if "left out" in one] == notes(notebook)
    assert codes(notebook)[-1].startswith("# 39\n") and 5 < len(codes(notebook)) < 20


def test_a_cell_that_is_too_long_alone(make_server):
    server = make_server(*BARE, "--notebook-bytes", "65536")
    session = make(server)
    session.run("print('x' * 100000)")
    session.run("#" * 100000)
    first, second = checked(session)["cells"]
    assert first["source"] == "print('x' * 100000)" and "left out" in first["outputs"][0]["text"]
    assert "100000 bytes of source" in second["source"]


def test_read_while_it_grows(server):
    with made(server) as session:
        runs = Background(lambda: [session.run(f"print({number})") for number in range(40)])
        sizes = []
        while runs.is_alive():
            sizes.append(len(checked(session)["cells"]))
        runs.ended()
        assert sizes == sorted(sizes)
        assert len(checked(session)["cells"]) == 40
