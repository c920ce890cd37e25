"""The list of steps: one that fails ends the worker before any byte of a run is looked at, whichever it is, whatever the error."""

import ctypes
import errno
import os
import struct
import sys

import pytest
from confined import IS_ROOT, UID, run_with
from supervisor import FAILED, SECONDS, layers, request

# A step, a system call that only this step makes (x86-64, aarch64), an argument that tells it from others (position, value),
# and the layers to take.
STEPS = [
    ("a session of its own", (112, 157), None, ()),
    ("workspace", (81, 50), None, ()),
    ("standard streams", (292, 24), None, ()),
    ("resource limits", (302, 261), (1, 7), ("rlimits",)),
    ("securebits", (157, 167), (0, 28), ("capabilities",)),
    ("user and group", (117, 147), None, ("uid",)),
    ("user and group", (116, 159), None, ("uid",)),
    ("capabilities", (126, 91), None, ("capabilities",)),
    ("no new privileges", (157, 167), (0, 38), ("no_new_privs",)),
    ("landlock", (445, 445), None, ("no_new_privs", "landlock")),
    ("landlock", (446, 446), None, ("no_new_privs", "landlock")),
    ("descriptors", (436, 436), None, ()),
    ("system calls", (317, 277), None, ("no_new_privs", "seccomp")),
]


def fail_call(number, argument, error):
    """From here on, that system call answers error in this process and its children."""
    index = 0 if os.uname().machine == "x86_64" else 1
    program = [(0x20, 0, 0, 0), (0x15, 0, 3 if argument else 1, number[index])]
    if argument:
        program += [(0x20, 0, 0, 16 + 8 * argument[0]), (0x15, 0, 1, argument[1])]
    program += [(0x06, 0, 0, 0x50000 | error), (0x06, 0, 0, 0x7fff0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *step) for step in program))
    filter_program = struct.pack("<H6xQ", len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(22, 2, filter_program) < 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def wrapper_of(step):
    """Runs its arguments with a system call that fails. A plain user cannot, unless it forgoes rights for good."""
    _, number, argument, _ = step
    return [sys.executable, "-c", f"import os, sys\nsys.path.insert(0, {os.path.dirname(__file__)!r})\nimport test_confine\n"
            f"import ctypes\nos.geteuid() and ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)\n"
            f"test_confine.fail_call({number}, {argument}, {errno.EDOM})\nos.execv(sys.argv[1], sys.argv[1:])"]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step[0].replace(" ", "-"))
def test_no_byte_of_a_run_is_read_by_a_worker_that_is_half_confined(make_zygote, step):
    name, _, _, taken = step
    if "uid" in taken and not IS_ROOT:
        pytest.skip("only root takes this step")
    if not IS_ROOT and name in ("no new privileges", "system calls"):
        pytest.skip("the test's own filter needs the same call")
    if name == "securebits" and not IS_ROOT:
        pytest.skip("without rights to give up the step may fail")
    zygote = make_zygote(wrapper=wrapper_of(step))
    worker = zygote.spawn(taken=layers(*taken), uid=UID if "uid" in taken else None, ready=False)
    worker.send(request("print('reached')\nopen('reached', 'w')"))
    assert worker.next_frame() == (FAILED, f"{name}: {os.strerror(errno.EDOM)}".encode())
    assert worker.next_frame() is None
    assert worker.wait() == 119
    assert os.read(worker.stdout_fd, 100) == b""
    assert os.listdir(f"{worker.directory}/work") == []


def test_unknown_layers_are_a_broken_protocol(make_zygote):
    zygote = make_zygote()
    with pytest.raises((TypeError, OSError)):
        zygote.send_spawn(taken=1 << 31)  # there is no report
    assert zygote.process.wait(SECONDS) == 1


def test_nothing_is_taken_that_is_not_asked_for(zygote):
    worker = zygote.spawn(taken=0)
    with open(f"/proc/{worker.pid}/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("0", "0")
    assert status["Uid"].split() == [str(os.geteuid())] * 4
    worker.end()


def test_what_every_worker_takes(zygote):
    """A session, its streams, no descriptor of the zygote's, and its folder; no layer is needed for that."""
    found = run_with(zygote, (), "import os\n[os.getsid(0) == os.getpid(), os.path.basename(os.getcwd()),\n"
                     " sorted(map(int, os.listdir('/proc/self/fd')))]")
    assert found[:2] == [True, "work"]
    assert [fd for fd in found[2] if fd not in (3, 250, 251)] == [0, 1, 2]
