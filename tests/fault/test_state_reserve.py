"""The file system of the state directory runs short: nothing more is stored there, and who goes on writing is ended before it is
full, whether or not the server may look at what its process holds."""

import pytest

from faults import BARE
from harness.hatchery import SMALL_POOL, Hatchery, eventually
from harness.own_sessions import OwnSession
from harness.sessions import Session
from harness.small_disk import small_disk

SIZE_MB, RESERVE_MB = 256, 64
# Without it, root is as blind to its workers as a plain user, and as in most containers.
BLIND = ("setpriv", "--bounding-set", "-sys_ptrace")


@pytest.fixture
def short_of_disk(request):
    """A server with a small disk; its quotas are larger than that."""
    server = Hatchery(*SMALL_POOL, *BARE, "--session-disk-mb", "1024", "--state-reserve-mb", RESERVE_MB, start=False,
                      wrapper=getattr(request, "param", ()))
    with small_disk(server.state, f"size={SIZE_MB}m"):
        server.start()
        yield server
        server.kill()
    server.close()


def test_what_is_refused(short_of_disk):
    server = short_of_disk
    ballast = server.state / "ballast"
    with OwnSession(server) as session:
        session.ok("x = 7")
        ballast.write_bytes(b"x" * ((SIZE_MB - RESERVE_MB + 8) << 20))
        refused = {
            "a session": (503, server.post("/v1/sessions", {"id": "new"})),
            "a user": (503, server.post("/run", {"user_id": "new", "code": "1", "data": None})),
            "a copy": (503, session.post("fork", {})),
            "a file": (507, session.put("small", b"x")),
            "a large file": (507, session.put("large", b"x" * (1 << 20))),
            "a package": (507, session.post("packages", {"packages": ["no-such-package"]})),
        }
        for what, (status, answer) in refused.items():
            assert (answer.status, answer.headers.get("Retry-After")) == (status, "60"), (what, answer)
            assert b"nearly full" in answer.body, (what, answer)
        # What is there goes on, and can be made less.
        assert session.ok("print(x)") == "7\n"
        assert session.post("packages", {"packages": ["pip"]}).status in (200, 422)
        assert session.get("small").status == 404
        assert server.run("print(8)")["stdout"] == "8\n"
        eventually(lambda: "is short" in server.log(), 10, "the log says so")
        ballast.unlink()
        assert session.put("small", b"x").status == 201
        with OwnSession(server, "new") as other:
            assert other.ok("print(9)") == "9\n"
        eventually(lambda: "has room again" in server.log(), 10, "the log says so")


def test_what_an_earlier_server_has_left(short_of_disk):
    """It was not written since the disk has been short, though it has never been measured before."""
    server = short_of_disk
    session = Session(server, "old")
    assert server.post("/v1/sessions", {"id": "old"}).status == 201
    session.ok("open('old', 'wb').write(b'x' * (40 << 20));")
    server.stop()
    (server.state / "ballast").write_bytes(b"x" * ((SIZE_MB - RESERVE_MB - 40 + 8) << 20))
    server.start()
    eventually(lambda: server.log().count("is short") == 1, 30, "the log says so")
    assert session.ok("import os, time\ntime.sleep(1)\nos.remove('old')\nprint(os.listdir())") == "[]\n"


NAMED = "file = open('file', 'wb', 0)\n"
NAMELESS = "import os\nfile = open('file', 'wb', 0)\nos.unlink('file')\n"
# By twice of what must be missing between two looks, so that one of them sees enough, however slowly it comes to the next.
WRITE = """
import time
block = b"x" * (8 << 20)
def fill():
    while True:
        file.write(block)
        time.sleep(.25)
"""
IN_A_THREAD = "import threading; threading.Thread(target=fill, daemon=True).start()"


@pytest.mark.parametrize("short_of_disk, files", [((), NAMED), ((), NAMELESS), (BLIND, NAMED), (BLIND, NAMELESS)],
                         ids=["named", "nameless", "named, blind", "nameless, blind"], indirect=["short_of_disk"])
def test_who_goes_on_writing(short_of_disk, files):
    # So that it is soon short, though it is filled slowly: the server has seconds until it would be full.
    (short_of_disk.state / "ballast").write_bytes(b"x" * ((SIZE_MB - RESERVE_MB - 48) << 20))
    with OwnSession(short_of_disk) as session, OwnSession(short_of_disk) as bystander:
        bystander.ok("x = 7")
        session.ok(WRITE + files)
        run = session.run("fill()")
        assert run["status"] == "output_limit" and "state-reserve-mb" in run["session"]["lost"], run
        assert "state-reserve-mb" in run["error"]["message"], run
        removed = short_of_disk.request("DELETE", session.path + "/files/file")
        assert removed.status == (204 if files is NAMED else 404), removed
        # While the disk is short, a run that begins to write is ended, too.
        eventually(lambda: "has room again" in short_of_disk.log(), 10, "the log says so")
        # The same between runs.
        session.ok(WRITE + files + IN_A_THREAD)
        eventually(lambda: session.inspect()["state"] == "lost", 30, "it is ended")
        assert "state-reserve-mb" in session.inspect()["lost"]
        assert bystander.ok("print(x)") == "7\n"
