"""Files of sessions over HTTP: /v1/sessions/{id}/files, and whatever may be tried with it."""

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

from session_files import MB, execute, form, get, listing, put


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
    for condition in [{"If-Match": '"x"'}, {"If-Match": f"W/{etag}"}, {"If-Match": '"x"', "If-None-Match": etag},
                      {"If-Unmodified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"}]:
        assert get(server, session, "r", **condition).status == 412, condition
    for condition in [{"If-Match": f'"x", {etag}'}, {"If-Match": "*"}, {"If-Unmodified-Since": modified},
                      {"If-Match": etag, "If-Unmodified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"},
                      {"If-Unmodified-Since": "yesterday"}]:
        assert get(server, session, "r", **condition).status == 200, condition
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


def test_a_huge_listing(server):
    session = "/v1/sessions/" + server.post("/v1/sessions", {"limits": {"wall_ms": 100000, "cpu_ms": 100000}}).json()["id"]
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
    assert server.request("DELETE", session).status == 204


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
