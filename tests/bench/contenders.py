"""What is measured: each contender is started once, tells where it answers, and what its processes have used."""

import http.client
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import proc  # noqa: E402
from harness.hatchery import Hatchery, eventually, free_port  # noqa: E402

HERE = Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"
# OpenBLAS would start a thread for each core with every process: the floors are measured without.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"}


class Contender:
    """Something that answers HTTP. pid is the root of all its processes."""

    path = "/"
    checks_status = False

    def __init__(self, name):
        self.name = name
        self.port = None
        self.pid = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}{self.path}"

    def ask(self, snippet):
        """One run, its answer parsed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", self.path, snippet.body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status == 200, (self.name, answer.status, body[:500])
        return json.loads(body)

    def expected(self, snippet):
        return snippet.expected_bytes

    def verify(self, snippet):
        snippet.check(self.ask(snippet))

    def used(self):
        """(CPU seconds, minor faults) of all its processes up to now, those that have ended included: a process that is
        waited for leaves its numbers to its parent, so the sum over the living tree loses nothing."""
        tree = [self.pid, *proc.descendants(self.pid)]
        return sum(proc.cpu_seconds(pid) for pid in tree), sum(proc.minor_faults(pid) for pid in tree)

    def settle(self):
        """Waits until it has done what it put off, if it puts anything off."""


class Program(Contender):
    """A contender that is one command."""

    def __init__(self, name, command, port=None):
        super().__init__(name)
        self.command = [str(word) for word in command]
        self.port = port
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=ENVIRONMENT)
        self.pid = self.process.pid
        if self.port is None:
            self.port = int(self.process.stdout.readline())
        return self

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class BareHttp(Program):
    """libh2o that sends the request back."""

    def __init__(self, build):
        super().__init__("bare h2o", [build / "tests/bench/bare-h2o"])

    def expected(self, snippet):
        return snippet.body

    def verify(self, snippet):
        assert self.ask(snippet) == {"code": snippet.code}


class SubprocessService(Program):
    """FastAPI and a new python3 for every request."""

    path = "/execute"

    def __init__(self):
        port = free_port()
        super().__init__("FastAPI + subprocess", [PYTHON, HERE / "floors/subprocess_service.py", port], port)

    def start(self):
        super().start()

        def answers():
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
                connection.request("GET", "/")
                return connection.getresponse().status
            except OSError:
                return None

        eventually(answers, 30)
        return self


class Server(Contender):
    """Hatchery itself."""

    path = "/v1/execute"
    checks_status = True

    def __init__(self, name, build, *arguments):
        super().__init__(name)
        self.server = Hatchery(*arguments, binary=build / "hatchery", start=False, session_spares=None)

    def start(self):
        self.server.start()
        self.port, self.pid = self.server.port, self.server.pid
        return self

    def settle(self, quiet_seconds=0.15, seconds=10):
        """Waits until it has done what it put off: spares made, dead workers reaped."""
        last = [None, 0]

        def is_quiet():
            now = self.used()[0]
            last[1] = last[1] + 1 if now == last[0] else 0
            last[0] = now
            # eventually() looks every 10 ms, which is also the resolution of these times.
            return last[1] * 0.01 >= quiet_seconds

        try:
            eventually(is_quiet, seconds)
        except AssertionError:
            pass  # a busy machine; the next reading is then a little too high, not too low

    def stop(self):
        try:
            self.server.stop()
        finally:
            self.server.close()
