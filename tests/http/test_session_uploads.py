"""Uploads to sessions at their bounds: sizes, disks, clients that go away, TLS and unix sockets."""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.hatchery import eventually
from harness.small_disk import small_disk
from http_wire import BARE, Wire
from session_files import MB, execute, form, get, listing, put


# ── Bounds ──


def rss_kb(server, name="VmHWM"):
    """0 with AddressSanitizer, whose own memory says nothing."""
    if "ASAN_OPTIONS" in os.environ:
        return 0
    status = open(f"/proc/{server.pid}/status").read()
    return int(status.split(name + ":")[1].split()[0])


def test_the_disk_limit(make_server):
    server = make_server(*BARE, "--session-disk-mb", "4")
    session = "/v1/sessions/" + server.post("/v1/sessions", {}).json()["id"]
    assert put(server, session, "a", b"x" * (3 * MB)).status == 201
    for attempt in range(2):
        answer = put(server, session, "b", b"x" * (2 * MB))
        assert answer.status == 413 and str(4 * MB) in answer.json()["detail"], answer
    assert put(server, session, "huge", b"x" * (5 * MB)).status == 413
    answer = server.post(f"{session}/files", *form([("f", "c", b"x" * (MB // 2)),
                                                    ("g", "d", b"x" * MB)]))
    assert answer.status == 413 and '"d"' in answer.json()["detail"]
    assert set(listing(server, session)) == {"a", "c"}
    assert put(server, session, "a", b"x" * (3 * MB)).status == 204
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda i: put(server, session, f"p{i}",
                                                  b"x" * (200 * 1024)).status, range(16)))
    assert set(statuses) == {201, 413}
    assert sum(file["size"] for file in listing(server, session).values()) <= 4 * MB


def test_uploads_side_by_side_count_together(make_server):
    """Each would fit alone; it takes long to see what is there, so both would be seen to fit at the same time."""
    server = make_server(*BARE, "--session-disk-mb", "4")
    session = "/v1/sessions/" + server.post("/v1/sessions", {}).json()["id"]
    execute(server, session, "for i in range(3000): open(str(i), 'w').close()")
    for _ in range(4):
        with ThreadPoolExecutor(2) as threads:
            statuses = list(threads.map(lambda name: put(server, session, name, b"x" * (5 * MB // 2)).status, ["a", "b"]))
        assert sorted(statuses) == [201, 413]
        for name in "a", "b":
            server.request("DELETE", f"{session}/files/{name}")


def test_large_files_cost_no_memory(make_server, tmp_path):
    server = make_server(*BARE, "--session-disk-mb", "1024")
    session = "/v1/sessions/" + server.post("/v1/sessions", {}).json()["id"]
    put(server, session, "warm", b"x" * MB)
    before = rss_kb(server)
    with open(tmp_path / "big", "wb") as big:
        for _ in range(100):
            big.write(os.urandom(MB))
    curl = ["curl", "-sS", "-o", tmp_path / "out", "-w", "%{http_code}"]
    for words in [["-T", tmp_path / "big", f"{server.url}{session}/files/big"],
                  ["-H", "Transfer-Encoding: chunked", "-T", tmp_path / "big",
                   f"{server.url}{session}/files/chunked"],
                  ["-F", f"f=@{tmp_path}/big", f"{server.url}{session}/files"]]:
        done = subprocess.run([*curl, *words], capture_output=True, text=True)
        assert done.stdout in ("201", "204"), done
    done = subprocess.run([*curl, f"{server.url}{session}/files/chunked"], capture_output=True,
                          text=True)
    assert done.stdout == "200" and subprocess.run(["cmp", tmp_path / "out",
                                                    tmp_path / "big"]).returncode == 0
    grown_kb = rss_kb(server) - before
    assert grown_kb < 16 * 1024, f"{grown_kb} kB for bodies of 100 MB"


def test_a_body_that_is_too_large(make_server):
    server = make_server(*BARE, "--file-bytes", str(MB), "--request-bytes", "100000")
    session = "/v1/sessions/" + server.post("/v1/sessions", {}).json()["id"]
    assert put(server, session, "f", b"x" * MB).status == 201
    assert server.post(f"{session}/files", *form([("f", "g", b"x" * MB)])).status == 201
    connection = server.client()
    try:
        # The client is still writing; it reads the answer all the same, and the connection stays.
        for size in MB + 1, 3 * MB:
            connection.request("PUT", f"{session}/files/f", b"y" * size)
            answer = connection.getresponse()
            assert answer.status == 413 and str(MB) in json.loads(answer.read())["detail"]
        connection.request("PUT", f"{session}/files/f", iter([b"y" * MB, b"y"]),
                           {"Transfer-Encoding": "chunked"},
                           encode_chunked=True)
        answer = connection.getresponse()
        assert answer.status == 413 and answer.read()
        connection.request("GET", f"{session}/files/f")
        assert connection.getresponse().read() == b"x" * MB
    finally:
        connection.close()
    # A form may be larger than its files, but not its files than they may be.
    for size, status in (MB, 201), (MB + 1, 413):
        answer = server.post(f"{session}/files", *form([("g", "g", b"x" * size)]))
        assert answer.status == status, answer
    assert answer.json()["field"] == "g" and str(MB) in answer.json()["detail"]
    # Other routes keep their own bound.
    with server.connect() as wire:
        wire.sendall(b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\n\r\n" + b"x" * 100001)
        assert b" 413 " in wire.recv(1000)
    # Who asks first need not send it.
    with server.connect() as wire:
        wire.sendall(f"PUT {session}/files/f HTTP/1.1\r\nHost: x\r\nContent-Length: {2 * MB}\r\nExpect: 100-continue\r\n\r\n".encode())
        assert wire.recv(1000).startswith(b"HTTP/1.1 413")


def test_broken_chunks(server, session):
    with server.connect() as wire:
        wire.sendall(f"PUT {session}/files/f HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode())
        assert wire.recv(1000).startswith(b"HTTP/1.1 400")
    assert listing(server, session) == {}


@pytest.mark.parametrize("at_once", [True, False])
def test_chunks_that_are_mostly_coding(server, session, at_once):
    """Six bytes for each of the body: more comes at once than there is room for, and there is room all the same."""
    head = f"PUT {session}/files/f HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    body = b"1\r\nx\r\n" * 300_000 + b"0\r\n\r\n"
    with Wire(server) as wire:
        if not at_once:
            wire.send(head)
            head = b""
        wire.send(head + body)
        assert wire.answer().status == 201
        assert wire.request(path=f"{session}/files/f").answer().body == b"x" * 300_000


def upload_and_wait(server, session, name, size, sent):
    """Sends the head and a part of a body; returns the connection."""
    wire = server.connect()
    wire.sendall(f"PUT {session}/files/{name} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode() + b"x" * sent)
    return wire


def test_a_client_that_goes_away(server, session):
    for _ in range(20):
        upload_and_wait(server, session, "f", 10 * MB, 2 * MB).close()
    assert listing(server, session) == {}
    eventually(lambda: not bodies(server), 10, "files of bodies are closed")


def bodies(server):
    """The sizes of the files of bodies that are open; they have no name."""
    sizes = []
    for number in os.listdir(f"/proc/{server.pid}/fd"):
        descriptor = f"/proc/{server.pid}/fd/{number}"
        try:
            target = os.readlink(descriptor)
            if "(deleted)" in target and str(server.state) in target:
                sizes.append(os.stat(descriptor).st_size)
        except FileNotFoundError:
            pass
    return sizes


def test_bodies_on_disk_are_bounded_together(make_server):
    server = make_server(*BARE, "--bodies-disk-bytes", str(8 * MB))
    session = "/v1/sessions/" + server.post("/v1/sessions", {}).json()["id"]
    held = [upload_and_wait(server, session, f"f{i}", 4 * MB, 3 * MB) for i in range(2)]
    try:
        eventually(lambda: sum(bodies(server)) >= 5.5 * MB, 10, "what was sent is received")
        answer = put(server, session, "g", b"x" * (3 * MB))
        assert answer.status == 503 and answer.headers["retry-after"]
        assert put(server, session, "small", b"x").status == 201
        for wire in held:
            wire.sendall(b"x" * MB)
            assert wire.recv(1000).startswith(b"HTTP/1.1 201")
    finally:
        for wire in held:
            wire.close()
    eventually(lambda: put(server, session, "g", b"x" * (3 * MB)).status in (201, 204), 10,
               "there is room again")


def test_bodies_in_memory_are_bounded_together(make_server):
    server = make_server(*BARE, "--bodies-bytes", str(8 * MB))
    wires = []
    try:
        for _ in range(20):
            wire = server.connect()
            wires.append(wire)
            wire.sendall(b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n")
            try:
                wire.sendall(b" " * 2_000_000)
            except OSError:
                pass
        eventually(lambda: "too much is being received" in server.log(), 10, "a request is refused")
        assert server.run("print(1)")["stdout"] == "1\n"
        assert rss_kb(server) < 60 * 1024
    finally:
        for wire in wires:
            wire.close()

    def is_taken():
        try:
            return server.post("/v1/execute", {"code": "#" + "x" * 3_000_000}).status == 200
        except OSError:  # who is refused while it is still sending
            return False

    eventually(is_taken, 10, "there is room again")


def test_a_hundred_uploads_at_once(make_server):
    server = make_server(*BARE, "--bodies-disk-bytes", str(64 * MB))
    session = "/v1/sessions/" + server.post("/v1/sessions", {}).json()["id"]
    content = os.urandom(MB)
    with ThreadPoolExecutor(100) as threads:
        statuses = list(threads.map(lambda i: put(server, session, f"f{i}", content).status,
                                    range(100)))
    assert set(statuses) <= {201, 503} and statuses.count(201) > 0
    files = listing(server, session)
    assert len(files) == statuses.count(201) and {file["size"] for file in files.values()} == {MB}


def test_a_disk_that_does_not_keep_up_costs_no_memory(make_server):
    """Each connection has its buffers, of 2.5 MB at the most, and no more of its body: what there is no room for waits at
    the client."""
    server = make_server(*BARE, "--session-disk-mb", "1024")
    session = "/v1/sessions/" + server.post("/v1/sessions", {}).json()["id"]
    content, before = os.urandom(16 * MB), rss_kb(server)
    with ThreadPoolExecutor(20) as threads:
        statuses = set(threads.map(lambda i: put(server, session, f"f{i}", content).status, range(20)))
    assert statuses == {201}
    grown_kb = rss_kb(server) - before
    assert grown_kb < 20 * 4 * 1024, f"{grown_kb} kB for bodies of 320 MB"


def test_a_full_disk(make_server, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    with small_disk(small, "size=8m"):
        server = make_server(*BARE, "--state-directory", small)
        session = "/v1/sessions/" + server.post("/v1/sessions", {}).json()["id"]
        put(server, session, "a", b"before")
        connection = server.client()
        for name in "a", "b":
            connection.request("PUT", f"{session}/files/{name}", b"x" * (12 * MB))
            answer = connection.getresponse()
            assert answer.status == 507 and b"full" in answer.read()
        connection.close()
        assert {path: file["size"] for path, file in listing(server, session).items()} == {"a": 6}
        # Nothing half-written takes room.
        assert put(server, session, "b", b"x" * (5 * MB)).status == 201
        assert server.request("DELETE", f"{session}/files/b").status == 204
        body, headers = form([("f", "c", b"x" * (5 * MB))])
        assert server.post(f"{session}/files", body, headers).status == 507
        assert set(listing(server, session)) == {"a"}
        server.stop()


# ── TLS, unix sockets ──


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls-files")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-keyout",
                    folder / "key.pem", "-out", folder / "certificate.pem"], check=True, capture_output=True)
    return folder


def test_over_tls(make_server, certificate, tmp_path):
    """A body that stayed in memory would be too large here; that of HTTP/2 is."""
    server = make_server(*BARE, "--tls-certificate", certificate / "certificate.pem", "--tls-key",
                         certificate / "key.pem",
                         "--request-bytes", "100000")
    base = f"https://127.0.0.1:{server.port}/v1/sessions"
    curl = ["curl", "-sSk", "-w", "%{http_code} ", "-o", "/dev/null"]
    content = os.urandom(3 * MB)
    (tmp_path / "f").write_bytes(content)
    assert subprocess.run([*curl, base, "-d", '{"id": "s"}'], capture_output=True,
                          text=True).stdout == "201 "
    file = f"{base}/s/files/f"
    upload = ["-T", tmp_path / "f", file, "-o", "/dev/null"]
    # Twice over one connection, the second after the first's answer.
    done = subprocess.run([*curl, "--http1.1", *upload, *upload], capture_output=True, text=True)
    assert done.stdout == "201 204 ", done
    done = subprocess.run([*curl, "--http2", *upload], capture_output=True, text=True)
    assert done.stdout != "204 ", done
    assert subprocess.run(["curl", "-sSk", file], capture_output=True).stdout == content


def test_over_a_unix_socket(make_server, tmp_path):
    server = make_server(*BARE, listen=f"unix:{tmp_path}/socket")
    assert server.post("/v1/sessions", {"id": "s"}).status == 201
    content = os.urandom(3 * MB)
    assert put(server, "/v1/sessions/s", "f", content).status == 201
    assert get(server, "/v1/sessions/s", "f").body == content
