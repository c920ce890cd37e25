"""The steps that put a worker somewhere: namespaces of its cell, namespaces that cells share, control groups, cores."""

import os
import signal
import socket

import pytest
from cells_supervisor import WORKER_UID, await_end
from confined import IS_ROOT, OF_CELL, SHARED, USUAL, Refused, run_in, run_with, value_of
from supervisor import FAILED, RESET, REHEARSE, SECONDS, SUBPROCESSES, Z_SPAWN_FAILED, Zygote, layers

FULL = (*USUAL, *SHARED, *(("uid",) if IS_ROOT else ()))


def failure_of(worker):
    kind, text = worker.next_frame()
    assert kind == FAILED
    assert worker.next_frame() is None and worker.wait() == 119
    return text.decode()


# ── In a cell ──

def test_a_worker_in_a_cell_sees_the_cell_alone(celled):
    found = celled.run_with(FULL, "import os, getpass, tempfile\n"
                            "[os.getpid() > 1, os.getppid(), os.getcwd(), os.environ['HOME'], tempfile.gettempdir(),\n"
                            " os.path.expanduser('~'), os.path.exists('/proc/self'), getpass.getuser(), os.getuid()]")
    assert found == [True, 0, "/work", "/work", "/tmp", "/work", False, "worker", WORKER_UID]


def test_a_full_worker_in_a_cell_does_its_work(celled):
    assert celled.run_with(FULL, "import tempfile\nopen('x', 'w').write('y')\n"
                           "with tempfile.TemporaryFile() as file: file.write(b'z')\nopen('x').read()") == "y"


def test_files_land_in_the_cell(celled):
    cell = celled.maker.cell()
    run_in(celled.spawn(FULL, cell), "open('here', 'w').write('x')\nopen('/tmp/there', 'w').write('x')\n"
           "open('/dev/shm/shared', 'w').write('x')")
    for path in ("work/here", "tmp/there", "shm/shared"):
        status = os.stat(path, dir_fd=cell.directory)
        assert status.st_uid == WORKER_UID and status.st_mode & 0o777 == 0o600


def test_one_worker_after_the_other_in_one_cell(celled):
    cell = celled.maker.cell()
    for number in range(3):
        worker = celled.spawn(FULL, cell)
        assert value_of(worker, "1 + 1") == 2
        worker.end()


def test_workers_of_two_cells_in_turn(celled):
    """The zygote chooses anew for each: neither stays in the other's cell."""
    one, other = celled.maker.cell(), celled.maker.cell()
    names = [os.readlink(f"/proc/self/fd/{cell.pid_fd}") for cell in (one, other)]
    for cell, name in ((one, names[0]), (other, names[1]), (one, names[0])):
        worker = celled.spawn(("rlimits",), cell)
        if IS_ROOT:
            assert os.readlink(f"/proc/{worker.pid}/ns/pid") == name
        worker.end()
    one.kill()
    worker = celled.spawn(FULL, other)
    assert value_of(worker, "1") == 1
    worker.end()


def test_without_the_layer_a_worker_is_not_in_the_last_cell(celled):
    celled.run_with(FULL, "1")
    kind, value, fds, _ = celled.zygote.send_spawn(taken=layers("rlimits"))
    for fd in fds:
        os.close(fd)
    if not IS_ROOT:
        # The way back takes rights over the host's own namespace: no worker, then.
        assert kind == Z_SPAWN_FAILED and os.strerror(value) == "Operation not permitted"
        return
    assert os.readlink(f"/proc/{value}/ns/pid") == os.readlink("/proc/self/ns/pid")
    os.waitpid(value, 0)


def test_a_cell_that_has_ended_takes_no_worker(celled):
    cell = celled.maker.cell()
    cell.kill()
    fds = {"pidns": cell.pid_fd, "mountns": cell.mount_fd}
    kind, _, fds, _ = celled.zygote.send_spawn(taken=layers(*OF_CELL), fds=fds, directory="")
    for fd in fds:
        os.close(fd)
    assert kind == Z_SPAWN_FAILED
    assert celled.run_with(FULL, "2") == 2


def test_the_end_of_the_cell_is_the_end_of_the_worker(celled):
    cell = celled.maker.cell()
    worker = celled.spawn(FULL, cell)
    pidfd = os.pidfd_open(worker.pid)
    os.kill(cell.pid, signal.SIGKILL)
    assert await_end(pidfd)
    os.close(pidfd)
    # The keeper ends when all others of its namespace have been waited for, and this one is ours to wait for.
    assert worker.wait() == -signal.SIGKILL
    cell.kill()


def test_the_policy_reset_needs_no_proc(celled):
    worker = celled.spawn(FULL, flags=REHEARSE | RESET)
    assert value_of(worker, "x = 1\nx") == 1
    assert worker.next_frame()[0] == 1  # ready again
    assert value_of(worker, "'x' in globals()") is False
    worker.end()


def test_processes_of_a_run_are_in_the_cell_too(celled):
    cell = celled.maker.cell(inodes=512)
    worker = celled.spawn(FULL, cell, flags=REHEARSE | SUBPROCESSES)
    assert value_of(worker, "import subprocess\nsubprocess.run(['pwd'], capture_output=True, text=True).stdout",
                    processes=8) == "/work\n"
    worker.end()


# ── Each layer, and being without it ──

def test_pid_namespace_alone(celled):
    cell = celled.maker.cell()
    fds = {"pidns": cell.pid_fd}
    if not IS_ROOT:
        pytest.skip("its rights come with the user namespace")
    pid = run_in(celled.zygote.spawn(taken=layers("pidns"), fds=fds), "import os\n[os.getpid(), os.getppid()]")
    assert pid[0] < 100 and pid[1] == 0
    assert run_with(celled.zygote, (), "import os\nos.getppid()") == os.getpid()


def test_mount_namespace_alone(celled):
    if not IS_ROOT:
        pytest.skip("its rights come with the user namespace")
    cell = celled.maker.cell()
    look = "import os\n[os.path.exists('/proc/self'), os.getcwd()]"
    worker = celled.zygote.spawn(taken=layers("mountns"), fds={"mountns": cell.mount_fd}, directory="")
    assert run_in(worker, look) == [False, "/work"]
    found = run_with(celled.zygote, (), look)
    assert found[0] is True and found[1].endswith("/work")


def test_a_descriptor_without_its_layer_is_not_used(celled):
    cell = celled.maker.cell()
    worker = celled.zygote.spawn(taken=0, fds={"mountns": cell.mount_fd}) if IS_ROOT else None
    if worker is None:
        pytest.skip("the zygote cannot leave the pid namespace that it chose")
    assert run_in(worker, "import os\nos.path.exists('/proc/self')") is True


@pytest.mark.parametrize("name, step", [("pidns", "pid namespace: Bad file descriptor"),
                                        ("mountns", "mount namespace: Bad file descriptor"),
                                        ("userns", "user namespace: Bad file descriptor"),
                                        ("cgroup", "control group: Bad file descriptor")])
def test_a_layer_without_its_descriptor_ends_the_worker(zygote, name, step):
    assert failure_of(zygote.spawn(taken=layers(name), ready=False)) == step


@pytest.mark.parametrize("name", SHARED)
def test_a_shared_namespace_that_the_zygote_is_not_in(zygote, name):
    assert failure_of(zygote.spawn(taken=layers(name), ready=False)) == "shared namespaces: No such device or address"


def test_no_network_in_the_shared_namespace(celled, zygote):
    server = socket.create_server(("127.0.0.1", 0))
    code = f"import socket\nsocket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 5).close()"
    run_with(zygote, ("rlimits",), code)  # the positive control
    with pytest.raises(Refused) as refused:
        celled.run_with(("netns",), code)
    assert "Network is unreachable" in refused.value.message
    server.close()


def test_a_host_name_of_the_cells_own(celled, zygote):
    code = "import socket\nsocket.gethostname()"
    assert run_with(zygote, (), code) == socket.gethostname()
    assert celled.run_with(("utsns",), code) != socket.gethostname()


@pytest.mark.parametrize("words", [["--enter", "99"], ["--enter", "0"]])
def test_a_zygote_that_cannot_enter_ends(words):
    zygote = Zygote(*words, start=False)
    assert zygote.process.wait(SECONDS) == 1
    assert "descriptor" in zygote.log_text()
    zygote.close()


# ── Control groups and cores ──

def test_a_control_group_of_version_1_is_entered_by_the_worker(zygote, tmp_path):
    """Each hierarchy by its own descriptor; a file stands in for both here, and shows what is written."""
    paths = [tmp_path / "cgroup_memory", tmp_path / "cgroup_pids"]
    fds = {path.name: os.open(path, os.O_WRONLY | os.O_CREAT) for path in paths}
    zygote.spawn(taken=0, fds=fds).end()
    assert [path.read_text() for path in paths] == ["", ""]
    zygote.spawn(taken=layers("cgroup"), fds=fds).end()
    assert [path.read_text() for path in paths] == ["0", "0"]
    for fd in fds.values():
        os.close(fd)


def test_a_control_group_of_version_2_is_where_the_worker_is_born(zygote, unified_group):
    path, fd = unified_group
    worker = zygote.spawn(taken=layers("cgroup"), fds={"cgroup": fd})
    assert (path / "cgroup.procs").read_text().split() == [str(worker.pid)]
    worker.end()
    worker = zygote.spawn(taken=0, fds={"cgroup": fd})
    assert (path / "cgroup.procs").read_text() == ""
    worker.end()


@pytest.fixture
def unified_group(tmp_path):
    """A folder of the unified hierarchy, which may be mounted although controllers are elsewhere."""
    if not IS_ROOT or os.system(f"mount -t cgroup2 none {tmp_path} 2>/dev/null") != 0:
        pytest.skip("no unified control groups to make a folder in")
    path = tmp_path / f"hatchery-test-{os.getpid()}"
    path.mkdir()
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY)
    yield path, fd
    os.close(fd)
    path.rmdir()
    os.system(f"umount {tmp_path}")


def test_core_scheduling_or_no_worker(zygote):
    worker = zygote.spawn(taken=layers("core_scheduling"), ready=False)
    found = worker.next_frame()
    if found[0] == FAILED:
        assert found[1] in (b"core scheduling: Invalid argument", b"core scheduling: No such device")
        assert worker.wait() == 119
    worker.end()
