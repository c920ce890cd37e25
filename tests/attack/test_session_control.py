"""The control socket of a session's process and its attempts to make processes, in the hands of its code: what it says there
costs it its copies, and nobody else anything."""

import struct

import pytest

from harness.aftermath import Witness
from harness.hatchery import eventually
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


@pytest.mark.parametrize("said", SAID.values(), ids=SAID.keys())
def test_what_nobody_asked_for(server, said):
    with OwnSession(server) as session:
        session.run(f"{FIND}\nx = 1\nassert sockets\nfor fd in sockets:\n    for _ in range(3):\n        try:\n"
                    f"            os.write(fd, {said!r})\n        except OSError:\n            pass")
        answer = session.post("fork", {})
        assert answer.status == 409, answer
        assert session.ok("print(x)") == "1\n"


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
        eventually(lambda: session.ok("print(any(thread.is_alive() for thread in threads))") == "False\n", 10,
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
    neighbour = Witness(server)
    neighbour.start()
    with OwnSession(server) as one, OwnSession(server) as other:
        other.ok("x = 'other'")
        probe = other.post("fork", {})
        if probe.status == 409:
            pytest.skip(f"no copies here: {probe.json()['detail']}")
        assert server.request("DELETE", "/v1/sessions/" + probe.json()["id"]).status == 204
        assert one.ok(STORM) == "True True\n"
        assert one.post("fork", {}).status == 409
        copy = other.copy()
        assert copy.ok("print(x)") == "other\n"
        copy.end()
    neighbour.end()
