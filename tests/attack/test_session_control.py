"""The control socket of a session's process and its attempts to make processes, in the hands of its code: what it says there
costs it its copies, and nobody else anything."""

import struct

import pytest

from harness.aftermath import Witness
from harness.hatchery import eventually
from harness.isolation import makes_copies
from harness.own_sessions import OwnSession

FIND = """
import os, stat, threading
sockets = []
for fd in range(3, 1024):
    try:
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            sockets.append(fd)
    except OSError:
        pass
"""

LISTENER, FORK, FORKED, HELLO = range(1, 5)


def message(kind, value=0):
    return struct.pack("<IIq", kind, 0, value) + bytes(328)


SAID = {"listener": message(LISTENER), "fork": message(FORK), "forked": message(FORKED), "an error": message(FORKED, 5),
        "hello": message(HELLO), "nothing": b"", "too little": b"x", "too much": b"x" * 60000, "no kind": message(77)}


def refused_for_its_own_doing(answer):
    assert answer.status == 409 and "its code has tried to copy it" in answer.json()["detail"], answer


@pytest.mark.parametrize("said", SAID.values(), ids=SAID.keys())
def test_what_nobody_asked_for(server, said):
    with OwnSession(server) as session:
        session.run(f"{FIND}\nx = 1\nassert sockets\nfor fd in sockets:\n    for _ in range(3):\n        try:\n"
                    f"            os.write(fd, {said!r})\n        except OSError:\n            pass")
        refused_for_its_own_doing(session.post("fork", {}))
        assert session.ok("print(x)") == "1\n"


@pytest.mark.parametrize("said", ["", "os.fstat(fd)"], ids=["nothing", "a look"])
def test_who_says_nothing_is_copied(server, said):
    """Positive control: it is what was said that cost the others their copies."""
    if not makes_copies(server):
        pytest.skip("no process can be copied here")
    with OwnSession(server) as session:
        session.run(f"{FIND}\nassert sockets\nfor fd in sockets:\n    pass\n    {said}")
        with session.copy() as copy:
            assert copy.ok("print(len(sockets))")


def test_a_flood_of_messages(server):
    """From a thread, between runs: the server hears one, and no more."""
    neighbour = Witness(server)
    neighbour.start()
    with OwnSession(server) as session:
        session.run(f"""{FIND}
def flood():
    while True:
        for fd in sockets:
            try:
                os.write(fd, {SAID['listener']!r})
            except OSError:
                return
threads = [threading.Thread(target=flood, daemon=True) for _ in range(4)]
for thread in threads:
    thread.start()
""")
        eventually(lambda: session.ok("print(any(thread.is_alive() for thread in threads))") == "False\n", 30,
                   "the other end is closed")
    neighbour.end()


STORM = """
import ctypes, errno, platform, threading
libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": 56, "aarch64": 220}[platform.machine()]
answers = set()
def storm():
    for _ in range(20000):
        libc.syscall(number, 0x8000 | 17, 0, 0, 0, 0)
        answers.add(ctypes.get_errno())
        if errno.ENOSYS in answers:
            break
threads = [threading.Thread(target=storm) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(errno.ENOSYS in answers, answers <= {errno.EPERM, errno.ENOSYS})
"""


def test_a_storm_of_attempts(server):
    """Each attempt is work of the server's, so it hears of so many and no more: from then on the kernel refuses by itself."""
    if not makes_copies(server):
        pytest.skip("no process can be copied here")
    neighbour = Witness(server)
    neighbour.start()
    with OwnSession(server) as one, OwnSession(server) as other:
        other.ok("x = 'other'")
        assert one.ok(STORM) == "True True\n"
        refused_for_its_own_doing(one.post("fork", {}))
        copy = other.copy()
        assert copy.ok("print(x)") == "other\n"
        copy.end()
    neighbour.end()
