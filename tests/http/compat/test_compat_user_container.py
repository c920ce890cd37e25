"""The per-user container: POST /run."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from harness.hatchery import eventually
from harness.isolation import has_cells
from harness.services import UserContainer, post_chunked

REQUIRED = {"error": "Code and user_id required"}


@pytest.fixture
def user(server, fresh_id):
    return UserContainer(server.url, fresh_id)


def answer_of(result):
    status, answer = result
    assert status == 200, result
    return answer


# ── The way its documentation goes ──


def test_a_result_and_an_empty_workspace(user):
    assert user.run("result = x + y", x=1, y=2) == (200, {"result": 3, "workspace_files": ["total 0"]})


def test_an_error(user):
    answer = answer_of(user.run("print('before')\nresult = 1 / 0"))
    assert list(answer) == ["error", "result", "workspace_files"]
    assert answer["result"] is None and answer["workspace_files"] == ["total 0"]
    assert answer["error"].startswith("Error running code: Traceback (most recent call last):\n")
    assert answer["error"].endswith("ZeroDivisionError: division by zero\n\nSTDOUT:\nbefore\n")
    assert answer_of(user.run("def"))["error"].startswith("Error running code: ")


def test_the_same_with_curl(curl, fresh_id):
    command = f'''curl -X POST http://127.0.0.1:5000/run -H "Content-Type: application/json" \\
        -d "{{\\"user_id\\": \\"{fresh_id}\\",\\"code\\": \\"result = x + y\\",\\"data\\": {{\\"x\\": 1,\\"y\\": 2}} }}"'''
    assert curl(command) == b'{"result":3,"workspace_files":["total 0"]}'


# ── Results ──


@pytest.mark.parametrize("code, value", [
    ("None", None), ("'é\\u2028'", "é\u2028"), ("{'a': [1, 2.5, True]}", {"a": [1, 2.5, True]}), ("2 ** 100", 2 ** 100),
    ("pd.DataFrame({'a': [1, 2]})", [{"a": 1}, {"a": 2}]), ("np.arange(3)", [0, 1, 2]),
    ("float('nan')", None), ("(1, 2)", [1, 2])])
def test_kinds_of_results(user, code, value):
    imports = "import pandas as pd, numpy as np\n" if "pd." in code or "np." in code else ""
    assert answer_of(user.run(f"{imports}result = {code}"))["result"] == value


def test_json_is_there(user):
    assert answer_of(user.run("result = json.loads('[1]')"))["result"] == [1]


@pytest.mark.parametrize("code, error", [
    ("x = 1", "NameError: name 'result' is not defined"), ("result = object()", "TypeError: "),
    ("import sys\nresult = 1\nsys.exit('told')", "told")])
def test_results_that_there_are_not(user, code, error):
    answer = answer_of(user.run(code))
    assert answer["result"] is None and answer["error"].startswith("Error running code: ") and error in answer["error"]


def test_data_are_variables(user):
    data = {"text": "é", "nothing": None, "yes": True, "deep": [{"a": [1e3]}], "big": 2 ** 80, "json": 5}
    assert answer_of(user.run("result = [text, nothing, yes, deep, big, json]", **data))["result"] == list(data.values())


def test_variables_go_and_files_stay(user):
    user.run("result = x = 1\nopen('kept', 'w').write('1')")
    answer = answer_of(user.run("result = ['x' in globals(), 'result' in globals(), open('kept').read()]"))
    assert answer["result"] == [False, False, "1"]


def test_a_process_that_ends_itself(user):
    assert answer_of(user.run("import os; os._exit(0)")) == {"result": None, "workspace_files": ["total 0"]}
    answer = answer_of(user.run("import os; os._exit(3)"))
    assert answer["result"] is None and answer["error"] == "Error running code: The program ended with exit code 3.\nSTDOUT:\n"
    assert answer_of(user.run("result = 1"))["result"] == 1


def test_a_limit(make_server):
    server = make_server("--wall-ms", "2000")
    user = UserContainer(server.url, "u")
    answer = answer_of(user.run("open('kept', 'w')\nwhile True: pass"))
    assert answer["error"].startswith("Error running code: ") and "2000 ms" in answer["error"]
    assert answer["workspace_files"][1].endswith(" kept")
    assert answer_of(user.run("result = 1"))["result"] == 1


# ── The listing ──


def test_the_lines_of_files(server, user):
    answer = answer_of(user.run("open('a.txt', 'w').write('12345')\nimport os\nos.chmod('a.txt', 0o640)\nresult = 1"))
    total, line = answer["workspace_files"]
    assert re.fullmatch(r"total \d+", total)
    # A session that has the server's own uid, and no cell, cannot change modes.
    mode = "-rw-r-----" if os.geteuid() == 0 or has_cells(server) else "-rw-------"
    assert re.fullmatch(mode + r" 1 \S+ \S+ 5 [A-Z][a-z]{2} [ \d]\d \d\d:\d\d a\.txt", line), line


MAKE_TREE = """
import os, time
os.makedirs('b/deep/er'); os.mkdir('empty'); os.makedirs('.hidden/x')
open('a', 'w').write('x' * 5000); open('b/file', 'w'); open('.dot', 'w'); open('b/deep/ü €', 'w')
open('line\\nbreak', 'w'); os.symlink('/etc/passwd', 'link'); os.symlink('b', 'to-b'); os.link('a', 'b/second')
os.mkfifo('pipe', 0o600); os.chmod('b', 0o1777); os.utime('a', (1, 10 ** 9)); os.chmod('empty', 0o511)
result = [os.getcwd(), os.getuid()]
"""


def test_the_listing_is_that_of_ls(server, user):
    answer = answer_of(user.run(MAKE_TREE))
    assert "error" not in answer, answer
    uid = answer["result"][1]
    folder, = [path.parent for path in Path(server.state, "sessions").glob("*/work/*/line\nbreak")]
    named = has_cells(server) and uid not in (0, 65534)  # then the cell has a name of its own for the user
    done = subprocess.run(["ls", "-lnR" if named else "-lR"], cwd=folder, env={"LC_ALL": "C", "PATH": os.environ["PATH"]}, capture_output=True)
    lines = done.stdout.decode().split("\n")[1:-1]
    if named:
        owner = re.compile(rf"^([a-z-]\S{{9}} +\d+) {uid} \d+ ")
        lines = [owner.sub(r"\1 runner runner ", line) for line in lines]
    assert answer["workspace_files"] == lines
    assert "./b/deep/er:" in lines and len(lines) > 20


def test_ls_itself_agrees(make_server, tmp_path):
    """Where programs are allowed, the snippet asks ls; which may not be allowed to look for the names of ids."""
    config = tmp_path / "config"
    config.write_text("[template.default]\nsubprocesses = yes\nprocesses = 8\nmax-processes = 8\n")
    server = make_server("--config", config)
    code = MAKE_TREE + "import subprocess\nresult = subprocess.run(['ls', '-lR'], capture_output=True, text=True," \
        "env={'LC_ALL': 'C', 'PATH': os.environ['PATH']}).stdout.split('\\n')[1:-1]"
    answer = answer_of(UserContainer(server.url, "u").run(code))
    told, by_ls = ([re.sub(r"^(\S{10} +\d+) \S+ +\S+ ", r"\1 ", line) for line in answer[member]]
                   for member in ("workspace_files", "result"))
    assert told == by_ls and len(told) > 20


def test_a_listing_has_a_bound(user):
    answer = answer_of(user.run("for i in range(10050): open(str(i), 'w').close()\nresult = 1"))
    assert len(answer["workspace_files"]) == 10002
    assert answer["workspace_files"][-1] == "(there is more than is listed)"


# ── Users ──


def test_users_are_apart(server, fresh_id):
    one, other = UserContainer(server.url, fresh_id + "a"), UserContainer(server.url, fresh_id + "b")
    one.run("open('mine', 'w')\nresult = 1")
    assert answer_of(other.run("import os\nresult = os.listdir()"))["result"] == []
    assert answer_of(one.run("import os\nresult = os.listdir()"))["result"] == ["mine"]


def test_idle_users_go(make_server):
    server = make_server("--container-idle-ms", "300")
    user = UserContainer(server.url, "u")
    user.run("open('file', 'w')\nresult = 1")
    homes = server.state / "sessions"
    eventually(lambda: not list(homes.glob("*/work/0/file")), 20, "the user's files go")
    assert answer_of(user.run("result = 1"))["workspace_files"] == ["total 0"]


@pytest.mark.parametrize("user_id", ["ü", "日本語", "a b", "'\"\\", "%41", "x" * 128, 42, -1.5])
def test_ids_of_all_kinds(server, user_id):
    user = UserContainer(server.url, user_id)
    assert user.run("open('a', 'w')\nresult = 1")[1]["result"] == 1
    assert len(answer_of(user.run("result = 1"))["workspace_files"]) == 2


# ── Requests that are wrong ──


@pytest.mark.parametrize("body", [
    {}, {"code": "1"}, {"user_id": "u"}, {"user_id": "u", "code": ""}, {"user_id": "", "code": "1"},
    {"user_id": None, "code": "1"}, {"user_id": "u", "code": None}])
def test_what_is_required(server, body):
    answer = server.post("/run", body)
    assert (answer.status, answer.json()) == (400, REQUIRED)


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b'"x"', b'{"user_id": "u", "code": 1}', b'{"user_id": [], "code": "1"}',
    b'{"user_id": "u", "code": "1", "data": []}', b'{"user_id": "u", "user_id": "v", "code": "1"}'])
def test_bodies_that_cannot_be(server, body):
    answer = server.post("/run", body)
    assert answer.status == 400 and list(answer.json()) == ["error"] and answer.json()["error"]


@pytest.mark.parametrize("user_id", [".", "..", "a/b", "a\0b", "\n", "x" * 129])
def test_ids_that_cannot_be(server, user_id):
    answer = server.post("/run", {"user_id": user_id, "code": "1"})
    assert answer.status == 400 and answer.json()["error"].startswith("user_id: ")


def test_bodies_as_clients_send_them(server, fresh_id):
    body = f'{{"user_id": "{fresh_id}", "code": "result = 1", "data": null, "unknown": 1}}'.encode()
    for content_type in ("text/plain", "application/x-www-form-urlencoded", None):
        answer = server.post("/run", body, {"Content-Type": content_type} if content_type else {})
        assert answer.json() == {"result": 1, "workspace_files": ["total 0"]}
    assert post_chunked(server, "/run?x", [body[:7], body[7:]]) == (200, {"result": 1, "workspace_files": ["total 0"]})


def test_users_that_are_too_many(make_server):
    server = make_server("--sessions", "1")
    assert UserContainer(server.url, "a").run("result = 1")[0] == 200
    answer = server.post("/run", {"user_id": "b", "code": "1"})
    assert answer.status == 503 and list(answer.json()) == ["error"] and int(answer.headers["Retry-After"]) > 0


def test_clients_that_leave(make_server):
    """While the code runs, while the workspace is listed, and in between."""
    server = make_server("--sessions", "4")
    user = UserContainer(server.url, "u")
    user.run("for i in range(2000): open(str(i), 'w').close()\nresult = 1")
    body = b'{"user_id": "u", "code": "result = 1"}'
    request = b"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    before = len(os.listdir(f"/proc/{server.pid}/fd"))
    for n in range(40):
        connection = server.connect()
        connection.sendall(request)
        time.sleep(n * 0.0005)
        connection.close()
        assert len(answer_of(user.run("result = 1"))["workspace_files"]) == 2001
    # Those of a worker that is just being made come and go.
    eventually(lambda: len(os.listdir(f"/proc/{server.pid}/fd")) < before + 20, 10, "descriptors are closed")
