"""HTTP itself: connections, HTTP/2, TLS, sizes, and where a request ends."""

import json
import re
import socket
import ssl
import subprocess

import pytest

from harness.hatchery import Hatchery
from http_wire import BARE, Wire, problem, runs


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
                       certificate / "key.pem", "--head-timeout-ms", "1500", "--idle-timeout-ms", "1500")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")  # which is why the server refuses it
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
    with Hatchery("--workers", "2", "--touched", "0", *BARE, "--request-bytes", "2000") as server:
        yield server


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
