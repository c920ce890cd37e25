"""Raw HTTP/1 for tests that say what no client library would say."""

import os
import socket

from harness.hatchery import Response

# Servers of one test import nothing, so that they start at once.
BARE = ("--imports", "")


class Wire:
    """A connection; bytes go out as they are, answers are read one by one."""

    def __init__(self, server, timeout=30):
        self.socket = server.connect(timeout)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)
        return self

    def request(self, method="GET", path="/health", body=None, headers=()):
        lines = [f"{method} {path} HTTP/1.1", "Host: test", *headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        return self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))

    def _fill(self):
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def answer(self, head_only=False):
        """The next answer; None when the connection ends before it begins."""
        while b"\r\n\r\n" not in self.buffer:
            try:
                if not self._fill():
                    assert self.buffer == b"", f"ended within a head: {self.buffer!r}"
                    return None
            except ConnectionResetError:
                return None
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
        size = 0 if head_only else int(headers.get("content-length", 0))
        while len(self.buffer) < size:
            assert self._fill(), "ended within a body"
        body, self.buffer = self.buffer[:size], self.buffer[size:]
        return Response(int(status_line.split()[1]), headers, body)

    def ended(self):
        """Whether nothing more comes; waits for the end."""
        try:
            while not self.buffer and self._fill():
                pass
        except ConnectionResetError:
            pass
        except socket.timeout:
            return False
        return self.buffer == b""


def problem(answer, status):
    """Checks that an answer is an error of that status in the stated form, and returns its document."""
    assert answer is not None, "the connection ended without an answer"
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    assert document["title"] and document["detail"]
    return document


def complaint(answer, status, field=None):
    """As problem(), about that member of the request; returns what it says."""
    document = problem(answer, status)
    assert document.get("field") == field, document
    return document["detail"]


def health(server):
    return server.get("/health").json()


def busy(server):
    """Runs that are under way."""
    return health(server)["pool"]["counters"]["busy"]


def runs(server):
    """Runs that have ended, of every status."""
    return sum(health(server)["pool"]["counters"]["runs"].values())


def descriptors(server):
    """What each open descriptor of the server is, by its number."""
    folder = f"/proc/{server.pid}/fd"
    found = {}
    for name in os.listdir(folder):
        try:
            found[int(name)] = os.readlink(f"{folder}/{name}")
        except FileNotFoundError:
            pass
    return found
