"""Sessions of the native API, as a client has them.

    with made(server, idle_ms=5000) as session:
        session.run("x = 1")
        assert session.value("x") == "1"
"""

import contextlib
import json
import threading
from urllib.parse import quote

from harness.gate import waits_for
from harness.hatchery import eventually


class Session:
    def __init__(self, server, id):
        self.server = server
        self.id = id
        self.path = "/v1/sessions/" + quote(id, safe="")

    # ── Requests: what came back, as it is ──

    def execute(self, code, timeout=60, **fields):
        return self.server.post(self.path + "/execute", {"code": code, **fields}, timeout=timeout)

    def post(self, action, body=b"", timeout=60):
        return self.server.post(f"{self.path}/{action}", body, timeout=timeout)

    def end(self):
        return self.server.request("DELETE", self.path)

    # ── What must work ──

    def run(self, code, timeout=60, **fields):
        answer = self.execute(code, timeout, **fields)
        assert answer.status == 200, answer
        return answer.json()

    def ok(self, code, **fields):
        """A run that must end well; returns what it has printed."""
        answer = self.run(code, **fields)
        assert answer["status"] == "ok", answer
        return answer["stdout"]

    def value(self, expression):
        answer = self.run(expression)
        assert answer["status"] == "ok", answer
        return answer["result"]["text/plain"]

    def inspect(self):
        answer = self.server.get(self.path)
        assert answer.status == 200, answer
        return answer.json()

    def state(self):
        return self.inspect()["state"]

    def is_there(self):
        return self.server.get(self.path).status == 200

    def await_state(self, *states):
        eventually(lambda: self.state() in states, 20, lambda: f"{self.inspect()} is none of {states}")

    def reset(self, **fields):
        answer = self.post("reset", fields)
        assert answer.status == 200, answer
        return answer.json()

    def interrupt(self, **fields):
        answer = self.post("interrupt", fields)
        assert answer.status == 200, answer
        return answer.json()

    def fork(self, **fields):
        answer = self.post("fork", fields)
        assert answer.status == 201, answer
        return Session(self.server, answer.json()["id"]), answer.json()

    def notebook(self):
        answer = self.server.get(self.path + "/notebook")
        assert answer.status == 200, answer
        return answer.json()

    def folder(self):
        """Its workspace, from outside; of a session that is no copy."""
        for record in (self.server.state / "sessions").glob("*/0.session"):
            try:
                if self.id in record.read_text().split():
                    return record.parent / "work" / "0"
            except FileNotFoundError:  # of one that is being removed
                pass
        raise AssertionError(f"there is no home of {self.id}")


def make(server, **fields):
    answer = server.post("/v1/sessions", fields)
    assert answer.status == 201, answer
    return Session(server, answer.json()["id"])


@contextlib.contextmanager
def made(server, **fields):
    session = make(server, **fields)
    try:
        yield session
    finally:
        session.end()


class Background(threading.Thread):
    """A call in a thread: its result, or what it has raised, when it is joined."""

    def __init__(self, function, *arguments, **keywords):
        super().__init__(daemon=True)
        self.call = lambda: function(*arguments, **keywords)
        self.result = self.problem = None
        self.start()

    def run(self):
        try:
            self.result = self.call()
        except BaseException as problem:  # the test's thread is to see it
            self.problem = problem

    def ended(self, seconds=60):
        self.join(seconds)
        assert not self.is_alive(), "it has not ended"
        if self.problem:
            raise self.problem
        return self.result


class Streamed:
    """A run whose events are read as they come."""

    def __init__(self, session, code, **fields):
        self.client = session.server.client()
        self.client.request("POST", session.path + "/execute", json.dumps({"code": code, **fields}),
                            {"Accept": "text/event-stream", "Content-Type": "application/json"})
        self.answer = self.client.getresponse()
        assert self.answer.status == 200, self.answer.read()
        self.events = []

    def read(self):
        """The next event: (name, data); None at the end."""
        fields = {}
        while True:
            line = self.answer.readline().decode()
            if line in ("", "\n"):
                if "event" in fields:
                    self.events.append((fields["event"], json.loads(fields["data"])))
                    return self.events[-1]
                if line == "":
                    return None
                continue
            if not line.startswith(":"):
                name, value = line.rstrip("\n").split(": ", 1)
                fields[name] = value

    def await_output(self, text):
        """Until it has printed that: it is known to be in the middle of its program then."""
        printed = ""
        while text not in printed:
            event = self.read()
            assert event, f"ended after {self.events}"
            if event[0] == "stdout":
                printed += event[1]["text"]
        return self

    def ended(self):
        """Reads to the end; returns the data of `done`."""
        while self.read():
            pass
        self.close()
        assert self.events[-1][0] == "done", self.events
        return self.events[-1][1]

    def close(self):
        self.client.close()


def begun(session, code, before="", **fields):
    """A run that is known to be under way: before has been executed, code goes on after that."""
    return Streamed(session, f"{before}\nprint('begun', flush=True)\n{code}", **fields).await_output("begun")


class Held(Streamed):
    """A run that is known to be under way until release(), which lets it go on with code; of a session that is no copy."""

    def __init__(self, session, code=""):
        self.gate = session.folder() / "go"
        super().__init__(session, f"print('begun', flush=True)\n{waits_for('go')}{code}")
        self.await_output("begun")

    def release(self):
        self.gate.touch()
        return self
