"""The proof at each start and each reload, as an operator sees it: what sessions and their copies try, that a server does not
serve what gives way, and that a generation serves until the next one has been proven."""

import os
import re
import signal
import tempfile
import threading
from pathlib import Path

import pytest

from command import hatchery
from harness.hatchery import eventually, python_program
from http_wire import BARE

# Copies are tried before the worker that they are copied from; where there are none, it is that worker.
WHO = "(a copy|the worker) of a session"
# Beside the folders of a server; /tmp is each run's own.
HOLE = """#!/bin/sh
[ ! -e {top}/broken ] || exec {python} "$@" {more}
exec {python} "$@"
"""


@pytest.fixture
def hole():
    """Options of a server whose workers are shown all homes of sessions as soon as there is a file `broken`: nothing that a run
    can tell, and all that sessions must be kept from."""
    with tempfile.TemporaryDirectory(prefix="hatchery-proof-", dir="/var/tmp") as name:
        top = Path(name)
        top.chmod(0o755)
        for part in ("work", "state"):
            (top / part).mkdir()
        wrapper = top / "python-program"
        wrapper.write_text(HOLE.format(top=top, python=python_program(),
                                       more=f"--view {top}/state"))
        wrapper.chmod(0o755)
        options = ["--python-program", wrapper, "--work-directory", top / "work", "--state-directory", top / "state"]
        if os.geteuid() == 0:
            options += ["--worker-uid-base", "0"]
        yield top / "broken", options


def template(server):
    return server.get("/health").json()["pool"]["templates"][0]


def test_all_that_sessions_try_is_stopped(server):
    found = template(server)
    sessions = found["sessions"]
    assert sessions["served"] and sessions["failure"] is None
    assert sessions["probes_tried"] == sessions["probes_stopped"] > found["probes_tried"]
    copies = sessions["copies"]
    assert copies["probes_tried"] == copies["probes_stopped"]
    assert (copies["probes_tried"] > sessions["probes_tried"]) == sessions["copied"]
    said = server.get("/v1/capabilities").json()["sessions"]
    assert (said["served"], said["copied"]) == (True, sessions["copied"])


def test_canaries_leave_nothing(make_server):
    server = make_server(*BARE)
    homes = server.state / "sessions"
    for _ in range(3):
        before = template(server)["generation"]
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: template(server)["generation"] > before and server.get("/ready").status == 200, 20, "reloaded")
    eventually(lambda: [path.name for path in homes.iterdir()] == ["trash"] and not list((homes / "trash").iterdir()), 20,
               lambda: list(homes.rglob("*")))
    counters = server.health()["pool"]["counters"]
    assert counters["sessions"] == counters["sessions_made"] == counters["sessions_lost"] == 0
    assert server.get("/v1/sessions").json()["sessions"] == []


def test_without_sessions_nothing_of_them_is_tried(make_server):
    server = make_server(*BARE, "--sessions", "0")
    found = template(server)["sessions"]
    assert (found["served"], found["failure"], found["probes_tried"]) == (False, None, 0)
    assert server.get("/v1/capabilities").json()["sessions"]["served"] is False


def test_check_tries_sessions_beside_a_server(folders, make_server):
    server = make_server(*BARE)
    done = hatchery("check", *BARE, "--work-directory", server.work, "--state-directory", server.state)
    assert done.returncode == 0, done
    found = template(server)
    assert f"    sessions: {found['sessions']['probes_tried']} tried, {found['sessions']['probes_stopped']} stopped; " in done.stdout
    assert not list(server.state.glob("check-*"))


# ── What gives way ──


def test_strict_does_not_serve_where_sessions_get_out(hole):
    broken, options = hole
    broken.touch()
    done = hatchery("serve", "--listen", "127.0.0.1:0", *BARE, *options, "--log-level", "error")
    assert (done.returncode, done.stdout) == (78, ""), done
    assert re.fullmatch(f"hatchery: template default: the layers taken do not hold: {WHO} was able to read a file of another "
                        "session; hatchery check says more", done.stderr.splitlines()[-1]), done
    done = hatchery("check", *BARE, *options, "--log-level", "error")
    assert done.returncode == 78, done
    assert re.search(f"^  template default: BROKEN: {WHO} was able to read a file of another session$", done.stdout, re.M), done


def test_best_effort_serves_runs_alone(hole, make_server):
    broken, options = hole
    broken.touch()
    server = make_server(*BARE, *options, "--isolation", "best-effort")
    found = template(server)["sessions"]
    assert not found["served"] and not found["copied"]
    assert re.fullmatch(f"{WHO} was able to read a file of another session", found["failure"])
    assert server.health()["status"] == "healthy"
    assert server.run("print(7)")["stdout"] == "7\n"
    answer = server.post("/v1/sessions", {})
    assert answer.status == 503 and "would not be kept in" in answer.json()["detail"], answer
    assert answer.headers["Retry-After"]
    assert re.search(rf" error hatchery: template default: a canary \({WHO}\) could read a file of another session, ", server.log())
    done = hatchery("check", *BARE, *options, "--isolation", "best-effort", "--log-level", "error")
    assert done.returncode == 0 and re.search(f"^    BROKEN: {WHO} was .*; sessions are not served$", done.stdout, re.M), done

    broken.unlink()
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: template(server)["sessions"]["served"], 30, lambda: template(server))
    assert template(server)["sessions"]["failure"] is None
    assert server.post("/v1/sessions", {}).status == 201


# ── Reloads ──


class Watch:
    """Asks /health and /ready all the time, and keeps what is not as it should be."""

    def __init__(self, server):
        self.server, self.wrong, self.asked = server, [], 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self):
        while not self._end.is_set():
            health = self.server.get("/health")
            if health.status != 200 or health.json()["status"] != "healthy" or not health.json()["pool"]["ready"]:
                self.wrong.append(health)
            if self.server.get("/ready").status != 200:
                self.wrong.append("not ready")
            self.asked += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()


def test_a_reload_is_not_seen(make_server):
    """Nor are several, of which some come while the one before is under way."""
    server = make_server(*BARE, "--workers", "1")
    with Watch(server) as watch:
        for i in range(3):
            before = template(server)["zygote_pid"]
            server.process.send_signal(signal.SIGHUP)
            if i == 1:
                server.process.send_signal(signal.SIGHUP)
            # Never is the only worker taken from runs for longer than it takes to replace it.
            while template(server)["zygote_pid"] == before:
                assert server.run("print(1)")["stdout"] == "1\n"
    assert watch.wrong == [] and watch.asked > 0
    assert template(server)["restarts"] == 0
    assert " error " not in server.log()


def test_a_generation_that_is_refused(hole, make_server):
    """The last one serves on, sessions and all; what is wrong is said, and mended by what comes next."""
    broken, options = hole
    server = make_server(*BARE, *options)
    zygote = template(server)["zygote_pid"]
    broken.touch()
    with Watch(server) as watch:
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: template(server)["failure"], 30, lambda: template(server))
        found = template(server)
        assert found["ready"] and found["zygote_pid"] == zygote and found["sessions"]["served"], found
        assert re.match(rf"a canary \({WHO}\) could read a file of another session, which ", found["failure"])
        assert server.run("print(7)")["stdout"] == "7\n"
        made = server.post("/v1/sessions", {"id": "meanwhile"})
        assert made.status == 201, made
        assert server.post("/v1/sessions/meanwhile/execute", {"code": "print(8)"}).json()["stdout"] == "8\n"
        broken.unlink()
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: template(server)["zygote_pid"] != zygote, 30, lambda: template(server))
        assert template(server)["failure"] is None
    assert watch.wrong == [] and watch.asked > 0
    assert " error hatchery: template default: its next generation is not used: a canary (" in server.log()
