"""What a run can learn of the server and of its neighbours: nothing from the environment, from descriptors or from /proc."""

import os
import re

import pytest

from harness.aftermath import is_full
from harness.hatchery import eventually
from hostile import attack

SECRET = "canary-4711"


def test_the_environment_is_not_the_servers(server):
    """The server was started with a secret in its environment."""
    if os.geteuid() == 0:  # it is not dumpable
        with open(f"/proc/{server.pid}/environ", "rb") as file:
            assert SECRET.encode() in file.read()
    run = attack(server, """
import ctypes, os
print(dict(os.environ))
c = ctypes.CDLL(None)
environ = ctypes.POINTER(ctypes.c_char_p).in_dll(c, "environ")
i = 0
while environ[i]: print(environ[i]); i += 1
try: print(open("/proc/self/environ", "rb").read())
except PermissionError: print("closed")
""", "ok")
    assert "PATH" in run["stdout"] and SECRET not in run["stdout"] and "DATABASE" not in run["stdout"]


def test_the_zygote_never_had_it_either(server):
    if os.geteuid() != 0:
        pytest.skip("it takes root to look into processes that are not dumpable")
    with open(f"/proc/{server.zygote_pid()}/environ", "rb") as file:
        assert SECRET.encode() not in file.read()


def test_the_command_line_of_the_worker_tells_nothing(server):
    run = attack(server, "print(open('/proc/self/cmdline').read())", "ok")
    assert SECRET not in run["stdout"] and str(server.state) not in run["stdout"]


def test_no_descriptor_but_its_own(server):
    """Three streams, and two pipes that nobody else holds."""
    run = attack(server, """
import os
for name in sorted(os.listdir("/proc/self/fd"), key=int):
    try: status = os.fstat(int(name))
    except OSError: continue
    print(name, oct(status.st_mode >> 12), status.st_dev, status.st_ino)
""", "ok")
    rows = [line.split() for line in run["stdout"].splitlines()]
    kinds = [kind for _, kind, _, _ in rows]
    assert kinds.count("0o1") == 4 and kinds.count("0o2") == 1 and len(rows) == 5, rows
    assert [int(fd) for fd, *_ in rows[:3]] == [0, 1, 2]


def targets_of(pid):
    """What its descriptors are; those that come and go meanwhile are left out."""
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:
            pass
    return found


def test_no_worker_holds_a_socket_or_a_file_of_the_server(server):
    """Looked at from outside, where nothing can hide it."""
    if os.geteuid() != 0:
        pytest.skip("it takes root to look into processes that are not dumpable")
    # One that is still coming up has what the zygote has, and no request yet.
    eventually(lambda: is_full(server), 20, "every worker is idle")
    mine = set(targets_of(server.pid))
    for pid in server.workers():
        try:
            theirs = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except FileNotFoundError:
            continue
        assert not [target for target in theirs if target.startswith(("socket:", "anon_inode:"))], theirs
        assert not [target for target in theirs if target.startswith("/") and target != "/dev/null" and
                    target in mine], theirs


def test_pipes_are_not_shared_between_workers(server):
    if os.geteuid() != 0:
        pytest.skip("it takes root to look into processes that are not dumpable")

    def pipes(pid):
        return {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (1, 2, 250, 251)}

    def all_differ():
        try:
            sets = [pipes(pid) for pid in server.workers()]
        except OSError:  # one has just been replaced, or is on its way
            return False
        return len(set().union(*sets)) == 4 * len(sets) > 4

    eventually(all_differ, 10, "each worker has four pipes of its own")


LOOK = """
import ctypes, os
c = ctypes.CDLL(None, use_errno=True)
for pid in {pids}:
    if pid == os.getpid(): continue
    for name in ("environ", "mem", "maps", "fd/1", "cwd", "root", "exe", "io", "stack", "syscall", "map_files"):
        path = f"/proc/{{pid}}/{{name}}"
        try:
            if name == "map_files": os.listdir(path)
            elif name in ("cwd", "root", "exe", "fd/1"): os.readlink(path)
            else: open(path, "rb").read(1)
            print("READ", pid, name)
        except OSError: pass
    if c.ptrace(16, pid, None, None) == 0: print("TRACED", pid)
    if c.process_vm_readv(pid, None, 0, None, 0, 0) > 0: print("PEEKED", pid)
    pidfd = c.syscall(434, pid, 0)
    if pidfd >= 0 and c.syscall(438, pidfd, 1, 0) >= 0: print("TOOK", pid)
print("done")
"""


def test_no_other_process_can_be_looked_into(server, own_uids):
    pids = [server.pid, server.zygote_pid(), *server.workers()]
    run = attack(server, LOOK.format(pids=pids), "ok")
    assert run["stdout"] == "done\n"


def test_nor_with_a_shared_uid_when_it_is_a_worker_or_a_zygote(make_server):
    """Not being dumpable stands alone: a neighbour of the same uid is closed too."""
    server = make_server("--worker-uid-base", "0", "--imports", "")
    eventually(lambda: len(server.workers()) == 4, 10, "all workers are there")
    run = attack(server, LOOK.format(pids=[server.zygote_pid(), *server.workers()]), "ok")
    assert run["stdout"] == "done\n"


def test_with_a_shared_uid_the_server_can_be_reached(make_server, own_uids):
    """The control: it is the uid that keeps a run's signals from the server."""
    server = make_server("--worker-uid-base", "0", "--imports", "")
    run = attack(server, "import os\nos.kill(os.getppid(), 0); print('reached')", "ok")
    assert run["stdout"] == "reached\n"


def test_being_dumpable_again_gives_nothing(server, own_uids):
    """A process may set the flag on itself; its uid still closes the others to it, and no core file is written."""
    run = attack(server, """
import ctypes, resource
c = ctypes.CDLL(None)
print(c.prctl(4, 1, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))
open("core", "w").close()
import os; os.abort()
""", "crashed", collect=["core*"])
    assert "(0, 0)" in run["stdout"] and [file["size"] for file in run["files"]] == [0]


def test_the_layers_that_health_names_hold(server):
    layers = server.health()["layers"]
    run = attack(server, """
import os, resource
status = dict(line.rstrip("\\n").split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
print(status["NoNewPrivs"], status["Seccomp"], status["CapEff"], status["Uid"].split()[0], os.getsid(0) == os.getpid())
""", "ok")
    privileges, filters, capabilities, uid, session = run["stdout"].split()
    assert layers["no_new_privs"] and privileges == "1"
    assert layers["no_new_programs"] and filters == "2"
    assert re.fullmatch("0+", capabilities)
    assert layers["own_session"] and session == "True"
    assert layers["separate_uid"] == (int(uid) != os.geteuid())
