"""POST /v1/batch: many runs in one request, an answer for each as it ends."""

import json

import pytest

from harness.hatchery import eventually


def lines_of(answer):
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.body == b"" or answer.body.endswith(b"\n")
    return [json.loads(line) for line in answer.body.splitlines()]


def by_index(answer):
    lines = lines_of(answer)
    indexes = [line["index"] for line in lines]
    assert sorted(indexes) == list(range(len(lines))), "each run is answered once"
    return {line["index"]: line for line in lines}


def counters(server):
    return server.get("/health").json()["pool"]["counters"]


def is_idle(server):
    now = counters(server)
    return now["busy"] == 0 and now["queued"] == 0


def ndjson(*elements):
    return "".join((element if isinstance(element, str) else json.dumps(element)) + "\n" for element in elements)


@pytest.mark.parametrize("body", [
    json.dumps([{"code": "print(1)", "id": "a"}, {"code": "print(2)"}]),
    json.dumps({"runs": [{"code": "print(1)", "id": "a"}, {"code": "print(2)"}]}, indent=2),
    ndjson({"code": "print(1)", "id": "a"}, "", {"code": "print(2)"}),
])
def test_each_form(server, body):
    lines = by_index(server.post("/v1/batch", body))
    assert len(lines) == 2
    assert (lines[0]["id"], lines[0]["result"]["stdout"]) == ("a", "1\n")
    assert (lines[1]["id"], lines[1]["result"]["stdout"]) == (None, "2\n")
    assert lines[0]["result"]["status"] == "ok"
    assert lines[0]["result"]["id"] != lines[1]["result"]["id"]


def test_many_more_runs_than_workers(server):
    lines = by_index(server.post("/v1/batch", ndjson(*[{"code": f"print({i} * 2)", "id": i} for i in range(100)])))
    assert len(lines) == 100
    for i, line in lines.items():
        assert (line["id"], line["result"]["stdout"]) == (i, f"{i * 2}\n")


def test_answers_come_as_runs_end(make_server, gate):
    server = make_server("--imports", "", *gate.options)
    body = ndjson({"code": gate.code, "id": "slow"}, {"code": "1", "id": "quick"})
    connection = server.client()
    connection.request("POST", "/v1/batch", body)
    answer = connection.getresponse()
    assert json.loads(answer.readline())["id"] == "quick"
    gate.open()
    assert json.loads(answer.readline())["id"] == "slow"
    assert answer.readline() == b""
    connection.close()


def test_a_bad_run_does_not_stop_the_others(server):
    lines = by_index(server.post("/v1/batch", ndjson({"code": "print(1)"}, {"cod": "x", "id": "b"}, "{not json", "[]",
                                                     {"code": "1/0"}, {"code": "print(2)", "id": {"no": 1}}, {"code": "print(3)"})))
    assert lines[0]["result"]["stdout"] == "1\n"
    assert (lines[1]["error"]["status"], lines[1]["error"]["field"], lines[1]["id"]) == (422, "cod", "b")
    assert lines[2]["error"]["status"] == 400
    assert lines[3]["error"]["status"] == 422
    assert lines[4]["result"]["status"] == "error"
    assert lines[5]["error"]["field"] == "id"
    assert lines[6]["result"]["stdout"] == "3\n"
    assert "result" not in lines[1]


def test_standards_of_the_batch(server):
    lines = by_index(server.post("/v1/batch", {"limits": {"wall_ms": 1234, "memory_mb": 99}, "template": "default", "runs": [
        {"code": "1"}, {"code": "1", "limits": {"wall_ms": 4321}}]}))
    assert [lines[i]["result"]["limits"]["wall_ms"] for i in (0, 1)] == [1234, 4321]
    assert [lines[i]["result"]["limits"]["memory_mb"] for i in (0, 1)] == [99, 99]


@pytest.mark.parametrize("body, status, field", [
    (b"", 400, None), (b"\n\n", 400, None), (b"[", 400, None), (b'{"runs": [{"code": "1"}', 400, None),
    (b'{"runs": 1}', 422, "runs"), (b'{"runs": [], "run": 1}', 422, "run"), (b"3", 422, None),
    (b'{"runs": [], "limits": {"wall_ms": 0}}', 422, "limits.wall_ms"),
    (b"[" + b"1," * 10000 + b"1]", 422, "runs"),
])
def test_the_whole_is_refused_before_anything_runs(server, body, status, field):
    answer = server.post("/v1/batch", body)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json"), answer
    assert answer.json().get("field") == field


def test_nothing_to_run(server):
    assert lines_of(server.post("/v1/batch", "[]")) == []


def test_a_line_stays_a_line(server):
    """What a program prints, and what its value is, cannot make a line of its own."""
    code = "print('\\n{\"index\": 1, \"result\": {}}\\n')\n'a\\n\\r\\u2028\\x85b'"
    answer = server.post("/v1/batch", ndjson({"code": code}))
    assert len(answer.text.splitlines()) == 1, "splitlines() breaks at more characters than line feeds"
    lines = by_index(answer)
    assert lines[0]["result"]["stdout"] == '\n{"index": 1, "result": {}}\n\n'


def test_a_closed_connection_cancels_all(make_server):
    server = make_server("--workers", "2", "--touched", "0")
    connection = server.client()
    connection.request("POST", "/v1/batch", ndjson({"code": "print(1)"}, *[{"code": "import time; time.sleep(60)"}] * 8))
    answer = connection.getresponse()
    assert json.loads(answer.readline())["index"] == 0
    answer.close()
    connection.close()
    # Both workers sleep, and six more runs wait.
    eventually(lambda: is_idle(server), 20)
    assert counters(server)["runs"]["ok"] == 1
    assert server.run("print(2)", timeout=30)["stdout"] == "2\n"


def test_a_batch_larger_than_the_queue(make_server):
    server = make_server("--workers", "1", "--touched", "0", "--queue", "1", "--batch-runs", "8")
    lines = by_index(server.post("/v1/batch", ndjson(*[{"code": f"print({i})"} for i in range(12)])))
    assert [lines[i]["result"]["stdout"] for i in range(12)] == [f"{i}\n" for i in range(12)]


def test_a_reader_who_is_slow_holds_the_runs_back(make_server):
    """Answers of 512 KiB each: while none is read, only as many runs are made as fill the buffers on the way."""
    server = make_server("--workers", "2", "--touched", "0", "--batch-runs", "2")
    body = ndjson(*[{"code": "import sys; sys.stdout.write('x' * 524288)", "id": i} for i in range(60)]).encode()
    connection = server.connect()
    connection.sendall(b"POST /v1/batch HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    # Idle at every look for a while: not between two runs.
    eventually(lambda: counters(server)["runs"]["ok"] > 0 and all(is_idle(server) for _ in range(50)), 60)
    assert counters(server)["runs"]["ok"] < 50
    received = bytearray()
    while piece := connection.recv(1 << 20):
        received += piece
    connection.close()
    lines = [json.loads(line) for line in bytes(received).partition(b"\r\n\r\n")[2].splitlines()]
    assert sorted(line["id"] for line in lines) == list(range(60))
    assert all(line["result"]["stdout"] == "x" * 524288 for line in lines)
