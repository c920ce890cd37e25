"""How long a connection may last, what ends its run, and how many there may be."""

import json
import socket
import subprocess
import time

import pytest

from harness import proc
from harness.aftermath import at_rest
from harness.descriptors import descriptors_left
from harness.hatchery import Hatchery, eventually
from http_wire import BARE, Wire, busy, descriptors, health, problem, runs


# ── Deadlines ──


@pytest.fixture(scope="module")
def hasty_server():
    """For those who begin to talk, and are too slow then."""
    with Hatchery("--workers", "2", "--touched", "0", *BARE, "--head-timeout-ms", "300", "--request-timeout-ms",
                  "800", "--write-timeout-ms", "500") as server:
        yield server


@pytest.fixture(scope="module")
def patient_server():
    """For those who are in time, and for those who say nothing: a test that is held up for a while is in time still."""
    with Hatchery("--workers", "2", "--touched", "0", *BARE, "--head-timeout-ms", "2500", "--request-timeout-ms",
                  "2500", "--idle-timeout-ms", "1500", "--write-timeout-ms", "1500") as server:
        yield server


def drip(wire, data, size=1):
    """Sends so many bytes at a time, over and over, until the other end has had enough."""
    deadline = time.monotonic() + 20
    wire.socket.settimeout(0.05)
    for i in range(0, 10_000_000, size):
        assert time.monotonic() < deadline, "the server never ended it"
        try:
            wire.socket.send(data[i % len(data):][:size])
            if not wire._fill():
                break
        except socket.timeout:
            continue
        except (BrokenPipeError, ConnectionResetError):
            break
    wire.socket.settimeout(10)


def test_slow_head(hasty_server):
    with Wire(hasty_server) as wire:
        wire.send(b"GET /health HTTP/1.1\r\nX: ")
        drip(wire, b"slow")
        problem(wire.answer(), 408)
        assert wire.ended()


@pytest.mark.parametrize("head", [b"Content-Length: 1000000", b"Transfer-Encoding: chunked"])
def test_slow_body(hasty_server, head):
    """Bytes that keep coming do not help: the request as a whole has a deadline."""
    before = runs(hasty_server)
    with Wire(hasty_server) as wire:
        wire.send(b"POST /v1/execute HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
        drip(wire, b"1\r\nx\r\n")
        problem(wire.answer(), 408)
        assert wire.ended()
    assert runs(hasty_server) == before


def test_head_that_stops(hasty_server):
    with Wire(hasty_server) as wire:
        problem(wire.send(b"GET /hea").answer(), 408)
        assert wire.ended()


def test_idle_connection_ends_without_a_word(patient_server):
    with Wire(patient_server) as wire:
        assert wire.ended()
    with Wire(patient_server) as wire:
        assert wire.request().answer().status == 200
        assert wire.ended()


def test_second_request_has_its_own_deadline(patient_server):
    """Each is in time by far, all of them together are not; and there is always one that has begun."""
    with Wire(patient_server) as wire:
        wire.send(b"GET /health HTTP/1.1\r\n")
        end = time.monotonic() + 4
        while time.monotonic() < end:
            time.sleep(0.4)
            assert wire.send(b"\r\nGET /health HTTP/1.1\r\n").answer().status == 200


def test_slow_head_of_a_second_request(hasty_server):
    with Wire(hasty_server) as wire:
        assert wire.request().answer().status == 200
        problem(wire.send(b"GET /hea").answer(), 408)
        assert wire.ended()


def test_run_outlives_every_deadline_of_the_connection(patient_server):
    with Wire(patient_server) as wire:
        wire.request("POST", "/v1/execute", b'{"code": "import time; time.sleep(3.5); print(7)"}')
        assert wire.answer().json()["status"] == "ok"


def test_http2_connection_without_a_request_is_ended(patient_server):
    settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    with Wire(patient_server) as wire:
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings)
        deadline = time.monotonic() + 10
        while wire._fill():
            assert time.monotonic() < deadline
    # Frames that mean nothing (PING) do not keep it either.
    with Wire(patient_server) as wire:
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings)
        ping = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + b"12345678"
        drip(wire, ping, len(ping))


def test_client_that_does_not_read(hasty_server):
    body = json.dumps({"code": "print('x' * 4000000)", "limits": {"output_bytes": 8_000_000}}).encode()
    before = runs(hasty_server)
    with socket.socket() as slow:
        # A small window, so that the answer does not fit into the kernel's buffers.
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((hasty_server.host, hasty_server.port))
        slow.sendall(b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        port = slow.getsockname()[1]
        eventually(lambda: runs(hasty_server) == before + 1, 20, "the answer is made")
        eventually(lambda: not has_connection(hasty_server, port), 20, "the server lets go of it")


def has_connection(server, port):
    """Whether the server still holds its end of the connection from that port."""
    lines = open(f"/proc/{server.pid}/net/tcp").read().splitlines()[1:]
    inodes = {line.split()[9] for line in lines
              if int(line.split()[2].split(":")[1], 16) == port and int(line.split()[1].split(":")[1], 16) == server.port}
    return any(f"socket:[{inode}]" in descriptors(server).values() for inode in inodes)


def test_slow_clients_do_not_hold_up_others(hasty_server):
    slow = [Wire(hasty_server).send(b"GET /health HTTP/1.1\r\nX: ") for _ in range(200)]
    try:
        assert hasty_server.get("/health").json()["status"] == "healthy"
        for wire in slow:
            problem(wire.answer(), 408)
    finally:
        for wire in slow:
            wire.socket.close()


# ── Hang-ups ──


def cancelled(server):
    return health(server)["pool"]["counters"]["runs"]["cancelled"]


def test_hanging_up_cancels_the_run(server):
    before = cancelled(server)
    with Wire(server) as wire:
        wire.request("POST", "/v1/execute", b'{"code": "import time; time.sleep(60)"}')
        eventually(lambda: health(server)["connections"] == 2, 10, "the request is there")
    eventually(lambda: cancelled(server) == before + 1, 10, "the run is cancelled")


def test_hanging_up_over_http2_cancels_the_run(server):
    before = cancelled(server)
    eventually(lambda: busy(server) == 0, 10, "no other run is under way")
    process = subprocess.Popen(["curl", "-sS", "--http2-prior-knowledge", server.url + "/v1/execute", "-d",
                                '{"code": "import time; time.sleep(60)"}'], stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: busy(server) == 1, 20, "a worker has it")
    finally:
        process.kill()
        process.wait()
    eventually(lambda: cancelled(server) == before + 1, 10, "the run is cancelled")


# ── Too many ──


def test_connection_cap(make_server):
    server = make_server(*BARE, "--connections", "4")
    wires = [Wire(server) for _ in range(4)]
    for wire in wires:
        assert wire.request().answer().status == 200
    with Wire(server) as fifth:
        answer = fifth.request().answer()
        problem(answer, 503)
        assert answer.headers["retry-after"] == "1"
        assert fifth.ended()
    wires.pop().socket.close()
    eventually(lambda: server.get("/health").status == 200, 10, "a place has come free")
    for wire in wires:
        assert wire.request().answer().status == 200
        wire.socket.close()


def test_out_of_descriptors(make_server):
    """accept(2) fails for want of descriptors: the server waits, without spinning, and goes on when there are some."""
    server = make_server(*BARE)
    with Wire(server) as kept:
        assert kept.request().answer().status == 200
        # Until then, workers still take and give back some.
        at_rest(server)
        with descriptors_left(server.pid, 5):
            waiting = [Wire(server) for _ in range(20)]
            eventually(lambda: "cannot accept connections" in server.log(), 10, "the log says so")
            cpu = proc.cpu_seconds(server.pid)
            time.sleep(1)
            assert proc.cpu_seconds(server.pid) - cpu < 0.5
            assert kept.request().answer().status == 200
        for wire in waiting:
            assert wire.request().answer().status == 200
            wire.socket.close()


def test_connections_are_forgotten(server):
    before = at_rest(server).fds
    for _ in range(300):
        with Wire(server) as wire:
            wire.send(b"GET /hea")
    eventually(lambda: health(server)["connections"] == 1, 10, "the server has closed them")
    eventually(lambda: at_rest(server).fds <= before, 20, "what they held is closed")
