"""What a request may demand of a session's file that is there, and what tells one content of it from another."""

from email.utils import parsedate_to_datetime

import pytest

from http_wire import Wire
from session_files import execute, get, listing, put


@pytest.mark.parametrize("size", [10, 100_000])
def test_what_a_write_demands(server, session, size):
    """Nobody writes over what he has not seen."""
    content = b"x" * size
    answer = put(server, session, "d/f", content, **{"If-None-Match": "*"})
    assert answer.status == 201
    seen = answer.headers["etag"]
    assert get(server, session, "d/f").headers["etag"] == seen
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    for demand in [{"If-None-Match": "*"}, {"If-None-Match": seen}, {"If-Match": '"x"'}, {"If-Match": f"W/{seen}"},
                   {"If-Unmodified-Since": date}]:
        answer = put(server, session, "d/f", b"y" * size, **demand)
        assert answer.status == 412, demand
        assert answer.headers["content-type"] == "application/problem+json" and "If-Match" in answer.json()["detail"]
    for name in ("none", "e/none"):
        assert put(server, session, name, content, **{"If-Match": "*"}).status == 412
    assert get(server, session, "d/f").body == content
    assert set(listing(server, session)) == {"d", "d/f"}
    answer = put(server, session, "d/f", b"z" * size, **{"If-Match": f'"x", {seen}'})
    assert answer.status == 204 and answer.headers["etag"] != seen
    assert get(server, session, "d/f").body == b"z" * size
    assert put(server, session, "g", content, **{"If-None-Match": seen, "If-Unmodified-Since": date}).status == 201


def test_a_list_may_come_in_several_lines(server, session):
    seen = put(server, session, "f", b"1").headers["etag"]
    with Wire(server) as wire:
        for headers, status in [(['If-None-Match: "x"', f"If-None-Match: {seen}"], 412), (['If-Match: "x"', 'If-Match: "y"'], 412),
                                (['If-Match: "x"', f"If-Match: {seen}"], 204)]:
            answer = wire.request("PUT", f"{session}/files/f", b"2", headers).answer()
            assert answer.status == status, headers
        seen = get(server, session, "f").headers["etag"]
        assert wire.request("GET", f"{session}/files/f", None, ['If-None-Match: "x"', f"If-None-Match: {seen}"]).answer(True).status == 304


def test_what_a_removal_demands(server, session):
    seen = put(server, session, "f", b"1").headers["etag"]
    path = f"{session}/files/f"
    for demand in [{"If-Match": '"x"'}, {"If-None-Match": "*"}, {"If-Unmodified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"}]:
        assert server.request("DELETE", path, None, demand).status == 412, demand
    assert get(server, session, "f").body == b"1"
    assert server.request("DELETE", path, None, {"If-Match": seen}).status == 204
    assert server.request("DELETE", path, None, {"If-Match": seen}).status == 404


@pytest.mark.parametrize("content", [b"rest", b"r" * 100_000])
def test_a_part_does_not_replace_the_whole(server, session, content):
    """What curl -C sends. A large body is in a file of its own by then."""
    assert put(server, session, "f", b"whole").status == 201
    answer = put(server, session, "f", content, **{"Content-Range": f"bytes 5-{4 + len(content)}/{5 + len(content)}"})
    assert answer.status == 400 and "Content-Range" in answer.json()["detail"]
    assert get(server, session, "f").body == b"whole"
    assert put(server, session, "f", content).status == 204
    assert get(server, session, "f").body == content


@pytest.mark.parametrize("year", [2100, 20_000])
def test_no_file_is_of_tomorrow(server, session, year):
    execute(server, session, f"import os; open('f', 'w').close(); os.utime('f', (0, ({year} - 1970) * 31557600))")
    answer = get(server, session, "f")
    assert answer.status == 200
    assert parsedate_to_datetime(answer.headers["last-modified"]) <= parsedate_to_datetime(answer.headers["date"])
    assert get(server, session, "f", **{"If-None-Match": answer.headers["etag"]}).status == 304
