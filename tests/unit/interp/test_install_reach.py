"""Where the process that runs pip goes, wherever an index or a wheel would lead it."""

import socket
import sys
from pathlib import Path

import pytest
from harness.wheels import Index
from installation import BAD_WHEEL, NO_INDEX, NOT_FOUND, expect_failure, index, install  # noqa: F401

sys.path.append(str(Path(__file__).resolve().parents[3] / "interp/python"))

from hatchery_install_index import Reach  # noqa: E402

THIS_MACHINE = ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "169.254.169.254", "fe80::1%2", "224.0.0.1"]
PRIVATE = ["10.0.0.1", "172.16.0.1", "192.168.1.1", "fd00::1", "::ffff:10.0.0.1"]
GLOBAL = ["8.8.8.8", "2001:4860:4860::8888"]


class Names:
    """In place of a name server: each name has the addresses that it is made of."""

    def __init__(self, *urls):
        self.reach = Reach(urls)
        self.reach.resolve = lambda host, port, *_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
                                                     for one in host.split(",")]

    def of(self, host, port=443):
        try:
            return [found[4][0] for found in self.reach.getaddrinfo(host, port, 0, socket.SOCK_STREAM)]
        except OSError as error:
            assert Reach.REFUSED in str(error)
            return []


def test_the_index_is_where_the_operator_says():
    for address in (*(one for one in THIS_MACHINE + PRIVATE if ":" not in one and "%" not in one), *GLOBAL[:1]):
        names = Names(f"https://{address}/simple/")
        assert names.of(address) == [address]
        assert Names(f"http://user:secret@{address}:3141/simple/").of(address, 3141) == [address]
        # Another port of it is another server.
        if address in THIS_MACHINE:
            assert names.of(address, 8000) == []


def test_others_are_on_the_internet():
    names = Names("https://8.8.4.4/simple/")
    assert [names.of(address) for address in GLOBAL] == [[address] for address in GLOBAL]
    assert [address for address in THIS_MACHINE + PRIVATE if names.of(address)] == []
    # Of several addresses those that are allowed.
    assert names.of("127.0.0.1,8.8.8.8,10.0.0.1") == ["8.8.8.8"]


def test_an_index_in_a_private_network_may_lead_into_it():
    names = Names("https://10.1.1.1/simple/")
    assert names.of("10.2.2.2") == []
    assert names.of("10.1.1.1") == ["10.1.1.1"]
    assert [names.of(address) for address in PRIVATE] == [[address] for address in PRIVATE]
    assert [address for address in THIS_MACHINE if names.of(address)] == []


def test_an_index_on_this_machine_leads_into_no_private_network():
    names = Names("http://127.0.0.1:3141/simple/")
    assert names.of("127.0.0.1", 3141) == ["127.0.0.1"]
    assert [address for address in THIS_MACHINE + PRIVATE if names.of(address)] == []


def test_settings():
    assert Reach(["https://a.example", "http://b.example:8080/x", "http://proxy.example:3128"]).own == {
        ("a.example", 443), ("b.example", 8080), ("proxy.example", 3128)}
    assert not Reach(["https://a.example/simple/"]).has_files
    assert Reach(["https://a.example/simple/", "/srv/wheels"]).has_files
    assert Reach(["file:///srv/wheels"]).has_files


# ── pip itself ──

@pytest.fixture
def neighbour():
    """Listens on this machine, and is nobody's index."""
    with Index() as one:
        one.add("tea")
        one.add("cup")
        yield one


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433"])
def test_redirected_to_this_machine(index, install, neighbour, host):
    index.redirects["/simple/tea/"] = f"http://{host}:{neighbour.server.server_port}/simple/tea/"
    expect_failure(install("tea"), NO_INDEX, Reach.REFUSED)
    assert neighbour.requests == []


def test_a_file_on_this_machine(index, install, neighbour):
    url = f"http://127.0.0.1:{neighbour.server.server_port}/files/cup-1.0-py3-none-any.whl"
    index.pages["/simple/cup/"] = "text/html", f"<a href='{url}'>cup</a>".encode()
    expect_failure(install("cup"), NO_INDEX, Reach.REFUSED)
    assert neighbour.requests == []


@pytest.mark.parametrize("url", ["file:///usr/share/", "http://169.254.169.254/latest/", "gopher://127.0.0.1/"])
def test_led_elsewhere(index, install, url):
    index.redirects["/simple/tea/"] = url
    expect_failure(install("tea"), NO_INDEX)
    index.pages["/simple/cup/"] = "text/html", f"<a href='{url}cup-1.0-py3-none-any.whl'>cup</a>".encode()
    one = install("cup")
    assert one.failure and one.failure[0] in (NO_INDEX, NOT_FOUND, BAD_WHEEL), (one.failure, one.said)


@pytest.mark.parametrize("scheme", ["http", "git+http", "file"])
def test_a_wheel_that_needs_an_address(index, install, neighbour, scheme):
    place = "/tmp/cup-1.0-py3-none-any.whl" if scheme == "file" else \
        f"127.0.0.1:{neighbour.server.server_port}/files/cup-1.0-py3-none-any.whl"
    index.add("tea", extras={"lid": [f"cup @ {scheme}://{place}"]})
    expect_failure(install("tea[lid]"), BAD_WHEEL, "tea needs cup from an address")
    assert neighbour.requests == []


@pytest.mark.parametrize("scheme", ["http", "git+http", "file"])
def test_an_installed_wheel_that_needs_an_address(index, install, scheme):
    """What has been installed without an extra is asked for with it; what it says of itself is still the wheel's."""
    place = "/etc/passwd" if scheme == "file" else f"127.0.0.1:{index.server.server_port}/files/cup-1.0-py3-none-any.whl"
    needs = f"cup @ {scheme}://{place} ; extra == 'lid'\nProvides-Extra: lid"
    index.add("cup")
    index.add("tea")
    expect_failure(install("tea[lid]", installed=[("tea", "1.0", [needs])]), BAD_WHEEL, "tea needs cup from an address")
    assert not [path for path in index.requests if "cup" in path]


def test_what_came_from_an_address_long_ago(index, install):
    """A template may have it so: what it needs from an address is there, and nobody goes to that address."""
    index.add("tea", requires=["pot"])
    one = install("tea", installed=[("pot", "1.0", ["lid @ git+http://127.0.0.1:1/lid"]), ("lid", "1.0", [])])
    assert one.names == {"tea==1.0"}, one.said
