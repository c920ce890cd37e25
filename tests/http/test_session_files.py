"""Files of sessions over HTTP: /v1/sessions/{id}/files, and whatever may be tried with it."""

import io
import json
import os
import re
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from harness.hatchery import eventually

MB = 1 << 20


@pytest.fixture
def session(server):
    """The path of a new session; it is ended afterwards."""
    answer = server.post("/v1/sessions", {})
    assert answer.status == 201, answer
    path = "/v1/sessions/" + answer.json()["id"]
    yield path
    server.request("DELETE", path)


def put(server, session, name, content, **headers):
    return server.request("PUT", f"{session}/files/{quote(name)}", content, headers)


def get(server, session, name, **headers):
    return server.get(f"{session}/files/{quote(name)}", headers)


def listing(server, session, query=""):
    answer = server.get(f"{session}/files{query}")
    assert answer.status == 200, answer
    return {file["path"]: file for file in answer.json()["files"]}


def execute(server, session, code):
    answer = server.post(f"{session}/execute", {"code": code})
    assert answer.status == 200, answer
    body = answer.json()
    assert body["status"] == "ok", body
    return body["stdout"]


def form(parts, boundary="b0undary"):
    """A multipart form of (name, filename or None, content)."""
    body = io.BytesIO()
    for name, filename, content in parts:
        body.write(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode())
        if filename is not None:
            body.write(f'; filename="{filename}"\r\nContent-Type: text/plain'.encode())
        body.write(b"\r\n\r\n" + content + b"\r\n")
    body.write(f"--{boundary}--\r\n".encode())
    return body.getvalue(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}


# ── What honest clients do ──


def test_put_and_get(server, session):
    answer = put(server, session, "data/a b.csv", b"x,y\n1,2\n")
    assert answer.status == 201
    assert answer.json() == {"path": "data/a b.csv", "size": 8, "replaced": False}
    assert execute(server, session, "print(open('data/a b.csv').read())") == "x,y\n1,2\n\n"
    answer = put(server, session, "data/a b.csv", b"new")
    assert (answer.status, answer.body) == (204, b"")
    answer = get(server, session, "data/a b.csv")
    assert (answer.status, answer.body) == (200, b"new")
    assert answer.headers["content-type"] == "text/csv"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["content-disposition"] is None
    answer = server.get(f"{session}/files/data/a%20b.csv?download=1")
    assert answer.headers["content-disposition"] == "attachment; filename=\"a b.csv\"; filename*=UTF-8''a%20b.csv"


def test_the_snippet_owns_its_files(server, session):
    assert put(server, session, "d/f", b"1").status == 201
    execute(server, session, "open('d/f', 'a').write('2'); open('d/g', 'w').write('3')")
    execute(server, session, "import os; os.rename('d', 'e'); os.remove('e/g')")
    assert get(server, session, "e/f").body == b"12"
    assert put(server, session, "e/f", b"4").status == 204


def test_names_of_all_kinds(server, session):
    for name in ["ä/ö €.txt", "a\\b", "%2e%2e", "...", "-rf", "a" * 255, " ", "~", "?x=1#y",
                 "\U0001f600"]:
        assert put(server, session, name, name.encode()).status == 201, name
        assert get(server, session, name).body == name.encode()
        assert name in listing(server, session)
        assert server.request("DELETE", f"{session}/files/{quote(name)}").status == 204


def test_list(server, session):
    assert server.get(f"{session}/files").json() == {"files": [], "truncated": False}
    put(server, session, "b/c/d.txt", b"123")
    put(server, session, "a", b"")
    execute(server, session, "import os; os.symlink('/etc/passwd', 'l'); os.mkfifo('p')")
    files = listing(server, session)
    assert {path: (file["type"], file["size"]) for path, file in files.items()} == {
        "a": ("file", 0), "b": ("folder", 0), "b/c": ("folder",
                                                      0), "b/c/d.txt": ("file", 3), "l": ("link", 0),
        "p": ("other", 0)}
    assert all(time.strptime(file["modified"], "%Y-%m-%dT%H:%M:%SZ") for file in files.values())
    assert list(listing(server, session, "?path=b")) == ["b/c", "b/c/d.txt"]
    assert list(listing(server, session, "?path=b%2Fc")) == ["b/c/d.txt"]
    for query, status in [("?path=none", 404), ("?path=a", 404), ("?path=l", 404),
                          ("?path=..", 422),
                          ("?path=%2Fetc", 422), ("?path=%", 400)]:
        assert server.get(f"{session}/files{query}").status == status, query


def test_post_a_form(server, session):
    body, headers = form([("note", None, b"hello"), ("f", "a.txt", b"one"),
                          ("g", "d/b.txt", b"two\r\n"), ("h", "", b"")])
    answer = server.post(f"{session}/files", body, headers)
    assert answer.status == 201
    assert answer.json() == {"files": [{"path": "a.txt", "size": 3, "replaced": False},
                                       {"path": "d/b.txt", "size": 5, "replaced": False}]}
    assert get(server, session, "d/b.txt").body == b"two\r\n"
    for body, headers, status in [
            (form([("note", None, b"hello")])[0], headers,
             422), (b"a=b", {}, 422), (b"{}", {"Content-Type": "application/json"}, 415),
            (b"--b0undary\r\n\r\n", headers, 400), (form([("f", "../x", b"")])[0] + b"", headers,
                                                    422)]:
        answer = server.post(f"{session}/files", body, headers)
        assert answer.status == status and answer.json()["detail"], answer
    assert answer.json()["field"] == "f"


@pytest.mark.parametrize("arguments, name", [
    (["-F", "file=@{path};filename=x.bin"], "x.bin"),
    (["-F", "file=@{path}", "-H", "Transfer-Encoding: chunked"], "big file"),
    (["-F", "file=@{path};filename=\"q\\\"uote.bin\""], 'q"uote.bin'),
])
def test_curl_sends_forms(server, session, tmp_path, arguments, name):
    (tmp_path / "big file").write_bytes(os.urandom(3 * MB))
    path = str(tmp_path / "big file")
    done = subprocess.run(["curl", "-sS", "--fail-with-body",
                           *(word.replace("{path}", path) for word in arguments),
                           f"{server.url}{session}/files"], capture_output=True)
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["files"] == [{"path": name, "size": 3 * MB, "replaced": False}]
    assert get(server, session, name).body == (tmp_path / "big file").read_bytes()


@pytest.mark.parametrize("arguments", [[], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect:"],
                                       ["--http1.0"],
                                       ["-H", "Expect: 100-continue"]])
def test_curl_puts(server, session, tmp_path, arguments):
    content = os.urandom(5 * MB + 13)
    (tmp_path / "f").write_bytes(content)
    for status in "201", "204":
        done = subprocess.run(["curl", "-sS", "-o", tmp_path / "out", "-w", "%{http_code}",
                               *arguments, "-T", tmp_path / "f",
                               f"{server.url}{session}/files/f"], capture_output=True, text=True)
        assert done.stdout == status, done
    assert get(server, session, "f").body == content


def test_sizes_around_what_stays_in_memory(server, session):
    connection = server.client()
    try:
        for size in [0, 1, 65535, 65536, 65537, 262143, 262144, 262145, 524288, 600000]:
            content = os.urandom(size)
            for headers, body in [({}, content), ({"Transfer-Encoding": "chunked"},
                                                  iter([content[:10], content[10:]]))]:
                connection.request("PUT", f"{session}/files/s", body, headers,
                                   encode_chunked=bool(headers))
                answer = connection.getresponse()
                assert answer.status in (201, 204) and (answer.read() or True), (size, headers)
                connection.request("GET", f"{session}/files/s")
                assert connection.getresponse().read() == content, (size, headers)
    finally:
        connection.close()


def test_pipelined_behind_a_large_body(server, session):
    """What comes behind a body in the same piece belongs to the next request."""
    content = os.urandom(300_000)
    head = f"PUT {session}/files/p HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    chunked = f"PUT {session}/files/q HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunked += b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content)
    last = f"GET {session}/files?path=none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    with server.connect() as wire:
        wire.sendall(head + content + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" + last)
        answers = b""
        while piece := wire.recv(65536):
            answers += piece
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"201", b"200", b"404"]
    with server.connect() as wire:
        wire.sendall(chunked + last)
        answers = b""
        while piece := wire.recv(65536):
            answers += piece
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"201", b"404"]
    assert get(server, session, "p").body == get(server, session, "q").body == content


def test_over_http2(server, session, tmp_path):
    """Its bodies stay in memory, and are as large as others."""
    content = os.urandom(2 * MB)
    (tmp_path / "f").write_bytes(content)
    done = subprocess.run(["curl", "-sS", "--http2-prior-knowledge", "-w", "%{http_code}", "-o",
                           tmp_path / "out", "-T",
                           tmp_path / "f", f"{server.url}{session}/files/f"], capture_output=True, text=True)
    assert done.stdout == "201", done
    done = subprocess.run(["curl", "-sS", "--http2-prior-knowledge",
                           f"{server.url}{session}/files/f"], capture_output=True)
    assert done.stdout == content


def test_ranges_and_conditions(server, session):
    content = bytes(range(256)) * 2000
    put(server, session, "r", content)
    whole = get(server, session, "r")
    assert whole.body == content and whole.headers["accept-ranges"] == "bytes"
    for wanted, got in [("bytes=0-0", content[:1]), ("bytes=-5", content[-5:]),
                        ("bytes=300000-", content[300000:]),
                        ("bytes=100-400000", content[100:400001]), ("bytes=511999-999999", content[-1:])]:
        answer = get(server, session, "r", Range=wanted)
        assert (answer.status, answer.body) == (206, got), wanted
        start = content.index(got) if wanted == "bytes=0-0" else len(content) - len(got) if wanted[6] == "-" else int(
            wanted[6:].split("-")[0])
        assert answer.headers["content-range"] == f"bytes {start}-{start + len(got) - 1}/{len(content)}"
    answer = get(server, session, "r", Range="bytes=512000-")
    assert answer.status == 416 and answer.headers["content-range"] == "bytes */512000"
    assert get(server, session, "r", Range="bytes=1-2,5-6").status == 200
    etag, modified = whole.headers["etag"], whole.headers["last-modified"]
    for condition in [{"If-None-Match": etag}, {"If-None-Match": f'"x", W/{etag}'},
                      {"If-None-Match": "*"},
                      {"If-Modified-Since": modified}]:
        answer = get(server, session, "r", **condition)
        assert (answer.status, answer.body) == (304, b""), condition
    assert get(server, session, "r", **{"If-None-Match": '"x"',
                                        "If-Modified-Since": modified}).status == 200
    assert get(server, session, "r", **{"If-Range": etag, "Range": "bytes=0-1"}).status == 206
    assert get(server, session, "r", **{"If-Range": '"x"', "Range": "bytes=0-1"}).status == 200
    head = server.request("HEAD", f"{session}/files/r")
    assert (head.status, head.headers["content-length"], head.body) == (200, "512000", b"")
    put(server, session, "r", content)
    assert get(server, session, "r").headers["etag"] != etag


def test_delete(server, session):
    put(server, session, "d/e", b"1")
    assert server.request("DELETE", f"{session}/files/none").status == 404
    assert server.request("DELETE", f"{session}/files/d").status == 409
    assert server.request("DELETE", f"{session}/files/d?recursive=perhaps").status == 422
    assert server.request("DELETE", f"{session}/files/d?recursive=1").status == 204
    assert listing(server, session) == {}


def test_unknown_sessions(server):
    body, headers = form([("f", "a", b"1")])
    for method, path, body, headers in [("GET", "/files", None, {}), ("GET", "/files/a", None, {}),
                                        ("PUT", "/files/a", b"1", {}),
                                        ("DELETE", "/files/a", None,
                                         {}), ("POST", "/files", body, headers),
                                        ("PUT", "/files/a", b"1" * 200_000, {})]:
        answer = server.request(method, "/v1/sessions/none" + path, body, headers)
        assert answer.status == 404 and answer.headers["content-type"] == "application/problem+json"


# ── Attacks ──


@pytest.mark.parametrize("path", [
    "..", "../x", "a/../../x", "%2e%2e", "%2e%2e%2fx", "%2E%2E/x", "a/%2e%2e/x", ".", "a/.", "a//b", "%2fetc%2fpasswd", "a/",
    "%00", "a%00b", "%0a", "a%7fb", "%c2%85", "%ff", "%c0%ae%c0%ae/x", "%c0%af", "a" * 256, "/".join("a" * 600), "a" * 1025,
    "x/" + "a" * 300,
])
def test_paths_that_cannot_be(server, session, path):
    for method, body in [("GET", None), ("PUT", b"x"), ("DELETE", None)]:
        answer = server.request(method, f"{session}/files/{path}", body)
        assert answer.status in (422, 404), (method, path, answer)
        assert answer.json()["detail"]
    if "%00" not in path:
        name = bytes(path, "ascii")
        answer = server.post(f"{session}/files", *form([("f",
                                                         path.replace("%2e", ".").replace("%2E", ".").replace("%2f", "/"), b"x")]))
        assert answer.status in (201, 400, 422), answer
    # What was written, if anything, is inside.
    assert all(not part.startswith("..") or part == "..." for file in listing(server, session)
               for part in file.split("/"))


def test_a_percent_that_is_none(server, session):
    assert server.get(f"{session}/files/%2").status == 400


def test_links_left_by_a_snippet(server, session):
    other = "/v1/sessions/" + server.post("/v1/sessions", {}).json()["id"]
    put(server, other, "secret", b"of the other")
    place = execute(server, session, """
import os
for name, target in [('passwd', '/etc/passwd'), ('root', '/'), ('up', '..'), ('self', '/proc/self'), ('loop', 'loop')]:
    os.symlink(target, name)
os.mkdir('real')
print(os.getcwd())
""").strip()
    assert place
    for name in ["passwd", "root/etc/passwd", "up/0/x", "self/environ", "loop", "loop/x", "root"]:
        assert get(server, session, name).status == 404, name
        assert server.get(f"{session}/files?path={quote(name)}").status == 404
    for name in ["root/tmp/x", "up/x", "self/x", "loop/x"]:
        assert put(server, session, name, b"x").status == 409, name
        assert server.request("DELETE", f"{session}/files/{name}").status == 404
    # A link itself is replaced and removed; what it leads to stays.
    assert put(server, session, "passwd", b"mine").status == 204
    assert get(server, session, "passwd").body == b"mine"
    assert server.request("DELETE", f"{session}/files/root?recursive=1").status == 204
    assert os.path.exists("/etc/passwd") and b"mine" not in open("/etc/passwd", "rb").read()
    assert get(server, other, "secret").body == b"of the other"
    server.request("DELETE", other)


def test_a_link_swapped_in_during_uploads(server, session):
    """A folder that becomes a link and a folder again, while files go into it."""
    server.post(f"{session}/execute", {"code": """
import os, threading
os.makedirs('d'); os.symlink('/tmp', 'link')
def swap():
    for _ in range(20000):
        os.rename('d', 'away'); os.rename('link', 'd')
        os.rename('d', 'link'); os.rename('away', 'd')
thread = threading.Thread(target=swap); thread.start()
"""})
    statuses = {put(server, session, "d/swapped-in", b"x" * 100).status for _ in range(150)}
    assert statuses <= {201, 204, 404, 409, 500, 503} and statuses & {201, 204}, statuses
    assert 500 not in statuses, [line for line in server.log().splitlines() if " error " in line]
    assert not os.path.exists("/tmp/swapped-in")
    # Its own /tmp; the machine's is closed.
    look = "thread.join(); import os\ntry: print(os.listdir('/tmp'))\nexcept PermissionError: print('closed')"
    assert "swapped-in" not in execute(server, session, look)


def test_what_is_no_file_does_not_block(server, session):
    execute(server, session, "import os; os.mkfifo('p'); os.mkdir('d')")
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: get(server, session, "p"), range(16)))
    assert {answer.status for answer in answers} == {404}
    assert get(server, session, "d").status == 409
    assert put(server, session, "d", b"x").status == 409
    assert put(server, session, "p/x", b"x").status == 409
    assert put(server, session, "p", b"now a file").status == 204
    assert get(server, session, "p").body == b"now a file"


def test_a_huge_listing(server, session):
    execute(server, session, """
import os
os.makedirs('many')
for i in range(12000):
    open(f'many/{i}', 'w').close()
""")
    answer = server.get(f"{session}/files").json()
    assert answer["truncated"] and len(answer["files"]) == 10000
    assert server.request("DELETE", f"{session}/files/many?recursive=1").status == 204
    assert listing(server, session) == {}


def test_a_deep_tree(server, session):
    """A folder as deep as that counts as over any limit: the run may be ended; what it has made stays."""
    code = """
import os
fd = os.open('.', os.O_RDONLY)
for i in range(400):
    os.mkdir('d' * 200, dir_fd=fd)
    below = os.open('d' * 200, os.O_RDONLY, dir_fd=fd); os.close(fd); fd = below
os.close(fd)
"""
    body = server.post(f"{session}/execute", {"code": code}).json()
    assert body["status"] in ("ok", "output_limit"), body
    answer = server.get(f"{session}/files").json()
    assert answer["truncated"] and len(answer["files"]) == 32, answer
    assert server.request("DELETE", f"{session}/files/{'d' * 200}?recursive=1").status == 204
    assert listing(server, session) == {}


def test_a_file_that_shrinks_while_it_is_sent(server, session):
    put(server, session, "f", b"x" * (60 * MB))
    with server.connect() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        wire.sendall(f"GET {session}/files/f HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        received = len(wire.recv(1000))
        execute(server, session, "import os; os.truncate('f', 1000)")
        while piece := wire.recv(1 << 20):
            received += len(piece)
        assert received < 60 * MB
    assert server.run("print(1)")["stdout"] == "1\n"


def test_a_file_that_grows_while_it_is_sent(server, session):
    put(server, session, "f", b"x" * (20 * MB))
    with server.connect() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        wire.sendall(f"GET {session}/files/f HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head = wire.recv(1000)
        execute(server, session, "open('f', 'ab').write(b'y' * 1000)")
        body = head.split(b"\r\n\r\n", 1)[1]
        received = len(body)
        while piece := wire.recv(1 << 20):
            received += len(piece)
    assert received == 20 * MB


# ── Bounds ──


def rss_kb(server, name="VmHWM"):
    """0 with AddressSanitizer, whose own memory says nothing."""
    if "ASAN_OPTIONS" in os.environ:
        return 0
    status = open(f"/proc/{server.pid}/status").read()
    return int(status.split(name + ":")[1].split()[0])


def test_the_disk_limit(make_server):
    server = make_server("--session-disk-mb", "4")
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


def test_large_files_cost_no_memory(make_server, tmp_path):
    server = make_server("--session-disk-mb", "1024")
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
    server = make_server("--file-bytes", str(MB), "--request-bytes", "100000")
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
        wire.sendall(b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\n\r\n")
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


def upload_and_wait(server, session, name, size, sent):
    """Sends the head and a part of a body; returns the connection."""
    wire = server.connect()
    wire.sendall(f"PUT {session}/files/{name} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode() + b"x" * sent)
    return wire


def test_a_client_that_goes_away(server, session):
    for _ in range(20):
        upload_and_wait(server, session, "f", 10 * MB, 2 * MB).close()
    assert listing(server, session) == {}
    descriptors = f"/proc/{server.pid}/fd"
    eventually(lambda: not [name for name in map(lambda fd: readlink(f"{descriptors}/{fd}"),
                                                 os.listdir(descriptors))
                            if "(deleted)" in name and "state" in name], 10, "files of bodies are closed")


def bodies_bytes(server):
    """Of the files of bodies, which have no name."""
    folder = f"/proc/{server.pid}/fd"
    return sum(os.stat(f"{folder}/{fd}").st_size for fd in os.listdir(folder)
               if "(deleted)" in readlink(f"{folder}/{fd}") and str(server.state) in readlink(f"{folder}/{fd}"))


def readlink(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""


def test_bodies_on_disk_are_bounded_together(make_server):
    server = make_server("--bodies-disk-bytes", str(8 * MB))
    session = "/v1/sessions/" + server.post("/v1/sessions", {}).json()["id"]
    held = [upload_and_wait(server, session, f"f{i}", 4 * MB, 3 * MB) for i in range(2)]
    try:
        eventually(lambda: bodies_bytes(server) >= 5.5 * MB, 10, "what was sent is received")
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
    server = make_server("--bodies-bytes", str(8 * MB))
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
    eventually(lambda: server.post("/v1/execute", {"code": "#" + "x" * 3_000_000}).status == 200,
               10, "there is room again")


def test_a_hundred_uploads_at_once(make_server):
    server = make_server("--bodies-disk-bytes", str(64 * MB))
    session = "/v1/sessions/" + server.post("/v1/sessions", {}).json()["id"]
    content = os.urandom(MB)
    with ThreadPoolExecutor(100) as threads:
        statuses = list(threads.map(lambda i: put(server, session, f"f{i}", content).status,
                                    range(100)))
    assert set(statuses) <= {201, 503} and statuses.count(201) > 0
    files = listing(server, session)
    assert len(files) == statuses.count(201) and {file["size"] for file in files.values()} == {MB}
    assert rss_kb(server) < 150 * 1024


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk(make_server, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "small", small], check=True)
    try:
        server = make_server("--state-directory", small)
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
    finally:
        subprocess.run(["umount", "-l", small], check=True)


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
    server = make_server("--tls-certificate", certificate / "certificate.pem", "--tls-key",
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
    server = make_server(listen=f"unix:{tmp_path}/socket")
    assert server.post("/v1/sessions", {"id": "s"}).status == 201
    content = os.urandom(3 * MB)
    assert put(server, "/v1/sessions/s", "f", content).status == 201
    assert get(server, "/v1/sessions/s", "f").body == content
