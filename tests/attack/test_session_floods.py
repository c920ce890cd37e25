"""More sessions, more runs, and more files than there is room for: who is too many is told so, and nobody else notices."""

import threading
from collections import Counter

import pytest

from harness.aftermath import Witness
from harness.gate import waits_for
from harness.hatchery import eventually
from harness.isolation import makes_copies
from harness.own_sessions import OwnSession, all_ended
from harness.sessions import Background

BARE = ("--imports", "")

# Ends when release() says so.
GATE = waits_for("go")


def release(session):
    assert session.put("go", b"").status in (201, 204)


def at_once(count, work):
    """work(number) so many times side by side; the results in order."""
    results, problems = [None] * count, []

    def one(number):
        try:
            results[number] = work(number)
        except Exception as problem:
            problems.append(repr(problem))

    threads = [threading.Thread(target=one, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert not problems, problems[:3]
    return results


def test_more_sessions_than_there_may_be(make_server):
    server = make_server(*BARE, "--session-spares", "2", "--sessions", "6")
    neighbour = Witness(server)
    neighbour.start()
    answers = at_once(40, lambda number: server.post("/v1/sessions", {"id": f"flood-{number}"}))
    assert Counter(answer.status for answer in answers) == {201: 6, 503: 34}
    for answer in answers:
        if answer.status == 503:
            assert int(answer.headers["Retry-After"]) >= 1 and "sessions" in answer.json()["detail"]
    made = [answer.json()["id"] for answer in answers if answer.status == 201]
    assert sorted(one["id"] for one in server.get("/v1/sessions").json()["sessions"]) == sorted(made)
    for number, name in enumerate(made):
        assert server.post(f"/v1/sessions/{name}/execute", {"code": f"x = {number}"}).json()["status"] == "ok"
    assert server.post(f"/v1/sessions/{made[0]}/fork", {"id": "one-more"}).status == (503 if makes_copies(server) else 409)
    assert server.post("/install", {"session_id": "one-more", "packages": ["numpy"]}).status == 503
    assert server.post("/run", {"user_id": "one-more", "code": "1"}).status == 503
    for number, name in enumerate(made):
        assert server.post(f"/v1/sessions/{name}/execute", {"code": "print(x)"}).json()["stdout"] == f"{number}\n"
    assert server.request("DELETE", f"/v1/sessions/{made[0]}").status == 204
    assert server.post("/v1/sessions", {"id": "after"}).status == 201
    neighbour.end()


def test_room_is_made_where_the_operator_says_so(make_server):
    """The one that has been idle longest goes; one with a run under way does not."""
    server = make_server(*BARE, "--session-spares", "1", "--sessions", "3", "--evict-sessions")
    sessions = [OwnSession(server, f"s{number}") for number in range(3)]
    for session in sessions:
        session.ok("x = 1")
    runs = []
    thread = threading.Thread(target=lambda: runs.append(sessions[0].run(GATE + "print('whole')")))
    thread.start()
    eventually(lambda: sessions[0].inspect()["state"] == "busy", 30, "it runs")
    sessions[1].ok("x = 2")
    OwnSession(server, "new")
    assert {one["id"] for one in server.get("/v1/sessions").json()["sessions"]} == {"s0", "s1", "new"}
    at_once(12, lambda number: server.post("/v1/sessions", {"id": f"flood-{number}"}))
    names = {one["id"] for one in server.get("/v1/sessions").json()["sessions"]}
    assert len(names) == 3 and "s0" in names
    release(sessions[0])
    thread.join(30)
    assert runs[0]["stdout"] == "whole\n"


def test_when_all_are_busy_nobody_is_evicted(make_server):
    server = make_server(*BARE, "--sessions", "2", "--evict-sessions")
    sessions = [OwnSession(server, f"s{number}") for number in range(2)]
    threads = [threading.Thread(target=session.run, args=(GATE,)) for session in sessions]
    for thread in threads:
        thread.start()
    eventually(lambda: all(session.inspect()["state"] == "busy" for session in sessions), 30, "they run")
    answer = server.post("/v1/sessions", {"id": "new"})
    assert answer.status == 503 and int(answer.headers["Retry-After"]) >= 1, answer
    for session in sessions:
        release(session)
    for thread in threads:
        thread.join(30)


def test_more_runs_than_may_wait(make_server):
    server = make_server(*BARE, "--session-queue", "4")
    with OwnSession(server) as session, OwnSession(server) as other:
        slow = threading.Thread(target=session.run, args=(GATE + "order = []",))
        slow.start()
        eventually(lambda: session.inspect()["state"] == "busy", 30, "it runs")
        runs = [Background(session.execute, f"order.append({number})") for number in range(30)]
        eventually(lambda: sum(not run.is_alive() for run in runs) == 26, 30, "all but four are refused")
        assert other.ok("print(1)") == "1\n"
        release(session)
        answers = [run.ended() for run in runs]
        slow.join(30)
        assert Counter(answer.status for answer in answers) == {200: 4, 429: 26}
        for answer in answers:
            if answer.status == 429:
                assert int(answer.headers["Retry-After"]) >= 1
        taken = [number for number, answer in enumerate(answers) if answer.status == 200]
        assert session.ok("print(sorted(order))") == f"{taken}\n"


def test_made_and_ended_as_fast_as_may_be(make_server):
    server = make_server(*BARE, "--session-spares", "2", "--sessions", "16")
    neighbour = Witness(server)
    neighbour.start()

    def churn(number):
        statuses = Counter()
        for serial in range(40):
            name = f"churn-{number}-{serial}"
            made = server.post("/v1/sessions", {"id": name})
            statuses[made.status] += 1
            if made.status == 201:
                if serial % 4 == 0:
                    assert server.post(f"/v1/sessions/{name}/execute", {"code": "print(1)"}).json()["stdout"] == "1\n"
                assert server.request("DELETE", f"/v1/sessions/{name}").status == 204
        return statuses

    total = sum(at_once(6, churn), Counter())
    assert set(total) <= {201, 503} and total[201] > 100, total
    neighbour.end()
    all_ended(server)


def test_clients_that_leave(make_server):
    """Whoever hangs up is not waited for: the run is interrupted, the session lives, and its queue goes on."""
    # It has time to hear of it also where the machine stands still for a moment.
    server = make_server(*BARE, "--interrupt-grace-ms", "30000")
    with OwnSession(server) as session:
        session.ok("x = 'kept'")
        body = b'{"code": "import time\\ntime.sleep(60)"}'
        for _ in range(5):
            with server.connect() as connection:
                connection.sendall(b"POST " + (session.path + "/execute").encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
                                   % (len(body), body))
                eventually(lambda: session.inspect()["state"] == "busy", 30, "it runs")
        assert session.ok("print(x)") == "kept\n"


@pytest.mark.parametrize("handler", ["lambda *_: None", "signal.SIG_IGN"])
def test_an_interrupt_that_is_ignored(make_server, handler):
    server = make_server(*BARE, "--interrupt-grace-ms", "300")
    with OwnSession(server) as session, OwnSession(server) as other:
        other.ok("x = 'other'")
        runs = []
        code = f"import signal\nsignal.signal(signal.SIGINT, {handler})\nopen('deaf', 'w').close()\nwhile True: pass"
        thread = threading.Thread(target=lambda: runs.append(session.run(code)))
        thread.start()
        eventually(lambda: session.get("deaf").status == 200, 60, "it does not listen")
        answer = server.post(session.path + "/interrupt", {})
        assert answer.status == 200 and answer.json()["lost"] is True, answer
        thread.join(30)
        assert runs[0]["session"]["lost"], runs
        assert session.ok("print('again')") == "again\n"
        assert other.ok("print(x)") == "other\n"


MANY = 8000
MANY_FILES = f"""
import os
for number in range({MANY}):
    os.close(os.open(f"n{{number}}", os.O_CREAT))
"""


def test_copies_of_many_files_hold_up_nobody(make_server):
    """As many at once as there are threads for long work: what is short does not wait for them."""
    server = make_server("--imports", "")
    if not makes_copies(server):
        pytest.skip("no copies here")

    def copied():
        return [len(list(folder.iterdir())) for folder in (server.state / "sessions").glob("*/work/1")]

    # A busy disk takes long to make them.
    long = {"limits": {"wall_ms": 90000}}
    with OwnSession(server, **long) as one, OwnSession(server, **long) as other, OwnSession(server) as bystander:
        large = [one, other]
        for session in large:
            session.ok(MANY_FILES)
        copies = [threading.Thread(target=session.post, args=("fork", {"id": f"{session.id}-copy"})) for session in large]
        for copy in copies:
            copy.start()
        eventually(lambda: len(copied()) == 2 and all(copied()), 20, "both are copied")
        assert bystander.put("file", b"x" * 100).status == 201
        assert len(bystander.server.get(bystander.path + "/files").json()["files"]) == 1
        assert bystander.server.request("DELETE", bystander.path + "/files/file").status == 204
        assert all(0 < count < MANY for count in copied())
        for copy, session in zip(copies, large):
            copy.join(60)
            assert server.request("DELETE", f"/v1/sessions/{session.id}-copy").status == 204
