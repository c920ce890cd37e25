"""POST /v1/execute: what it takes, what it refuses and how, and what comes back."""

import base64
import json

import pytest

from harness.hatchery import eventually


def refused(server, body, status, field=None):
    """The answer must be a problem document about that member; returns its text."""
    answer = server.post("/v1/execute", body)
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem.get("field") == field, problem
    return problem["detail"]


# ── Answers ──


def test_the_answer_has_every_member(server):
    answer = server.post("/v1/execute", {"code": "print('out')\n1 + 1"})
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    run = answer.json()
    assert list(run) == ["id", "status", "stdout", "stderr", "truncated", "result", "displays", "variables", "files",
                         "error", "exit_code", "usage", "limits"]
    assert run["id"].startswith("run_") and len(run["id"]) == 26
    assert (run["status"], run["exit_code"], run["error"]) == ("ok", 0, None)
    assert (run["stdout"], run["stderr"]) == ("out\n", "")
    assert run["truncated"] == {"stdout": False, "stderr": False}
    assert run["result"]["text/plain"] == "2"
    assert (run["displays"], run["variables"], run["files"]) == ([], None, [])
    usage = run["usage"]
    assert set(usage) == {"wall_ms", "cpu_ms", "peak_memory_kb", "queue_ms", "stdout_bytes", "stderr_bytes"}
    assert usage["stdout_bytes"] == 4 and usage["stderr_bytes"] == 0
    assert usage["wall_ms"] > 0 and usage["cpu_ms"] >= 0 and usage["peak_memory_kb"] > 1000
    assert set(run["limits"]) == {"wall_ms", "cpu_ms", "memory_mb", "output_bytes", "processes", "disk_mb"}


def test_ids_differ(server):
    assert len({server.run("1")["id"] for _ in range(20)}) == 20


def test_no_value_is_null(server):
    run = server.run("x = 1")
    assert run["result"] is None


def test_an_exception(server):
    run = server.run("print('before')\n\nraise ValueError('no \"good\"')")
    assert (run["status"], run["exit_code"], run["stdout"]) == ("error", 1, "before\n")
    assert run["error"]["type"] == "ValueError"
    assert run["error"]["message"] == 'no "good"'
    assert run["error"]["line"] == 3
    assert "ValueError" in run["error"]["traceback"]


def test_a_syntax_error(server):
    run = server.run("x = 1\nx = = 2")
    assert (run["status"], run["error"]["type"], run["error"]["line"]) == ("error", "SyntaxError", 2)


@pytest.mark.parametrize("code, exit_code", [("import sys; sys.exit(0)", 0), ("import sys; sys.exit(7)", 7),
                                             ("import os; os._exit(0)", 0), ("import os; os._exit(9)", 9)])
def test_an_exit_is_never_ok(server, code, exit_code):
    run = server.run("print('x', flush=True)\n" + code)
    assert (run["status"], run["exit_code"], run["error"], run["stdout"]) == ("exit", exit_code, None, "x\n")


def test_a_timeout_keeps_the_output_and_explains_itself(server):
    run = server.run("print('x', flush=True)\nwhile True: pass", limits={"wall_ms": 1500})
    assert (run["status"], run["stdout"], run["exit_code"]) == ("timeout", "x\n", None)
    assert run["error"]["type"] == "Timeout"
    assert "1500 ms" in run["error"]["message"]
    assert run["error"]["traceback"] is None and run["error"]["line"] is None
    assert run["limits"]["wall_ms"] == 1500


def test_a_crash_names_the_signal(server):
    run = server.run("import os, signal; print('x', flush=True); os.kill(os.getpid(), signal.SIGSEGV)")
    assert (run["status"], run["signal"], run["exit_code"], run["stdout"]) == ("crashed", 11, None, "x\n")
    assert "SIGSEGV" in run["error"]["message"]


# ── Input ──


def test_input_reaches_the_program(server):
    run = server.run("import sys, os\nprint(sys.argv[1:], os.environ['VAR_A'], repr(sys.stdin.read()))",
                     stdin="a\nb", args=["1", "", "é"], env={"VAR_A": "10"})
    assert run["stdout"] == "['1', '', 'é'] 10 'a\\nb'\n"


def test_data_keeps_all_of_json(server):
    big = 123456789012345678901234567890
    run = server.run("print(big, nested, text)", data={"big": big, "nested": [{"a": [None, True, 1.5]}], "text": "é\u0000😀"})
    assert run["stdout"] == f"{big} [{{'a': [None, True, 1.5]}}] é\u0000😀\n"


def test_data_may_hold_half_a_pair(server):
    answer = server.post("/v1/execute", '{"code": "print(ascii(x))", "data": {"x": "\\ud800"}}')
    assert answer.json()["stdout"] == "'\\ud800'\n"


def test_files_are_there(server):
    run = server.run("print(open('a/b.txt').read(), open('c', 'rb').read())",
                     files=[{"path": "a/b.txt", "content": "é"},
                            {"path": "c", "content_base64": base64.b64encode(bytes(range(5))).decode()}])
    assert run["stdout"] == "é b'\\x00\\x01\\x02\\x03\\x04'\n"


def test_files_come_back(server):
    run = server.run("import os\nopen('x.txt', 'w').write('one')\nos.mkdir('d')\nopen('d/y.txt', 'wb').write(b'\\xff')\n"
                     "open('z.bin', 'w').write('no')", collect=["**/*.txt", "*.txt"])
    files = {file["path"]: base64.b64decode(file["content_base64"]) for file in run["files"]}
    assert files == {"x.txt": b"one", "d/y.txt": b"\xff"}


def test_variables_come_back(server):
    run = server.run("a, b, c = 1, [1, {'x': None}], object()\nd = float('nan')", variables=["a", "b", "c", "d"])
    assert run["variables"]["a"] == 1
    assert run["variables"]["b"] == [1, {"x": None}]
    assert run["variables"]["c"].startswith("<object object")
    assert run["variables"]["d"] is None
    assert run["variables_repr"] == ["c"]
    assert server.run("a = 1", variables=True)["variables"] == {"a": 1}
    assert server.run("a = 1", variables=False)["variables"] is None


def test_characters_beyond_the_plane(server):
    assert server.post("/v1/execute", '{"code": "print(ascii(\'\\ud83d\\ude00\'))"}').json()["stdout"] == "'\\U0001f600'\n"


def test_a_nul_in_the_code_is_the_programs_error(server):
    run = server.post("/v1/execute", '{"code": "x = 1\\u0000"}').json()
    assert run["status"] == "error"
    assert run["error"]["type"] in ("SyntaxError", "ValueError")


# ── Output ──


def test_long_output_keeps_head_and_tail(server):
    run = server.run("print('a' * 5000 + 'b' * 5000)", limits={"output_bytes": 100})
    assert run["status"] == "ok"
    assert run["truncated"] == {"stdout": True, "stderr": False}
    assert run["usage"]["stdout_bytes"] == 10001
    assert run["stdout"] == "a" * 50 + "\n[… 9,901 bytes left out …]\n" + "b" * 49 + "\n"


def test_output_overrun_may_kill(server):
    run = server.run("import sys\nwhile True: sys.stdout.write('a' * 1000)", limits={"output_bytes": 10000},
                     output_overrun="kill")
    assert run["status"] == "output_limit"
    assert run["stdout"].startswith("a" * 5000)


def test_bytes_that_are_no_text(server):
    code = "import sys; sys.stdout.buffer.write(b'a\\xff\\xe2\\x82'); sys.stderr.buffer.write(bytes(range(256)))"
    run = server.run(code)
    assert run["stdout"] == "a\ufffd\ufffd"
    run = server.run(code, encoding="base64")
    assert base64.b64decode(run["stdout"]) == b"a\xff\xe2\x82"
    assert base64.b64decode(run["stderr"]) == bytes(range(256))


# ── Refusals ──


def test_what_is_not_json(server):
    assert "empty" in refused(server, b"", 400)
    assert "line 2, column 3 (byte 11)" in refused(server, b'{"code":\n  x}', 400)
    refused(server, b'{"code": "1"', 400)
    refused(server, b'{"code": "1"}{}', 400)
    refused(server, b'{"code": "\xff"}', 400)
    refused(server, '{"code": "1"}'.encode("utf-16"), 400)
    refused(server, b'{"code": NaN}', 400)
    refused(server, b"[" * 100000, 400)
    refused(server, b'{"data":' * 100000, 400)
    refused(server, b'{"code": "1", "code": "2"}', 400, "code")
    refused(server, b'{"code": "\\ud800"}', 400, "code")


@pytest.mark.parametrize("body, field", [
    ([], None), ("x", None), ({}, "code"), ({"code": None}, "code"), ({"code": 1}, "code"),
    ({"code": "1", "sdtin": ""}, "sdtin"),
    ({"code": "1", "args": ["a", 1]}, "args[1]"),
    ({"code": "1", "args": ["\0"]}, "args[0]"),
    ({"code": "1", "env": {"A=": "1"}}, "env.A="),
    ({"code": "1", "data": []}, "data"),
    ({"code": "1", "files": [{"path": "../x", "content": ""}]}, "files[0].path"),
    ({"code": "1", "files": [{"path": "/x", "content": ""}]}, "files[0].path"),
    ({"code": "1", "files": [{"path": "x", "content": ""}, {"path": "x/y", "content": ""}]}, "files[1].path"),
    ({"code": "1", "files": [{"path": "x", "content_base64": "?"}]}, "files[0].content_base64"),
    ({"code": "1", "collect": ["*.png", "x" * 256]}, "collect[1]"),
    ({"code": "1", "template": "none"}, "template"),
    ({"code": "1", "limits": {"wall_ms": 0}}, "limits.wall_ms"),
    ({"code": "1", "limits": {"wall_ms": -1}}, "limits.wall_ms"),
    ({"code": "1", "limits": {"wall_ms": 1.5}}, "limits.wall_ms"),
    ({"code": "1", "limits": {"wall_ms": "5"}}, "limits.wall_ms"),
    ({"code": "1", "limits": {"wall_ms": 10**30}}, "limits.wall_ms"),
    ({"code": "1", "limits": {"processes": 2}}, "limits.processes"),
    ({"code": "1", "limits": {"time": 2}}, "limits.time"),
])
def test_the_wrong_shape(server, body, field):
    refused(server, json.dumps(body), 422, field)


def test_the_nearest_name_is_told(server):
    assert '"stdin"' in refused(server, {"code": "1", "sdtin": ""}, 422, "sdtin")


def test_null_is_absent(server):
    body = {name: None for name in ("stdin", "args", "env", "data", "files", "variables", "collect", "template",
                                    "limits", "encoding", "output_overrun")}
    assert server.run("print(1)", **body)["stdout"] == "1\n"


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"])
def test_the_content_type_does_not_matter(server, content_type):
    headers = {"Content-Type": content_type} if content_type else {}
    answer = server.post("/v1/execute", b' {"code": "print(1)"}\n', headers)
    assert (answer.status, answer.json()["stdout"]) == (200, "1\n")


def test_a_body_without_a_length(server):
    connection = server.client()
    connection.request("POST", "/v1/execute?x&y=1", iter([b'{"code": ', b'"print(1)"}']), encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})
    answer = connection.getresponse()
    assert (answer.status, json.load(answer)["stdout"]) == (200, "1\n")
    connection.close()


def test_many_on_one_connection(server):
    connection = server.client()
    for i in range(50):
        connection.request("POST", "/v1/execute", json.dumps({"code": f"print({i})"}))
        answer = connection.getresponse()
        assert json.load(answer)["stdout"] == f"{i}\n"
    connection.close()


# ── A client that leaves, a server that is full ──

SLEEP = {"code": "import time; time.sleep(60)"}


def counters(server):
    return server.get("/health").json()["pool"]["counters"]


def start(server, body=SLEEP):
    """Sends a request whose answer nobody waits for; close the connection."""
    connection = server.client()
    connection.request("POST", "/v1/execute", json.dumps(body))
    return connection


def test_a_closed_connection_cancels_the_run(make_server):
    server = make_server("--workers", "1", "--touched", "0")
    running = start(server)
    eventually(lambda: counters(server)["busy"] == 1)
    waiting = start(server)
    eventually(lambda: counters(server)["queued"] == 1)
    waiting.close()
    eventually(lambda: counters(server)["queued"] == 0)
    assert counters(server)["busy"] == 1
    running.close()
    eventually(lambda: counters(server)["busy"] == 0)
    assert server.run("print(1)", timeout=20)["stdout"] == "1\n"


@pytest.mark.parametrize("path", ["/v1/execute", "/api/execute", "/execute_code"])
def test_a_full_queue(make_server, path):
    server = make_server("--workers", "1", "--touched", "0", "--queue", "1")
    running = start(server)
    eventually(lambda: counters(server)["busy"] == 1)
    waiting = start(server)
    eventually(lambda: counters(server)["queued"] == 1)
    answer = server.post(path, {"code": "1"})
    assert answer.status == 503 and int(answer.headers["Retry-After"]) >= 1
    assert "queue is full" in answer.text
    running.close()
    waiting.close()


def test_who_waits_too_long_is_refused(make_server):
    server = make_server("--workers", "1", "--touched", "0", "--queue-wait-ms", "200")
    running = start(server)
    eventually(lambda: counters(server)["busy"] == 1)
    for headers in ({}, {"Accept": "text/event-stream"}):
        answer = server.post("/v1/execute", {"code": "1"}, headers)
        assert answer.status == 503 and int(answer.headers["Retry-After"]) >= 1, answer
        assert answer.headers["Content-Type"] == "application/problem+json"
    line, = server.post("/v1/batch", [{"code": "1", "id": "a"}]).body.splitlines()
    assert (json.loads(line)["id"], json.loads(line)["error"]["status"]) == ("a", 503)
    running.close()


def test_touched_pages_are_no_memory_of_the_run(make_server):
    """What a spare writes to beforehand, some ten MiB, comes on top of what its run may take."""
    server = make_server("--workers", "1", "--touched", "1")
    for _ in range(3):
        eventually(lambda: server.get("/health").json()["pool"]["templates"][0]["touched"] == 1, 20)
        run = server.run("import time\nb = bytearray(b'x') * (9 << 20)\ntime.sleep(0.3)", limits={"memory_mb": 16})
        assert run["status"] == "ok", run["error"]
