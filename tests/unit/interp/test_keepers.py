"""Keepers of cells and their maker: what they are, what ends them, and what they say when a cell cannot be made."""

import contextlib
import errno
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cells_supervisor import CELL_FAILED, FAILED, IS_ROOT, MADE, STARTED, WITHOUT_MOUNT_RIGHTS, WORKER_UID, await_end, \
    refusal, status_of, user_namespaces_work
from harness import proc
from harness.hatchery import eventually
from supervisor import SECONDS, program

HERE = Path(__file__).resolve().parent

pytestmark = pytest.mark.skipif(not IS_ROOT and not user_namespaces_work(), reason="a plain user has no user namespaces here")


def assert_closed(pid):
    """That it is not dumpable; root cannot tell, to whom nothing is closed."""
    if not IS_ROOT:
        assert refusal(os.listdir, f"/proc/{os.getpid()}/fd") is None
        assert refusal(os.listdir, f"/proc/{pid}/fd") == "EACCES"


# What a keeper is


def test_processes_of_a_cell_see_only_each_other(cell):
    assert cell.run(lambda: (os.getpid(), os.getppid())) == (2, 0)
    server = os.getpid()
    assert cell.run(lambda: refusal(os.kill, server, 0), drop=False) == "ESRCH"
    assert cell.run(lambda: refusal(os.kill, 1, 0)) == ("EPERM" if IS_ROOT else None)


def test_the_keeper_survives_its_cell(cell):
    """All signals, from one with every capability that the cell has."""
    def attack():
        for number in signal.valid_signals():
            with contextlib.suppress(OSError):
                os.kill(1, number)
        with contextlib.suppress(OSError):
            os.kill(-1, signal.SIGKILL)
    cell.run(attack, drop=False)
    eventually(lambda: proc.state(cell.pid) == "S", SECONDS, "the keeper sleeps")
    assert cell.run(os.getcwd) == "/work"


def test_orphans_are_reaped(cell):
    def leave_an_orphan():
        told, tell = os.pipe()
        stays, end = os.pipe()
        if os.fork() == 0:
            if (orphan := os.fork()):
                os.write(tell, str(orphan).encode())
                os._exit(0)
            os.close(end)
            os.read(stays, 1)
            os._exit(0)
        os.wait()
        orphan = int(os.read(told, 100))
        assert refusal(os.kill, orphan, 0) is None
        os.close(end)
        eventually(lambda: refusal(os.kill, orphan, 0) == "ESRCH", SECONDS)
        return True
    assert cell.run(leave_an_orphan)


def test_a_cell_ends_with_its_keeper(cell):
    def stay():
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_IGN)
        ready, writable = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.write(writable, b"1")
                signal.pause()
            os._exit(0)
        os.read(ready, 1)
        os.write(announce, b"1")
        signal.pause()
    heard, announce = os.pipe()
    pid, outcome = cell.start(stay)
    os.close(announce)
    assert os.read(heard, 1) == b"1"
    assert cell.kill() == -signal.SIGKILL
    os.waitpid(pid, 0)
    # Both ends of both pipes were also held by the grandchildren: they are closed when all have ended.
    for fd in (outcome, heard):
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        assert poll.poll(SECONDS * 1000) and os.read(fd, 1) == b""
        os.close(fd)


def test_a_keeper_has_nothing(maker, cell):
    found = status_of(cell.pid)
    assert {int(found[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    assert (found["NoNewPrivs"], found["Threads"], found["Name"]) == ("1", "1", "hatchery-cell")
    assert int(status_of(cell.pid)["PPid"]) == os.getpid()
    assert_closed(cell.pid)
    # The rest it does after its report.
    eventually(lambda: status_of(cell.pid)["Seccomp"] == "1", SECONDS)
    if IS_ROOT:
        assert [os.readlink(f"/proc/{cell.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{cell.pid}/fd")] == \
            ["anon_inode:[eventfd]"]


def test_a_maker_has_little(maker):
    maker.cell()
    found = status_of(maker.process.pid)
    assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == 1 << 21 | 1 << 0  # CAP_SYS_ADMIN, CAP_CHOWN
    assert (found["NoNewPrivs"], found["Threads"]) == ("1", "1")
    assert_closed(maker.process.pid)


# What ends


def test_the_maker_ends_with_its_socket(maker, cell):
    maker.socket.close()
    assert maker.process.wait(SECONDS) == 0
    assert cell.run(os.getcwd) == "/work", "a cell outlives its maker"


def test_a_cell_outlives_a_maker_that_is_killed(maker, cell):
    maker.process.kill()
    maker.process.wait()
    assert cell.run(os.getcwd) == "/work"


def test_signals_of_a_terminal_do_not_end_the_maker(maker):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        maker.process.send_signal(number)
    assert maker.cell().run(os.getcwd) == "/work"


def test_nothing_outlives_the_supervisor():
    code = ("import sys; from cells_supervisor import CellMaker; maker = CellMaker(); "
            "print(maker.process.pid, *(maker.cell().pid for _ in range(3)), flush=True); sys.stdin.read()")
    supervisor = subprocess.Popen([sys.executable, "-c", code], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  env={**os.environ, "HATCHERY_PYTHON": str(program())})
    pidfds = [os.pidfd_open(int(word)) for word in supervisor.stdout.readline().split()]
    assert len(pidfds) == 4
    poll = select.poll()
    for fd in pidfds:
        poll.register(fd, select.POLLIN)
    assert not poll.poll(0)
    supervisor.kill()
    supervisor.communicate()
    assert all(await_end(fd) for fd in pidfds)
    for fd in pidfds:
        os.close(fd)


def test_a_broken_command_ends_the_maker(make_maker):
    for data in (b"x", bytes(32), bytes(64)):
        one = make_maker()
        one.socket.send(data)
        assert one.receive() is None
        assert one.process.wait(SECONDS) == 1
        assert "command" in one.log_text()


# What is said


def test_a_keeper_is_announced_before_its_cell(maker):
    slots = [maker.ask() for _ in range(20)]
    told = {}
    for _ in range(2 * len(slots)):
        report = maker.receive()
        told.setdefault(report.slot, []).append(report.kind)
        if report.kind == STARTED:
            maker.pids.append(report.value)
        for fd in report.fds:
            os.close(fd)
    assert told == {slot: [STARTED, MADE] for slot in slots}


@pytest.mark.parametrize("command", [{"size_bytes": 0}, {"inodes": 0}])
def test_no_limit_is_no_cell(maker, command):
    """To the kernel, 0 means without limit."""
    report = maker.failure(**command)
    assert (report.error, report.text) == (errno.EINVAL, "make a tmpfs without a limit")
    assert maker.cell()


def test_a_step_that_fails_in_the_keeper(maker):
    report = maker.failure(inodes=2)
    assert (report.error, report.text) == (errno.ENOSPC, "make the folder shm")
    assert maker.cell()


def test_another_user_without_the_right(maker):
    if IS_ROOT:
        pytest.skip("root has it")
    report = maker.failure(uid=WORKER_UID - 1)
    assert (report.error, report.text) == (errno.EINVAL, f"give the folder work to user {WORKER_UID - 1}")


def test_a_maker_without_the_right(make_maker):
    one = make_maker(mask=("mountns", "pidns"), wrapper=WITHOUT_MOUNT_RIGHTS, start=False)
    report = one.receive()
    assert (report.kind, report.error, report.text) == (FAILED, errno.EPERM, "unshare(CLONE_NEWNS)")
    assert one.process.wait(SECONDS) == 1
    assert "unshare(CLONE_NEWNS): Operation not permitted" in one.log_text()


def test_a_keeper_without_the_right(make_maker):
    report = make_maker(mask=("pidns",), wrapper=WITHOUT_MOUNT_RIGHTS).failure()
    assert (report.kind, report.error, report.text) == (CELL_FAILED, errno.EPERM, "clone a keeper")


def test_nothing_is_left_open(maker):
    def count():
        # It has told of a keeper, and let it go, before it closes the last of what it had of it.
        eventually(lambda: proc.state(maker.process.pid) == "S", SECONDS, "the maker waits")
        return len(os.listdir(f"/proc/{maker.process.pid}/fd")), len(os.listdir("/proc/self/fd"))
    maker.cell().close()
    before = count()
    for number in range(200):
        maker.cells.clear()
        maker.cell().close()
        if number % 10 == 0:
            maker.failure(inodes=1)
    assert count() == before
