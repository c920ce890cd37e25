"""Sessions: how they are made, found, listed, reset and ended, and what is left of them after a restart."""

import json
import os
import time

import pytest

from harness.hatchery import eventually
from harness.sessions import Background, Held, Session, begun, made, make
from http_wire import BARE, Wire, complaint


# ── Making and finding ──


def test_made_without_a_word(server):
    answer = server.post("/v1/sessions")
    assert answer.status == 201
    made_ = answer.json()
    assert len(made_["id"]) >= 20
    assert answer.headers["location"] == "/v1/sessions/" + made_["id"]
    assert made_["template"] == "default" and made_["runs"] == 0 and made_["lost"] is None
    assert made_["forked_from"] is None
    session = Session(server, made_["id"])
    assert session.inspect()["id"] == made_["id"]
    assert session.end().status == 204
    assert session.end().status == 404


def test_it_remembers(server):
    with made(server) as session:
        session.ok("import math\nx = 40\ndef f(n):\n    return n + x")
        assert session.value("f(2)") == "42"
        session.ok("open('a.txt', 'w').write('kept');")
        assert session.value("open('a.txt').read()") == "'kept'"
        assert session.inspect()["runs"] == 4
        session.await_state("idle")


def test_two_share_nothing(server):
    with made(server) as one, made(server) as other:
        one.ok("x = 1\nopen('x', 'w').close()")
        answer = other.run("import os\nprint(os.listdir())\nx")
        assert answer["stdout"] == "[]\n" and answer["error"]["type"] == "NameError"


GOOD_IDS = ["a", "x" * 128, "Zoë ✓", "%2e", "a b", "..x", "-", "*", "a\\b", "<b>'\"&?#", "🦆" * 32, "notebook", "a:b", "+"]


@pytest.mark.parametrize("id", GOOD_IDS)
def test_ids_of_all_kinds(server, id):
    answer = server.post("/v1/sessions", {"id": id})
    assert answer.status == 201 and answer.json()["id"] == id, answer
    session = Session(server, id)
    try:
        assert answer.headers["location"].lower() == session.path.lower()
        assert session.inspect()["id"] == id
        run = session.run("1")
        assert run["session"]["id"] == id
        assert id in [one["id"] for one in server.get("/v1/sessions").json()["sessions"]]
        assert complaint(server.post("/v1/sessions", {"id": id}), 409, "id")
        assert session.notebook()["cells"]
    finally:
        assert session.end().status == 204


@pytest.mark.parametrize("id", ["", ".", "..", "a/b", "/", "x" * 129, "🦆" * 33, "a\nb", "\0", "a\x7f", "\x1b[0m"])
def test_ids_that_cannot_be(server, id):
    assert complaint(server.post("/v1/sessions", {"id": id}), 422, "id").startswith("The id ")


@pytest.mark.parametrize("path", ["%2e%2e", "%00", "%ff", "a%2fb", "x" * 129, "nobody", "%0a"])
def test_no_such_session(server, path):
    for method, rest in [("GET", ""), ("DELETE", ""), ("POST", "/execute"), ("POST", "/reset"), ("POST", "/interrupt"),
                         ("POST", "/fork"), ("GET", "/notebook")]:
        body = {"code": "1"} if method == "POST" else None
        answer = server.request(method, f"/v1/sessions/{path}{rest}", body)
        assert answer.status == 404, (method, rest, answer)


@pytest.mark.parametrize("body, status, field", [
    ({"ids": "a"}, 422, "ids"),
    ({"id": 7}, 422, "id"),
    ({"template": "none"}, 422, "template"),
    ({"limits": {"wall_ms": 10 ** 9}}, 422, "limits.wall_ms"),
    ({"limits": {"wal_ms": 1}}, 422, "limits.wal_ms"),
    ({"limits": 1}, 422, "limits"),
    ({"idle_ms": -1}, 422, "idle_ms"),
    ({"idle_ms": 10 ** 15}, 422, "idle_ms"),
    ({"idle_ms": "1"}, 422, "idle_ms"),
    ({"cpu_ms": 0}, 422, "cpu_ms"),
    ({"forget": "yes"}, 422, "forget"),
    ("[]", 422, None),
    ("{", 400, None),
    ('{"id": "a", "id": "b"}', 400, "id"),
    ('{"id": "\\ud800"}', 400, "id"),
])
def test_requests_that_are_wrong(server, body, status, field):
    def ids():
        return [session["id"] for session in server.get("/v1/sessions").json()["sessions"]]

    before = ids()
    complaint(server.post("/v1/sessions", body), status, field)
    assert ids() == before


def test_null_is_absent(server):
    answer = server.post("/v1/sessions", {"id": None, "template": None, "limits": None, "idle_ms": None, "cpu_ms": None,
                                          "forget": None})
    assert answer.status == 201
    Session(server, answer.json()["id"]).end()


def test_listed_in_order_and_in_pages(make_server):
    server = make_server(*BARE)
    ids = [make(server, id=f"s{number}").id for number in (5, 1, 4, 2, 3)]
    whole = server.get("/v1/sessions").json()
    assert [one["id"] for one in whole["sessions"]] == ids and whole["next"] is None
    pages, after = [], ""
    while after is not None:
        page = server.get("/v1/sessions?limit=2" + (f"&after={after}" if after else "")).json()
        pages.append([one["id"] for one in page["sessions"]])
        after = page["next"]
    assert pages == [ids[:2], ids[2:4], ids[4:]]
    assert server.get("/v1/sessions?after=s3").json() == {"sessions": [], "next": None}
    for wrong in ("0", "1001", "-1", "a", "", "99999999999999999999"):
        complaint(server.get(f"/v1/sessions?limit={wrong}"), 422, "limit")
    complaint(server.get("/v1/sessions?after=nobody"), 422, "after")
    counters = server.health()["pool"]["counters"]
    assert (counters["sessions"], counters["sessions_made"]) == (5, 5)


def test_ended_without_a_trace(make_server):
    server = make_server(*BARE)
    session = make(server)
    session.ok("open('x', 'w').write('y' * 100000);")
    folder = session.folder()
    assert (folder / "x").exists()
    assert session.end().status == 204
    eventually(lambda: not folder.exists(), 20, "its files are gone")
    eventually(lambda: not list((server.state / "sessions" / "trash").iterdir()), 20, "the trash is emptied")
    eventually(lambda: server.health()["pool"]["counters"]["sessions"] == 0)


def test_ended_in_the_middle_of_a_run(server):
    session = make(server)
    run = begun(session, "import time\ntime.sleep(60)")
    waiting = Background(session.execute, "2")
    eventually(lambda: session.inspect()["queued"] == 1)
    assert session.end().status == 204
    assert run.ended()["status"] == "cancelled"
    answer = waiting.ended()
    assert answer.status == 200 and answer.json()["status"] == "cancelled"


def test_ended_while_its_interpreter_is_made(make_server):
    """That is no failure of a worker, which would keep the next ones waiting."""
    server = make_server()
    for _ in range(30):
        make(server).end()
    eventually(lambda: server.health()["pool"]["templates"][0]["starting"] == 0, 20, "nothing is being made")
    assert server.health()["pool"]["counters"]["workers_failed"] == 0
    session = make(server)
    assert session.value("1") == "1"


# ── How many, and for how long ──


def test_no_more_than_allowed(make_server):
    server = make_server(*BARE, "--sessions", "2")
    sessions = [make(server), make(server)]
    answer = server.post("/v1/sessions")
    complaint(answer, 503)
    assert int(answer.headers["retry-after"]) >= 1
    sessions[0].end()
    make(server)


def test_makes_room_for_a_new_one(make_server):
    server = make_server(*BARE, "--sessions", "3", "--evict-sessions")
    busy, old, young = (make(server) for _ in range(3))
    run = Held(busy)
    old.run("1")
    young.run("1")
    new = make(server)
    assert not old.is_there() and young.is_there() and new.is_there() and busy.is_there()
    assert run.release().ended()["status"] == "ok"
    assert server.health()["pool"]["counters"]["sessions_evicted"] == 1


def test_there_may_be_none_at_all(make_server):
    server = make_server(*BARE, "--sessions", "0")
    complaint(server.post("/v1/sessions"), 404)
    complaint(server.get("/v1/sessions"), 404)
    complaint(server.get("/v1/sessions/a"), 404)
    assert server.get("/v1/capabilities").json()["sessions"]["maximum"] == 0
    assert server.run("1")["status"] == "ok"


def test_ends_when_nobody_uses_it(server):
    before = server.health()["pool"]["counters"]["sessions_expired"]
    session = Session(server, "nobody uses it")
    new, busy = (json.dumps(body).encode() for body in ({"id": session.id, "idle_ms": 500}, {"code": "import time\ntime.sleep(1.5)"}))
    with Wire(server) as wire:
        # In one piece: it is not idle in between, however late the test is.
        wire.send(b"".join(b"POST %s HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), len(body), body)
                           for path, body in [("/v1/sessions", new), (session.path + "/execute", busy)]))
        answer = wire.answer()
        assert answer.status == 201 and 0 < answer.json()["expires_in_ms"] <= 500
        assert wire.answer().json()["status"] == "ok"  # busy is not idle
    eventually(lambda: not session.is_there(), 20, "it expires")
    assert server.health()["pool"]["counters"]["sessions_expired"] == before + 1


@pytest.mark.parametrize("method, body", [("PUT", b"new"), ("DELETE", None)])
def test_files_are_a_use(server, method, body):
    """Its end is put off: it is further away than before."""
    with made(server, idle_ms=600000) as session:
        session.ok("open('f', 'w').close()")
        eventually(lambda: session.inspect()["expires_in_ms"] < 598500, 20, "some of its time is over")
        at_the_latest = session.inspect()["expires_in_ms"] + time.monotonic() * 1000
        assert server.request(method, f"{session.path}/files/f", body).status == 204

        def is_put_off():  # of two clocks, one is read a moment before the other: that makes it look nearer, never further
            return time.monotonic() * 1000 + session.inspect()["expires_in_ms"] > at_the_latest + 100

        eventually(is_put_off, 20, "its end is put off")


def test_never_ends_by_itself(server):
    with made(server, idle_ms=0) as session:
        assert session.inspect()["expires_in_ms"] is None


# ── Reset ──


def test_reset_keeps_files(server):
    with made(server) as session:
        session.ok("x = 1\nopen('kept', 'w').write('here');")
        answer = session.reset()
        assert answer["id"] == session.id and answer["lost"] is None
        run = session.run("import os\nprint(open('kept').read(), os.listdir())\n'x' in globals()")
        assert (run["stdout"], run["result"]["text/plain"]) == ("here ['kept']\n", "False")
        assert run["session"]["began_anew"] is None  # it was asked for


def test_reset_removes_files(server):
    with made(server) as session:
        session.ok("import os\nos.makedirs('a/b')\nopen('a/b/c', 'w').write('here');")
        session.reset(keep_files=False)
        assert session.ok("import os\nprint(os.listdir())") == "[]\n"
        assert session.ok("open('new', 'w').close()\nprint(os.listdir())") == "['new']\n"


def test_reset_in_the_middle_of_a_run(server):
    with made(server) as session:
        run = begun(session, "import time\ntime.sleep(60)")
        waiting = Background(session.run, "'x' in globals()")
        eventually(lambda: session.inspect()["queued"] == 1)
        session.reset()
        assert run.ended()["status"] == "cancelled"
        assert waiting.ended()["result"]["text/plain"] == "False"


def test_reset_wants_to_be_understood(server):
    with made(server) as session:
        session.ok("x = 1")
        complaint(session.post("reset", {"keep_files": "yes"}), 422, "keep_files")
        complaint(session.post("reset", {"keep": True}), 422, "keep")
        assert session.value("x") == "1"


# ── Restarts ──


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_files_survive_the_server(make_server, how):
    server = make_server(*BARE)
    session = make(server, id="Zoë", limits={"memory_mb": 300}, idle_ms=600000)
    session.ok("x = 1\nopen('kept', 'w').write('here');")
    other = make(server)
    before = session.inspect()
    getattr(server, how)()
    server.start()
    after = session.inspect()
    assert after["state"] == "lost" and "server" in after["lost"]
    for name in ("id", "template", "created", "limits", "workspace", "forked_from"):
        assert after[name] == before[name], name
    if how == "stop":  # after a crash, what was counted since the last record is not known
        assert after["runs"] == 1
    assert 0 < after["expires_in_ms"] <= 600000
    run = session.run("import os\nprint(open('kept').read(), os.listdir())\n'x' in globals()")
    assert (run["stdout"], run["result"]["text/plain"]) == ("here ['kept']\n", "False")
    assert "server" in run["session"]["began_anew"] and run["session"]["run"] == after["runs"] + 1
    assert session.run("1")["session"]["began_anew"] is None
    assert [one["id"] for one in server.get("/v1/sessions").json()["sessions"]] == ["Zoë", other.id]


def test_copies_survive_the_server(make_server):
    server = make_server(*BARE)
    session = make(server, id="source")
    session.ok("open('kept', 'w').write('here');")
    copy, _ = session.fork(id="copy")
    copy.ok("open('more', 'w').write('too');")
    server.kill()
    server.start()
    assert copy.inspect()["forked_from"] == "source"
    assert copy.ok("print(open('kept').read(), open('more').read())") == "here too\n"
    assert session.ok("import os\nprint(os.listdir())") == "['kept']\n"


def test_what_has_expired_meanwhile_does_not_come_back(make_server):
    server = make_server(*BARE)
    over, young = (make(server, idle_ms=600000) for _ in range(2))
    over.run("open('x', 'w').write('y');")
    record = over.folder().parent.parent / "0.session"
    server.kill()
    # Its age is counted by the wall clock, while nobody is there.
    used = record.stat().st_mtime - 601
    os.utime(record, (used, used))
    server.start()
    assert not over.is_there() and young.is_there()


# ── Elsewhere ──


def test_what_the_server_tells_of_sessions(server):
    told = server.get("/v1/capabilities").json()["sessions"]
    assert told["maximum"] == 256 and told["evicts"] is False
    assert set(told["idle_ms"]) == {"native", "interpreter", "container", "jupyter"}
    with made(server):
        assert server.get("/v1/capabilities").json()["sessions"]["alive"] >= 1
    assert all("session_spares" in one for one in server.get("/v1/templates").json()["templates"])


def test_a_session_is_no_stateless_worker(server):
    """Sessions have slots of their own: as many runs as ever go on beside them."""
    sessions = [make(server) for _ in range(6)]
    try:
        runs = [Background(server.run, "import time\ntime.sleep(0.3)\nprint(1)") for _ in range(4)]
        assert [session.value("1 + 1") for session in sessions] == ["2"] * 6
        assert [run.ended()["stdout"] for run in runs] == ["1\n"] * 4
    finally:
        for session in sessions:
            session.end()


def test_ids_of_other_apis_are_apart(server):
    with made(server, id="shared") as session:
        session.ok("x = 'native'\nopen('mine', 'w').close()")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        missing = server.post("/execute", {"session_id": "shared", "code": "1"})
        assert missing.status == 404, missing
        missing = server.post("/execute", {"user_id": "shared", "code": "1"})
        assert missing.status == 404, missing
        assert server.post("/start_session", "user_id=shared", form).status == 200
        try:
            other = server.post("/execute", {"user_id": "shared", "code": "import os\nprint('mine' in os.listdir(), 'x' in globals())"})
            assert other.status == 200 and other.json()["output"].strip() == "False False", other
            assert [one["id"] for one in server.get("/v1/sessions").json()["sessions"]].count("shared") == 1
        finally:
            assert server.post("/end_session", "user_id=shared", form).status == 200
        assert session.value("x") == "'native'"
