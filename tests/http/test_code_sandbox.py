"""The code-execution sandbox: POST /execute_code, and data that is uploaded by key."""

from urllib.parse import quote

import pytest


def execute(server, code, input_data=None, **extra):
    body = {"code": code, **extra}
    if input_data is not None:
        body["input_data"] = input_data
    answer = server.post("/execute_code", body)
    assert answer.status == 200, answer
    return answer.json()


def test_the_readme_way(server):
    body = execute(server, "df = pd.DataFrame(rows)\ntotal = int(df['a'].sum())\nprint(total)",
                   {"rows": [{"a": 1}, {"a": 2}]})
    assert list(body) == ["result", "stdout", "stderr", "execution_time"]
    assert body["result"] == {"rows": [{"a": 1}, {"a": 2}], "df": [{"a": 1}, {"a": 2}], "total": 3}
    assert (body["stdout"], body["stderr"]) == ("3\n", "")
    assert isinstance(body["execution_time"], float) and 0 < body["execution_time"] < 60


def test_kinds_of_values(server):
    result = execute(server, "a = np.array([[1, 2]])\nclass C:\n    pass\nc = C()\nc.x = 1\n_hidden = 1\nimport math\n")["result"]
    assert result["a"] == [[1, 2]]
    assert result["c"] == {"x": 1}
    assert "pd" not in result and "np" not in result and "math" not in result


def test_no_variables(server):
    assert execute(server, "print(1)")["result"] == {}


def test_an_exception(server):
    body = execute(server, "import sys\nprint('o')\nprint('e', file=sys.stderr)\nraise ValueError('bad')")
    assert body["result"] is None
    assert body["error"] == "bad"
    assert body["stdout"] == "o\n"
    assert body["stderr"].startswith("e\n\nTraceback") and "ValueError: bad" in body["stderr"]
    assert body["execution_time"] > 0


def test_an_end_without_an_exception(server):
    body = execute(server, "import os; os._exit(3)")
    assert body["result"] is None
    assert body["error"] == body["stderr"] == "The program ended with exit code 3."


def test_a_timeout(make_server):
    server = make_server(env={"EXECUTION_TIMEOUT": "1"})
    body = execute(server, "while True: pass")
    assert body["result"] is None and "1000 ms" in body["error"]


def test_unknown_members_are_ignored(server):
    assert execute(server, "x = 1", timeout=3)["result"] == {"x": 1}


@pytest.mark.parametrize("body, where, kind", [
    (b"", ["body"], "value_error.jsondecode"),
    (b"{", ["body"], "value_error.jsondecode"),
    (b"{}", ["body", "code"], "value_error.missing"),
    (b'{"code": 1}', ["body", "code"], "type_error.str"),
    (b'{"code": "1", "input_data": [1]}', ["body", "input_data"], "type_error.dict"),
])
def test_errors_have_the_services_shape(server, body, where, kind):
    answer = server.post("/execute_code", body)
    assert answer.status == 422
    detail, = answer.json()["detail"]
    assert (detail["loc"], detail["type"]) == (where, kind) and detail["msg"]


# ── Uploaded data ──


def upload(server, key, value):
    return server.post("/upload_data/" + quote(key, safe=""), value)


def test_data_is_kept_until_it_is_cleared(make_server):
    server = make_server()
    text = b'{"rows": [1, 2.50, 12345678901234567890123], "b": "\xc3\xa9"}'
    answer = upload(server, "k", text)
    assert (answer.status, answer.json()) == (200, {"message": "Data for key 'k' uploaded successfully"})
    answer = server.get("/get_data/k")
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, text, "application/json")
    assert upload(server, "k", b"{}").status == 200
    assert server.get("/get_data/k").json() == {}
    answer = server.get("/clear_data")
    assert (answer.status, answer.json()) == (200, {"message": "All data cleared"})
    answer = server.get("/get_data/k")
    assert (answer.status, answer.json()) == (404, {"detail": "No data found for key 'k'"})


def test_head_removes_nothing(server):
    assert upload(server, "k", {"a": 1}).status == 200
    assert server.request("HEAD", "/clear_data").status == 200
    assert server.get("/get_data/k").json() == {"a": 1}
    assert server.get("/clear_data").status == 200


def test_data_outlives_the_server(make_server):
    server = make_server()
    upload(server, "k", {"a": 1})
    server.stop()
    server.start()
    assert server.get("/get_data/k").json() == {"a": 1}
    server.kill()
    server.start()
    assert server.get("/get_data/k").json() == {"a": 1}


@pytest.mark.parametrize("key", ["a b", "é", "'", "%", "x" * 256])
def test_keys_of_all_kinds(server, key):
    answer = upload(server, key, {"key": key})
    assert answer.json() == {"message": f"Data for key '{key}' uploaded successfully"}
    assert server.get("/get_data/" + quote(key, safe="")).json() == {"key": key}
    assert server.get("/clear_data").status == 200


@pytest.mark.parametrize("body", [b"", b"[1]", b"1", b"{", b'{"a": NaN}', b"\xff"])
def test_only_objects_are_kept(server, body):
    assert upload(server, "refused", body).status == 422
    assert server.get("/get_data/refused").status == 404


def test_bounds(make_server):
    server = make_server("--upload-keys", "2", "--upload-bytes", "65536")
    assert upload(server, "x" * 257, {}).status == 422
    assert upload(server, "a", {}).status == upload(server, "b", {}).status == 200
    answer = upload(server, "c", {})
    assert answer.status == 413 and "keys" in answer.json()["detail"]
    answer = upload(server, "a", {"x": "y" * 70000})
    assert answer.status == 413 and "large" in answer.json()["detail"]
    assert server.get("/get_data/a").json() == {}
    assert server.get("/clear_data").status == 200
    assert upload(server, "c", {}).status == 200


def test_a_damaged_file_is_told_at_the_start(make_server):
    server = make_server()
    upload(server, "k", {"a": 1})
    server.stop()
    (server.state / "store.sqlite3").write_bytes(b"no database at all" * 1000)
    with pytest.raises(AssertionError, match="not a database"):
        server.start()
    server.kill()
