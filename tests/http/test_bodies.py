"""Large bodies that come in unusual company: with the end of the TLS handshake, behind other requests, over many
streams of HTTP/2."""

import json
import os
import re
import socket
import ssl
import struct
import subprocess

import pytest

from harness.hatchery import SMALL_POOL, Hatchery, eventually

MB = 1 << 20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls-bodies")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost",
                    "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def small():
    """Bodies in memory are small there, those of files are not."""
    with Hatchery(*SMALL_POOL, "--request-bytes", "100000") as server:
        assert server.post("/v1/sessions", {"id": "s"}).status == 201
        yield server


def test_who_writes_on_reads_why_it_is_refused(small):
    """A connection that is closed while its client writes is reset, and the answer is lost."""
    connection = small.client()
    try:
        for path, member in [("/v1/execute", "detail"), ("/execute_code", "detail"), ("/api/execute", "output"), ("/run", "error"),
                             ("/nothing", "detail")]:
            connection.request("POST", path, b"x" * (8 * MB))
            answer = connection.getresponse()
            said = json.loads(answer.read())[member]
            assert answer.status == 413 and str(8 * MB) in said and "100000" in said, path
        connection.request("GET", "/ready")
        assert connection.getresponse().read() == b'{"ready":true}'
    finally:
        connection.close()
    # Who asks first need not send it.
    with small.connect() as wire:
        wire.sendall(b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\nExpect: 100-continue\r\n\r\n")
        assert wire.recv(1000).startswith(b"HTTP/1.1 413")


class EarlyTls:
    """A TLS client that says something in the same segment as the end of its handshake."""

    def __init__(self, server, protocol, first):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols([protocol])
        self.wire = socket.create_connection(("127.0.0.1", server.port), 20)
        self.wire.settimeout(20)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.wire.sendall(self.outgoing.read())
                self.incoming.write(self.wire.recv(65536))
        # The client's Finished is in outgoing still.
        self.send(first)

    def send(self, data):
        self.tls.write(data)
        self.wire.sendall(self.outgoing.read())

    def receive(self):
        """What comes until the connection ends, or its answer is there as a whole."""
        answers = b""
        while True:
            try:
                piece = self.tls.read(65536)
            except ssl.SSLWantReadError:
                raw = self.wire.recv(65536)
                if not raw:
                    return answers
                self.incoming.write(raw)
                continue
            except ssl.SSLError:
                return answers
            if not piece:
                return answers
            answers += piece


def put_head(name, size, *extra):
    return "\r\n".join([f"PUT /v1/sessions/s/files/{name} HTTP/1.1", "Host: x",
                        f"Content-Length: {size}", *extra,
                        "\r\n"]).encode()


def statuses(answers):
    return [int(status) for status in re.findall(rb"HTTP/1.1 (\d+)", answers)]


# ── HTTP/1 ──


@pytest.mark.parametrize("with_body", [0, 1000, 200_000])
def test_with_the_end_of_a_handshake(make_server, certificate, with_body):
    """TLS 1.3: the client's Finished, a head and a part of the body are one segment."""
    server = make_server("--tls-certificate", certificate / "certificate.pem", "--tls-key",
                         certificate / "key.pem",
                         "--request-bytes", "100000")
    curl = ["curl", "-sSk", f"https://127.0.0.1:{server.port}/v1/sessions"]
    assert subprocess.run([*curl, "-d", '{"id": "s"}'], capture_output=True).returncode == 0
    content = os.urandom(MB)
    client = EarlyTls(server, "http/1.1", put_head("f", MB, "Connection: close")
                      + content[:with_body])
    client.send(content[with_body:])
    assert statuses(client.receive()) == [201]
    file = subprocess.run([*curl[:2], curl[2] + "/s/files/f"], capture_output=True)
    assert file.stdout == content


@pytest.mark.parametrize("before", [b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
                                    b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n{\"code\":\"1\"}",
                                    b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                                    b"c\r\n{\"code\":\"1\"}\r\n0\r\n\r\n"])
@pytest.mark.parametrize("with_body", [0, 1000, 200_000])
def test_behind_other_requests(small, before, with_body):
    """The head of a large body comes together with the requests before it."""
    content = os.urandom(MB)
    answers = b""
    with small.connect() as wire:
        wire.sendall(before * 3 + put_head("p", MB) + content[:with_body])
        while len(statuses(answers)) < 3:
            answers += wire.recv(65536)
        wire.sendall(content[with_body:]
                     + b"GET /v1/sessions/s/files/p HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        while piece := wire.recv(65536):
            answers += piece
    assert statuses(answers)[:3] == [200, 200, 200] and statuses(answers)[3] in (201, 204)
    assert answers.endswith(content)


def test_many_small_requests_in_one_piece(small):
    with small.connect() as wire:
        wire.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 500 +
                     b"GET /v1/sessions/none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answers = b""
        while piece := wire.recv(65536):
            answers += piece
    assert statuses(answers) == [200] * 500 + [404]


def test_the_next_request_in_every_piece(small):
    """Wherever the segment ends, the request behind another one is read right."""
    first = b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n{\"code\":\"1\"}"
    second = b"GET /v1/sessions/none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    for cut in [*range(1, len(second), 5), len(second)]:
        with small.connect() as wire:
            answers = b""
            wire.sendall(first + second[:cut])
            while len(statuses(answers)) < 1:
                answers += wire.recv(65536)
            wire.sendall(second[cut:])
            while piece := wire.recv(65536):
                answers += piece
        assert statuses(answers) == [200, 404], cut


# ── HTTP/2 ──


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind,
                                                        flags]) + struct.pack(">I", stream) + payload


def post_headers(stream, path=b"/v1/execute"):
    """:method POST, :scheme http, :path, :authority x; literal fields without an index."""
    block = b"\x83\x86" + b"\x04" + bytes([len(path)]) + path + b"\x01\x01x"
    return frame(1, 0x4, stream, block)


def data(stream, size, end=False):
    return b"".join(frame(0, 0x1 if end and at + 16384 >= size else 0, stream,
                          b" " * min(16384, size - at))
                    for at in range(0, size, 16384))


def rss_kb(server):
    status = open(f"/proc/{server.pid}/status").read()
    return int(status.split("VmHWM:")[1].split()[0])


class Http2:
    """Sends frames, and reads no more than it must."""

    def __init__(self, wire):
        self.wire = wire
        wire.settimeout(20)
        wire.sendall(PREFACE + frame(4, 0, 0))

    def send(self, octets):
        """False: the server has ended the connection."""
        try:
            self.wire.sendall(octets)
            return True
        except OSError:
            return False

    def ended(self):
        try:
            while self.wire.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True

    def frames(self):
        buffered = b""
        while True:
            while len(buffered) >= 9 and len(buffered) >= 9 + int.from_bytes(buffered[:3], "big"):
                size = int.from_bytes(buffered[:3], "big")
                yield buffered[3], buffered[4], int.from_bytes(buffered[5:9],
                                                               "big"), buffered[9:9 + size]
                buffered = buffered[9 + size:]
            try:
                piece = self.wire.recv(65536)
            except ConnectionError:
                return
            if not piece:
                return
            buffered += piece

    def await_end(self, streams):
        """Until each of the streams has ended."""
        streams = set(streams)
        for kind, flags, stream, _ in self.frames():
            if kind == 3 or (kind in (0, 1) and flags & 1):
                streams.discard(stream)
            if not streams:
                return


@pytest.fixture(params=["plain", "tls"])
def bounded(request, make_server, certificate):
    """A server with 8 MB for all bodies, and a function that connects over HTTP/2."""
    arguments = ["--bodies-bytes", str(8 * MB), "--request-bytes", str(4 * MB)]
    if request.param == "plain":
        server = make_server(*arguments)
        return server, lambda: Http2(server.connect())
    server = make_server(*arguments, "--tls-certificate", certificate / "certificate.pem",
                         "--tls-key", certificate / "key.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return server, lambda: Http2(context.wrap_socket(socket.create_connection(("127.0.0.1", server.port))))


def answers(connect):
    client = connect()
    client.send(post_headers(1) + frame(0, 1, 1, b'{"code":"print(1)"}'))
    heads = (payload for kind, _, stream, payload in client.frames() if (kind, stream) == (1, 1))
    # As the static table has it: ":status: 200".
    was_run = next(heads, b"").startswith(b"\x88")
    client.wire.close()
    return was_run


def still_answers(connect):
    """As soon as it has let go of what the others had sent."""
    eventually(lambda: answers(connect), 10, "a run is answered")


def test_bodies_of_http2_are_bounded_together(bounded):
    """One connection, a hundred streams with 3 MB each."""
    server, connect = bounded
    client = connect()
    for stream in range(1, 201, 2):
        if not client.send(post_headers(stream) + data(stream, 3 * MB)):
            break
    assert client.ended()
    client.wire.close()
    eventually(lambda: "too much is being received" in server.log(), 10, "the log says so")
    assert "ASAN_OPTIONS" in os.environ or rss_kb(server) < 60 * 1024
    still_answers(connect)


def test_bodies_of_many_http2_connections_are_bounded_together(bounded):
    server, connect = bounded
    clients = [connect() for _ in range(8)]
    for client in clients:
        client.send(post_headers(1) + data(1, 2 * MB))
    eventually(lambda: "too much is being received" in server.log(), 10, "a connection is refused")
    for client in clients:
        client.wire.close()
    assert "ASAN_OPTIONS" in os.environ or rss_kb(server) < 60 * 1024
    still_answers(connect)


def test_bodies_of_http2_that_have_ended_count_no_more(bounded):
    """Far more than the bound goes over one connection, one after the other, however each request ends."""
    server, connect = bounded
    client = connect()
    stream = 1
    for _ in range(8):
        client.send(post_headers(stream) + data(stream, 3 * MB, end=True))  # answered
        client.await_end([stream])
        client.send(post_headers(stream + 2) + data(stream + 2, 3 * MB)
                    + frame(3, 0, stream + 2, b"\0\0\0\x08"))  # reset
        client.send(post_headers(stream + 4) + data(stream + 4,
                                                    5 * MB))  # larger than it may be: refused
        client.await_end([stream + 4])
        stream += 6
    client.send(post_headers(stream) + frame(0, 1, stream, b'{"code":"print(1)"}'))
    client.await_end([stream])
    client.wire.close()
    assert "too much is being received" not in server.log()


def test_a_body_over_http2_that_does_not_come_on(make_server):
    """Other requests on the connection do not prolong its time."""
    server = make_server("--request-timeout-ms", "1000", "--idle-timeout-ms", "5000", "--log-level",
                         "debug")
    client = Http2(server.connect())
    client.send(post_headers(1) + data(1, 1000))
    streams = iter(range(3, 1 << 30, 2))

    def asks_until_ended():
        stream = next(streams)
        if client.send(post_headers(stream) + frame(0, 1, stream, b"{}")):
            client.await_end([stream])
        return "phase=receiving" in server.log()

    eventually(asks_until_ended, 20, "the connection is ended")
    client.wire.close()
