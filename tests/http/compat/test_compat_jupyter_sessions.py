"""The Jupyter-like sessions: /start_session, /execute, /install_package, /reset, /end_session."""

import json
import tempfile
import threading
from pathlib import Path

import pytest

from harness.hatchery import eventually
from harness.services import JupyterSessions, post_chunked

NOT_FOUND = (404, {"detail": "Session not found. Please start a new session."})


@pytest.fixture
def session(server, fresh_id):
    client = JupyterSessions(server.url, fresh_id)
    assert client.start_session()[0] == 200
    yield client
    client.end_session()


def output(session, code):
    status, answer = session.execute(code)
    assert status == 200, answer
    return answer["output"]


def notebook(path, n_code_cells):
    """Once it has so many: it is written after the answer has left."""
    def cells():
        try:
            document = json.loads(Path(path).read_text())
        except FileNotFoundError:
            return None
        found = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
        return (document, found) if len(found) == n_code_cells else None

    return eventually(cells, 10, f"{path} has {n_code_cells} cells of code")


# ── The way its documentation goes ──


def test_the_life_of_a_session(server, fresh_id):
    client = JupyterSessions(server.url, fresh_id)
    assert client.execute("1") == client.reset() == client.end_session() == client.install_package("numpy") == NOT_FOUND
    status, answer = client.start_session()
    assert status == 200 and list(answer) == ["message", "notebook_path"]
    assert answer["message"] == "Session started successfully"
    assert answer["notebook_path"].endswith(f"/{fresh_id}/notebook_{fresh_id}.ipynb")
    assert client.execute('print("Hello")') == (200, {"output": "Hello\n"})
    status, answer = client.install_package("numpy")
    assert status == 200 and list(answer) == ["message", "output"]
    assert answer["message"] == "Successfully installed and imported numpy" and "numpy" in answer["output"]
    assert client.reset() == (200, {"message": "Kernel reset successful"})
    assert client.end_session() == (200, {"message": "Session ended successfully"})
    assert client.execute("1") == NOT_FOUND


def test_the_same_with_curl(curl, fresh_id):
    started = curl.json(f'curl -X POST http://localhost:5002/start_session -F "user_id={fresh_id}"')
    assert started["message"] == "Session started successfully"
    execute = f"""curl -X POST http://localhost:5002/execute \\
    -H "Content-Type: application/json" \\
    -d '{{
        "user_id": "{fresh_id}",
        "code": "print(\\"Hello, World!\\")"
    }}'"""
    assert curl(execute) == b'{"output":"Hello, World!\\n"}'
    installed = curl.json(f"""curl -X POST http://localhost:5002/install_package \\
    -H "Content-Type: application/json" \\
    -d '{{
        "user_id": "{fresh_id}",
        "package_name": "pandas"
    }}'""")
    assert installed["message"] == "Successfully installed and imported pandas"
    assert curl(f'curl -X POST http://localhost:5002/reset -F "user_id={fresh_id}"') == b'{"message":"Kernel reset successful"}'
    assert curl(f'curl -X POST http://localhost:5002/end_session -d "user_id={fresh_id}"') == \
        b'{"message":"Session ended successfully"}'
    assert curl(execute) == b'{"detail":"Session not found. Please start a new session."}'


# ── Runs ──


def test_displays_that_are_dropped_are_told(session):
    lines = output(session, "for i in range(70): display(i)").split("\n")
    assert lines[:64] == [str(i) for i in range(64)]
    assert len(lines) == 65 and "further displays are left out" in lines[64]


def test_the_output_is_in_the_order_of_the_code(session):
    code = "import sys\nprint('a')\ndisplay(1)\nprint('b')\nprint('x', file=sys.stderr)\nprint('c')\n2"
    assert output(session, code) == "a\n\n1\nb\n\nx\n\nc\n\n2"


def test_variables_live_on(session):
    assert session.execute("x = 42") == (200, {"output": ""})
    assert output(session, "print(f'x is {x}')") == "x is 42\n"
    assert output(session, "def f():\n    return x\nf()") == "42"


def test_what_is_bound(session):
    assert output(session, "pd.__name__, np.__name__") == "('pandas', 'numpy')"
    assert output(session, "np = 5") == ""
    assert output(session, "np") == "5"
    if "1" in output(session, "import importlib.util as u; print(int(u.find_spec('matplotlib') is not None))"):
        assert output(session, "plt.__name__") == "'matplotlib.pyplot'"


def test_pieces_are_joined_by_line_breaks(session):
    assert output(session, "import sys\nprint('out')\nprint('err', file=sys.stderr)\n1 + 1") == "out\n\nerr\n\n2"
    assert output(session, "pd.DataFrame({'a': [1]})") == "   a\n0  1"
    assert output(session, "1;") == output(session, "None") == ""


def test_an_exception(session):
    status, answer = session.execute("print('before')\ndef f():\n    1 / 0\nf()")
    assert status == 400 and list(answer) == ["detail"] and list(answer["detail"]) == ["error", "traceback"]
    assert answer["detail"]["error"] == "Execution error"
    lines = answer["detail"]["traceback"]
    assert lines[0] == "Traceback (most recent call last):" and lines[-1] == "ZeroDivisionError: division by zero"
    assert session.execute("print(") [1]["detail"]["traceback"][-1].startswith("SyntaxError: ")
    assert session.execute("raise SystemExit(3)") == \
        (400, {"detail": {"error": "Execution error", "traceback": ["SystemExit: 3"]}})
    assert session.execute("raise SystemExit") == (200, {"output": ""})


def test_a_timeout_leaves_the_kernel(make_server):
    server = make_server("--wall-ms", "4000", "--interrupt-grace-ms", "60000")
    session = JupyterSessions(server.url, "u")
    session.start_session()
    assert session.execute("x = 1")[0] == 200
    assert session.execute("while True: pass") == (408, {"detail": "Code execution timed out"})
    assert session.execute("x") == (200, {"output": "1"})


def test_a_kernel_that_died(session):
    session.execute("x = 1\nopen('kept', 'w').write('1')")
    status, answer = session.execute("import os; os._exit(3)")
    assert status == 400 and answer["detail"]["error"] == "Execution error" and answer["detail"]["traceback"]
    status, answer = session.execute("print('x' in globals(), open('kept').read())")
    assert (status, answer["output"]) == (200, "False 1\n") and answer["notice"]
    assert session.execute("1") == (200, {"output": "1"})


def test_reset_takes_variables_and_leaves_files(session):
    session.execute("x = 1\nopen('kept', 'w').write('1')")
    assert session.reset()[0] == 200
    assert session.execute("print('x' in globals(), open('kept').read())") == (200, {"output": "False 1\n"})


def test_a_reset_ends_a_run_under_way(server, session):
    answers = []
    runner = threading.Thread(target=lambda: answers.append(session.execute("while True: pass")))
    assert output(session, "1") == "1"  # nothing of the kernel's own runs any more
    runner.start()
    eventually(lambda: server.get("/health").json()["pool"]["counters"]["busy"] == 1, 20, "it is under way")
    assert session.reset()[0] == 200
    runner.join(20)
    status, answer = answers[0]
    assert status == 400 and "cancelled" in answer["detail"]["traceback"][0]


def test_starting_twice_gives_a_new_kernel(session):
    session.execute("x = 1\nopen('kept', 'w').write('1')")
    again = session.start_session()
    assert again[0] == 200 and again[1]["message"] == "Session started successfully"
    assert session.execute("print('x' in globals(), open('kept').read())") == (200, {"output": "False 1\n"})


def test_kernels_that_are_not_ready_yet(session):
    for again in (session.start_session, session.reset, lambda: session.end_session() and session.start_session()):
        for _ in range(5):
            assert again()[0] == 200
        assert session.execute("1") == (200, {"output": "1"})


@pytest.mark.parametrize("end", ["end_session", "start_session"])
def test_the_end_of_a_kernel_ends_its_run(session, end):
    path = session.start_session()[1]["notebook_path"]
    answers = []
    mark = f"begun-{session.user_id}-{end}"  # a home that has been given up may be there for a while
    code = f"import time\nopen({mark!r}, 'w')\nwhile True: time.sleep(0.01)"
    runner = threading.Thread(target=lambda: answers.append(session.execute(code)))
    runner.start()
    homes = Path(path).parents[2] / "sessions"
    eventually(lambda: list(homes.glob(f"*/work/*/{mark}")), 20, "the run has begun")
    assert getattr(session, end)()[0] == 200
    runner.join(20)
    assert answers == [(400, {"detail": {"error": "Execution error", "traceback": ["The run was cancelled."]}})]
    assert session.start_session()[0] == 200 and session.execute("1") == (200, {"output": "1"})


# ── Packages ──


def test_a_package_that_cannot_be(session):
    for name in ("", "../x", "-r file", "x @ https://example.com/x.whl"):
        status, answer = session.install_package(name)
        assert status == 422 and answer["detail"], name


def test_an_import_leaves_nothing_else(session):
    before = output(session, "names = set(globals())")
    assert before == ""
    assert session.install_package("Pandas")[1]["message"] == "Successfully installed and imported Pandas"
    assert output(session, "sorted(set(globals()) - names - {'names'})") == "['pandas']"


# ── The notebook ──


def test_the_notebook_grows(session):
    path = session.start_session()[1]["notebook_path"]
    notebook(path, 0)
    session.execute("x = 1\nprint(x)")
    session.execute("x + 1")
    session.execute("1 / 0")
    session.install_package("numpy")
    document, cells = notebook(path, 3)
    assert document["nbformat"] == 4
    assert ["".join(cell["source"]) for cell in cells] == ["x = 1\nprint(x)", "x + 1", "1 / 0"]
    kinds = [[result["output_type"] for result in cell["outputs"]] for cell in cells]
    assert kinds == [["stream"], ["execute_result"], ["error"]]
    assert session.end_session()[0] == 200
    assert Path(path).exists()


def test_where_notebooks_are(make_server, tmp_path):
    tmp_path.chmod(0o755)
    server = make_server("--notebooks-directory", tmp_path / "books")
    session = JupyterSessions(server.url, "u")
    path = session.start_session()[1]["notebook_path"]
    assert path == str(tmp_path / "books/u/notebook_u.ipynb")
    session.execute("1")
    notebook(path, 1)


@pytest.fixture
def shared_folder():
    """Not in /tmp, of which every run has one of its own."""
    with tempfile.TemporaryDirectory(prefix="hatchery-test-", dir="/var/tmp") as name:
        Path(name).chmod(0o777)
        yield Path(name)


def test_a_folder_that_all_kernels_share(make_server, shared_folder):
    """What /mnt/data was."""
    data = shared_folder
    (data / "in.csv").write_text("a\n1\n")
    server = make_server("--data-path", data)
    session = JupyterSessions(server.url, "u")
    session.start_session()
    assert output(session, f"pd.read_csv({str(data / 'in.csv')!r})['a'].sum()") == "1"
    assert output(session, f"open({str(data / 'out')!r}, 'w').write('1')") == "1"
    assert (data / "out").read_text() == "1"


# ── Requests that are wrong ──


def detail(answer):
    assert answer.status == 422, answer
    problem, = answer.json()["detail"]
    assert problem["msg"]
    return problem["loc"], problem["type"]


@pytest.mark.parametrize("path", ["/start_session", "/reset", "/end_session"])
def test_forms(server, path):
    for headers, body in (({}, b""), ({"Content-Type": "application/x-www-form-urlencoded"}, b"user=1"),
                          ({"Content-Type": "application/json"}, b'{"user_id": "u"}')):
        assert detail(server.post(path, body, headers)) == (["body", "user_id"], "value_error.missing")
    answer = server.post(path, b'{"user_id": "u"}', {"Content-Type": "application/json"})
    assert "in a form" in answer.json()["detail"][0]["msg"]
    answer = server.post(path, b"user_id=%zz", {"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status == 400 and answer.json()["detail"].startswith("user_id: ")
    for user_id in ("", ".", "..", "a%2Fb", "a%00b", "%0a", "x" * 129):
        answer = server.post(path, f"user_id={user_id}", {"Content-Type": "application/x-www-form-urlencoded"})
        assert detail(answer) == (["body", "user_id"], "value_error"), user_id


@pytest.mark.parametrize("path, body, loc, kind", [
    ("/execute", b'{"user_id": "a"}', ["body", "code"], "value_error.missing"),
    ("/execute", b'{"user_id": 1, "code": "1"}', ["body", "user_id"], "type_error.str"),
    ("/execute", b'{"user_id": "a", "code": {}}', ["body", "code"], "type_error.str"),
    ("/execute", b'{"user_id": "a/b", "code": "1"}', ["body", "user_id"], "value_error"),
    ("/install_package", b"", ["body"], "value_error.jsondecode"),
    ("/install_package", b"{}", ["body", "user_id"], "value_error.missing"),
    ("/install_package", b'{"user_id": "a"}', ["body", "package_name"], "value_error.missing"),
    ("/install_package", b'{"user_id": "a", "package_name": ["x"]}', ["body", "package_name"], "type_error.str"),
])
def test_what_is_wrong_with_a_body(server, path, body, loc, kind):
    assert detail(server.post(path, body)) == (loc, kind)


@pytest.mark.parametrize("user_id", ["ü", "日本語", "a b", "'\"\\", "%41", "x" * 128])
def test_ids_of_all_kinds(server, user_id):
    session = JupyterSessions(server.url, user_id)
    path = session.start_session()[1]["notebook_path"]
    assert path.endswith(f"/{user_id}/notebook_{user_id}.ipynb")
    assert session.execute("1") == (200, {"output": "1"})
    notebook(path, 1)
    assert session.end_session()[0] == 200


def test_bodies_as_clients_send_them(server, session):
    body = json.dumps({"user_id": session.user_id, "code": "1", "session_id": None, "x": 1}).encode()
    for content_type in ("text/plain", None):
        assert server.post("/execute", body, {"Content-Type": content_type} if content_type else {}).json() == {"output": "1"}
    assert post_chunked(server, "/execute", [body[:5], body[5:]]) == (200, {"output": "1"})
    form = b"user_id=" + session.user_id.encode()
    answer = post_chunked(server, "/reset", [form[:3], form[3:]], {"Content-Type": "application/x-www-form-urlencoded"})
    assert answer == (200, {"message": "Kernel reset successful"})


def test_sessions_that_are_too_many(make_server):
    server = make_server("--sessions", "1")
    assert JupyterSessions(server.url, "a").start_session()[0] == 200
    status, answer = JupyterSessions(server.url, "b").start_session()
    assert status == 503 and answer["detail"]
