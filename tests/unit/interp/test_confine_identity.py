"""The steps that say who a worker is: capabilities, ids, no_new_privs, not dumpable. Each alone, and its absence."""

import os
import stat
import shutil
import tempfile

import pytest
from confined import IS_ROOT, UID, run_in, run_with, value_of
from supervisor import FAILED, REHEARSE, SUBPROCESSES, layers

needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root has something to give up")

SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
SECUREBITS = "import ctypes\nctypes.CDLL(None).prctl(27)"
# NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE with their locks, and the lock of KEEP_CAPS.
LOCKED_BITS = 0b11101111


def status_of(worker):
    with open(f"/proc/{worker.pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def look_at(zygote, *names, **parts):
    worker = zygote.spawn(taken=layers(*names), **parts)
    found = status_of(worker)
    worker.end()
    return found


@needs_root
def test_capabilities(zygote):
    found = look_at(zygote, "capabilities")
    assert {found[name] for name in SETS} == {"0" * 16}
    assert int(look_at(zygote)["CapEff"], 16) != 0


@needs_root
def test_securebits_are_locked(zygote):
    assert run_with(zygote, ("capabilities",), SECUREBITS) == LOCKED_BITS
    assert run_with(zygote, (), SECUREBITS) == 0
    again = "import ctypes\nctypes.CDLL(None).prctl(28, 0)"
    assert run_with(zygote, ("capabilities",), again) == -1
    assert run_with(zygote, (), again) == 0


def test_securebits_in_a_cell(celled):
    """Whoever enters a user namespace has every capability in it, and a full bounding set."""
    assert celled.run_with(("capabilities",), SECUREBITS) == LOCKED_BITS
    worker = celled.spawn(("capabilities",))
    found = status_of(worker)
    worker.end()
    assert {found[name] for name in SETS} == {"0" * 16}
    worker = celled.spawn()
    assert int(status_of(worker)["CapEff"], 16) != 0
    worker.end()


@needs_root
def test_root_without_capabilities_gets_none_by_executing(zygote):
    code = "import subprocess\nsubprocess.run(['/bin/grep', 'CapEff', '/proc/self/status'], capture_output=True, text=True).stdout"
    assert run_with(zygote, ("capabilities",), code, REHEARSE | SUBPROCESSES) == "CapEff:\t" + "0" * 16 + "\n"


CHOWN = "import os\nopen('f', 'w').close()\nos.chown('f', 1, 1)"


@needs_root
def test_root_may_do_nothing_of_root(zygote):
    run_with(zygote, (), CHOWN)
    with pytest.raises(AssertionError, match="PermissionError"):
        run_with(zygote, ("capabilities",), CHOWN)


@needs_root
@pytest.mark.parametrize("names", [("uid",), ("uid", "capabilities")], ids=len)
def test_uid(zygote, names):
    code = ("import os\nfound = [os.getresuid(), os.getresgid(), os.getgroups()]\n"
            "for call in (os.setuid, os.setgid):\n"
            "    try: call(0)\n    except PermissionError: found.append('refused')\nfound")
    assert run_with(zygote, names, code) == [[UID] * 3, [UID] * 3, [], "refused", "refused"]
    assert run_with(zygote, (), "import os\nos.getresuid()") == [0, 0, 0]


@needs_root
def test_a_uid_is_not_taken_without_its_layer(zygote):
    worker = zygote.spawn(uid=UID, taken=0)
    assert run_in(worker, "import os\nos.getuid()") == 0


@pytest.mark.skipif(IS_ROOT, reason="root may")
def test_a_plain_user_cannot_take_another_uid(zygote):
    worker = zygote.spawn(uid=UID, taken=layers("uid"), directory=zygote.make_directory("-uid", None), ready=False)
    assert worker.next_frame() == (FAILED, b"user and group: Operation not permitted")
    assert worker.wait() == 119


SET_USER_ID = "import subprocess\nsubprocess.run(['{}', '-u'], capture_output=True, text=True).stdout"


@needs_root
def test_no_new_privileges(zygote):
    assert look_at(zygote, "no_new_privs")["NoNewPrivs"] == "1"
    assert look_at(zygote)["NoNewPrivs"] == "0"
    with tempfile.TemporaryDirectory(prefix="hatchery-test-id-", dir="/var/tmp") as directory:
        os.chmod(directory, 0o755)
        program = shutil.copy("/usr/bin/id", directory)
        os.chmod(program, 0o755 | stat.S_ISUID)
        code = SET_USER_ID.format(program)
        assert run_with(zygote, ("uid", "no_new_privs"), code, REHEARSE | SUBPROCESSES) == f"{UID}\n"
        if os.statvfs("/var/tmp").f_flag & os.ST_NOSUID == 0:
            assert run_with(zygote, ("uid",), code, REHEARSE | SUBPROCESSES) == "0\n"


DUMPABLE = "import ctypes\nctypes.CDLL(None).prctl(3)"


@pytest.mark.parametrize("names", [(), ("uid",)] if IS_ROOT else [()], ids=len)
def test_not_dumpable(zygote, names):
    assert run_with(zygote, ("not_dumpable", *names), DUMPABLE) == 0
    assert run_with(zygote, names, DUMPABLE) == 1


@needs_root
def test_a_neighbour_of_the_same_uid_cannot_look_in(zygote):
    look = "open('/proc/{}/mem', 'rb', 0).close()"
    shut, open_one = (zygote.spawn(taken=layers(*names), uid=UID) for names in (("uid", "not_dumpable"), ("uid",)))
    run_with(zygote, ("uid",), look.format(open_one.pid))
    with pytest.raises(AssertionError, match="PermissionError"):
        run_with(zygote, ("uid",), look.format(shut.pid))
    assert value_of(shut, "1") == 1
    shut.end()
    open_one.end()
