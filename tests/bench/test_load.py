"""The load generator against a server whose every answer is known: what it counts is what happened."""

import contextlib
import json
import socketserver
import subprocess
import threading
import time

import pytest

from harness.hatchery import program

LOAD = program().parent / "tests" / "bench" / "hatchery-load"
BODY = b'{"stdout": "2\\n"}'


def plain(body=BODY, status=200, more=b""):
    return b"HTTP/1.1 %d X\r\n%sContent-Length: %d\r\n\r\n%s" % (status, more, len(body), body)


def chunked(*pieces):
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body


@contextlib.contextmanager
def serving(answer):
    """answer(number) gives the bytes for the nth request of the whole server, from 0; b"" hangs up."""
    numbers = iter(range(10**9))

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            while self.rfile.readline():
                size = 0
                while (line := self.rfile.readline().strip()):
                    if line.lower().startswith(b"content-length:"):
                        size = int(line.split(b":")[1])
                self.rfile.read(size)
                sent = answer(next(numbers))
                if not sent:
                    return
                self.wfile.write(sent)
                if b"Connection: close" in sent:
                    return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request, client_address):
            pass  # the generator hangs up at its end

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def load(port, *options):
    command = [LOAD, "--warm-up", "0", "--seconds", "0.3", "--expect", '"2\\n"', *map(str, options),
               f"http://127.0.0.1:{port}/x"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return ended.returncode, json.loads(ended.stdout) if ended.stdout else None


@pytest.mark.parametrize("answer", [plain(), chunked(BODY), chunked(BODY[:5], BODY[5:]),
                                    plain(more=b"Connection: close\r\n")])
@pytest.mark.parametrize("connections", [1, 4])
def test_right_answers(answer, connections):
    asked = []
    with serving(lambda number: asked.append(number) or answer) as port:
        status, report = load(port, "--connections", connections, "--seconds", 1)
    assert status == 0
    assert report["requests"] == len(asked) == report["latency_us"]["count"] >= connections
    assert (report["wrong"], report["broken"], report["unsent"]) == (0, 0, 0)


@pytest.mark.parametrize("answer, figure", [
    (plain(b'{"stdout": "3\\n"}'), "wrong"),
    (plain(status=503), "wrong"),
    (chunked(b"nothing"), "wrong"),
    (b"", "broken"),
    (b"HTTP/1.1 200 OK\r\n\r\n", "broken"),
    (plain() + b"more", "broken"),
    (b"SMTP\r\n\r\n", "broken"),
])
def test_one_bad_answer_fails_the_whole(answer, figure):
    with serving(lambda number: answer if number == 7 else plain()) as port:
        # An open loop sends as many as it is to send, however slow the machine is.
        status, report = load(port, "--rate", 100)
    assert status == 1
    assert report[figure] == 1


def test_an_open_loop_counts_those_who_had_to_wait():
    """One stall of 0.4 s: a closed loop sees one slow answer; in an open loop, all that were due meanwhile were late."""
    def answer(number):
        if number == 20:
            time.sleep(0.4)
        return plain()

    with serving(answer) as port:
        _, closed = load(port, "--seconds", 1, "--rest-us", 5000)
    with serving(answer) as port:
        _, opened = load(port, "--seconds", 1, "--rate", 200)
    assert closed["latency_us"]["p90"] < 100_000 < closed["latency_us"]["max"]
    assert opened["latency_us"]["p90"] > 100_000
    assert opened["requests"] == 200


@pytest.mark.parametrize("arrivals", [(), ("--poisson",)])
def test_an_open_loop_keeps_its_rate(arrivals):
    with serving(lambda number: plain()) as port:
        _, report = load(port, "--seconds", 2, "--rate", 300, "--connections", 16, *arrivals)
    # Poisson: the deviation of 600 arrivals is 24; the seed is fixed, so this does not change from run to run.
    assert abs(report["latency_us"]["count"] - 600) <= (100 if arrivals else 1)


def test_nothing_listens():
    with serving(lambda number: plain()) as port:
        pass
    assert load(port)[0] == 1
