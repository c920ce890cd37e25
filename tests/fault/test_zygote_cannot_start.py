"""A zygote that dies and cannot be started again: tried ever less often, told by /health, and back as soon as it can be."""

import os
import signal
import time
from pathlib import Path

import pytest

from faults import BARE, Under, nothing_lost, refused
from harness.aftermath import at_rest, counters, template
from harness.hatchery import eventually, python_program

PYTHON = python_program()


class Switch:
    """A symbolic link in place of the interpreter's program, which can be turned to another one."""

    def __init__(self, folder):
        self.folder, self.path = folder, folder / "python-program"
        self.turn(PYTHON)

    def turn(self, target):
        new = self.folder / "new-link"
        new.symlink_to(target)
        os.replace(new, self.path)

    def script(self, text):
        """Turns to a shell script that first notes that it was started."""
        path = self.folder / "script"
        path.write_text(f"#!/bin/sh\necho x >>{self.folder}/attempts\n{text}\n")
        path.chmod(0o755)
        self.turn(path)

    def attempts(self):
        noted = self.folder / "attempts"
        return len(noted.read_text()) // 2 if noted.exists() else 0


@pytest.fixture
def switch(tmp_path):
    return Switch(tmp_path)


def use_up_spares(server):
    """Ends the zygote, and then every worker that was forked before."""
    os.kill(template(server)["zygote_pid"], 9)
    eventually(lambda: not template(server)["ready"], 10, "its death is noticed")
    while template(server)["idle"]:
        server.run("1")


BROKEN = {
    "ends": "exit 3",
    "is killed": "kill -9 $$",
    "says nonsense and ends": "echo nonsense >&3; exit 0",
    "says much nonsense": "head -c 300000 /dev/zero >&3; exit 0",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_a_program_that(make_server, switch, text):
    server = make_server(*BARE, "--python-program", switch.path, "--queue-wait-ms", "500")
    at_rest(server)
    switch.script(text)
    began = time.monotonic()
    use_up_spares(server)
    eventually(lambda: switch.attempts() >= 3, 20, "it is tried again")
    answer = server.get("/health")
    assert (answer.status, answer.json()["status"]) == (503, "unhealthy")
    assert answer.json()["pool"]["templates"][0]["failure"]
    assert server.get("/ready").status == 503

    # Runs wait as long as they may, and are refused; none is lost.
    waiting = [Under(server, "print(1)") for _ in range(5)]
    assert all(refused(one.answer()) for one in waiting)
    assert counters(server)["refused"] == 5

    # Each pause is twice as long as the one before, from a tenth of a second on.
    elapsed, attempts = time.monotonic() - began, switch.attempts()
    assert sum(0.1 * 2 ** n for n in range(attempts - 2)) < elapsed, f"{attempts} attempts in {elapsed} s"

    switch.turn(PYTHON)
    late = Under(server, "print(7)")
    eventually(lambda: server.get("/health").status == 200, 30, "healthy again")
    assert template(server)["failure"] is None
    at_rest(server)
    if late.answer().status == 503:
        late = Under(server, "print(7)")
    assert late.result()["stdout"] == "7\n"
    at_rest(server)
    assert nothing_lost(server)


def test_a_program_that_is_missing(make_server, switch):
    server = make_server(*BARE, "--python-program", switch.path, "--queue-wait-ms", "300")
    at_rest(server)
    switch.path.unlink()
    use_up_spares(server)
    failure = eventually(lambda: template(server)["failure"], 10, "the reason is told")
    assert "No such file" in failure
    assert refused(Under(server, "1").answer())
    switch.turn(PYTHON)
    eventually(lambda: server.get("/health").status == 200, 30, "healthy again")
    at_rest(server)  # a run may not wait for long here
    assert server.run("print(7)")["stdout"] == "7\n"
    at_rest(server)


def test_a_program_that_hangs(make_server, switch):
    server = make_server(*BARE, "--python-program", switch.path, "--queue-wait-ms", "300", "--start-timeout-ms", "1500")
    at_rest(server)
    switch.script("exec sleep 600")
    use_up_spares(server)
    failure = eventually(lambda: template(server)["failure"], 20, "the reason is told")
    assert "in time" in failure
    switch.turn(PYTHON)
    eventually(lambda: server.get("/health").status == 200, 30, "healthy again")
    at_rest(server)  # a run may not wait for long here
    assert server.run("print(7)")["stdout"] == "7\n"
    at_rest(server)


def test_python_says_why(make_server, tmp_path):
    """A prelude that begins to fail: its traceback stands in /health."""
    prelude = tmp_path / "prelude.py"
    prelude.write_text("")
    server = make_server(*BARE, "--prelude", prelude)
    at_rest(server)
    prelude.write_text("def load():\n    raise LookupError('the table is missing')\nload()\n")
    use_up_spares(server)
    failure = eventually(lambda: template(server)["failure"], 10, "the reason is told")
    assert "LookupError: the table is missing" in failure and "line 2" in failure
    prelude.write_text("")
    eventually(lambda: server.get("/health").status == 200, 30, "healthy again")
    at_rest(server)


def test_a_reload_that_fails_leaves_the_old_one(make_server, switch):
    server = make_server(*BARE, "--python-program", switch.path)
    at_rest(server)
    before = template(server)
    switch.script("exit 3")
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: switch.attempts() >= 2, 10, "it is tried")
    for number in range(8):
        assert server.run(f"print({number})")["stdout"] == f"{number}\n"
    now = template(server)
    assert (now["zygote_pid"], now["ready"]) == (before["zygote_pid"], True)
    switch.turn(PYTHON)
    eventually(lambda: template(server)["zygote_pid"] not in (0, before["zygote_pid"]), 30, "the reload is done")
    at_rest(server)
    assert Path(f"/proc/{before['zygote_pid']}").exists() is False
