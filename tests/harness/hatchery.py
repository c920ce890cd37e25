"""One running server, as a black box: start it, talk to it, look at it from outside, stop it.

    with Hatchery("--workers", "2") as server:
        assert server.run("print(1)")["stdout"] == "1\\n"

The program is $HATCHERY, else build/hatchery. Every server has its own port, work and state directory, and log.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from harness import proc

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 90
STOP_SECONDS = 30

# What `./dev test` sets for the sanitized build.
PASSED_ON = {name: os.environ[name] for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "HATCHERY_PYTHON_PROGRAM")
             if name in os.environ}

# A pool that suits a small machine and a short test.
SMALL_POOL = ("--workers", "4", "--touched", "1")


def program():
    return Path(os.environ.get("HATCHERY", ROOT / "build" / "hatchery")).absolute()


def python_program():
    """What such a server starts by itself; beside a sanitized one there is a plain one."""
    return Path(os.environ.get("HATCHERY_PYTHON_PROGRAM", program().with_name("hatchery-python")))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(condition, seconds=10, what=None):
    """Waits until condition() is true, and returns its value; for states that the kernel gives no event for."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what or condition}")
        time.sleep(0.01)


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # http.client.HTTPMessage: case does not matter
        self.body = body

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<Response {self.status} {self.body[:2000]!r}>"


class Hatchery:
    def __init__(self, *arguments, env=None, binary=None, listen=None, start=True, wrapper=(), session_spares=0):
        """arguments go to `hatchery serve`; env is added to a small environment of its own; listen replaces the free
        port ("unix:PATH" too); wrapper is put before the program, as in ("strace", "-f"). Tests count the workers, so
        spares for sessions are for those that ask; None: as many as the server has by itself."""
        self.directory = tempfile.TemporaryDirectory(prefix="hatchery-test-")
        top = Path(self.directory.name)
        # Workers that have dropped their ids must be able to pass through.
        top.chmod(0o755)
        self.work = top / "work"
        self.state = top / "state"
        self.work.mkdir()
        self.state.mkdir()
        self.log_path = top / "log"
        self.binary = Path(binary or program())
        self.listen = listen
        self.host = "127.0.0.1"
        self.port = None
        spares = [] if session_spares is None else ["--session-spares", session_spares]
        self.arguments = [str(argument) for argument in (*spares, *arguments)]
        self.env = env or {}
        self.wrapper = [str(word) for word in wrapper]
        self.process = None
        self.ready_line = None
        self.witness = None  # while one asks all the time, see aftermath.py
        if start:
            self.start()

    # ── Life ──

    def start(self):
        """Starts it and waits until it says that it is ready. A port that somebody took in between is tried anew."""
        for attempt in range(3):
            self.port = free_port() if self.listen is None else None
            self._spawn(self.listen or f"{self.host}:{self.port}")
            self.ready_line = self._await_ready()
            if self.ready_line:
                return self
            status = self._end()
            self.process = None
            if self.listen is None and attempt < 2 and "in use" in self.log().lower():
                continue
            raise AssertionError(f"the server was not ready; exit status {status}; its log:\n{self.log_tail()}")

    def _spawn(self, listen):
        command = [*self.wrapper, str(self.binary), "serve", "--listen", listen, "--work-directory", str(self.work),
                   "--state-directory", str(self.state), *self.arguments]
        env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **PASSED_ON, **self.env}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                            stderr=log, cwd=self.directory.name)

    def _await_ready(self):
        """Returns the line, or None when the process ended or took too long."""
        lines = []
        reader = threading.Thread(target=lambda: lines.append(self.process.stdout.readline()), daemon=True)
        reader.start()
        reader.join(READY_SECONDS)
        return lines[0].decode().strip() if lines and lines[0].endswith(b"\n") else None

    def _end(self):
        if self.process.poll() is None:
            self.process.kill()
        status = self.process.wait()
        self.process.stdout.close()
        return status

    def stop(self, expect=0):
        """SIGTERM; it must end by itself, with that status, and leave no process and no file behind."""
        if self.process is None:
            return
        descendants = proc.descendants(self.pid)
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not end within {STOP_SECONDS} s of SIGTERM; its log:\n{self.log_tail()}")
        self.process.stdout.close()
        self.process = None
        assert status == expect, f"ended with {status} instead of {expect}; its log:\n{self.log_tail()}"
        eventually(lambda: not [pid for pid in descendants if proc.is_same_alive(pid, descendants[pid])], 10,
                   f"processes left behind by {self.binary.name}: {descendants}")
        left = sorted(str(path.relative_to(self.work)) for path in self.work.rglob("*"))
        assert left == [], f"left in the work directory: {left}"

    def kill(self):
        """SIGKILL, and waits; for tests that want a crash, and for cleaning up."""
        if self.process is not None:
            self._end()
            self.process = None

    def wait(self, seconds=STOP_SECONDS):
        """Waits for an end that the test has caused; returns the exit status."""
        status = self.process.wait(seconds)
        self.process.stdout.close()
        self.process = None
        return status

    def close(self):
        self.kill()
        self.directory.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        try:
            if kind is None:
                self.stop()
        finally:
            self.close()

    # ── Talking to it ──

    @property
    def url(self):
        return f"http://{self.host}:{self.port}"

    def connect(self, timeout=30):
        """A raw connection, for requests that no client library would send."""
        if self.listen and self.listen.startswith("unix:"):
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(timeout)
            connection.connect(self.listen[len("unix:"):])
            return connection
        return socket.create_connection((self.host, self.port), timeout)

    def refuses(self):
        """Whether nobody is accepted any more."""
        try:
            self.connect().close()
        except (ConnectionRefusedError, ConnectionResetError):
            # Reset: it was waiting to be accepted when the listener closed.
            return True
        return False

    def client(self, timeout=60):
        """An http.client connection that is kept alive; close it."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        connection.sock = self.connect(timeout)
        if connection.sock.family != socket.AF_UNIX:
            # http.client sends head and body apart; the second would wait 40 ms for the acknowledgement of the first.
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def request(self, method, path, body=None, headers=None, timeout=60):
        """body: bytes and str go as they are, anything else as JSON."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        if isinstance(body, str):
            body = body.encode()
        connection = self.client(timeout)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path, headers=None, timeout=60):
        return self.request("GET", path, None, headers, timeout)

    def post(self, path, body=b"", headers=None, timeout=60):
        return self.request("POST", path, body, headers, timeout)

    def run(self, code, timeout=60, **fields):
        """POST /v1/execute that must be accepted; returns its answer."""
        answer = self.post("/v1/execute", {"code": code, **fields}, timeout=timeout)
        assert answer.status == 200, answer
        return answer.json()

    def health(self):
        answer = self.get("/health")
        assert answer.status == 200, answer
        return answer.json()

    # ── Looking at it from outside ──

    @property
    def pid(self):
        return self.process.pid

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def children(self):
        """Pids of its children that live: zygotes, workers, and what makes and keeps their cells."""
        return [pid for pid in proc.children(self.pid) if proc.state(pid) not in ("Z", "X", None)]

    def zombies(self):
        return [pid for pid in proc.children(self.pid) if proc.state(pid) == "Z"]

    def zygote_pid(self):
        """The one zygote of a server with one template."""
        zygotes = self.zygotes()
        assert len(zygotes) == 1, zygotes
        return zygotes[0]

    def zygotes(self):
        """As /health names them: from outside, a worker that is just being made looks the same."""
        named = [template["zygote_pid"] for template in self.health()["pool"]["templates"]]
        return [pid for pid in self.children() if pid in named]

    def workers(self):
        """Forks of a zygote, with its command line; keepers and makers of cells have another."""
        zygotes = self.zygotes()
        return [pid for pid in self.children() if pid not in zygotes and "--template" in proc.command_line(pid)]

    def makers_and_keepers(self):
        """Processes of the cells, none of which ever runs anybody's code."""
        return [pid for pid in self.children() if "--make-cells" in proc.command_line(pid)]

    def snapshot(self):
        """What a leak would make grow; see proc.Footprint."""
        return proc.footprint(self.pid, self.work)

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines=60):
        return "\n".join(self.log().splitlines()[-lines:])


@contextmanager
def of_a_session(*arguments, **keywords):
    """A server that many tests share. A test that ends it has failed by then: the end of the session has nothing to add."""
    server = Hatchery(*arguments, **keywords)
    try:
        yield server
        if server.is_alive():
            server.stop()
    finally:
        server.close()
