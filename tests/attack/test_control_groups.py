"""Where programs are allowed, a run's processes share its limits: one group of the kernel's for all of them. What the group
is for is shown with it, and, as a control, without it."""

import os
import signal
import threading
from pathlib import Path

import pytest

from harness import proc
from harness.aftermath import at_rest, unharmed
from harness.hatchery import Hatchery, eventually
from harness.isolation import layers_on
from harness.own_sessions import OwnSession
from hostile import UID_BASE, attack

BASE = UID_BASE + 48
OPTIONS = ("--workers", "3", "--touched", "1", "--imports", "", "--subprocesses", "--max-processes", "32",
           "--isolation", "best-effort", "--worker-uid-base")
LIMITS = {"memory_mb": 256, "disk_mb": 16, "processes": 32, "wall_ms": 10000}


def has_groups(server):
    return "cgroup" in layers_on(server)


def groups(pid):
    """The folders of the server with that number, in every hierarchy."""
    return [path for path in proc.control_groups(pid) if path.endswith(f"/hatchery-{pid}")]


@pytest.fixture(scope="module")
def _grouped():
    with Hatchery(*OPTIONS, BASE) as server:
        server.baseline, pid = at_rest(server), server.pid
        yield server
        server.stop()
        assert not groups(pid)


@pytest.fixture
def grouped(_grouped):
    if not has_groups(_grouped):
        pytest.skip("there are no control groups that this server may divide")
    with unharmed(_grouped, BASE, _grouped.baseline):
        yield _grouped


@pytest.fixture(scope="module")
def ungrouped():
    with Hatchery(*OPTIONS, BASE + 4, "--layers-off", "cgroup") as server:
        yield server


# None of them holds more than the limit, nor lets go of what it holds before all of them are full.
HOGS = """
import os
full, say_full = os.pipe()
over, say_over = os.pipe()
pids = []
for _ in range(4):
    pid = os.fork()
    if pid == 0:
        os.close(say_over)
        hoard = bytearray(b"x") * (100 << 20)
        os.write(say_full, b"x")
        os.read(over, 1)
        os._exit(0)
    pids.append(pid)
print("full", sum(len(os.read(full, 1)) for _ in pids))
os.close(say_over)
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])
"""


def test_processes_share_the_memory_limit(grouped):
    run = attack(grouped, HOGS, "memory_limit", limits=LIMITS)
    assert "full 4" not in run["stdout"]
    assert run["error"]["type"] == "MemoryLimit"


def test_below_the_limit_they_are_left_alone(grouped):
    """The control: the same processes, with as much memory as they need."""
    run = attack(grouped, HOGS, "ok", limits={**LIMITS, "memory_mb": 512})
    assert "[0, 0, 0, 0]" in run["stdout"]


def test_the_limit_is_each_runs_own(grouped):
    """Up and down, in the same slots."""
    for megabytes, status in ((512, "ok"), (256, "memory_limit")) * 4:
        attack(grouped, HOGS, status, limits={**LIMITS, "memory_mb": megabytes})


def test_without_groups_they_do_not(ungrouped):
    """The control: it is the group that stops them, and not some other limit."""
    run = attack(ungrouped, HOGS, "ok", limits=LIMITS)
    assert "[0, 0, 0, 0]" in run["stdout"]


def test_who_hides_the_loss_of_a_process_tells_nobody_else(grouped):
    """The kernel may take one process only; the run is memory_limit all the same, whatever its program says."""
    run = attack(grouped, """
import os
pid = os.fork()
if pid == 0:
    hoard = []
    while True: hoard.append(bytearray(b"x") * (1 << 20))
os.waitpid(pid, 0)
""", "memory_limit", limits=LIMITS)
    assert run["exit_code"] is None


def test_the_culprit_is_taken_and_nobody_else(grouped):
    """Beside a hog, runs in other slots go on: unharmed() has one running all the time."""
    hogs = [threading.Thread(target=attack, args=(grouped, HOGS, "memory_limit"), kwargs={"limits": LIMITS})
            for _ in range(2)]
    for hog in hogs:
        hog.start()
    for hog in hogs:
        hog.join()


BETWEEN_RUNS = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        while not os.path.exists("now"): time.sleep(0.01)
        hoard = bytearray(b"x") * (100 << 20)
        time.sleep(60)
        os._exit(0)
"""


@pytest.fixture(scope="module")
def with_sessions():
    """Slots of sessions keep their groups: a server of their own, since the descriptors of the others are counted."""
    with Hatchery(*OPTIONS, BASE + 12) as server:
        yield server


def test_processes_of_a_session_share_it_between_runs_too(with_sessions):
    if not has_groups(with_sessions):
        pytest.skip("there are no control groups that this server may divide")
    with OwnSession(with_sessions, limits=LIMITS) as session:
        session.ok(BETWEEN_RUNS)
        assert session.put("now", b"").status == 201
        session.await_state("lost")
        assert "memory_mb" in session.inspect()["lost"]
        assert session.ok("import os; print(os.listdir())") == "['now']\n"


def test_a_session_that_ends_its_process_between_runs_is_not_called_a_hog(with_sessions):
    with OwnSession(with_sessions, limits=LIMITS) as session:
        session.ok("""
import os, threading, time
def end():
    while not os.path.exists("now"): time.sleep(0.01)
    os._exit(0)
threading.Thread(target=end).start()
""")
        assert session.put("now", b"").status == 201
        session.await_state("lost")
        assert session.inspect()["lost"] == "its process ended between two runs"


BOMB = """
import os, time
def bomb():
    while True:
        try: os.fork()
        except OSError: time.sleep(0.01)
bomb()
"""


def test_a_fork_bomb_is_bounded(grouped):
    """By the group: 32 processes, and 64 threads beyond. A neighbour is served meanwhile."""
    most = []

    def tasks():
        for top in groups(grouped.pid):
            for file in Path(top).glob("slot-*/pids.current"):
                most.append(int(file.read_text()))
        return over.is_set()

    over = threading.Event()
    watch = threading.Thread(target=eventually, args=(tasks, 60))
    watch.start()
    try:
        attack(grouped, BOMB, {"timeout", "cpu_limit", "memory_limit"}, limits={**LIMITS, "wall_ms": 1500})
    finally:
        over.set()
        watch.join()
    assert 8 < max(most) <= 32 + 64
    eventually(lambda: all(Path(top, name, "cgroup.procs").read_text().split() == idle(grouped, top, name)
                           for top in groups(grouped.pid) for name in os.listdir(top) if name.startswith("slot-")), 10,
               "nobody is left in the groups but idle workers")


def idle(server, top, name):
    """Of the processes in a slot's group, those that are workers."""
    workers = {str(pid) for pid in server.workers()}
    return [pid for pid in Path(top, name, "cgroup.procs").read_text().split() if pid in workers]


def test_what_a_killed_server_leaves_is_removed_by_the_next(grouped):
    server = Hatchery(*OPTIONS, BASE + 8)
    pid = server.pid
    with server:
        at_rest(server)
        assert groups(pid)
        processes = proc.descendants(pid)
        os.kill(pid, signal.SIGKILL)
        server.wait()
        eventually(lambda: not [child for child in processes if proc.is_same_alive(child, processes[child])], 10)
        # Any server that starts from now on removes them, and so must this one at the latest.
        server.start()
        assert not groups(pid)
        assert groups(server.pid)
        # That of a server that lives is nobody's to remove.
        assert groups(grouped.pid)
        pid = server.pid
    assert not groups(pid)
