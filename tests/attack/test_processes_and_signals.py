"""New programs and processes: refused, unless the template allows them, and then none of them outlives its run. Signals
reach nobody else."""

import json

import pytest

from harness.aftermath import at_rest, unharmed
from harness.hatchery import SMALL_POOL, Hatchery
from harness.isolation import layers_on
from harness.snippets import DAEMON
from hostile import UID_BASE, attack

FORKS = {
    "fork": "os.fork()",
    "forkpty": "os.forkpty()",
    "exec": "os.execv('/bin/sh', ['sh', '-c', 'echo hi'])",
    "exec by descriptor": "os.execve(os.open('/bin/true', os.O_RDONLY), ['true'], {})",
    "posix_spawn": "os.posix_spawn('/bin/true', ['true'], {})",
    "subprocess": "import subprocess; subprocess.run(['/bin/true'])",
    "multiprocessing": "import multiprocessing as m; p = m.Process(target=print); p.start(); p.join()",
}


@pytest.mark.parametrize("code", FORKS.values(), ids=FORKS.keys())
def test_no_new_process(server, code):
    run = attack(server, "import os\n" + code, "error")
    # A cell has no terminals to be had for a forkpty().
    assert run["error"]["type"] == "PermissionError" or (code, run["error"]["type"]) == (FORKS["forkpty"], "FileNotFoundError")


def test_system_says_that_it_failed(server):
    """What sh(1) says of a program that cannot be started."""
    assert attack(server, "import os; print(os.system('/bin/true') >> 8)", "ok")["stdout"] == "127\n"


# clone(2) and clone3(2) by number; what glibc's wrappers do is tried above.
RAW = """
import ctypes, os
c = ctypes.CDLL(None, use_errno=True)
c.syscall.restype = ctypes.c_long
numbers = {"x86_64": (56, 435, 57, 58, 59, 322), "aarch64": (220, 435, 221, 281)}[os.uname().machine]
for number in numbers:
    r = c.syscall(ctypes.c_long(number), ctypes.c_long(17), None, None, None, None)
    if r == 0: os._exit(55)
    print(number, r, ctypes.get_errno() in (1, 22, 38))
"""


def test_no_new_process_by_number(server):
    run = attack(server, RAW, "ok")
    assert run["stdout"] and all(line.split()[1:] == ["-1", "True"] for line in run["stdout"].splitlines())


def test_another_architecture_ends_the_process(server):
    """A 32-bit call has other numbers, which the filter would take for something else."""
    run = attack(server, """
import ctypes, mmap, os
assert os.uname().machine == "x86_64"
# mov eax, 2 (fork in the 32-bit table); int 0x80; ret
code = b"\\xb8\\x02\\x00\\x00\\x00\\xcd\\x80\\xc3"
m = mmap.mmap(-1, 4096, prot=7)
m.write(code)
print(ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(m)))())
""", {"violation", "crashed", "error"})
    assert run["stdout"] == ""


def test_a_thread_is_as_confined(server):
    run = attack(server, """
import os, threading
def attempt():
    try: os.fork()
    except PermissionError: print("refused")
t = threading.Thread(target=attempt); t.start(); t.join()
""", "ok")
    assert run["stdout"] == "refused\n"


def test_threads_are_bounded(server):
    run = attack(server, """
import threading
go = threading.Event()
n = 0
try:
    while n < 100000: threading.Thread(target=go.wait, daemon=True).start(); n += 1
except RuntimeError:
    print(n)
""", {"ok", "memory_limit", "cpu_limit", "timeout"})
    if run["status"] == "ok":
        assert 4 <= int(run["stdout"]) < 5000


def test_the_neighbours_threads_are_their_own(server, own_count):
    """Each uid, or user namespace, has a count of its own: who uses his up takes nothing from others."""
    hog = """
import threading, time
try:
    while True: threading.Thread(target=time.sleep, args=(60,)).start()
except RuntimeError: print("no more", flush=True)
time.sleep(60)
"""
    with server.connect() as connection:
        body, said = json.dumps({"code": hog, "limits": {"wall_ms": 60000}}).encode(), b""
        connection.sendall(b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nContent-Length: %d\r\n\r\n%s"
                           % (len(body), body))
        while b"no more" not in said:
            piece = connection.recv(4096)
            assert piece, said
            said += piece
        run = attack(server, """
import threading
import os
threads = [threading.Thread(target=os.write, args=(1, b'%d ' % i)) for i in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
""", "ok")
        assert len(run["stdout"].split()) == 8


# ── Where programs are allowed ──

PROGRAMS = ("--subprocesses", "--max-processes", "16", "--worker-uid-base", UID_BASE + 32, "--imports", "",
            "--isolation", "best-effort")
SOME = {"processes": 8}


@pytest.fixture(scope="module")
def _workshop():
    with Hatchery(*SMALL_POOL, *PROGRAMS) as server:
        server.baseline = at_rest(server)
        yield server


@pytest.fixture
def workshop(_workshop):
    with unharmed(_workshop, UID_BASE + 32, _workshop.baseline):
        yield _workshop


def test_programs_run_where_they_may(workshop):
    """The control: it is the filter that refuses above, and nothing else that happens to be missing."""
    run = attack(workshop, "import os, subprocess\nprint(subprocess.run(['/bin/echo', 'hi'], capture_output=True).stdout)\n"
                 "print(os.system('exit 3') >> 8)\npid = os.fork()\nif pid == 0: os._exit(7)\n"
                 "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))", "ok", limits=SOME)
    assert run["stdout"] == "b'hi\\n'\n3\n7\n"
    assert attack(workshop, "from multiprocessing import Pool\nprint(Pool(2).map(abs, [-1, -2]))", "ok",
                  limits=SOME)["stdout"] == "[1, 2]\n"


def test_programs_need_to_be_asked_for(workshop):
    run = attack(workshop, "import os; os.fork()", "error", limits={"processes": 1})
    assert run["error"]["type"] == "PermissionError"


CLOSE_ALL = """for fd in range(256):
            try: os.close(fd)
            except OSError: pass"""


@pytest.mark.parametrize("more", ["pass", CLOSE_ALL, "os.kill(os.getpid(), signal.SIGSTOP)"],
                         ids=["with our pipes", "without", "stopped"])
def test_a_daemon_ends_with_its_run(workshop, more):
    run = attack(workshop, DAEMON % more, {"ok", "timeout"}, limits={**SOME, "wall_ms": 4000})
    assert run["stdout"] == "parent done\n"


def test_many_daemons_end_with_their_runs(workshop):
    for _ in range(8):
        attack(workshop, "import os, time\nfor _ in range(6):\n    if os.fork() == 0:\n        os.setsid()\n        time.sleep(99)\n",
               {"ok", "timeout"}, limits={**SOME, "wall_ms": 2000})


def test_fork_and_both_return(workshop):
    """Two processes with the same pipes: one answer, whoever wins."""
    run = attack(workshop, "import os\nos.fork()\nprint('x')", {"ok", "crashed"}, limits=SOME)
    assert run["stdout"] in ("", "x\n", "x\nx\n")


def test_a_fork_bomb(workshop, own_count):
    run = attack(workshop, "import os, time\ntry:\n    while True: os.fork()\nexcept OSError: time.sleep(1)",
                 {"ok", "crashed", "timeout", "cpu_limit"}, limits={**SOME, "wall_ms": 1500})
    assert run["stdout"] == ""


@pytest.mark.parametrize("processes", (2, 4))
def test_a_run_has_the_processes_that_it_asked_for(workshop, own_count, processes):
    """And 64 threads, of which the kernel keeps one count with processes; not what its template may give at most. Where workers
    have no ids of their own, their cell's keeper has the same, and is one of them."""
    run = attack(workshop, """
import os, time
n = 0
while True:
    try:
        if os.fork() == 0: time.sleep(60); os._exit(0)
    except BlockingIOError: break
    n += 1
print(1 + n)
""", "ok", limits={**SOME, "processes": processes})
    assert int(run["stdout"]) == processes + 64 - ("uid" not in layers_on(workshop))


def test_exec_is_no_way_around_the_limits(workshop):
    run = attack(workshop, "import os\nos.execv('/bin/sh', ['sh', '-c', 'echo hi; exec sleep 100'])", "timeout",
                 limits={**SOME, "wall_ms": 2000})
    assert run["stdout"] == "hi\n"
    # Even a program that ends well has not completed the run.
    assert attack(workshop, "import os\nos.execv('/bin/true', ['true'])", "exit", limits=SOME)["exit_code"] == 0


def test_no_way_to_more_rights(workshop):
    run = attack(workshop, """
import subprocess
print(subprocess.run(["/bin/su", "-c", "id"], capture_output=True, stdin=subprocess.DEVNULL).returncode != 0)
""", {"ok", "error"}, limits=SOME)
    assert run["stdout"] == "True\n" if run["status"] == "ok" else run["error"]["type"] == "FileNotFoundError"


def test_a_program_that_holds_its_parent(workshop):
    """After vfork(2) the kernel keeps the parent from running until the child lets go."""
    attack(workshop, """
import ctypes, os
c = ctypes.CDLL(None)
if c.vfork() == 0:
    while True: pass
""", {"timeout", "crashed", "cpu_limit"}, limits={**SOME, "wall_ms": 700})


def test_programs_have_no_more_of_the_disk(workshop):
    attack(workshop, "import subprocess\nfor i in range(8): subprocess.run(['/bin/dd', 'if=/dev/zero', f'of=f{i}', 'bs=1M', 'count=8'],"
           " capture_output=True)\nimport time; time.sleep(3)\nimport os; assert sum(os.stat(f).st_size for f in os.listdir()) <= 16 << 20",
           {"ok", "output_limit", "error"}, limits={**SOME, "disk_mb": 16})


# ── Signals ──


def test_killing_ones_own_group_hits_nobody_else(server):
    run = attack(server, "import os; os.killpg(0, 9)", "crashed")
    assert run["signal"] == 9


def test_killing_everybody(server, apart):
    attack(server, "import os\nos.kill(-1, 9)", {"ok", "error", "crashed"})


def test_killing_everybody_where_programs_are_allowed(workshop, apart):
    attack(workshop, "import os\npid = os.fork()\nos.kill(-1, 9)", {"ok", "error", "crashed", "exit"}, limits=SOME)


def test_killing_the_parent(server, apart):
    run = attack(server, """
import os
for pid in (os.getppid(), 1):
    try: os.kill(pid, 9)
    except OSError: pass
print("done")
""", {"ok", "crashed"})
    assert run["stdout"] == "done\n" or run["status"] == "crashed"


def test_killing_the_keeper(workshop, apart):
    """The first process of a pid namespace heeds no signal from inside."""
    run = attack(workshop, """
import os
for number in range(1, 65):
    try: os.kill(1, number)
    except OSError: pass
print("done")
""", "ok", limits=SOME)
    assert run["stdout"] == "done\n"


def test_a_queue_of_signals_is_bounded(server):
    run = attack(server, """
import ctypes, os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGRTMIN + 1})
c = ctypes.CDLL(None, use_errno=True)
n = 0
while n < 100000 and c.sigqueue(os.getpid(), signal.SIGRTMIN + 1, ctypes.c_void_p(n)) == 0: n += 1
print(n, ctypes.get_errno())
""", "ok")
    n, error = map(int, run["stdout"].split())
    assert n < 1000 and error in (1, 11)


# The kernel sends a signal for the owner of a descriptor when its pipe moves, on behalf of who set the owner.
OWNERSHIP = """
import fcntl, os, signal
for fd in (0, 1, 2, 250, 251):
    for op, arg in ((8, os.getppid() or -1), (10, signal.SIGKILL), (fcntl.F_SETFL, 0o20000 | os.O_RDWR)):
        try: fcntl.fcntl(fd, op, arg)
        except OSError: pass
print("x" * 300000)
"""


def test_the_supervisor_cannot_be_killed_through_a_pipe(server, apart):
    attack(server, OWNERSHIP, {"ok", "error"})


def test_nor_where_programs_are_allowed(workshop, apart):
    attack(workshop, OWNERSHIP, {"ok", "error"}, limits=SOME)
