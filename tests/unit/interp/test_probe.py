"""The canary: what a worker can break out to, with no layer and with all of them."""

import ctypes
import errno
import os
import re
import signal
import socket
import struct
import subprocess
from pathlib import Path

import pytest
from confined import SHARED, USUAL
from supervisor import ALWAYS, PROBE, PROBED, REHEARSE, ROOT, SUBPROCESSES, frame, layers

HEADER = (ROOT / "subprojects/wire/wire/probe.h").read_text()
PROBES = re.findall(r"^ +X\((\w+),", HEADER, re.M)
FIRST_FORBIDDEN = PROBES.index("TRACE_SERVER")
FORBIDDEN = PROBES[FIRST_FORBIDDEN:]
SUCCEEDED, SKIPPED = 0, -1
FORBIDDEN_CALL, IN_SESSION, IN_COPY = 1, 2, 4
# What only sessions can try, and of that, what only copies can.
OF_SESSIONS = set(PROBES[PROBES.index("READ_OTHER_HOME"):FIRST_FORBIDDEN])
OF_COPIES = set(PROBES[PROBES.index("READ_SOURCE"):PROBES.index("CONTROL_UNASKED")])
UID = 200900

is_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be kept from being root")


class Target:
    """What a server would offer to be attacked."""

    def __init__(self, folder):
        self.folder = folder
        os.chmod(folder, 0o711)
        self.secret = folder / "secret"
        self.secret.write_text("secret")
        self.secret.chmod(0o600)
        self.shared = folder / "shared"
        self.shared.mkdir()
        self.shared.chmod(0o777)
        self.work = folder / "work"
        self.work.mkdir(0o711)
        self.named = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.named.bind(str(folder / "socket"))
        os.chmod(folder / "socket", 0o777)
        self.abstract = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.abstract.bind(f"\0hatchery-test-{os.getpid()}")
        self.tcp = socket.create_server(("127.0.0.1", 0))
        for one in (self.named, self.abstract):
            one.listen(8)
        # Not this process: who traces it would stop it at its next signal.
        self.server = subprocess.Popen(["/bin/sleep", "1000"], env={"SECRET": "1"})
        self.neighbour = subprocess.Popen(["/bin/sleep", "1000"])
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.segment = self.libc.shmget(0, 4096, 0o1666)

    def request(self, attempts=PROBES, forbidden=None, **other):
        fields = {"tasks": 0, "memory_bytes": 512 << 20, "file_bytes": 64 << 20, "disk_bytes": 0, "zygote": 0,
                  "segment": self.segment + 1 if self.segment >= 0 else 0, "server": self.server.pid, "flags": 0,
                  "member": 0, "home": "", "homes": "", "own_home": "", "other_home": "", **other}
        wanted = sum(1 << PROBES.index(name) for name in attempts)
        return struct.pack(
            "<QQIIiiiiIIIIQQQ32s108s212s212s212s72s212s212s24s24s", wanted & (1 << 64) - 1, wanted >> 64,
            fields["flags"] | (FORBIDDEN_CALL if forbidden else 0), PROBES.index(forbidden) if forbidden else 0,
            fields["server"], fields["zygote"], self.neighbour.pid, 0, self.tcp.getsockname()[1], fields["tasks"],
            fields["segment"], fields["member"], fields["memory_bytes"], fields["file_bytes"], fields["disk_bytes"],
            self.abstract.getsockname()[1:], str(self.folder / "socket").encode(), str(self.secret).encode(),
            str(self.shared).encode(), str(self.work).encode(), os.uname().nodename.encode(),
            *(fields[name].encode() for name in ("home", "homes", "own_home", "other_home")))

    def close(self):
        for one in (self.named, self.abstract, self.tcp):
            one.close()
        for one in (self.server, self.neighbour):
            one.kill()
            one.wait()
        if self.segment >= 0:
            self.libc.shmctl(self.segment, 0, None)


@pytest.fixture
def target(tmp_path_factory):
    folder = tmp_path_factory.mktemp("target")
    for parent in (folder.parent, folder.parent.parent):
        os.chmod(parent, 0o711)
    one = Target(folder)
    yield one
    one.close()


def probe(worker, body):
    """{name: outcome}, and how the worker ended."""
    worker.send(frame(PROBE, body))
    kind, answer = worker.next_frame()
    assert kind == PROBED
    outcomes = struct.unpack(f"<{len(PROBES)}i", answer)
    assert worker.next_frame() is None, "a canary takes no run"
    return dict(zip(PROBES, outcomes)), worker.wait()


def worked(outcomes):
    return {name for name, outcome in outcomes.items() if outcome == SUCCEEDED}


# With no layer, what an ordinary root may do: else the attempt attempts nothing.
WORKS_FOR_ROOT = set(PROBES) - OF_SESSIONS - {
    # Nothing of the kind is there to be used.
    "INHERITED_DESCRIPTOR",
    # No limit is set without a layer; these are asked for below.
    "THREAD_QUOTA", "DISK_QUOTA", "RAISE_LIMIT",
}
# Not every kernel has these, or has them for everybody.
DEPENDS_ON_KERNEL = {"OPEN_DEVICE", "IO_URING", "USERFAULTFD", "PERFORMANCE_EVENTS", "BPF", "NEW_NAMESPACE", "MOUNT",
                     "KERNEL_SETTING", "SET_CLOCK", "SET_HOST_NAME", "MESSAGE_QUEUE", "SERVER_SEGMENT", "NEW_SEGMENT",
                     "KERNEL_KEYRING", "WRITE_SYSTEM", "WRITE_ROOT"}


@is_root
def test_without_layers_everything_works(zygote, target):
    worker = zygote.spawn(taken=0)
    outcomes, status = probe(worker, target.request(zygote=zygote.process.pid))
    failed = WORKS_FOR_ROOT - worked(outcomes)
    assert failed <= DEPENDS_ON_KERNEL, {name: errno.errorcode.get(outcomes[name], outcomes[name]) for name in failed}
    assert outcomes["INHERITED_DESCRIPTOR"] == errno.EBADF
    assert outcomes["THREAD_QUOTA"] == outcomes["DISK_QUOTA"] == SKIPPED
    assert status == 0
    # What worked has been put back.
    assert target.secret.stat().st_mode & 0o777 == 0o600
    assert os.listdir(target.shared) == []
    assert os.listdir(f"{worker.directory}/work") == []
    assert not [name for folder in ("/", "/usr") for name in os.listdir(folder) if name.startswith("hatchery-probe")]


@is_root
def test_limits_are_no_limits_for_root(zygote, target):
    """Root may raise its limits, and RLIMIT_NPROC does not bind it; address space and files are bounded all the same."""
    outcomes, _ = probe(zygote.spawn(taken=layers("rlimits"), tasks=20), target.request(
        attempts=("RAISE_LIMIT", "THREAD_QUOTA", "ADDRESS_QUOTA", "FILE_QUOTA"), tasks=20))
    # CAP_SYS_RESOURCE, which containers do not give.
    may_raise = int(re.search(r"CapEff:\s+(\w+)", Path("/proc/self/status").read_text())[1], 16) & 1 << 24
    assert worked(outcomes) == {"THREAD_QUOTA"} | ({"RAISE_LIMIT"} if may_raise else set())


@is_root
def test_a_user_of_ones_own_and_the_filter(zygote, target):
    worker = zygote.spawn(uid=UID, tasks=20)
    outcomes, status = probe(worker, target.request(zygote=zygote.process.pid, tasks=20))
    # Seen without a mount namespace and Landlock.
    assert worked(outcomes) == {"LIST_PROCESSES", "WRITE_SHARED_FOLDER", "LEARN_HOST_NAME"}
    assert outcomes["THREAD_QUOTA"] == errno.EAGAIN
    assert outcomes["ADDRESS_QUOTA"] == errno.ENOMEM
    assert outcomes["FILE_QUOTA"] == errno.EFBIG
    assert {outcomes[name] for name in FORBIDDEN} == {SKIPPED}
    assert status == 0


def test_as_a_plain_user_with_what_every_worker_takes(zygote, target):
    outcomes, _ = probe(zygote.spawn(taken=ALWAYS), target.request(zygote=zygote.process.pid))
    for name in ("INTERNET_SOCKET", "CONNECT_SERVER", "CONNECT_ABSTRACT", "CONNECT_NAMED", "PASS_DESCRIPTOR",
                 "SIGNAL_SERVER", "SIGNAL_ZYGOTE", "SIGNAL_NEIGHBOUR", "OWN_PIPE_SIGNAL", "PIDFD_SERVER", "NEW_PROCESS",
                 "NEW_PROGRAM", "OUTLIVE", "ADDRESS_QUOTA", "FILE_QUOTA", "LOCK_MEMORY", "RAISE_LIMIT", "GAIN_IDENTITY",
                 "GAIN_CAPABILITY", "BECOME_DUMPABLE", "NEW_SEGMENT", "MESSAGE_QUEUE", "ANONYMOUS_FILE", "WATCH_FILES",
                 "SET_HOST_NAME", "SET_CLOCK", "IO_URING", "INHERITED_DESCRIPTOR"):
        assert outcomes[name] > 0, (name, outcomes[name])


@pytest.mark.parametrize("flags", (REHEARSE, REHEARSE | SUBPROCESSES), ids=("threads", "subprocesses"))
@pytest.mark.parametrize("forbidden", FORBIDDEN)
def test_a_forbidden_call_is_the_end(zygote, target, flags, forbidden):
    _, status = probe(zygote.spawn(flags=flags), target.request(attempts=(), forbidden=forbidden))
    assert status == -signal.SIGSYS


@pytest.mark.parametrize("forbidden", FORBIDDEN)
def test_a_forbidden_call_needs_no_target(zygote, target, forbidden):
    """The server of a container is pid 1 there, and in a cell that is somebody else: it has no number to be named by."""
    _, status = probe(zygote.spawn(), target.request(attempts=(), forbidden=forbidden, server=0))
    assert status == -signal.SIGSYS


def test_without_the_filter_a_forbidden_call_is_not_the_end(zygote, target):
    worker = zygote.spawn(taken=ALWAYS & ~layers("seccomp"))
    _, status = probe(worker, target.request(attempts=(), forbidden="KERNEL_KEYRING"))
    assert status == 0


def test_only_what_is_asked_for_is_tried(zygote, target):
    outcomes, _ = probe(zygote.spawn(), target.request(attempts=("NEW_PROCESS", "READ_SHADOW")))
    tried = {name for name, outcome in outcomes.items() if outcome != SKIPPED}
    assert tried == {"NEW_PROCESS", "READ_SHADOW"}


def test_more_disk_than_there_is(zygote, target):
    """The quota is the file system's, which here has more: then the attempt works."""
    outcomes, _ = probe(zygote.spawn(), target.request(attempts=("DISK_QUOTA",), disk_bytes=1 << 20))
    assert outcomes["DISK_QUOTA"] == SUCCEEDED


def test_a_large_disk_is_only_asked_for_its_size(zygote, target):
    total = os.statvfs(target.folder)
    total = total.f_blocks * total.f_frsize
    for disk_bytes, outcome in ((65 << 20, SUCCEEDED), (total // 2, SUCCEEDED), (total, errno.ENOSPC), (total * 2, errno.ENOSPC)):
        worker = zygote.spawn()
        assert os.stat(worker.directory).st_dev == os.stat(target.folder).st_dev
        outcomes, _ = probe(worker, target.request(attempts=("DISK_QUOTA",), disk_bytes=disk_bytes))
        assert outcomes["DISK_QUOTA"] == outcome, disk_bytes


def test_the_name_of_the_host(zygote, target):
    outcomes, _ = probe(zygote.spawn(), target.request(attempts=("LEARN_HOST_NAME",)))
    assert outcomes["LEARN_HOST_NAME"] == SUCCEEDED


@pytest.mark.parametrize("change", (lambda body: body[:-1], lambda body: body + b"\0",
                                    lambda body: body[:-24] + b"x" * 24),
                         ids=("short", "long", "no end of a text"))
def test_nonsense_is_refused(zygote, target, change):
    worker = zygote.spawn()
    worker.send(frame(PROBE, change(target.request())))
    assert worker.next_frame() is None
    assert worker.wait() == 120


def test_a_touched_worker_can_be_a_canary(zygote, target):
    worker = zygote.spawn()
    worker.touch()
    outcomes, status = probe(worker, target.request(attempts=("NEW_PROCESS",)))
    assert outcomes["NEW_PROCESS"] > 0 and status == 0


def test_in_a_cell_with_all_there_is_nothing_works(celled, target):
    """The disk is not filled: it is the cell maker's to bound."""
    has_landlock = ctypes.CDLL(None).syscall(444, None, 0, 1) > 0
    names = (*USUAL, *(("landlock",) if has_landlock else ()), *SHARED, *(("uid",) if os.geteuid() == 0 else ()))
    worker = celled.spawn(names, tasks=20)
    outcomes, status = probe(worker, target.request(zygote=celled.zygote.process.pid, tasks=20, forbidden="MOUNT"))
    assert worked(outcomes) == set()
    assert {name for name in PROBES if outcomes[name] == SKIPPED} == {*FORBIDDEN, "DISK_QUOTA", *OF_SESSIONS}
    assert status == -signal.SIGSYS


def test_in_a_cell_the_outside_is_not_there(celled, target):
    """By the namespaces alone; what they do not promise works."""
    worker = celled.spawn(SHARED)
    outcomes, _ = probe(worker, target.request(zygote=celled.zygote.process.pid))
    outside = {"READ_SHADOW", "READ_SECRET", "LIST_WORK_FOLDERS", "LIST_PROCESSES", "SERVER_ENVIRONMENT", "SERVER_MEMORY",
               "NEIGHBOUR_MEMORY", "WRITE_ROOT", "WRITE_SYSTEM", "WRITE_SHARED_FOLDER", "CHANGE_MODE_OUTSIDE", "OPEN_DEVICE",
               "KERNEL_SETTING", "CONNECT_SERVER", "CONNECT_ABSTRACT", "CONNECT_NAMED", "SIGNAL_SERVER", "SIGNAL_ZYGOTE",
               "SIGNAL_NEIGHBOUR", "OWN_PIPE_SIGNAL", "PIDFD_SERVER", "SERVER_SEGMENT", "TRACE_SERVER",
               "READ_SERVER_MEMORY", "TAKE_DESCRIPTOR", "LEARN_HOST_NAME"}
    assert {name for name in outside if outcomes[name] <= 0} == set()
    assert {"INTERNET_SOCKET", "NEW_PROCESS", "ANONYMOUS_FILE", "BECOME_DUMPABLE"} <= worked(outcomes)
