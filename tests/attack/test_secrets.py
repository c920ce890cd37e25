"""What a run can learn of the server and of its neighbours: nothing from the environment, from descriptors or from /proc."""

import os
import re

from harness import proc
from harness.aftermath import is_full
from harness.hatchery import eventually
from harness.plain_user import is_closed, skip_where_closed
from harness.proc import command_line
from hostile import attack

SECRET = "canary-4711"


def test_the_environment_is_not_the_servers(server):
    """The server was started with a secret in its environment."""
    if not is_closed(server.pid):
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
except OSError: print("closed")
""", "ok")
    assert "PATH" in run["stdout"] and SECRET not in run["stdout"] and "DATABASE" not in run["stdout"]


def test_nothing_secret_is_in_any_memory_of_the_pool(server):
    """Neither the server's secrets nor what runs before have held: every page of every process that a run's code may
    ever share is read from outside, after runs on every slot."""
    skip_where_closed(server.pid)
    for _ in range(8):
        attack(server, "kept = [('can' + 'ary-%d' % i) * 100 for i in range(10000)]", "ok", stdin=SECRET * 100)
    eventually(lambda: is_full(server), 20, "every worker is idle")
    found = {pid: secrets_in(pid) for pid in (*server.workers(), *server.zygotes(), *server.makers_and_keepers())}
    assert len(found) > 4 and not any(found.values()), found


def test_and_it_would_be_found(server):
    """The control: the same search finds it in the server."""
    skip_where_closed(server.pid)
    assert secrets_in(server.pid)


def secrets_in(pid):
    """How often something that looks like a secret stands in a process's memory."""
    hits = 0
    try:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                span, permissions = line.split()[:2]
                low, high = (int(text, 16) for text in span.split("-"))
                if permissions[0] == "r" and high < 1 << 47 and "[v" not in line:
                    memory.seek(low)
                    try:
                        hits += len(re.findall(rb"canary-\d", memory.read(high - low)))
                    except OSError:
                        pass
    except (FileNotFoundError, ProcessLookupError):  # a spare that has just been taken
        pass
    return hits


def test_command_lines_tell_nothing(server):
    """They may be read where there is a /proc of the host."""
    for pid in (*server.workers(), *server.zygotes(), *server.makers_and_keepers()):
        words = " ".join(command_line(pid))
        assert SECRET not in words and str(server.state) not in words


def test_no_descriptor_but_its_own(server):
    """Three streams, and two pipes that nobody else holds."""
    run = attack(server, """
import os
for fd in range(4096):
    try: status = os.fstat(fd)
    except OSError: continue
    print(fd, oct(status.st_mode >> 12))
""", "ok")
    rows = [line.split() for line in run["stdout"].splitlines()]
    kinds = [kind for _, kind in rows]
    assert kinds.count("0o1") == 4 and kinds.count("0o2") == 1 and len(rows) == 5, rows
    assert [int(fd) for fd, *_ in rows[:3]] == [0, 1, 2]


def test_no_socket_is_inherited(server):
    run = attack(server, """
import os, socket
for fd in range(4096):
    try: print("SOCKET", socket.socket(fileno=os.dup(fd)).getsockname())
    except OSError: pass
print("done")
""", "ok")
    assert run["stdout"] == "done\n"


def test_no_worker_holds_a_socket_or_a_file_of_the_server(server):
    """Looked at from outside, where nothing can hide it."""
    skip_where_closed(server.pid)
    mine, workers = set(proc.descriptors(server.pid)), server.workers()
    # One that was still coming up had what the zygote has, and no request yet.
    eventually(lambda: is_full(server), 20, "every worker is idle")
    for pid in workers:
        try:
            theirs = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except FileNotFoundError:
            continue
        assert not [target for target in theirs if target.startswith(("socket:", "anon_inode:"))], theirs
        assert not [target for target in theirs if target.startswith("/") and target != "/dev/null" and
                    target in mine], theirs


def test_pipes_are_not_shared_between_workers(server):
    skip_where_closed(server.pid)

    def pipes(pid):
        return {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (1, 2, 250, 251)}

    def all_differ():
        try:
            sets = [pipes(pid) for pid in server.workers()]
        except OSError:  # one has just been replaced, or is on its way
            return False
        return len(set().union(*sets)) == 4 * len(sets) > 4

    eventually(all_differ, 10, "each worker has four pipes of its own")


def test_a_crash_leaves_no_core(server):
    run = attack(server, """
import os, resource
print(resource.getrlimit(resource.RLIMIT_CORE))
open("core", "w").close()
os.abort()
""", "crashed", collect=["core*"])
    assert run["stdout"] == "(0, 0)\n" and [file["size"] for file in run["files"]] == [0]


def test_the_servers_descriptors_are_counted_after_each_attack(server):
    """Elsewhere they are left out where they cannot be seen; here that is told."""
    if server.snapshot().fds is None:
        skip_where_closed(server.pid)
    assert server.snapshot().fds > 10
