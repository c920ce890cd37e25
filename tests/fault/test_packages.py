"""Packages when the disk of the state directory is full, when pip's process is killed, and when the server is."""

import os
import threading

import pytest

from faults import kill
from harness import proc
from harness.hatchery import SMALL_POOL, Hatchery, eventually
from harness.small_disk import small_disk
from harness.wheels import Index


@pytest.fixture
def index():
    with Index() as one:
        one.add("small")
        one.add("large", files={f"large_{number}.py": os.urandom(1 << 20) for number in range(24)})
        yield one


def install(server, session, package):
    return server.post(f"/v1/sessions/{session}/packages", {"packages": [package]})


def new_session(server):
    answer = server.post("/v1/sessions")
    assert answer.status == 201, answer
    return answer.json()["id"]


def installers(server):
    return [pid for pid in proc.descendants(server.pid) if "--install" in proc.command_line(pid)]


def wheels(server):
    """Names below wheels/, but for the two folders that are always there."""
    return sorted(path.name for path in (server.state / "wheels").iterdir() if path.name not in ("staging", "trash"))


def nothing_staged(server):
    return not any(os.listdir(server.state / "wheels" / part) for part in ("staging", "trash"))


def test_the_disk_is_full(index):
    server = Hatchery(*SMALL_POOL, "--package-index", index.url, start=False)
    try:
        with small_disk(server.state, "size=16m"):
            server.start()
            session = new_session(server)
            answer = install(server, session, "large")
            assert answer.status == 507, answer
            assert "no space left" in answer.json()["detail"]
            eventually(lambda: nothing_staged(server), 10, "what pip has left goes")
            assert wheels(server) == []
            assert install(server, session, "small").status == 200
            assert len(wheels(server)) == 1
            server.stop()
    finally:
        server.close()


def test_pip_is_killed(make_server, index):
    index.slow = 100  # until the test says otherwise
    server = make_server("--package-index", index.url)
    session = new_session(server)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(install(server, session, "small")))
    thread.start()
    eventually(lambda: index.requests, 20, "pip asks the index")
    for pid in installers(server):
        kill(pid)
    thread.join(30)
    assert answers[0].status == 503, answers
    assert "ended before" in answers[0].json()["detail"]
    eventually(lambda: nothing_staged(server), 10, "what pip has left goes")
    index.slow = 0
    assert install(server, session, "small").status == 200


def test_the_server_is_killed_meanwhile(index):
    index.slow = 100  # until the test says otherwise
    server = Hatchery(*SMALL_POOL, "--package-index", index.url)
    try:
        session = new_session(server)
        thread = threading.Thread(target=lambda: pytest.raises(OSError, install, server, session, "small"))
        thread.start()
        eventually(lambda: index.requests, 20, "pip asks the index")
        left = {pid: proc.started(pid) for pid in installers(server)}
        assert left
        server.kill()
        thread.join(30)
        eventually(lambda: not [pid for pid in left if proc.is_same_alive(pid, left[pid])], 10, "pip ends with the server")
        index.slow = 0
        server.start()
        eventually(lambda: nothing_staged(server), 10, "what pip has left goes")
        assert install(server, new_session(server), "small").status == 200
        server.stop()
    finally:
        server.close()
