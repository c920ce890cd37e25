"""The process that runs pip for a session, started as the server starts it, and listened to."""

import fcntl
import os
import socket
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest
from harness.wheels import Index
from supervisor import SANITIZERS, program

SAYS, WHEEL, RESOLVED, UNPACKED, FINISHED, FAILED = range(1, 7)
OWN, NOT_FOUND, CONFLICT, NO_INDEX, BAD_WHEEL, TOO_LARGE, NO_SPACE = range(1, 8)
UID = 64999 if os.geteuid() == 0 else 0


class Installer:
    def __init__(self, index, *options, installed=(), uid=UID, environment=None):
        self.directory = tempfile.TemporaryDirectory(prefix="hatchery-install-")
        self.staging = Path(self.directory.name)
        self.staging.chmod(0o755)
        for name in ("work", "tmp", "work/installed"):
            (self.staging / name).mkdir()
        for name, version, requires in installed:
            folder = self.staging / "work/installed" / f"{name}-{version}.dist-info"
            folder.mkdir()
            lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
            (folder / "METADATA").write_text("".join(lines + [f"Requires-Dist: {one}\n" for one in requires]))
        if uid:
            for name in (".", "work", "tmp"):
                os.chown(self.staging / name, uid, uid)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(60)
        self.socket = ours
        folder = os.open(self.staging, os.O_RDONLY | os.O_DIRECTORY)

        def place():
            os.dup2(fds[0], 3)
            os.dup2(fds[1], 4)

        # Free numbers above those that they get, which the pipe of Popen shall not have either.
        held = [os.open(os.devnull, os.O_RDONLY) for _ in range(2)]
        fds = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 5) for fd in (theirs.fileno(), folder)]
        command = [str(program()), "--install", "--socket", "3", "--template", "test", "--staging", str(self.staging),
                   *(("--uid", str(uid)) if uid else ()), *(("--index", index) if index else ()),
                   *map(str, options)]
        self.process = subprocess.Popen(command, pass_fds=(3, 4), preexec_fn=place, stdin=subprocess.DEVNULL,
                                        env={"PATH": "/usr/bin:/bin", **SANITIZERS, **(environment or {})},
                                        start_new_session=True)
        for fd in (*fds, *held, folder):
            os.close(fd)
        theirs.close()
        self.said = ""
        self.wheels, self.unpacked, self.failure = [], [], None

    def report(self):
        message = self.socket.recv(1 << 16)
        if not message:
            return None, None, None
        kind, number = struct.unpack("=II", message[:8])
        assert message.endswith(b"\0")
        return kind, number, message[8:-1].decode()

    def run(self, *requirements, has=()):
        """has: the names of wheels that are not to be unpacked."""
        self.socket.send("".join(text + "\0" for text in requirements).encode())
        while True:
            kind, number, text = self.report()
            if kind is None or kind == FINISHED:
                break
            if kind == SAYS:
                self.said += text
            elif kind == WHEEL:
                assert number == len(self.wheels)
                self.wheels.append(tuple(text.split(" ")))
            elif kind == RESOLVED:
                assert number == len(self.wheels)
                self.socket.send(bytes(name not in has for _, name, _ in self.wheels) or b"\0")
            elif kind == UNPACKED:
                self.unpacked.append(number)
            elif kind == FAILED:
                self.failure = number, text
                break
        return self

    @property
    def names(self):
        return {f"{name}=={version}" for _, name, version in self.wheels}

    def files(self, number):
        top = self.staging / "work" / str(number)
        return {str(path.relative_to(top)) for path in top.rglob("*") if not path.is_dir()}

    def close(self):
        self.socket.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.directory.cleanup()


@pytest.fixture
def index():
    with Index() as one:
        yield one


@pytest.fixture
def install(index):
    made = []

    def start(*requirements, options=(), url=None, has=(), **keywords):
        made.append(Installer(url or index.url, *options, **keywords))
        return made[-1].run(*requirements, has=has)

    yield start
    for one in made:
        one.close()


def expect_failure(one, kind, *parts):
    assert one.failure is not None, one.said
    assert one.failure[0] == kind, (one.failure, one.said)
    for part in parts:
        assert part in one.failure[1], one.failure
    assert one.failure[1].endswith(".")
    assert one.unpacked == []
