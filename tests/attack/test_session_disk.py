"""More on disk than a session may have, faster than anybody looks; and workspaces that are dear to copy."""

import shutil

import pytest

from harness.hatchery import eventually
from harness.isolation import makes_copies
from harness.own_sessions import OwnSession

ARGUMENTS = ("--imports", "", "--session-disk-mb", "32")


@pytest.fixture
def small(make_server):
    return make_server(*ARGUMENTS)


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
