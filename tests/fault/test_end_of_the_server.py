"""The server ends, by force or by request, or loses its log: nothing of it stays, and the next one cleans up."""

import os
import signal

import pytest

from faults import BARE, Under, gone, let_go, nothing_lost, start_held, start_marked
from harness import proc
from harness.aftermath import at_rest
from harness.hatchery import SMALL_POOL, Hatchery, eventually


@pytest.fixture
def start():
    """start(…, **keywords) is a server that the test ends in its own way."""
    servers = []

    def make(*arguments, **keywords):
        server = Hatchery(*SMALL_POOL, *BARE, *arguments, **keywords, start=False)
        servers.append(server)
        server.start()
        return server

    yield make
    for server in servers:
        server.close()


def test_a_kill_takes_everything_with_it(start):
    server = start()
    at_rest(server)
    under, _ = start_marked(server, 2, 60)
    processes = proc.descendants(server.pid)
    assert len(processes) >= 4
    server.kill()
    eventually(lambda: gone(processes), 10, "no process of it is left")
    for one in under:
        with pytest.raises(Exception):
            one.answer()


def test_a_kill_takes_a_stopped_zygote_and_stopped_workers_too(start):
    server = start()
    at_rest(server)
    processes = proc.descendants(server.pid)
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    server.kill()
    eventually(lambda: gone(processes), 10, "no process of it is left")


def test_a_kill_while_the_zygote_starts(start, tmp_path):
    prelude = tmp_path / "prelude.py"
    prelude.write_text("")
    server = start("--prelude", prelude)
    prelude.write_text(f"import time\nopen({str(tmp_path / 'here')!r}, 'w')\ntime.sleep(60)")
    server.process.send_signal(signal.SIGHUP)
    eventually((tmp_path / "here").exists, 10, "the next zygote starts")
    processes = proc.descendants(server.pid)
    server.kill()
    eventually(lambda: gone(processes), 10, "no process of it is left")


def test_programs_of_runs_end_too(start):
    """Where runs may start programs, those are nobody's children once the server is dead."""
    server = start("--subprocesses", "--max-processes", "8", "--drain-timeout-ms", "300")
    at_rest(server)
    # The name of a process is its children's, too.
    one = Under(server, "import ctypes, os, time\nctypes.CDLL(None).prctl(15, b'program')\nfor _ in range(3):\n"
                        "    if os.fork() == 0: break\ntime.sleep(60)", limits={"processes": 8})
    eventually(lambda: sum(proc.status_field(pid, "Name") == "program" for pid in proc.descendants(server.pid)) == 4, 10,
               "the programs run")
    processes = proc.descendants(server.pid)
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 1
    eventually(lambda: gone(processes), 10, "no process of it is left")
    with pytest.raises(Exception):
        one.answer()


def test_the_next_start_removes_what_a_killed_one_left(start):
    server = start()
    at_rest(server)
    server.run("open('f', 'w').write('x')")
    under, _ = start_marked(server, 1, 60)
    server.kill()
    left = {path.name for path in server.work.iterdir()}
    assert len(left) == 1
    server.start()
    at_rest(server)
    now = {path.name for path in server.work.iterdir()}
    assert len(now) == 1 and not now & left
    assert server.run("print(7)")["stdout"] == "7\n"
    server.stop()
    assert under


def test_what_was_uploaded_survives_a_kill(start):
    server = start()
    for number in range(5):
        assert server.post(f"/upload_data/{number}", '{"x": %d}' % number).status == 200
    server.kill()
    server.start()
    assert [server.get(f"/get_data/{number}").json() for number in range(5)] == [{"x": number} for number in range(5)]
    server.stop()


def test_two_servers_in_one_work_directory(start):
    first = start()
    second = Hatchery(*SMALL_POOL, *BARE, start=False)
    second.work = first.work
    try:
        second.start()
        at_first, at_second = {path.name for path in first.work.iterdir()}, second
        assert len(at_first) == 2
        for number in range(8):
            assert first.run(f"open('f', 'w').write('1'); print({number})")["stdout"] == f"{number}\n"
            assert at_second.run(f"import os; print(os.listdir(), {number})")["stdout"] == f"[] {number}\n"
        # The end of one, by force or not, is nothing to the other; only the dead one's folder is removed.
        second.kill()
        assert first.run("print(7)")["stdout"] == "7\n"
        second.start()
        assert len(list(first.work.iterdir())) == 2
        second.process.send_signal(signal.SIGTERM)
        assert second.wait() == 0
        assert len(list(first.work.iterdir())) == 1
        assert first.run("print(7)")["stdout"] == "7\n"
        first.stop()
    finally:
        second.close()


def test_sigterm_finishes_what_runs_and_refuses_what_comes(start):
    server = start()
    at_rest(server)
    under, pids = start_held(server, 4)
    waiting = [Under(server, f"print({number})") for number in range(4)]
    eventually(lambda: server.health()["pool"]["templates"][0]["queued"] == 4, 10, "four wait")
    server.process.send_signal(signal.SIGTERM)
    eventually(server.refuses, 10, "who comes is refused")
    let_go(pids)
    assert [one.result()["stdout"] for one in under] == ["before\nafter\n"] * 4
    # Those were accepted, so they are run.
    assert [one.result()["stdout"] for one in waiting] == [f"{number}\n" for number in range(4)]
    assert server.wait() == 0
    with pytest.raises(OSError):
        server.connect()


def test_sigterm_while_the_zygote_is_dead(start):
    server = start()
    at_rest(server)
    os.kill(server.zygote_pid(), signal.SIGKILL)
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 0
    assert list(server.work.iterdir()) == []


# ── The log ──


@pytest.mark.parametrize("closing", ["2>&-", "2>&- 0<&-", "2>/dev/full", "2>/dev/null"])
def test_a_log_that_cannot_be_written(start, closing):
    """The number of a closed stream must not become a socket or the database, and get the log written into it."""
    server = start(wrapper=("sh", "-c", f'exec "$@" {closing}', "sh"))
    at_rest(server)
    for number in (0, 2):
        try:
            target = os.readlink(f"/proc/{server.pid}/fd/{number}")
        except FileNotFoundError:
            continue
        assert target.startswith("/dev/"), target
    for number in range(8):
        assert server.post(f"/upload_data/{number}", '{"x": 1}').status == 200
        assert server.run("import sys; print(1, file=sys.stderr); print(2)")["stdout"] == "2\n"
    os.kill(server.zygote_pid(), signal.SIGKILL)
    assert server.run("print(7)")["stdout"] == "7\n"
    eventually(lambda: server.get("/health").status == 200, 20, "healthy")
    assert server.get("/get_data/0").json() == {"x": 1}
    at_rest(server)
    assert nothing_lost(server)
    server.stop()


def test_a_log_whose_reader_has_gone(start, tmp_path):
    """A pipe into a program that has ended: writing to it raises SIGPIPE, unless that is ignored."""
    os.mkfifo(tmp_path / "log")
    reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    server = start(wrapper=("sh", "-c", f'exec "$@" 2>{tmp_path / "log"}', "sh"))
    os.close(reader)
    for number in range(8):
        assert server.run(f"print({number})")["stdout"] == f"{number}\n"
    at_rest(server)
    server.stop()
