"""Descriptors, disk and processes that run out: what needs them fails and says so, the rest goes on, and it recovers."""

import json
import os
import re
import resource
import socket
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from faults import BARE, Under, nothing_lost, refused
from harness import proc
from harness.aftermath import at_rest, template
from harness.descriptors import descriptors_left
from harness.hatchery import SMALL_POOL, Hatchery, eventually
from harness.isolation import layers_on
from harness.small_disk import small_disk

# ── Descriptors ──


def test_too_few_descriptors_to_start():
    with pytest.raises(AssertionError) as failure:
        Hatchery(*SMALL_POOL, *BARE, wrapper=("prlimit", "--nofile=64:64"))
    said = str(failure.value)
    assert "64 are allowed" in said
    needed = int(re.search(r"(\d+) descriptors are needed", said).group(1))
    # The number that it names is enough.
    with Hatchery(*SMALL_POOL, *BARE, wrapper=("prlimit", f"--nofile={needed}:{needed}")) as server:
        assert server.run("print(7)")["stdout"] == "7\n"
    with pytest.raises(AssertionError):
        Hatchery(*SMALL_POOL, *BARE, wrapper=("prlimit", f"--nofile={needed - 1}:{needed - 1}"))


def test_the_number_that_it_needs_is_enough(make_server):
    """With exactly the descriptors that it asks for, it holds every connection that it allows and fills every slot."""
    size = ("--connections", "40", "--workers", "40", "--touched", "0")
    with pytest.raises(AssertionError) as failure:
        Hatchery(*size, *BARE, wrapper=("prlimit", "--nofile=64:64"))
    needed = int(re.search(r"(\d+) descriptors are needed", str(failure.value)).group(1))
    server = make_server(*size, *BARE, wrapper=("prlimit", f"--nofile={needed}:{needed}"))
    connections = [server.connect() for _ in range(35)]
    at_rest(server)
    under = [Under(server, f"import time; time.sleep(.2); print({n})") for n in range(4)]
    assert [one.result()["stdout"] for one in under] == [f"{n}\n" for n in range(4)]
    at_rest(server)
    assert "cannot" not in server.log()
    for connection in connections:
        connection.close()


def kept_client(server):
    """Whose connection is there before the descriptors run out."""
    kept = server.client()
    kept.request("GET", "/ready")
    assert kept.getresponse().read()
    return kept


def test_descriptors_run_out_for_connections(make_server):
    server = make_server(*BARE)
    before = at_rest(server)
    kept = kept_client(server)
    with descriptors_left(server.pid, 8):
        crowd = [server.connect() for _ in range(40)]
        eventually(lambda: "cannot accept" in server.log(), 10, "it has noticed")
        # It waits for descriptors instead of asking for one over and over.
        cpu = proc.cpu_seconds(server.pid)
        kept.request("GET", "/health")
        answer = kept.getresponse()
        assert answer.status == 200 and json.loads(answer.read())["status"] == "healthy"
        time.sleep(1)
        assert server.log().count("cannot accept") < 1000 and proc.cpu_seconds(server.pid) - cpu < 0.5
        for connection in crowd:
            connection.close()
    kept.close()
    for n in range(6):
        assert server.run(f"print({n})")["stdout"] == f"{n}\n"
    assert at_rest(server).fds == before.fds and nothing_lost(server)


def test_descriptors_run_out_for_workers(make_server):
    """A slot stays empty until there are some; the runs wait."""
    server = make_server(*BARE)
    before = at_rest(server)
    kept = kept_client(server)
    body = json.dumps({"code": "import os; os._exit(3)"})
    with descriptors_left(server.pid, 0):
        # Each of them leaves numbers free that the next worker needs; so take those as they come.
        crowd = []
        for _ in range(4):
            kept.request("POST", "/v1/execute", body)
            assert json.loads(kept.getresponse().read())["exit_code"] == 3
            crowd += [server.connect() for _ in range(10)]
        under = Under(server, "print(7)")
    for connection in crowd:
        connection.close()
    kept.close()
    assert under.result()["stdout"] == "7\n"
    assert at_rest(server).fds == before.fds and nothing_lost(server)


# ── Disk ──


@pytest.fixture
def on_small_disk(request):
    """on_small_disk(where, options) starts a server whose "work" or "state" directory is a small file system."""
    undo = []

    def make(where, options, *arguments):
        server = Hatchery(*SMALL_POOL, *BARE, *arguments, start=False)
        undo.append(server.close)
        disk = small_disk(getattr(server, where), options)
        disk.__enter__()
        undo.append(lambda: disk.__exit__(None, None, None))
        server.start()
        undo.append(server.kill)
        return server

    yield make
    for step in reversed(undo):
        step()


# Without a mount namespace, and so without a file system of its own, a worker's folders are on the server's disk. Whether what
# is left is enough for the mode `strict` is for the kernel's Landlock to say.
FOLDERS_ON_DISK = ("--isolation", "best-effort", "--layers-off", "mountns")

FILL = """
import os
try:
    with open("big", "wb", 0) as file:
        while True: file.write(b"x" * 65536)
except OSError as error:
    print(error.errno == 28)
"""
MANY = """
try:
    for i in range(10**6): open(f"f{i}", "w").close()
except OSError as error:
    print(error.errno == 28)
"""


@pytest.mark.parametrize("options, code", [("size=4m", FILL), ("nr_inodes=80", MANY)], ids=["bytes", "files"])
def test_the_workspace_is_full(on_small_disk, options, code):
    """The program is told, as it would be anywhere; its neighbours and the next runs have room again."""
    server = on_small_disk("work", options, *FOLDERS_ON_DISK)
    before = at_rest(server)
    for _ in range(6):
        assert server.run(code)["stdout"] == "True\n"
        # What it left is removed by another thread, so the room comes back a little later.
        eventually(lambda: server.run("open('f', 'w').write('x' * 5000)")["status"] == "ok", 10, "there is room again")
    at_rest(server)
    under = [Under(server, code) for _ in range(4)]
    assert [one.result()["status"] for one in under] == ["ok"] * 4
    after = at_rest(server)
    assert (after.fds, after.work_entries) == (before.fds, before.work_entries)
    assert nothing_lost(server)
    server.stop()


def test_the_workspace_is_full_when_files_are_sent(on_small_disk):
    server = on_small_disk("work", "size=2m", *FOLDERS_ON_DISK)
    at_rest(server)
    answer = server.post("/v1/execute", {"code": "print(1)", "files": [{"path": "a", "content": "x" * (4 << 20)}]})
    assert answer.status == 200 and answer.json()["status"] == "error", answer
    assert "No space left" in answer.json()["error"]["message"]
    assert server.run("print(7)")["stdout"] == "7\n"
    at_rest(server)
    assert nothing_lost(server)
    server.stop()


def test_the_work_directory_of_cells_holds_nothing_of_a_run(on_small_disk):
    """Each cell has a file system of its own, so neither what is sent nor what is written needs room there."""
    server = on_small_disk("work", "size=64k,nr_inodes=20")
    if "mountns" not in layers_on(server):
        pytest.skip("no mount namespaces here")
    before = at_rest(server)
    for _ in range(6):
        answer = server.run("print(len(open('a').read()), open('b', 'w').write('x' * 5000000))",
                            files=[{"path": "a", "content": "x" * (4 << 20)}])
        assert answer["stdout"] == f"{4 << 20} 5000000\n", answer
    after = at_rest(server)
    assert (after.fds, after.work_entries) == (before.fds, before.work_entries)
    assert nothing_lost(server)
    server.stop()


def test_the_state_directory_is_full(on_small_disk):
    server = on_small_disk("state", "size=1m")
    assert server.post("/upload_data/small", json.dumps({"x": 1})).status == 200
    answer = server.post("/upload_data/large", json.dumps({"x": "x" * (3 << 20)}))
    assert answer.status in (413, 500, 503, 507), answer
    assert answer.json()["detail"]
    # Nothing half of it is there, what was stored before still is, and the server serves.
    assert server.get("/get_data/large").status == 404
    assert server.get("/get_data/small").json() == {"x": 1}
    assert server.run("print(7)")["stdout"] == "7\n"
    assert server.get("/clear_data").status == 200
    assert server.post("/upload_data/again", json.dumps({"x": 3})).status == 200
    assert server.get("/get_data/again").json() == {"x": 3}
    server.stop()


# ── Processes ──


@contextmanager
def no_forks(pid, name):
    """This process cannot fork: by a cgroup of its own as root, whom RLIMIT_NPROC does not bind; else by that."""
    if os.geteuid() != 0:
        before = resource.prlimit(pid, resource.RLIMIT_NPROC)
        resource.prlimit(pid, resource.RLIMIT_NPROC, (1, before[1]))
        yield lambda: resource.prlimit(pid, resource.RLIMIT_NPROC, before)
        return
    for top in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")):
        group = top / name
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / "pids.max").write_text("1")
            (group / "cgroup.procs").write_text(str(pid))
        except OSError:
            group.rmdir()
            continue
        try:
            yield lambda: (group / "pids.max").write_text("max")
        finally:
            (group / "pids.max").write_text("max")
            for one in (group / "cgroup.procs").read_text().split():
                (top / "cgroup.procs").write_text(one)
            eventually(lambda: group.rmdir() is None, 10, "the cgroup is empty")
        return
    pytest.skip("no cgroup with a bound of processes can be made here")


def test_forks_fail(make_server):
    server = make_server(*BARE, "--queue-wait-ms", "500")
    at_rest(server)
    before = template(server)
    with no_forks(before["zygote_pid"], f"hatchery-test-{os.getpid()}") as allow:
        while template(server)["idle"]:
            assert server.run("print(7)")["stdout"] == "7\n"
        waiting = [Under(server, "print(1)") for _ in range(4)]
        assert all(refused(one.answer()) for one in waiting)
        assert "cannot fork a worker" in server.log()
        # It asks again now and then, and not all the time.
        assert server.log().count("cannot fork a worker") < 400
        allow()
        # The pause before the next attempt may be longer than this run may wait.
        answer = eventually(lambda: (one := server.post("/v1/execute", {"code": "print(7)"})).status == 200 and one, 30, "a worker")
        assert answer.json()["stdout"] == "7\n"
        at_rest(server)
    now = template(server)
    assert (now["zygote_pid"], now["restarts"]) == (before["zygote_pid"], before["restarts"])
    assert nothing_lost(server)


def test_the_zygote_itself_cannot_be_started(make_server):
    """fork(2) of the server fails: the zygote's start is tried again."""
    if os.geteuid() != 0:
        pytest.skip("would keep this user from starting anything")
    server = make_server(*BARE)
    at_rest(server)
    # The server has a second thread, so two are there already.
    with no_forks(server.pid, f"hatchery-test-{os.getpid()}") as allow:
        os.kill(template(server)["zygote_pid"], 9)
        failure = eventually(lambda: template(server)["failure"], 10, "the reason is told")
        assert "cannot start" in failure
        allow()
        eventually(lambda: server.get("/health").status == 200, 30, "healthy again")
        assert server.run("print(7)")["stdout"] == "7\n"
        at_rest(server)
    assert nothing_lost(server)


def test_an_address_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(AssertionError, match="(?i)in use"):
            Hatchery(*SMALL_POOL, *BARE, listen="127.0.0.1:%d" % taken.getsockname()[1])
