"""A supervisor in few lines: starts hatchery-python, asks it for workers, gives them runs, and reads what comes back."""

import array
import json
import os
import select
import signal
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MAGIC = 0x48544331
SANITIZERS = {name: os.environ[name] for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS") if name in os.environ}
SECONDS = float(os.environ.get("INTERP_SECONDS", 60))

REHEARSE, RESET, SUBPROCESSES, SESSION = 1, 2, 4, 8
# Bits of wire/layers.h, in its order.
LAYERS = {name: 1 << number for number, name in enumerate((
    "rlimits", "no_new_privs", "capabilities", "not_dumpable", "seccomp", "landlock", "uid", "userns", "pidns", "mountns",
    "netns", "ipcns", "utsns", "cgroupns", "cgroup", "oom_score", "core_scheduling"))}
# The descriptors of a spawn beyond those that every one has, in the order of SpawnFd.
OPTIONAL_FDS = {name: 5 + number for number, name in enumerate((
    "pidns", "mountns", "userns", "cgroup", "cgroup_memory", "cgroup_pids", "control"))}


def layers(*names):
    return sum(LAYERS[name] for name in names)


ALWAYS = layers("rlimits", "no_new_privs", "capabilities", "not_dumpable", "seccomp", "oom_score")
TOUCH, CODE, STDIN, ARGUMENT, ENVIRONMENT, DATA, FILE_PATH, FILE_CONTENT, VARIABLE, END, PROBE = range(1, 12)
WANT_VALUE, WANT_DISPLAYS, WANT_ALL_VARIABLES, PLAIN_VARIABLES, BIND_ANALYSIS, BIND_PLOT, NEW_PACKAGES, \
    BIND_JSON = 1, 2, 4, 8, 16, 32, 64, 128
READY, FAILED, TOUCHED, DISPLAY, VALUE, VARIABLES, REPRS, ERROR_TYPE, ERROR_MESSAGE, ERROR_TRACEBACK, ERROR_LINE, \
    SWITCHES, RESULT_END, PROBED = range(1, 15)
COMPLETED, RAISED, EXITED = 1, 2, 3
Z_PROGRESS, Z_READY, Z_FAILED, Z_SPAWNED, Z_SPAWN_FAILED = range(1, 6)

DEFAULT_FLAGS = WANT_VALUE | WANT_DISPLAYS
TEXTS = {ERROR_TYPE: "type", ERROR_MESSAGE: "message", ERROR_TRACEBACK: "traceback"}


def program():
    if "HATCHERY_PYTHON" in os.environ:
        return Path(os.environ["HATCHERY_PYTHON"])
    found = sorted(ROOT.glob("build*/hatchery-python"), key=lambda path: path.stat().st_mtime)
    assert found, "no build*/hatchery-python; build it, or set HATCHERY_PYTHON"
    return found[-1]


def is_sanitized():
    """Whether the program is built with AddressSanitizer, whose shadow memory hides what a page is for."""
    return b"__asan_init" in program().read_bytes()


def frame(kind, body=b""):
    return struct.pack("<IIQ", MAGIC, kind, len(body)) + body


def options(flags=DEFAULT_FLAGS, processes=1, cpu_seconds=30, memory_bytes=512 << 20, file_bytes=64 << 20,
            value_bytes=1 << 20):
    return struct.pack("<IIQQQQ", flags, processes, cpu_seconds, memory_bytes, file_bytes, value_bytes)


def request(code, stdin=b"", args=(), env=None, data=None, files=(), variables=(), **limits):
    out = [frame(CODE, code.encode() if isinstance(code, str) else code)]
    if stdin:
        out.append(frame(STDIN, stdin))
    out += [frame(ARGUMENT, argument.encode()) for argument in args]
    out += [frame(ENVIRONMENT, f"{name}={value}".encode()) for name, value in (env or {}).items()]
    if data is not None:
        out.append(frame(DATA, data if isinstance(data, bytes) else json.dumps(data).encode()))
    for path, content in files:
        out += [frame(FILE_PATH, path.encode()), frame(FILE_CONTENT, content)]
    out += [frame(VARIABLE, name.encode()) for name in variables]
    return b"".join(out) + frame(END, options(**limits))


class Outcome:
    """What one run left: the frames of the result pipe, and the streams as they were when it ended."""

    def __init__(self):
        self.frames = []
        self.error = {}
        self.displays = []
        self.places = []  # of the displays, as bytes of stdout and stderr before them
        self.switches = []
        self.value = self.variables = self.reprs = self.line = self.outcome = self.exit_code = None
        self.stdout = self.stderr = b""

    def add(self, kind, body):
        self.frames.append((kind, body))
        if kind == DISPLAY:
            self.places.append(struct.unpack_from("<QQ", body))
            self.displays.append(strict_json(body[16:]))
        elif kind == SWITCHES:
            self.switches = list(struct.iter_unpack("<QQ", body))
        elif kind == VALUE:
            self.value = strict_json(body)
        elif kind == VARIABLES:
            self.variables = strict_json(body)
        elif kind == REPRS:
            self.reprs = strict_json(body)
        elif kind in TEXTS:
            self.error[TEXTS[kind]] = body.decode()
        elif kind == ERROR_LINE:
            self.line, = struct.unpack("<I", body)
        elif kind == RESULT_END:
            self.outcome, self.exit_code = struct.unpack("<Ii", body)

    @property
    def kinds(self):
        return [kind for kind, _ in self.frames]

    @property
    def text(self):
        return self.stdout.decode()


def strict_json(body):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")
    return json.loads(body.decode("ascii"), parse_constant=refuse)


def add_member(home, member, owner):
    """The folders of a session in its home."""
    for folder, mode in (("work", 0o700), ("packages", 0o755)):
        os.makedirs(f"{home}/{folder}", exist_ok=True)
        os.mkdir(f"{home}/{folder}/{member}", mode)
        if owner and folder == "work":
            os.chown(f"{home}/work/{member}", owner, owner)


class Worker:
    def __init__(self, zygote, pid, fds, directory, control=None):
        self.zygote, self.pid, self.directory, self.control = zygote, pid, directory, control
        self.request_fd, self.result_fd, self.stdout_fd, self.stderr_fd = fds
        self.buffer = b""
        self.status = None
        self.usage = None

    def send(self, data):
        """Writes a request; a worker may end before it has read all."""
        os.set_blocking(self.request_fd, True)
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self.request_fd, view[:1 << 16]):]
        except BrokenPipeError:
            pass

    def next_frame(self, outcome=None):
        """(kind, body), or None at the end of the pipe. Meanwhile the streams are read into outcome."""
        streams = {self.stdout_fd: "stdout", self.stderr_fd: "stderr"}
        deadline = time.monotonic() + SECONDS
        while True:
            if len(self.buffer) >= 16:
                magic, kind, size = struct.unpack("<IIQ", self.buffer[:16])
                assert magic == MAGIC
                if len(self.buffer) >= 16 + size:
                    body, self.buffer = self.buffer[16:16 + size], self.buffer[16 + size:]
                    return kind, body
            watched = [self.result_fd, *(streams if outcome is not None else ())]
            readable, _, _ = select.select(watched, [], [], max(deadline - time.monotonic(), 0))
            assert readable, "the worker says nothing"
            for fd in readable:
                if fd == self.result_fd:
                    continue
                data = os.read(fd, 1 << 16)
                if not data:
                    del streams[fd]
                setattr(outcome, streams.get(fd, "stdout"), getattr(outcome, streams.get(fd, "stdout")) + data)
            if self.result_fd in readable:
                data = os.read(self.result_fd, 1 << 20)
                if not data:
                    assert not self.buffer, "half a frame"
                    return None
                self.buffer += data

    def await_ready(self):
        found = self.next_frame()
        assert found is not None, "the worker ended"
        assert found[0] == READY, found
        return self

    def touch(self):
        self.send(frame(TOUCH))
        assert self.next_frame() == (TOUCHED, b"")

    def drain(self, outcome):
        for name, fd in (("stdout", self.stdout_fd), ("stderr", self.stderr_fd)):
            os.set_blocking(fd, False)
            while True:
                try:
                    data = os.read(fd, 1 << 16)
                except BlockingIOError:
                    break
                if not data:
                    break
                setattr(outcome, name, getattr(outcome, name) + data)

    def run(self, code, **parts):
        return self.exchange(request(code, **parts))

    def exchange(self, data):
        outcome = Outcome()
        self.send(data)
        while found := self.next_frame(outcome):
            outcome.add(*found)
            if found[0] == RESULT_END:
                break
        self.drain(outcome)
        return outcome

    def wait(self):
        """The wait status, as os.waitstatus_to_exitcode() has it."""
        if self.request_fd is not None:
            os.close(self.request_fd)
            self.request_fd = None
        if self.status is None:
            for _ in range(int(SECONDS * 100)):
                pid, status, self.usage = os.wait4(self.pid, os.WNOHANG)
                if pid:
                    self.status = os.waitstatus_to_exitcode(status)
                    break
                time.sleep(0.01)
            assert self.status is not None, "the worker does not end"
        return self.status

    def is_alive(self):
        if self.status is None:
            pid, status, self.usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is None

    def close(self):
        for name in ("request_fd", "result_fd", "stdout_fd", "stderr_fd"):
            if getattr(self, name) is not None:
                os.close(getattr(self, name))
                setattr(self, name, None)
        if self.control:
            self.control.close()

    def end(self):
        if self.is_alive():
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
        self.close()


class Program:
    """hatchery-python, a socket to it, and its log."""

    def __init__(self, *arguments, wrapper=(), env=None, pass_fds=()):
        self.log = tempfile.TemporaryFile()
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(SECONDS)
        self.process = subprocess.Popen(
            [*wrapper, str(program()), *arguments, "--socket", str(theirs.fileno())], pass_fds=[theirs.fileno(), *pass_fds],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log,
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **SANITIZERS, **(env or {})})
        theirs.close()

    def log_text(self):
        self.log.seek(0)
        return self.log.read().decode()

    def close(self):
        """Its exit status, once it has seen that the socket is closed."""
        self.socket.close()
        try:
            return self.process.wait(SECONDS)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.log.close()


class Zygote(Program):
    def __init__(self, *arguments, imports=(), start=True, wrapper=(), env=None, enter=()):
        """enter: descriptors of namespaces."""
        self.directory = tempfile.TemporaryDirectory(prefix="hatchery-interp-")
        os.chmod(self.directory.name, 0o755)
        words = ["--template", "test", *arguments]
        for name in imports:
            words += ["--import", name]
        for fd in enter:
            words += ["--enter", str(fd)]
        super().__init__(*words, wrapper=wrapper, env=env, pass_fds=enter)
        self.progress = []
        self.about = None
        self.failure = None
        self.slots = 0
        self.workers = []
        if start:
            self.await_ready()

    def report(self):
        data = self.socket.recv(1 << 16)
        if not data:
            return None
        kind, slot, value = struct.unpack("<IIq", data[:16])
        assert data.endswith(b"\0")
        return kind, slot, value, data[16:-1].decode()

    def await_ready(self):
        while found := self.report():
            kind, _, value, text = found
            if kind == Z_PROGRESS:
                self.progress.append(text)
            elif kind == Z_READY:
                self.about = json.loads(text)
                return self
            else:
                assert kind == Z_FAILED, found
                self.failure = text
                return self
        raise AssertionError(f"the zygote ended with {self.process.wait()}: {self.log_text()}")

    def make_directory(self, slot, owner):
        directory = os.path.join(self.directory.name, f"slot{slot}")
        for path in (directory, f"{directory}/work", f"{directory}/tmp"):
            os.mkdir(path, 0o755 if path == directory else 0o700)
            if owner:
                os.chown(path, owner, owner)
        return directory

    def send_spawn(self, flags=REHEARSE, uid=None, tasks=0, memory_bytes=512 << 20, file_bytes=64 << 20, cpu_seconds=60,
                   member=0, directory=None, taken=None, fds=None, folder=""):
        """fds: optional ones by name. directory: "" in a cell. A uid is a layer too."""
        self.slots += 1
        control = None
        if flags & SESSION:
            control, theirs_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            fds = {**(fds or {}), "control": theirs_control.fileno()}
        if directory is None:
            directory = self.make_directory(self.slots, uid)
            if flags & SESSION:
                add_member(directory, member, uid)
        fds = sorted((OPTIONAL_FDS[name], fd) for name, fd in (fds or {}).items())
        pipes = [os.pipe() for _ in range(4)]
        directory_fd = os.open(directory or "/", os.O_PATH | os.O_DIRECTORY)
        ours = [pipes[0][1], pipes[1][0], pipes[2][0], pipes[3][0]]
        theirs = [pipes[0][0], pipes[1][1], pipes[2][1], pipes[3][1], directory_fd]
        if taken is None:
            taken = ALWAYS | (LAYERS["uid"] if uid is not None else 0)
        command = struct.pack("<IIIIIIIIQQQI196s128s", 1, self.slots, flags, uid or 0, uid or 0, tasks, taken,
                              sum(1 << number for number, _ in fds), memory_bytes, file_bytes, cpu_seconds, member,
                              directory.encode(), folder.encode())
        sent = array.array("i", [*theirs, *(fd for _, fd in fds)])
        self.socket.sendmsg([command], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, sent)])
        for fd in theirs:
            os.close(fd)
        kind, slot, value, _ = self.report()
        assert slot == self.slots
        if control:
            theirs_control.close()
        self.control = control
        return kind, value, ours, directory

    def spawn(self, *arguments, ready=True, **parts):
        kind, value, ours, directory = self.send_spawn(*arguments, **parts)
        if kind != Z_SPAWNED:
            for fd in ours:
                os.close(fd)
        assert kind == Z_SPAWNED, os.strerror(value)
        worker = Worker(self, value, ours, directory, self.control)
        self.workers.append(worker)
        return worker.await_ready() if ready else worker

    def run(self, code, spawn=REHEARSE, **parts):
        """A run in a fresh worker."""
        worker = self.spawn(spawn)
        try:
            outcome = worker.run(code, **parts)
            outcome.status = worker.wait()
            return outcome
        finally:
            worker.end()

    def close(self):
        for worker in self.workers:
            worker.end()
        try:
            return super().close()
        finally:
            self.directory.cleanup()


def value_text(outcome):
    assert outcome.outcome == COMPLETED, outcome.error
    return outcome.value and outcome.value["text/plain"]
