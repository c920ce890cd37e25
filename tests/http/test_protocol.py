"""HTTP itself: connections, framing, limits, deadlines, routes."""

import json
import re
import resource
import socket
import ssl
import subprocess
import time

import pytest

from harness import proc
from harness.hatchery import Hatchery, eventually
from http_wire import BARE, Wire, descriptors, health, problem, runs


# ── Connections ──


def test_keep_alive(server):
    with Wire(server) as wire:
        for _ in range(3):
            answer = wire.request().answer()
            assert answer.status == 200
            assert answer.headers["connection"] == "keep-alive"


def test_connection_close_is_honoured(server):
    with Wire(server) as wire:
        answer = wire.request(headers=["Connection: close"]).answer()
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
        assert wire.ended()


def test_http_1_0_ends_after_the_answer(server):
    with Wire(server) as wire:
        assert wire.send(b"GET /health HTTP/1.0\r\n\r\n").answer().status == 200
        assert wire.ended()


def test_pipelined_requests_are_answered_in_order(server):
    with Wire(server) as wire:
        wire.send(b"".join(
            f"GET /health HTTP/1.1\r\nHost: x\r\nX-Request-Id: number-{i}\r\n\r\n".encode() for i in range(20)))
        assert [wire.answer().headers["x-request-id"] for _ in range(20)] == [f"number-{i}" for i in range(20)]


def test_pipelined_runs_are_answered_in_order(server):
    bodies = [json.dumps({"code": f"print({i})"}).encode() for i in range(4)]
    with Wire(server) as wire:
        wire.send(b"".join(b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
                           for body in bodies))
        assert [wire.answer().json()["stdout"] for _ in bodies] == [f"{i}\n" for i in range(4)]


def test_garbage_behind_a_request_ends_the_connection(server):
    with Wire(server) as wire:
        wire.request().send(b"\x00\xff garbage\r\n\r\nGET /health HTTP/1.1\r\n\r\n")
        assert wire.answer().status == 200
        assert wire.answer().status == 400
        assert wire.ended()


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"\0" * 100,
                                     b"GET / HTTP/9\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
                                     b"GET / HTTP/1.1\r\nName : value\r\n\r\n", b"\xff\xfe\r\n\r\n"])
def test_garbage_is_400_and_the_end(server, garbage):
    with Wire(server) as wire:
        assert wire.send(garbage).answer().status == 400
        assert wire.ended()


def test_chunked_body(server):
    with Wire(server) as wire:
        wire.send(b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b'{"code"', b': "print(', b'7)"}'):
            wire.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        assert wire.send(b"0\r\n\r\n").answer().json()["stdout"] == "7\n"
        assert wire.request().answer().status == 200


def test_expectation(server):
    body = b'{"code": "print(7)"}'
    with Wire(server) as wire:
        wire.send(b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" %
                  len(body))
        assert wire.answer().status == 100
        assert wire.send(body).answer().json()["stdout"] == "7\n"
    with Wire(server) as wire:
        wire.send(b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\nContent-Length: 2\r\n\r\n{}")
        problem(wire.answer(), 417)
        assert wire.ended()


# ── HTTP/2, TLS, unix sockets ──


def curl(*arguments, check=True):
    """Returns the body and the HTTP version that was spoken."""
    done = subprocess.run(["curl", "-sS", "--max-time", "30", "-w", "\n%{http_version}", *arguments],
                          capture_output=True, text=True)
    if check:
        assert done.returncode == 0, done.stderr
    body, _, version = done.stdout.rpartition("\n")
    return body, version, done.returncode


def test_http2_with_prior_knowledge(server):
    body, version, _ = curl("--http2-prior-knowledge", server.url + "/health")
    assert (json.loads(body)["status"], version) == ("healthy", "2")
    body, version, _ = curl("--http2-prior-knowledge", server.url + "/v1/execute", "-d", '{"code": "print(7)"}')
    assert (json.loads(body)["stdout"], version) == ("7\n", "2")


def test_http2_by_upgrade(server):
    body, version, _ = curl("--http2", server.url + "/health")
    assert (json.loads(body)["status"], version) == ("healthy", "2")


def test_many_http2_requests_at_once(server):
    body, _, _ = curl("--http2-prior-knowledge", "--parallel", "--parallel-immediate",
                      *[server.url + f"/health?{i}" for i in range(50)])
    assert body.count('"status":"healthy"') == 50


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"],
                   check=True, capture_output=True)
    return folder


@pytest.fixture
def tls_server(make_server, certificate):
    return make_server(*BARE, "--tls-certificate", certificate / "certificate.pem", "--tls-key",
                       certificate / "key.pem", "--head-timeout-ms", "500", "--idle-timeout-ms", "500")


def test_tls(tls_server, certificate):
    url = f"https://127.0.0.1:{tls_server.port}/health"
    assert f"https://127.0.0.1:{tls_server.port}" in tls_server.ready_line
    for arguments, version in ((["--http2"], "2"), (["--http1.1"], "1.1")):
        body, spoken, _ = curl("-k", *arguments, url)
        assert (json.loads(body)["status"], spoken) == ("healthy", version)
    # TLS 1.1 and earlier are refused by the server, not only by curl.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with tls_server.connect() as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain)
    # A handshake that does not go on is ended, and so is plain HTTP.
    for opening in (b"", b"\x16\x03\x01", b"GET /health HTTP/1.1\r\n\r\n"):
        with Wire(tls_server) as wire:
            wire.send(opening)
            assert wire.ended(), opening


def test_tls_connection_that_idles_is_ended(tls_server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    with tls_server.connect() as plain, context.wrap_socket(plain) as wrapped:
        assert wrapped.selected_alpn_protocol() == "http/1.1"
        wrapped.sendall(b"GET /health HTTP/1.1\r\n")
        try:
            assert wrapped.recv(1) == b""
        except ssl.SSLEOFError:
            pass


def test_unix_socket(make_server, tmp_path):
    path = tmp_path / "socket"
    server = make_server(*BARE, listen=f"unix:{path}")
    assert server.ready_line.endswith(f"unix:{path}")
    assert path.stat().st_mode & 0o777 == 0o660
    assert server.get("/health").json()["status"] == "healthy"
    server.stop()
    assert not path.exists()


def test_several_addresses(make_server, tmp_path):
    path = tmp_path / "socket"
    server = make_server(*BARE, listen=f"127.0.0.1:0,[::1]:0,unix:{path}")
    urls = re.findall(r"http://[^\s,]+", server.ready_line)
    assert len(urls) == 2
    for url in urls:
        assert json.loads(curl("-g", url + "/health")[0])["status"] == "healthy"
    assert json.loads(curl("--unix-socket", str(path), "http://x/health")[0])["status"] == "healthy"


# ── Sizes ──


@pytest.fixture(scope="module")
def small_server():
    server = Hatchery("--workers", "2", "--touched", "0", *BARE, "--request-bytes", "2000")
    yield server
    server.stop()
    server.close()


def test_body_of_the_greatest_size(small_server):
    body = b'{"code": "print(7)", "stdin": "' + b"x" * (2000 - 33) + b'"}'
    assert len(body) == 2000
    assert small_server.post("/v1/execute", body).status == 200


def test_body_that_is_too_large(small_server):
    with Wire(small_server) as wire:
        document = problem(wire.request("POST", "/v1/execute", b"x" * 2001).answer(), 413)
        assert "larger" in document["detail"]
        assert wire.ended()


def test_chunked_body_that_is_too_large(small_server):
    with Wire(small_server) as wire:
        wire.send(b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(b"7d0\r\n" + b"x" * 2000 + b"\r\n")
        problem(wire.answer(), 413)
        assert wire.ended()


def test_length_that_is_too_large_is_refused_before_the_body(small_server):
    with Wire(small_server) as wire:
        wire.send(b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000000\r\n\r\n")
        problem(wire.answer(), 413)


def test_head_that_is_too_large(server):
    with Wire(server) as wire:
        wire.send(b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 500_000 + b"\r\n\r\n")
        assert wire.answer().status == 400
        assert wire.ended()


def test_too_many_headers(server):
    with Wire(server) as wire:
        wire.send(b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * 101 + b"\r\n")
        assert wire.answer().status == 400
        assert wire.ended()


# ── Where a request ends ──


@pytest.mark.parametrize("length", ["-1", "+5", "0x10", "1e3", "9" * 30, "5, 5", "", " ", "5 5", "five"])
def test_content_length_that_is_none(server, length):
    with Wire(server) as wire:
        wire.send(f"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
        answer = wire.answer()
        assert answer.status in (400, 413), answer
        problem(answer, answer.status)
        assert wire.ended()


@pytest.mark.parametrize("headers", [
    ["Content-Length: {size}", "Transfer-Encoding: chunked"],
    ["Transfer-Encoding: chunked", "Content-Length: {size}"],
    ["Content-Length: {size}", "Content-Length: 0"],
    ["Content-Length: 0", "Content-Length: {size}"],
    ["Content-Length: {size}", "Content-Length: {size}"],
    ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    ["Transfer-Encoding: identity"],
    ["Transfer-Encoding: chunked, identity"],
    ["Transfer-Encoding: gzip, chunked"],
    ["Transfer-Encoding:", " chunked"],
    ["X: y", " Content-Length: {size}"],
])
def test_doubtful_framing_is_refused(server, headers):
    """And the bytes behind it, which one reader takes for a body and another for a request, are never run."""
    hidden = b'POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{"code": "print(7)"}'
    before = runs(server)
    lines = "\r\n".join(headers).format(size=len(hidden) + 5)
    with Wire(server) as wire:
        wire.send(f"POST /v1/execute HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n0\r\n\r\n".encode() + hidden)
        problem(wire.answer(), 400)
        assert wire.ended()
    assert runs(server) == before


@pytest.mark.parametrize("chunks", [b"x\r\n{}\r\n0\r\n\r\n", b"-2\r\n{}\r\n0\r\n\r\n",
                                    b"10000000000000000\r\n{}\r\n0\r\n\r\n", b"\r\n{}\r\n"])
def test_broken_chunks(server, chunks):
    with Wire(server) as wire:
        wire.send(b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
        problem(wire.answer(), 400)
        assert wire.ended()


@pytest.mark.parametrize("start", [
    b"", b"G", b"GET /health HTTP/1.1\r\nHost",
    b"POST /v1/execute HTTP/1.1\r\nContent-Length: 20\r\n\r\n",
    b'POST /v1/execute HTTP/1.1\r\nContent-Length: 20\r\n\r\n{"code": "print(7)"',
    b"POST /v1/execute HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n{",
    b'POST /v1/execute HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n{"code": "print(7)"}\r\n',
])
def test_truncated_request_is_not_run(server, start):
    before = runs(server)
    with Wire(server) as wire:
        wire.send(start)
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.answer() is None
    assert runs(server) == before


# ── Deadlines ──


@pytest.fixture(scope="module")
def hasty_server():
    server = Hatchery("--workers", "2", "--touched", "0", *BARE, "--head-timeout-ms", "300", "--request-timeout-ms",
                      "800", "--idle-timeout-ms", "600", "--write-timeout-ms", "500")
    yield server
    server.stop()
    server.close()


def drip(wire, data, seconds=10):
    """Sends a byte at a time until the other end has had enough; returns what it says then."""
    deadline = time.monotonic() + seconds
    wire.socket.settimeout(0.05)
    for i in range(10_000_000):
        assert time.monotonic() < deadline, "the server never ended it"
        try:
            wire.socket.send(data[i % len(data):][:1])
            if not wire._fill():
                break
        except socket.timeout:
            continue
        except (BrokenPipeError, ConnectionResetError):
            break
    wire.socket.settimeout(10)
    return wire.answer() if wire.buffer else None


def test_slow_head(hasty_server):
    with Wire(hasty_server) as wire:
        wire.send(b"GET /health HTTP/1.1\r\nX: ")
        problem(drip(wire, b"slow"), 408)
        assert wire.ended()


@pytest.mark.parametrize("head", [b"Content-Length: 1000000", b"Transfer-Encoding: chunked"])
def test_slow_body(hasty_server, head):
    """Bytes that keep coming do not help: the request as a whole has a deadline."""
    before = runs(hasty_server)
    with Wire(hasty_server) as wire:
        wire.send(b"POST /v1/execute HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
        problem(drip(wire, b"1\r\nx\r\n"), 408)
        assert wire.ended()
    assert runs(hasty_server) == before


def test_head_that_stops(hasty_server):
    with Wire(hasty_server) as wire:
        problem(wire.send(b"GET /hea").answer(), 408)
        assert wire.ended()


def test_idle_connection_ends_without_a_word(hasty_server):
    with Wire(hasty_server) as wire:
        assert wire.ended()
    with Wire(hasty_server) as wire:
        assert wire.request().answer().status == 200
        assert wire.ended()


def test_second_request_has_its_own_deadline(hasty_server):
    with Wire(hasty_server) as wire:
        for _ in range(5):
            wire.send(b"GET /health HTTP/1.1\r\n")
            time.sleep(0.15)
            assert wire.send(b"\r\n").answer().status == 200


def test_slow_head_of_a_second_request(hasty_server):
    with Wire(hasty_server) as wire:
        assert wire.request().answer().status == 200
        problem(wire.send(b"GET /hea").answer(), 408)
        assert wire.ended()


def test_run_outlives_every_deadline_of_the_connection(hasty_server):
    with Wire(hasty_server) as wire:
        wire.request("POST", "/v1/execute", b'{"code": "import time; time.sleep(1.5); print(7)"}')
        assert wire.answer().json()["status"] == "ok"


def test_http2_connection_without_a_request_is_ended(hasty_server):
    settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    with Wire(hasty_server) as wire:
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings)
        deadline = time.monotonic() + 10
        while wire._fill():
            assert time.monotonic() < deadline
    # Frames that mean nothing (PING) do not keep it either.
    with Wire(hasty_server) as wire:
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings)
        ping = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + b"12345678"
        deadline = time.monotonic() + 20
        wire.socket.settimeout(0.1)
        while True:
            assert time.monotonic() < deadline, "pings keep the connection open"
            try:
                wire.socket.send(ping)
                if not wire._fill():
                    break
            except socket.timeout:
                continue
            except (BrokenPipeError, ConnectionResetError):
                break


def test_client_that_does_not_read(hasty_server):
    body = json.dumps({"code": "print('x' * 4000000)", "limits": {"output_bytes": 8_000_000}}).encode()
    with socket.socket() as slow:
        # A small window, so that the answer does not fit into the kernel's buffers.
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((hasty_server.host, hasty_server.port))
        slow.sendall(b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        port = slow.getsockname()[1]
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
    process = subprocess.Popen(["curl", "-sS", "--http2-prior-knowledge", server.url + "/v1/execute", "-d",
                                '{"code": "import time; time.sleep(60)"}'], stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: health(server)["connections"] >= 2, 10, "curl has connected")
        time.sleep(0.2)
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
        limits = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (max(descriptors(server)) + 5, limits[1]))
        waiting = [Wire(server) for _ in range(20)]
        eventually(lambda: "cannot accept connections" in server.log(), 10, "the log says so")
        cpu = proc.cpu_seconds(server.pid)
        time.sleep(1)
        assert proc.cpu_seconds(server.pid) - cpu < 0.5
        assert kept.request().answer().status == 200
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, limits)
        for wire in waiting:
            assert wire.request().answer().status == 200
            wire.socket.close()


def test_connections_are_forgotten(server):
    before = len(descriptors(server))
    for _ in range(300):
        with Wire(server) as wire:
            wire.send(b"GET /hea")
    eventually(lambda: health(server)["connections"] == 1, 10, "the server has closed them")
    eventually(lambda: len(descriptors(server)) <= before, 10, "the server has closed them")


# ── Routes ──


@pytest.mark.parametrize("path", ["/nothing", "//health", "/health/", "/x/../health", "/./health", "/health;x", "/Health",
                                  "/v1", "/v1/", "/v1/execute/", "//v1/execute", "/v1//execute", "/health%00", "/health%20",
                                  "health", "/upload_data/", "/get_data/a/b"])
def test_paths_that_do_not_exist(server, path):
    with Wire(server) as wire:
        problem(wire.request("GET", path).answer(), 404)
        assert wire.request().answer().status == 200


@pytest.mark.parametrize("path", ["/health?", "/health?x=1&y", "/h%65alth", "/%68ealth", "http://other.example/health",
                                  "https://other.example/health?x"])
def test_paths_that_mean_the_same(server, path):
    with Wire(server) as wire:
        assert wire.request("GET", path).answer().json()["status"] == "healthy"


@pytest.mark.parametrize("path", ["/%", "/health%", "/health%2", "/health%zz"])
def test_broken_percent_encoding(server, path):
    with Wire(server) as wire:
        problem(wire.request("GET", path).answer(), 400)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "execute", "HEAD"])
@pytest.mark.parametrize("path", ["/v1/execute", "/v1/batch", "/api/execute", "/execute_code", "/upload_data/k"])
def test_wrong_method(server, method, path):
    with Wire(server) as wire:
        answer = wire.request(method, path).answer(head_only=method == "HEAD")
        assert answer.status == 405
        assert answer.headers["allow"] == "OPTIONS, POST"
        if method != "HEAD":
            problem(answer, 405)
        assert wire.request().answer().status == 200


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/v1/templates", "/v1/capabilities", "/clear_data"])
def test_options(server, path):
    with Wire(server) as wire:
        answer = wire.request("OPTIONS", path).answer()
        assert answer.status == 204
        assert answer.headers["allow"] == "OPTIONS, GET, HEAD"
        assert wire.request("POST", path, b"").answer().status == 405


def test_options_of_the_server(server):
    with Wire(server) as wire:
        answer = wire.request("OPTIONS", "*").answer()
        assert answer.status == 204
        assert answer.headers["allow"] == "OPTIONS, GET, HEAD, POST"


def test_head_has_the_length_of_get(server):
    with Wire(server) as wire:
        size = len(wire.request("GET", "/").answer().body)
        answer = wire.request("HEAD", "/").answer(head_only=True)
        assert int(answer.headers["content-length"]) == size
        assert wire.request().answer().status == 200


def test_root(server):
    document = server.get("/").json()
    assert document["name"] == "hatchery"
    for link in document["links"].values():
        assert server.get(link).status in (200, 405)
    page = server.get("/", {"Accept": "text/html,application/xhtml+xml"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "/v1/execute" in page.text


# ── Request ids and the log ──


def test_request_id_is_kept_or_made(server):
    assert server.get("/health", {"X-Request-Id": "a-B.9_z"}).headers["x-request-id"] == "a-B.9_z"
    made = set()
    for given in ("", "x" * 65, "a b", "ä", "a\tb", "<script>"):
        made.add(server.get("/health", {"X-Request-Id": given.encode()}).headers["x-request-id"])
    assert len(made) == 6
    assert all(re.fullmatch(r"[0-9A-Za-z]{22}", name) for name in made)


def test_access_log(server):
    secret = "do-not-log-this"
    with Wire(server) as wire:
        wire.request("POST", f"/v1/execute?token={secret}", b'{"code": "print(7)  # %s"}' % secret.encode(),
                     headers=["X-Request-Id: logged-1"]).answer()
        wire.request("GET", "/a\x1b[31mb", headers=["X-Request-Id: logged-2"]).answer()
    eventually(lambda: "id=logged-1" in server.log(), 5, "the request is logged")
    lines = [line for line in server.log().splitlines() if "id=logged-1" in line]
    assert len(lines) == 1
    assert re.search(r" request method=POST path=/v1/execute status=200 bytes=\d+ duration_us=\d+ id=logged-1 "
                     r"remote=127\.0\.0\.1$", lines[0])
    assert secret not in server.log()
    assert "\x1b" not in server.log()


def test_errors_of_the_http_library_are_logged_too(server):
    with Wire(server) as wire:
        wire.send(b"POST /v1/execute HTTP/1.1\r\nX-Request-Id: logged-3\r\nContent-Length: x\r\n\r\n")
        answer = wire.answer()
        assert answer.headers["x-request-id"] == "logged-3"
    eventually(lambda: re.search(r"status=400 .*id=logged-3", server.log()), 5, "the request is logged")
