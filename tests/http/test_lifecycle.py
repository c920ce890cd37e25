"""Start, drain, reload, end."""

import json
import signal
import subprocess
import threading

import pytest

from harness import proc
from harness.gate import waits_for
from harness.hatchery import Hatchery, eventually
from http_wire import BARE, Wire, busy, descriptors, health, problem

SLEEP = b'{"code": "import time; time.sleep(60)"}'


def in_background(function):
    """Calls it in a thread; returns what waits for its value."""
    box = []
    thread = threading.Thread(target=lambda: box.append(function()), daemon=True)
    thread.start()

    def value():
        thread.join(60)
        assert box, "no answer"
        return box[0]

    return value


def start_run(server, body=SLEEP):
    """A connection on which a run is under way."""
    before = busy(server)
    wire = Wire(server, timeout=60)
    wire.request("POST", "/v1/execute", body)
    eventually(lambda: busy(server) == before + 1, 10, "a worker has it")
    return wire


def test_ready_line_is_one_line_and_true(make_server):
    server = make_server(*BARE)
    assert server.ready_line == f"hatchery ready on {server.url}"
    assert server.run("print(7)")["stdout"] == "7\n"
    assert server.get("/ready").json() == {"ready": True}
    server.process.send_signal(signal.SIGTERM)
    assert server.process.stdout.read() == b""
    assert server.wait() == 0


def test_while_it_starts(tmp_path):
    """It listens from the first moment on; it says that it is not ready, and a run waits."""
    prelude, opened = tmp_path / "prelude.py", tmp_path / "open"
    prelude.write_text(waits_for(opened))
    server = Hatchery("--workers", "1", "--touched", "0", *BARE, "--prelude", prelude, start=False)
    try:
        started = in_background(server.start)
        eventually(lambda: server.port and not server.refuses(), 10, "it listens")
        answer = server.get("/ready")
        assert (answer.status, answer.json()) == (503, {"ready": False})
        answer = server.get("/health")
        assert (answer.status, answer.json()["status"]) == (503, "starting")
        run = in_background(lambda: server.run("print(7)"))
        eventually(lambda: health(server)["pool"]["counters"]["queued"] == 1, 10, "the run waits")
        opened.touch()
        assert run()["stdout"] == "7\n"
        started()
        assert server.get("/ready").status == 200
        assert health(server)["status"] == "healthy"
        server.stop()
    finally:
        server.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_drain_finishes_what_is_under_way(make_server, gate, number):
    server = make_server(*BARE, *gate.options)
    wires = [start_run(server, gate.run) for _ in range(3)]
    idle = Wire(server)
    assert idle.request().answer().status == 200
    server.process.send_signal(number)
    # The idle one is ended, and nobody is accepted any more.
    assert idle.ended()
    eventually(server.refuses, 10, "nobody is accepted any more")
    assert server.is_alive()
    gate.open()
    for wire in wires:
        answer = wire.answer()
        assert answer.status == 200
        assert answer.json()["status"] == "ok"
        assert wire.ended()
    assert server.wait() == 0


def test_run_that_comes_while_draining_is_refused(make_server, gate):
    server = make_server(*BARE, *gate.options)
    with start_run(server, gate.run) as wire, Wire(server) as late:
        # Its request has begun, so the connection is kept; the run it asks for is new.
        late.send(b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n")
        eventually(lambda: health(server)["connections"] == 3, 10, "both are connected")
        # An answer to who came later: by then the loop has read what was sent before.
        health(server)
        server.process.send_signal(signal.SIGTERM)
        eventually(server.refuses, 10, "it drains")
        answer = late.send(b'{"code": "print(7)"}').answer()
        problem(answer, 503)
        assert answer.headers["connection"] == "close"
        gate.open()
        assert wire.answer().json()["status"] == "ok"
    assert server.wait() == 0


def test_drain_has_an_end(make_server):
    server = make_server(*BARE, "--drain-timeout-ms", "300")
    with start_run(server) as wire:
        server.process.send_signal(signal.SIGTERM)
        assert server.wait(15) == 1
        assert wire.answer() is None
    assert list(server.work.iterdir()) == []


def test_second_signal_ends_at_once(make_server):
    server = make_server(*BARE)
    with start_run(server) as wire:
        server.process.send_signal(signal.SIGTERM)
        eventually(server.refuses, 10, "it drains")
        assert server.is_alive()
        server.process.send_signal(signal.SIGTERM)
        assert server.wait(15) == 1
        assert wire.answer() is None
    assert list(server.work.iterdir()) == []


def test_drain_of_http2(make_server, gate):
    server = make_server(*BARE, *gate.options)
    process = subprocess.Popen(["curl", "-sS", "--http2-prior-knowledge", server.url + "/v1/execute", "-d",
                                gate.run.decode()], stdout=subprocess.PIPE)
    eventually(lambda: busy(server) == 1, 10, "it runs")
    server.process.send_signal(signal.SIGTERM)
    eventually(server.refuses, 10, "it drains")
    gate.open()
    output, _ = process.communicate(timeout=30)
    assert json.loads(output)["status"] == "ok"
    assert server.wait() == 0


def test_reload_starts_a_new_generation_and_loses_nothing(make_server, gate):
    server = make_server(*BARE, *gate.options)
    generation = health(server)["pool"]["templates"][0]["generation"]
    with start_run(server, gate.run) as wire:
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: health(server)["pool"]["templates"][0]["generation"] == generation + 1, 10, "a new generation")
        for i in range(20):
            assert server.run(f"print({i})")["stdout"] == f"{i}\n"
        gate.open()
        assert wire.answer().json()["status"] == "ok"
    eventually(lambda: health(server)["status"] == "healthy", 10, "healthy")


def test_sigpipe_is_harmless(make_server):
    server = make_server(*BARE)
    server.process.send_signal(signal.SIGPIPE)
    assert server.run("print(7)")["stdout"] == "7\n"


def test_descriptors_are_closed_on_exec(make_server):
    """No worker and no zygote holds a listener, a connection or a file of the server."""
    server = make_server(*BARE)
    with Wire(server) as wire:
        assert wire.request().answer().status == 200
        mine = descriptors(server)
        assert [mine[number] for number in mine if number > 2 and not proc.is_closed_on_exec(server.pid, number)] == []
        # The zygote would close what it is given besides: this finds what is handed on to it.
        sockets = {target for target in mine.values() if target.startswith("socket:")}
        looked = 0
        for pid in server.children():
            try:
                targets = proc.descriptors(pid)
            except (FileNotFoundError, ProcessLookupError):
                # It has ended meanwhile.
                continue
            looked += 1
            assert not sockets & set(targets)
        assert looked >= 2
