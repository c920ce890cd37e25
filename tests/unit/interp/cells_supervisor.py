"""The supervisor of a cell maker in few lines: starts it, asks it for cells, and goes into them to look around."""

import array
import contextlib
import ctypes
import errno
import os
import pickle
import select
import signal
import socket
import struct
import subprocess
import time
import traceback
from pathlib import Path

from supervisor import LAYERS, SECONDS, Program, layers

READY, FAILED, STARTED, MADE, CELL_FAILED = range(1, 6)
SHARED = ("userns", "netns", "ipcns", "utsns", "cgroupns")
IS_ROOT = os.geteuid() == 0
# What a server takes: root gives each worker a uid of its own, a plain user needs a user namespace.
ALL = ("pidns", "mountns", "netns", "ipcns", "utsns", "cgroupns", *(() if IS_ROOT else ("userns",)))
WORKER_UID = 61007 if IS_ROOT else os.geteuid()
WORKER_GID = 61007 if IS_ROOT else os.getegid()
MIB = 1 << 20
WITHOUT_MOUNT_RIGHTS = ("setpriv", "--bounding-set", "-sys_admin") if IS_ROOT else ()
HOST_ROOT = os.stat("/").st_dev
HOST_PIDS = os.readlink("/proc/self/ns/pid")

libc = ctypes.CDLL(None, use_errno=True)


def setns(fd, kind=0):
    if libc.setns(fd, kind) < 0:
        raise OSError(ctypes.get_errno(), "setns")


def read_all(fd):
    data, poll = b"", select.poll()
    poll.register(fd, select.POLLIN)
    while True:
        if not poll.poll(SECONDS * 1000):
            raise TimeoutError("nothing comes out of the cell")
        if not (part := os.read(fd, 1 << 16)):
            return data
        data += part


class Report:
    def __init__(self, data, fds):
        self.kind, self.slot, self.layers, self.error, self.value, text = struct.unpack("<IIIiq128s", data)
        self.text = text.split(b"\0")[0].decode()
        self.fds = fds

    def __repr__(self):
        return f"Report({self.kind}, {self.slot}, {self.error}, {self.value}, {self.text!r})"


class Cell:
    def __init__(self, maker, slot, pid, report):
        self.maker, self.slot, self.pid, self.layers = maker, slot, pid, report.layers
        self.fds = list(report.fds)
        rest = iter(self.fds)
        self.pid_fd, self.mount_fd, self.user_fd, self.directory = (
            next(rest) if report.layers & LAYERS[layer] else None for layer in ("pidns", "mountns", "userns", "mountns"))
        assert not list(rest), "more descriptors than layers"

    def enter(self):
        """In a child of its own: the way of a worker."""
        for fd in self.maker.shared:
            setns(fd)
        if self.pid_fd is not None:
            setns(self.pid_fd, 0x20000000)
        if self.pid_fd is not None and (pid := os.fork()):
            os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 255)
        if self.pid_fd is not None:
            assert os.readlink("/proc/thread-self/ns/pid_for_children") != HOST_PIDS and os.getppid() == 0, "the host's pids"
        if self.user_fd is not None:
            setns(self.user_fd)
        if self.mount_fd is not None:
            setns(self.mount_fd)
            os.chdir("/work")
            # Tests try as root to harm what they see: a cell that is not one must not cost the host anything.
            assert os.stat("/").st_dev != HOST_ROOT, "the root is the host's"

    def start(self, function, drop=True):
        """Runs function in the cell; returns (pid of what entered, pipe with the pickled outcome)."""
        readable, writable = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(readable)
                self.enter()
                if drop and IS_ROOT:
                    os.setgroups([])
                    os.setresgid(WORKER_GID, WORKER_GID, WORKER_GID)
                    os.setresuid(WORKER_UID, WORKER_UID, WORKER_UID)
                outcome = (True, function())
                code = 0
            except BaseException as problem:
                outcome = (False, (getattr(problem, "errno", None), traceback.format_exc()))
            with contextlib.suppress(BrokenPipeError):
                os.write(writable, pickle.dumps(outcome))
            os._exit(code)
        os.close(writable)
        return pid, readable

    def run(self, function, drop=True):
        """What function returns in the cell; an OSError there is one here."""
        pid, readable = self.start(function, drop)
        try:
            data = read_all(readable)
        except TimeoutError:
            os.kill(self.pid, signal.SIGKILL)
            raise
        finally:
            os.close(readable)
        os.waitpid(pid, 0)
        assert data, "killed in the cell"
        worked, value = pickle.loads(data)
        if worked:
            return value
        if value[0]:
            raise OSError(value[0], value[1])
        raise AssertionError(value[1])

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = None
        return status

    def close(self):
        if self.pid:
            self.kill()
        for fd in self.fds:
            os.close(fd)
        self.fds = []


class CellMaker(Program):
    def __init__(self, *arguments, mask=ALL, homes=None, start=True, wrapper=()):
        """homes: the path of their folder."""
        number = mask if isinstance(mask, int) else layers(*mask)
        fds = [] if homes is None else [os.open(homes, os.O_PATH)]
        for fd in fds:
            arguments += ("--homes", str(fd))
        super().__init__("--make-cells", "--layers", str(number), *arguments, wrapper=wrapper, pass_fds=fds)
        for fd in fds:
            os.close(fd)
        self.shared, self.cells, self.pids, self.slots = [], [], [], 0
        if start:
            self.ready = self.receive()
            assert self.ready.kind == READY, (self.ready, self.log_text())
            self.shared = self.ready.fds

    def receive(self):
        data, ancillary, flags, _ = self.socket.recvmsg(4096, 4096, socket.MSG_CMSG_CLOEXEC)
        assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
        fds = array.array("i")
        for _, kind, content in ancillary:
            assert kind == socket.SCM_RIGHTS
            fds.frombytes(content)
        return Report(data, list(fds)) if data else None

    def ask(self, size_bytes=8 * MIB, inodes=512, uid=WORKER_UID, gid=WORKER_GID, home=b""):
        self.slots += 1
        self.socket.send(struct.pack("<IIIIQQ24s", 1, self.slots, uid, gid, size_bytes, inodes, home))
        return self.slots

    def started(self):
        """The pid of the next keeper; one that is never made into a cell is waited for at the end."""
        report = self.receive()
        assert report.kind == STARTED, (report, self.log_text())
        self.pids.append(report.value)
        return report

    def cell(self, **command):
        slot = self.ask(**command)
        pid = self.started().value
        report = self.receive()
        assert report.kind == MADE and report.slot == slot, (report, self.log_text())
        self.pids.remove(pid)
        self.cells.append(Cell(self, slot, pid, report))
        return self.cells[-1]

    def failure(self, **command):
        """The report on a cell that cannot be made; its keeper, if there was one, has ended."""
        self.ask(**command)
        report = self.receive()
        if report.kind == STARTED:
            pid = report.value
            report = self.receive()
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
        assert report.kind == CELL_FAILED, report
        return report

    def close(self):
        for cell in self.cells:
            cell.close()
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        for fd in self.shared:
            os.close(fd)
        self.shared = []
        return super().close()


def await_end(pidfd):
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(SECONDS * 1000))


def time_of(function, times):
    """Seconds for each of so many calls, in ascending order."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return sorted(taken)


def user_namespaces_work():
    return subprocess.run(["unshare", "--user", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0


def refusal(function, *arguments):
    """The errno's name, or None when it worked."""
    try:
        function(*arguments)
    except OSError as problem:
        return errno.errorcode[problem.errno]
    return None


def status_of(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
