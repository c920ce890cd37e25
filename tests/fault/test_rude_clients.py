"""Clients that leave, stall or never read: their runs are cancelled, and nobody else notices."""

import json
import select
import socket
import time

import pytest

from faults import BARE, Under, let_go, marked, marked_pids, nothing_lost, start_held
from harness import proc
from harness.aftermath import at_rest, counters, template, unharmed
from harness.hatchery import eventually


def request_of(code, **fields):
    body = json.dumps({"code": code, **fields}).encode()
    return b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def test_fifty_clients_leave_in_the_middle(make_server):
    """Some runs are under way, others wait: all of them are cancelled, and the workers that ran them are gone."""
    server = make_server(*BARE)
    before = at_rest(server)
    crowd = []
    for _ in range(50):
        connection = server.connect()
        connection.sendall(request_of(marked("busy", 60)))
        crowd.append(connection)
    eventually(lambda: len(marked_pids(server, "busy")) == 4 and template(server)["queued"] == 46, 20, "all are with the server")
    pids = {pid: proc.started(pid) for pid in marked_pids(server, "busy")}
    for number, connection in enumerate(crowd):
        if number % 2:
            # A reset instead of an orderly end.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
    eventually(lambda: not any(proc.is_same_alive(pid, start) for pid, start in pids.items()), 10, "the workers are gone")
    eventually(lambda: template(server)["queued"] == 0 and template(server)["busy"] == 0, 10, "nothing waits and nothing runs")
    assert server.run("print(7)")["stdout"] == "7\n"
    after = at_rest(server)
    assert (after.fds, after.work_entries) == (before.fds, before.work_entries)
    now = counters(server)["runs"]
    assert now["ok"] == 1 and now["timeout"] == now["crashed"] == 0 and nothing_lost(server)


def test_clients_leave_at_every_moment(server):
    with unharmed(server):
        for number in range(60):
            with server.connect() as connection:
                connection.sendall(request_of("print('x' * 100000)"))
                if number % 3:
                    time.sleep(0.0007 * (number % 7))
                if number % 3 == 2:
                    connection.recv(10)


HALVES = {
    "nothing": b"",
    "half a line": b"POST /v1/exec",
    "half a head": b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Le",
    "half a body": b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"code\": \"pri",
    "half a chunk": b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n100\r\n{\"code\"",
}


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES.keys())
def test_two_hundred_send_half_a_request(server, half):
    """They hold a connection each, and no worker."""
    with unharmed(server):
        crowd = [server.connect() for _ in range(200)]
        for connection in crowd:
            connection.sendall(half)
        eventually(lambda: server.health()["connections"] > 200, 10, "all are connected")
        assert template(server)["busy"] <= 1
        for number in range(10):
            assert server.run(f"print({number})")["stdout"] == f"{number}\n"
        for connection in crowd:
            connection.close()
        eventually(lambda: server.health()["connections"] < 10, 10, "all are gone")


def test_two_hundred_that_never_finish_are_ended(make_server):
    server = make_server(*BARE, "--head-timeout-ms", "500", "--request-timeout-ms", "800", "--idle-timeout-ms", "900")
    before = at_rest(server)
    crowd = []
    for half in HALVES.values():
        for _ in range(40):
            connection = server.connect()
            connection.sendall(half)
            crowd.append(connection)
    for connection in crowd:
        data = b"x"
        while data:
            try:
                data = connection.recv(65536)
            except ConnectionResetError:
                break
        connection.close()
    assert server.run("print(7)")["stdout"] == "7\n"
    assert at_rest(server).fds == before.fds


def test_too_many_connections_are_told_so(make_server):
    server = make_server(*BARE, "--connections", "20")
    at_rest(server)
    # One that stays, and asks: those of the looks before are the server's for a moment longer.
    kept = server.client()

    def connections():
        kept.request("GET", "/health")
        return json.loads(kept.getresponse().read())["connections"]

    eventually(lambda: connections() == 1, 10, "all others are gone")
    crowd = [server.connect() for _ in range(29)]
    refused = eventually(lambda: len(select.select(crowd, [], [], 0)[0]) >= 10 and select.select(crowd, [], [], 0)[0], 10,
                         "ten are told")
    assert len(refused) == 10
    assert all(connection.recv(1000).startswith(b"HTTP/1.1 503 ") for connection in refused)
    for connection in [*crowd, kept]:
        connection.close()
    eventually(lambda: Under(server, "print(7)").answer().status == 200, 10, "there is room again")


def test_a_client_that_never_reads(make_server):
    """Its answer waits for it as long as it may, and then goes; its worker went long before."""
    server = make_server(*BARE, "--write-timeout-ms", "700")
    before = at_rest(server)
    body = request_of("print('x' * (8 << 20))", limits={"output_bytes": 16 << 20})
    crowd = []
    for _ in range(6):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((server.host, server.port))
        connection.sendall(body)
        crowd.append(connection)
    eventually(lambda: counters(server)["runs"]["ok"] == 6, 20, "all have run")
    eventually(lambda: server.health()["connections"] == 1, 20, "the server has given them up")
    assert server.run("print(7)")["stdout"] == "7\n"
    for connection in crowd:
        connection.close()
    assert at_rest(server).fds == before.fds


def test_the_queue_is_full(make_server):
    """More than may wait are refused at once, and told when to come again; the others are served."""
    server = make_server(*BARE, "--queue", "5", "--workers", "2")
    at_rest(server)
    under, pids = start_held(server, 2)
    many = [Under(server, f"print({number})") for number in range(20)]
    eventually(lambda: sum(one.response is not None for one in many) == 15, 20, "fifteen are refused")
    let_go(pids)
    answers = [one.answer() for one in many]
    assert sorted({answer.status for answer in answers}) == [200, 503]
    assert sum(answer.status == 200 for answer in answers) == 5
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers if answer.status == 503)
    assert [one.result()["status"] for one in under] == ["ok", "ok"]
    assert nothing_lost(server)


def test_garbage(server):
    with unharmed(server):
        for data in (b"\0" * 100, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET / HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxx",
                     b"A" * 500000, b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n", b"\r\n" * 1000):
            with server.connect() as connection:
                connection.settimeout(10)
                try:
                    connection.sendall(data)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass
                except OSError:  # the server was quicker to end it
                    pass
