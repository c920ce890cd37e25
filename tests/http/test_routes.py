"""Paths and methods, and what each request leaves in the log."""

import re
import socket
import struct

import pytest

from harness.hatchery import ROOT, eventually
from http_wire import Wire, busy, problem


# ── Routes ──


@pytest.mark.parametrize("path", ["/nothing", "//health", "/health/", "/x/../health", "/./health", "/health;x", "/Health",
                                  "/v1", "/v1/", "/v1/execute/", "//v1/execute", "/v1//execute", "/health%00", "/health%20",
                                  "health", "/upload_data/", "/get_data/a/b", "/get_data/..", "/get_data/%2e%2E", "/get_data/."])
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


@pytest.mark.parametrize("method, path", [("GET", "%2Fhealth"), ("POST", "/v1%2Fexecute"), ("POST", "/v1%2fsessions"),
                                          ("POST", "/upload_data%2Fk"), ("GET", "/get_data/a%2Fb")])
def test_an_encoded_slash_parts_nothing(server, method, path):
    with Wire(server) as wire:
        answer = wire.request(method, path, b'{"code": "1"}' if method == "POST" else b"").answer()
        assert "encoded slash" in problem(answer, 404)["detail"]
        assert wire.request().answer().status == 200


@pytest.mark.parametrize("size", [1, 100_000])
def test_an_encoded_slash_in_the_path_of_a_file(server, session, size):
    """A large body is taken by another way, which looks the route up before."""
    id = session.rpartition("/")[2]
    for path in (f"/v1/sessions%2F{id}/files/f", f"/v1/sessions/{id}%2Ffiles/f", f"/v1/sessions/{id}/files%2Ff",
                 f"/v1%2Fsessions%2F{id}%2Ffiles%2Ff"):
        problem(server.request("PUT", path, b"x" * size), 404)
    assert server.get(f"{session}/files").json()["files"] == []
    assert server.request("PUT", f"{session}/files/a%2Ff", b"x" * size).json() == {
        "path": "a/f", "size": size, "replaced": False}
    assert server.get(f"{session}/files/a/f").body == b"x" * size


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
        assert answer.headers["allow"] == "OPTIONS, GET, HEAD, POST, PUT, DELETE"


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
    table = (ROOT / "server" / "route.c").read_text()
    for method, path in re.findall(r'\{"([A-Z]+)", +"(/[^"]+)"', table):
        # What is below a session stands for itself with one of them.
        if path != "/" and not path.startswith("/v1/sessions"):
            assert f"{method} {path}<" in page.text
    example, = re.findall(r"-d '(.*)'</pre>", page.text)
    assert server.post("/v1/execute", example).json()["status"] == "ok"


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
    eventually(lambda: "id=logged-1 remote=127.0.0.1\n" in server.log(), 20, "the request is logged")
    lines = [line for line in server.log().splitlines() if "id=logged-1" in line]
    assert len(lines) == 1
    assert re.search(r" request method=POST path=/v1/execute status=200 bytes=\d+ duration_us=\d+ id=logged-1 "
                     r"remote=127\.0\.0\.1$", lines[0])
    assert secret not in server.log()
    assert "\x1b" not in server.log()


def test_a_client_adds_no_fields_to_its_line(server):
    """Over HTTP/2, whose lengths go before the words, a path may have spaces in it."""
    def frame(kind, flags, stream, payload=b""):
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"x"), (b"x-request-id", b"logged-4"),
              (b":path", b"/x status=200 bytes=1")]
    fields.sort(key=lambda field: not field[0].startswith(b":"))
    block = b"".join(bytes([0, len(name)]) + name + bytes([len(value)]) + value for name, value in fields)
    with Wire(server) as wire:
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(1, 5, 1, block))
        eventually(lambda: "id=logged-4 remote=127.0.0.1\n" in server.log(), 20, "the request is logged")
    line, = [line for line in server.log().splitlines() if "id=logged-4" in line]
    assert re.search(r" path=/x%20status=200%20bytes=1 status=404 bytes=\d+ ", line)


def test_a_client_that_is_gone_is_still_named(server):
    """The kernel no longer knows whose a connection was that its client has reset."""
    eventually(lambda: busy(server) == 0, 20, "no other run is under way")
    with Wire(server) as wire:
        wire.request("POST", "/v1/execute", b'{"code": "import time; time.sleep(60)"}', headers=["X-Request-Id: logged-5"])
        eventually(lambda: busy(server) == 1, 20, "the run is under way")
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    eventually(lambda: "id=logged-5 remote=127.0.0.1\n" in server.log(), 20, lambda: server.log_tail(5))


def test_errors_of_the_http_library_are_logged_too(server):
    with Wire(server) as wire:
        wire.send(b"POST /v1/execute HTTP/1.1\r\nX-Request-Id: logged-3\r\nContent-Length: x\r\n\r\n")
        answer = wire.answer()
        assert answer.headers["x-request-id"] == "logged-3"
    eventually(lambda: re.search(r"status=400 .*id=logged-3", server.log()), 20, "the request is logged")
