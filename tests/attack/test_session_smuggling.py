"""Bodies of uploads that look like requests, behind heads that two parsers could read in two ways: whoever sends one gets an
answer to that request and to nothing in its body, and the connection is closed or goes on at its true end."""

import os
import re

import pytest

from harness.hatchery import SMALL_POOL, Hatchery, eventually
from harness.own_sessions import OwnSession
from harness.plain_user import is_closed

# What would be answered if a part of a body were taken for a request: with a list of templates, which nobody else asks for.
HIDDEN = b"GET /v1/templates HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /v1/sessions/of-nobody HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
SIZE = 200_000
BODY = (HIDDEN * (SIZE // len(HIDDEN) + 1))[:SIZE]
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (SIZE, BODY)
LENGTH = b"Content-Length: %d\r\n" % SIZE

# Fields of a head, and what follows it: read to its end, so that the next request is answered; or not.
TAKEN = {
    "length": (LENGTH, BODY),
    "length behind a tab": (LENGTH.replace(b" ", b"\t"), BODY),
    "chunks": (b"Transfer-Encoding: chunked\r\n", CHUNKED),
    "CHUNKS": (b"TRANSFER-ENCODING: CHUNKED\r\n", CHUNKED),
    "extensions and trailers": (b"Transfer-Encoding: chunked\r\n", CHUNKED.replace(b"\r\n", b";a=b\r\n", 1).replace(b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n")),
    "a byte in each chunk": (b"Transfer-Encoding: chunked\r\n", b"1\r\nG\r\n" * SIZE + b"0\r\n\r\n"),
    "another name": (b"Transfer_Encoding: chunked\r\n" + LENGTH, BODY),
    "asks first, does not wait": (b"Expect: 100-continue\r\n" + LENGTH, BODY),
    "too large, and read to its end": (b"Content-Length: 3000000\r\n", (HIDDEN * 80000)[:3000000]),
    "too large in chunks": (b"Transfer-Encoding: chunked\r\n", b"2dc6c0\r\n" + (HIDDEN * 80000)[:3000000] + b"\r\n0\r\n\r\n"),
}
REFUSED = {
    "both": (LENGTH + b"Transfer-Encoding: chunked\r\n", CHUNKED),
    "both, the other way round": (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", CHUNKED),
    "two lengths": (LENGTH + b"Content-Length: 5\r\n", BODY),
    "twice the same": (LENGTH + LENGTH, BODY),
    "a list of lengths": (b"Content-Length: %d, %d\r\n" % (SIZE, SIZE), BODY),
    "a sign": (b"Content-Length: +%d\r\n" % SIZE, BODY),
    "less than nothing": (b"Content-Length: -1\r\n", BODY),
    "hexadecimal": (b"Content-Length: 0x30d40\r\n", BODY),
    "more than 64 bits": (b"Content-Length: 18446744073709551621\r\n", BODY),
    "half of 64 bits": (b"Content-Length: 9223372036854775808\r\n", BODY),
    "a blank before the colon": (LENGTH.replace(b":", b" :"), BODY),
    "a blank behind": (LENGTH.replace(b"\r", b" \r"), BODY),
    "chunks, a blank before the colon": (b"Transfer-Encoding : chunked\r\n", CHUNKED),
    "chunks of another kind": (b"Transfer-Encoding: xchunked\r\n", CHUNKED),
    "a list of codings": (b"Transfer-Encoding: gzip, chunked\r\n", CHUNKED),
    "chunked twice": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", CHUNKED),
    "in two lines": (b"Transfer-Encoding:\r\n chunked\r\n", CHUNKED),
    "behind a return": (b"X: a\rContent-Length: 5\r\n" + LENGTH, BODY),
    "a NUL": (b"X: a\0b\r\n" + LENGTH, BODY),
    "a line feed in an extension": (b"Transfer-Encoding: chunked\r\n", CHUNKED.replace(b"\r\n", b';a="\n', 1)),
    "a chunk of 64 bits": (b"Transfer-Encoding: chunked\r\n", b"ffffffffffffffff\r\n" + BODY),
    "a chunk that is longer": (b"Transfer-Encoding: chunked\r\n", CHUNKED.replace(b"%x" % SIZE, b"%x" % (SIZE - 9), 1)),
    "trailers without end": (b"Transfer-Encoding: chunked\r\n", CHUNKED[:-2] + b"X: y\r\n" * 100000),
    "another expectation": (b"Expect: 200-maybe\r\n" + LENGTH, BODY),
}


def answers(server, data, pieces):
    received = b""
    with server.connect(20) as connection:
        try:
            for at in range(0, 400, 50) if pieces else ():
                connection.sendall(data[at:at + 50])
            connection.sendall(data[400:] if pieces else data)
        except OSError:  # it has been refused already
            pass
        try:
            while piece := connection.recv(65536):
                received += piece
        except ConnectionResetError:
            pass
    assert b'"templates"' not in received, received[-3000:]
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", received) if status != b"100"]


def sockets(server):
    """None where its descriptors are closed to us."""
    if is_closed(server.pid):
        return None
    found = 0
    for fd in os.listdir(f"/proc/{server.pid}/fd"):
        try:
            found += os.readlink(f"/proc/{server.pid}/fd/{fd}").startswith("socket:")
        except FileNotFoundError:
            pass
    return found


@pytest.fixture(scope="module")
def uploads():
    with Hatchery(*SMALL_POOL, "--imports", "", "--isolation", "best-effort", "--file-bytes", "2000000") as server:
        with OwnSession(server) as session:
            session.ok("1")
            yield server, session, sockets(server)


@pytest.mark.parametrize("pieces", [False, True], ids=["at once", "in pieces"])
@pytest.mark.parametrize("fields, body, goes_on", [(*case, True) for case in TAKEN.values()] + [(*case, False) for case in REFUSED.values()],
                         ids=[*TAKEN, *REFUSED])
def test_nothing_in_a_body_is_a_request(uploads, fields, body, goes_on, pieces):
    server, session, before = uploads
    head = f"PUT {session.path}/files/f HTTP/1.1\r\nHost: x\r\n".encode()
    statuses = answers(server, head + fields + b"\r\n" + body + LAST, pieces)
    if goes_on:
        assert statuses[0] in (201, 204, 413) and statuses[1:] == [404], statuses
    else:
        # The client may have been cut off while it was still writing.
        assert statuses in ([400], [413], [417], []), statuses
    eventually(lambda: before is None or sockets(server) <= before, 10, lambda: f"connections are closed: {sockets(server)} of {before}")


def test_a_hidden_request_would_be_answered(uploads):
    """Positive control: what the bodies hide is a request, when it stands alone."""
    server, _, _ = uploads
    with pytest.raises(AssertionError):
        answers(server, HIDDEN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), False)
