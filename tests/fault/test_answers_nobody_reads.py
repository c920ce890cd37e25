"""Answers that a client asks for and does not read wait in the server's memory: over HTTP/2 many at once, for as long as a run may
take. All of them together are bounded; nobody else notices."""

import json
import struct

import pytest

from harness.hatchery import eventually
from harness.own_sessions import OwnSession

ANSWER_MB = 10
# The bound is the greater of --bodies-bytes and 128 MiB.
BELOW_THE_BOUND, BEYOND_IT = 13, 40
DATA, HEADERS, SETTINGS = 0, 1, 4


def frame(kind, flags, stream, body):
    return struct.pack(">I", len(body))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + body


def field(name, value):
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


class Unread:
    """A connection that asks for a path many times and lets nothing of the bodies come: its windows are closed."""

    def __init__(self, server, path, times, body=None):
        self.connection = server.connect(60)
        self.input = self.connection.makefile("rb")
        head = b"".join((field(b":method", b"POST" if body else b"GET"), field(b":scheme", b"http"), field(b":authority", b"x"),
                         field(b":path", path.encode()), field(b"accept", b"text/event-stream" if body else b"*/*")))
        frames = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))]
        for number in range(times):
            stream = 2 * number + 1
            frames.append(frame(HEADERS, 4 if body else 5, stream, head) + (frame(DATA, 1, stream, body) if body else b""))
        # At once: the server may end the connection at any of them.
        self.connection.sendall(b"".join(frames))

    def await_heads(self, count):
        while count > 0:
            size, kind = struct.unpack(">IB", b"\0" + self.input.read(4))
            self.input.read(5 + size)
            count -= kind == HEADERS

    def await_end(self):
        try:
            while self.input.read(65536):
                pass
        except ConnectionResetError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        self.input.close()
        self.connection.close()


def large_answer(session):
    for _ in range(ANSWER_MB):
        session.ok("print('x' * 1000000)")
    path = session.path + "/notebook"
    return path, len(session.server.get(path).body)


def test_one_who_reads_nothing_is_ended(make_server):
    server = make_server("--imports", "", "--bodies-bytes", "1000000", "--isolation", "best-effort")
    with OwnSession(server) as session:
        path, size = large_answer(session)
        assert size > ANSWER_MB * 1000000
        with Unread(server, path, BEYOND_IT) as greedy:
            greedy.await_end()
        assert "too much waits to be read" in server.log()
        assert len(server.get(path).body) == size


def test_who_reads_is_not_ended_for_who_does_not(make_server):
    server = make_server("--imports", "", "--bodies-bytes", "1000000", "--isolation", "best-effort")
    with OwnSession(server) as session:
        path, size = large_answer(session)
        with Unread(server, path, BELOW_THE_BOUND) as greedy:
            greedy.await_heads(BELOW_THE_BOUND)
            assert "too much waits to be read" not in server.log()
            assert len(server.get(path).body) == size
            greedy.await_end()


def test_files_that_nobody_reads(make_server):
    """Each has a descriptor and a piece in memory."""
    server = make_server("--imports", "", "--bodies-bytes", "1000000", "--isolation", "best-effort")
    with OwnSession(server) as session:
        assert session.put("file", b"x" * 1000000).status == 201
        path = session.path + "/files/file"
        crowd = [Unread(server, path, 100) for _ in range(12)]
        try:
            eventually(lambda: "too much waits to be read" in server.log(), 30, "a connection is ended")
            # The others' are still on their way: while too many files wait to be opened, there is no place for one more.
            answer = eventually(lambda: (one := session.get("file")).status != 503 and one, 30, "the crowd's files are opened")
            assert (answer.status, len(answer.body)) == (200, 1000000)
        finally:
            for one in crowd:
                one.__exit__()


@pytest.mark.parametrize("path", ["/v1/execute", "/v1/batch"])
def test_events_and_lines_that_nobody_reads(make_server, path):
    server = make_server("--imports", "", "--bodies-bytes", "1000000", "--isolation", "best-effort")
    body = json.dumps({"code": "print('x' * 15_000_000)", "limits": {"output_bytes": 16_000_000}}).encode()
    with Unread(server, path, 12, body) as greedy:
        greedy.await_end()
    assert "too much waits to be read" in server.log()
