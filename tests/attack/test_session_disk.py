"""More on disk than a session may have, faster than anybody looks; and workspaces that are dear to copy."""

import shutil
import time

import pytest

from harness.hatchery import SMALL_POOL, Hatchery, eventually
from harness.isolation import layers_on, makes_copies
from harness.own_sessions import OwnSession
from harness.plain_user import skip_where_closed

ARGUMENTS = ("--imports", "", "--session-disk-mb", "32")


@pytest.fixture(scope="module")
def small():
    with Hatchery(*SMALL_POOL, *ARGUMENTS) as server:
        yield server


ALLOCATE = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
taken = 0
for number in range(200):
    fd = os.open(f"f{number}", os.O_CREAT | os.O_RDWR)
    for mode in (0, 1, 16):
        if libc.syscall({number}, fd, mode, ctypes.c_long(0), ctypes.c_long(32 << 20)) == 0:
            taken += 1
    os.close(fd)
print(taken)
"""


def test_gigabytes_in_one_call(small):
    """A call that takes room without writing it outruns any look at what has been taken: 12 GB in 0.2 s were measured."""
    import platform
    number = {"x86_64": 285, "aarch64": 47}[platform.machine()]
    with OwnSession(small) as session:
        assert session.ok(ALLOCATE.replace("{number}", str(number))) == "0\n"
        # Who asks for it by way of the C library gets what it stands for.
        assert session.ok("fd = os.open('honest', os.O_CREAT | os.O_RDWR); os.posix_fallocate(fd, 0, 1 << 20); "
                          "print(os.fstat(fd).st_size)") == "1048576\n"


def test_a_run_that_writes_more_than_it_may_is_ended(small):
    before = shutil.disk_usage(small.state).free
    with OwnSession(small) as session:
        run = session.run("number = 0\nwhile True:\n    number += 1\n    open(f'f{number}', 'wb').write(b'x' * (1 << 20))")
        assert run["status"] == "output_limit" and "disk_mb" in run["session"]["lost"], run
        assert shutil.disk_usage(small.state).free > before - (2 << 30)


DEAR = {
    "deep": "for _ in range(200):\n    os.mkdir('d')\n    os.chdir('d')",
    "hard links": "open('big', 'wb').write(b'x' * (8 << 20))\nfor number in range(100): os.link('big', f'link{number}')",
}


@pytest.mark.parametrize("code", DEAR.values(), ids=DEAR.keys())
def test_a_workspace_that_cannot_be_copied(small, code):
    """Its own doing, and no failure of the server."""
    with OwnSession(small) as session:
        session.run("import os\n" + code)
        answer = session.post("fork", {})
        assert answer.status == 409, answer
        assert "files" in answer.json()["detail"] or "no interpreter" in answer.json()["detail"]
        put = session.put("file", b"x")
        assert put.status in (201, 413), put
        assert b"18446744073709551615" not in put.body


def known_to_be_too_deep(session):
    """Whether that was seen while it is idle; the look may come during a run as well, and end it."""
    session.run("import os\n" + DEAR["deep"])
    for _ in range(50):
        time.sleep(0.01)
        told = session.inspect()
        if told["disk_bytes"] > 1 << 60:
            return told["state"] == "idle"
        # A look follows a run, if the one before it is a while ago.
        session.run("1")
    return False


def test_a_workspace_that_is_known_to_be_too_deep(small):
    """It counts as more than there is disk: that must not be said of the server's."""
    for _ in range(8):
        with OwnSession(small) as session:
            is_known = known_to_be_too_deep(session)
            answer = session.post("fork", {})
            assert answer.status == 409, answer
        if is_known:
            break


def test_holes_cost_nothing(small):
    with OwnSession(small) as session:
        session.ok("for number in range(100):\n    with open(f's{number}', 'wb') as file: file.truncate(30 << 20)")
        if not makes_copies(small):
            pytest.skip("no process can be copied here")
        before = shutil.disk_usage(small.state).free
        answer = session.post("fork", {})
        assert answer.status == 201, answer
        # Others write on the same disk, but not three gigabytes.
        assert shutil.disk_usage(small.state).free > before - (1 << 30)
        assert len(session.get("s1").body) == 30 << 20
        assert small.request("DELETE", "/v1/sessions/" + answer.json()["id"]).status == 204


def test_a_folder_of_any_depth_is_removed(small):
    with OwnSession(small) as session:
        session.run("import os\nfor _ in range(20000):\n    os.mkdir('d')\n    os.chdir('d')", limits={"wall_ms": 20000})
        assert session.server.request("DELETE", session.path + "/files/d?recursive=1").status in (204, 404)
        assert session.server.get(session.path + "/files").status == 200
    eventually(lambda: not any((small.state / "sessions" / "trash").iterdir()), 30, "the trash is emptied")


# ── Files without a name ──

HOLD = """
import mmap, os, time
held = []
def hold(megabytes):
    fd = os.open("held", os.O_RDWR | os.O_CREAT)
    for _ in range(megabytes):
        os.write(fd, b"x" * (1 << 20))
    KEEP
def fill():
    while True:
        hold(8)
        time.sleep(.02)
"""
KEEP = {
    "by a descriptor": "os.unlink('held'); held.append(fd)",
    "by a mapping": "os.unlink('held'); held.append(mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ)); os.close(fd)",
    "by a shared mapping": "held.append(mmap.mmap(fd, 4096)); os.close(fd); os.unlink('held')",
}


@pytest.fixture(params=KEEP.values(), ids=KEEP.keys())
def holder(small, request):
    with OwnSession(small) as session:
        skip_where_closed(session.pid())
        session.ok(HOLD.replace("KEEP", request.param))
        yield session


def test_what_is_held_without_a_name_is_counted(holder):
    holder.ok("hold(20); again = os.dup(0) if isinstance(held[0], mmap.mmap) else os.dup(held[0])")
    assert holder.get("held").status == 404
    eventually(lambda: (holder.run("1"), 20 << 20 <= holder.inspect()["disk_bytes"] < 24 << 20)[1], 20, "it is counted")
    # What is there twice counts once, and what is let go counts no more.
    holder.ok("os.close(again); [os.close(one) if isinstance(one, int) else one.close() for one in held]; held.clear()")
    eventually(lambda: (holder.run("1"), holder.inspect()["disk_bytes"] < 1 << 20)[1], 20, "it is let go")


def test_a_run_that_holds_more_than_it_may_is_ended(holder):
    before = shutil.disk_usage(holder.server.state).free
    run = holder.run("fill()")
    assert run["status"] == "output_limit" and "disk_mb" in run["session"]["lost"], run
    # Nothing of it is left: the disk is as free as before but for what others write meanwhile.
    eventually(lambda: shutil.disk_usage(holder.server.state).free > before - (512 << 20), 20, "its files are gone")
    assert holder.run("print(1)")["stdout"] == "1\n"


def test_what_a_thread_holds_between_runs_is_found(holder):
    holder.ok("import threading; threading.Thread(target=fill, daemon=True).start()")
    eventually(lambda: holder.inspect()["state"] == "lost", 30, "it is ended")
    assert "disk_mb" in holder.inspect()["lost"]


IN_FLIGHT = """
import array, os, socket
one, other = socket.socketpair()
fd = os.open("held", os.O_RDWR | os.O_CREAT)
try:
    one.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
    print("sent")
except PermissionError as error:
    print(error.errno)
"""


def test_no_descriptor_is_sent_anywhere(small):
    """In a socket, a file would be in nobody's list."""
    with OwnSession(small) as session:
        assert session.ok(IN_FLIGHT) == "1\n"
    assert small.run(IN_FLIGHT)["stdout"] == "1\n"


def test_no_thread_has_descriptors_of_its_own(small):
    with OwnSession(small) as session:
        said = session.ok("import ctypes; libc = ctypes.CDLL(None, use_errno=True); "
                          "print(libc.syscall(436, 1000, 1000, 0), libc.syscall(436, 1000, 1000, 2), ctypes.get_errno())")
        assert said == "0 -1 1\n"


def test_runs_without_a_session(small):
    """Their disk is in memory and counts what has no name as it counts all."""
    if "mountns" not in layers_on(small):
        pytest.skip("runs have no disk of their own here")
    run = small.run(HOLD.replace("KEEP", KEEP["by a descriptor"]) + "fill()", limits={"disk_mb": 32})
    assert run["status"] in ("output_limit", "error"), run
    assert run["status"] == "output_limit" or "No space left" in run["stderr"]


def test_runs_without_a_disk_of_their_own(make_server):
    """Where there are no cells, they are on the server's."""
    server = make_server("--imports", "", "--isolation", "best-effort", "--layers-off", "mountns")
    skip_where_closed(server.workers()[0])
    run = server.run(HOLD.replace("KEEP", KEEP["by a descriptor"]) + "hold(8); print('within')", limits={"disk_mb": 32})
    assert (run["status"], run["stdout"]) == ("ok", "within\n"), run
    run = server.run(HOLD.replace("KEEP", KEEP["by a mapping"]) + "fill()", limits={"disk_mb": 32})
    assert run["status"] == "output_limit", run


# ── Too many files ──

MAKE = "import os\nfor number in range({count}): os.close(os.open(f'n{number}', os.O_CREAT))\n"


def test_too_many_files(make_server):
    server = make_server(*ARGUMENTS, "--session-files", "200")
    with OwnSession(server) as session:
        session.ok(MAKE.replace("{count}", "180"))
        form = b"".join(b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"u%d\"\r\n\r\nx\r\n" % n for n in range(40)) + b"--b--\r\n"
        answer = server.request("POST", session.path + "/files", form, {"Content-Type": "multipart/form-data; boundary=b"})
        assert answer.status == 413 and "more files" in answer.json()["detail"], answer
        listed = len(session.server.get(session.path + "/files").json()["files"])
        assert 195 <= listed <= 200
        assert session.put("n0", b"replaced").status == 204
        assert session.put("one-more", b"").status == 413 or listed < 200
        run = session.run(MAKE.replace("{count}", "5000") + "while True: pass", limits={"wall_ms": 20000})
        assert run["status"] == "output_limit" and "session-files" in run["session"]["lost"], run
        assert "session-files" in run["error"]["message"], run
        # They can be made less.
        run = session.run("import os\nfor name in os.listdir('.'): os.unlink(name)\nprint(len(os.listdir('.')))")
        assert run["stdout"] == "0\n", run
        assert session.put("one-more", b"").status == 201
