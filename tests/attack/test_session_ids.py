"""Ids of sessions that are hostile, guessed, or another caller's."""

import json
from urllib.parse import quote

import pytest

from harness.own_sessions import OwnSession

# Each is refused when a session is made, and leads nowhere in a path.
HOSTILE = {
    "parent": "..",
    "here": ".",
    "slash": "a/b",
    "traversal": "../../etc/passwd",
    "absolute": "/etc/passwd",
    "nul": "a\0b",
    "line": "a\nb",
    "escape": "a\x1b[2Jb",
    "delete": "a\x7fb",
    "long": "x" * 129,
    "very long": "x" * 100_000,
    "long in bytes only": "\u20ac" * 43,
    "c1 control": "a\u0085b",
}

# Odd, and nobody's harm: they work as they are, through every part of the API.
ODD = {
    "blank": "a b",
    "unicode": "\u00fcn\u00efc\u00f6d\u00e9-\U0001f600",
    "right to left": "\u05e9\u05dc\u05d5\u05dd",
    "percent": "50%25",
    "query": "a?b=c&d#e",
    "quotes": "it's \"quoted\"",
    "backslash": "a\\..\\b",
    "dots": "...",
    "shell": "$(id);`id`|&",
    "format": "%s%n%d",
    "leading dash": "--help",
    "longest": "y" * 128,
}


def made_by(server, session_id):
    return server.post("/v1/sessions", json.dumps({"id": session_id}))


@pytest.mark.parametrize("session_id", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_id_is_refused(server, session_id):
    answer = made_by(server, session_id)
    assert answer.status == 422 and answer.json()["field"] == "id", answer
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/execute"), ("GET", "/files"), ("GET", "/notebook")):
        body = json.dumps({"code": "1"}) if method == "POST" else None
        refused = server.request(method, f"/v1/sessions/{quote(session_id, safe='')}{path}", body)
        # 414, or the connection's own limit: a head may only be so long.
        assert refused.status in (400, 404, 405, 414, 422, 431), refused


@pytest.mark.parametrize("session_id", ["\ud800", "\udfff\ud800"], ids=["surrogate", "two surrogates"])
def test_half_a_character_is_refused(server, session_id):
    answer = made_by(server, session_id)
    assert answer.status in (400, 422), answer


def test_bytes_that_are_no_text_are_refused(server):
    assert server.post("/v1/sessions", b'{"id": "a\xff\xfe"}').status in (400, 422)
    assert server.get("/v1/sessions/%ff%fe").status == 404


@pytest.mark.parametrize("session_id", ODD.values(), ids=ODD.keys())
def test_an_odd_id_is_an_id(server, session_id):
    answer = made_by(server, session_id)
    assert answer.status == 201, answer
    assert answer.json()["id"] == session_id
    path = f"/v1/sessions/{quote(session_id, safe='')}"
    try:
        run = server.post(f"{path}/execute", {"code": "x = 41\nopen('mine', 'w').write('m')\nprint(x + 1)"})
        assert (run.status, run.json()["stdout"], run.json()["session"]["id"]) == (200, "42\n", session_id)
        assert server.get(f"{path}/files/mine").body == b"m"
        assert session_id in [one["id"] for one in server.get("/v1/sessions").json()["sessions"]]
    finally:
        assert server.request("DELETE", path).status == 204


def test_ids_are_not_folded(server):
    """Neither case nor composition of characters makes two ids one."""
    ids = ["case", "CASE", "caf\u00e9", "cafe\u0301", "x", "x ", " x"]
    sessions = []
    try:
        for number, session_id in enumerate(ids):
            assert made_by(server, session_id).status == 201
            sessions.append(session_id)
            path = f"/v1/sessions/{quote(session_id, safe='')}/execute"
            assert server.post(path, {"code": f"mine = {number}"}).json()["status"] == "ok"
        for number, session_id in enumerate(ids):
            path = f"/v1/sessions/{quote(session_id, safe='')}/execute"
            assert server.post(path, {"code": "print(mine)"}).json()["stdout"] == f"{number}\n"
    finally:
        for session_id in sessions:
            server.request("DELETE", f"/v1/sessions/{quote(session_id, safe='')}")


def test_a_made_id_cannot_be_guessed(server):
    ids = []
    for _ in range(20):
        answer = server.post("/v1/sessions", {})
        assert answer.status == 201
        ids.append(answer.json()["id"])
        assert server.request("DELETE", f"/v1/sessions/{ids[-1]}").status == 204
    assert len(set(ids)) == len(ids)
    # 128 random bits: every one of 32 hexadecimal digits varies.
    assert all(len(one) == 32 for one in ids)
    assert all(len({one[place] for one in ids}) > 5 for place in range(32))


def test_what_a_snippet_knows_of_its_id_opens_nothing(server):
    """Another session's id is no secret to this test, and is of no use from inside: there is no network and no server."""
    with OwnSession(server) as victim, OwnSession(server) as attacker:
        victim.ok("secret = 'canary-of-victim'; open('s', 'w').write(secret)")
        run = attacker.run(f"""
import socket, urllib.request
for port in ({server.port},):
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{{port}}/v1/sessions/{victim.id}/files/s", timeout=2)
        print("reached")
    except OSError as problem:
        print("stopped")
""")
        assert run["stdout"] == "stopped\n", run


def test_the_same_id_in_every_api_is_another_session(make_server):
    # One of its own: a user of POST /run goes with time only.
    server, name = make_server("--imports", ""), "same-for-all"
    with OwnSession(server, name) as native:
        native.ok("x = 'native'")
        assert server.post("/execute", {"session_id": name, "code": "x"}).status == 404
        assert server.post("/execute", {"user_id": name, "code": "x"}).status == 404
        run = server.post("/run", {"user_id": name, "code": "result = 'x' in globals()"})
        assert run.json()["result"] is False
        assert native.ok("print(x)") == "native\n"
        # Ending it there ends nothing here.
        assert server.post("/terminate", {"session_id": name}).status == 404
        assert native.ok("print(x)") == "native\n"
