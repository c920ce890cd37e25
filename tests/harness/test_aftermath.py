"""What a run could leave on the host is seen, each thing by a name of its own."""

import ctypes
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import aftermath, proc

LIBC = ctypes.CDLL(None, use_errno=True)
IPC_PRIVATE = IPC_RMID = 0
MINE = 0o600

# How one is made, and how removed.
KINDS = {
    "shm": (lambda: LIBC.shmget(IPC_PRIVATE, 4096, MINE), lambda one: LIBC.shmctl(one, IPC_RMID, None)),
    "msg": (lambda: LIBC.msgget(IPC_PRIVATE, MINE), lambda one: LIBC.msgctl(one, IPC_RMID, None)),
    "sem": (lambda: LIBC.semget(IPC_PRIVATE, 1, MINE), lambda one: LIBC.semctl(one, 0, IPC_RMID)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_private_objects_are_told_apart(monkeypatch, kind):
    """A second one is news, though both have the key 0."""
    monkeypatch.setattr(aftermath, "ids_of_runs", lambda *_: {os.geteuid()})
    make, remove = KINDS[kind]
    made = []
    try:
        for _ in range(2):
            before = aftermath.left_on_the_host(None, 0)
            made.append(make())
            assert made[-1] >= 0, os.strerror(ctypes.get_errno())
            assert f"{kind} {made[-1]}" in aftermath.left_on_the_host(None, 0) - before
    finally:
        for one in made:
            assert remove(one) == 0
    assert not {f"{kind} {one}" for one in made} & aftermath.left_on_the_host(None, 0)


def test_descriptors_of_control_groups_are_told_apart():
    """Slots of sessions keep them, so they are not counted; but each file is open once."""
    path = next(iter(Path("/sys/fs/cgroup").glob("**/cgroup.procs")), None)
    if path is None:
        pytest.skip("there are no control groups here")
    me = SimpleNamespace(pid=os.getpid())
    before = proc.footprint(me.pid).fds
    with open(path):
        assert proc.footprint(me.pid).fds == before
        assert not aftermath.groups_opened_twice(me)
        with open(path):
            assert aftermath.groups_opened_twice(me) == {str(path): 2}
    with open("/dev/null"):
        assert proc.footprint(me.pid).fds == before + 1
