"""What an attacker may try to reach: files, sockets, and a process that belong to the test and to the server's user. All of it
can be reached by a process of that user that nothing holds back; nothing of it is anybody else's.
"""

import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

SECRET = "canary-of-the-scene"

# Dumpable, of the server's user, with a secret in its environment and memory. It tells of each signal on its output, and before
# it answers a byte of its input it has told of all that were sent before: a handler runs when the call returns that waits for it.
VICTIM = """
import os, signal, sys
kept = bytearray(os.environ["SECRET"].encode() * 100)
signal.signal(signal.SIGUSR1, lambda *a: os.write(1, b"SIGUSR1\\n"))
signal.signal(signal.SIGHUP, lambda *a: os.write(1, b"SIGHUP\\n"))
print(id(kept), kept.__sizeof__(), flush=True)
while os.read(0, 1): os.write(1, b"HERE\\n")
"""


class Scene:
    def __init__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="hatchery-scene-")
        self.top = Path(self.directory.name)
        self.top.chmod(0o755)
        self.open = self.top / "open"
        self.private = self.top / "private"
        self.open.mkdir()
        self.open.chmod(0o777)
        self.private.mkdir(0o700)
        self.public_file = self._file(self.top / "public", 0o644)
        self.shared_file = self._file(self.top / "shared", 0o666)
        self.secret_file = self._file(self.private / "secret", 0o600)
        # Nothing in the way to it but its own mode.
        self.owned_file = self._file(self.top / "owned", 0o600)
        self.secret = SECRET
        self.mark = f"hatchery-mark-{os.getpid()}-"
        self.key = 0x4A7C0000 | os.getpid() & 0xffff
        self.set_uid_program = self._set_uid_program()
        self.block_device = self._first("/dev", lambda path: path.is_block_device())
        self.cgroup_file = self._first("/sys/fs/cgroup", lambda path: path.name == "cgroup.procs" and os.access(path, os.W_OK))
        self.kernel_setting = "/proc/sys/kernel/core_pattern" if os.access("/proc/sys/kernel/core_pattern", os.W_OK) else None
        self.real_time = self._may_run_in_real_time()
        self.left_behind = self._file(Path("/tmp") / f"hatchery-left-{os.getpid()}", 0o644)
        self._listen()
        self.patience = 0.05  # how long it waits for what comes through the network, in seconds
        self.victim = subprocess.Popen([sys.executable, "-S", "-c", VICTIM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       env={"SECRET": SECRET}, start_new_session=True)
        self.victim_address = int(self.victim.stdout.readline().split()[0])

    @staticmethod
    def _first(top, condition):
        found = (path for path in sorted(Path(top).glob("*")) + sorted(Path(top).glob("*/*")) if condition(path))
        return str(next(found, "")) or None

    @staticmethod
    def _may_run_in_real_time():
        """A control group of version 1 may have no such time to give, as most containers' have not."""
        code = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
        return subprocess.run([sys.executable, "-S", "-c", code], stderr=subprocess.DEVNULL, check=False).returncode == 0

    def _set_uid_program(self):
        """id(1), which becomes its owner."""
        path = self.top / "id"
        shutil.copyfile("/usr/bin/id", path)
        path.chmod(0o4755)
        return path

    @staticmethod
    def _file(path, mode):
        path.write_text(SECRET)
        path.chmod(mode)
        return path

    def _listen(self):
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.abstract_name = f"hatchery-scene-{os.getpid()}"
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind("\0" + self.abstract_name)
        self.abstract.listen(64)
        self.datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.datagrams.bind("\0" + self.abstract_name + "-dgram")
        self.path_socket = self.top / "socket"
        self.named = socket.socket(socket.AF_UNIX)
        self.named.bind(str(self.path_socket))
        self.named.listen(64)
        self.path_socket.chmod(0o777)
        self.sockets = [self.tcp, self.udp, self.abstract, self.datagrams, self.named]

    # ── What has come through ──

    def signals(self):
        """Those that have reached the victim since it was asked last."""
        os.write(self.victim.stdin.fileno(), b"?")
        found = []
        while (line := self.victim.stdout.readline()) != b"HERE\n":
            assert line, "the victim has ended"
            found.append(line.decode().strip())
        return found

    def arrivals(self):
        """How many connections, datagrams and signals came since it was asked last."""
        found = self.signals()
        while True:
            ready, _, _ = select.select(self.sockets, [], [], self.patience if not found else 0)
            if not ready:
                return found
            for one in ready:
                if one in (self.udp, self.datagrams):
                    found.append(one.recv(4096).decode())
                else:
                    one.accept()[0].close()
                    found.append("connection")

    def touched(self):
        """What is not as it was laid out, and lays it out anew."""
        wrong = [str(path) for path in self.open.iterdir()]
        for path in self.open.iterdir():
            path.unlink()
        for path, mode in ((self.public_file, 0o644), (self.shared_file, 0o666), (self.secret_file, 0o600),
                           (self.owned_file, 0o600)):
            if not path.exists() or path.read_text() != SECRET or path.stat().st_mode & 0o7777 != mode or \
                    path.stat().st_nlink != 1 or "user.hatchery" in os.listxattr(path):
                wrong.append(str(path))
                path.unlink(missing_ok=True)
                self._file(path, mode)
        return wrong

    def close(self):
        self.victim.stdin.close()
        self.victim.wait(10)
        self.victim.stdout.close()
        for one in self.sockets:
            one.close()
        self.left_behind.unlink()
        self.directory.cleanup()


class Knocking(threading.Thread):
    """Tries to connect to a port of loopback until somebody answers, or it is over."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.over, self.answered = port, threading.Event(), False
        self.start()

    def run(self):
        while not self.over.wait(0.01) and not self.answered:
            with socket.socket() as one:
                one.settimeout(8)
                try:
                    one.connect(("127.0.0.1", self.port))
                    self.answered = one.recv(16) == b"reached"
                except OSError:
                    pass

    def end(self):
        self.over.set()
        self.join(10)
        return self.answered
