"""The process that runs pip for a session: what it finds, what it unpacks, what it says when it cannot, what it may not do."""

import hashlib
import os
import socket
import tempfile
import venv
from pathlib import Path

import pytest
from harness.hatchery import eventually
from harness.wheels import Index
from installation import (
    BAD_WHEEL, CONFLICT, NO_INDEX, NOT_FOUND, TOO_LARGE, UID, Installer, expect_failure, index, install)  # noqa: F401
from supervisor import SECONDS


# ── What it finds and unpacks ──

def test_a_wheel_and_what_it_needs(index, install):
    index.add("tea", requires=["cup>=2"])
    index.add("cup", "1.0")
    index.add("cup", "2.0")
    one = install("tea")
    assert one.failure is None, one.said
    assert one.names == {"tea==1.0", "cup==2.0"}
    assert sorted(one.unpacked) == [0, 1]
    for number, (_, name, version) in enumerate(one.wheels):
        assert {f"{name}.py", f"{name}-{version}.dist-info/METADATA", f"{name}-{version}.dist-info/RECORD"} <= one.files(number)
        assert not any("direct_url" in path for path in one.files(number))
    assert "Would install" in one.said
    # Of the index there is nothing in it.
    assert "Downloading tea-1.0-py3-none-any.whl" in one.said
    assert "127.0.0.1" not in one.said and "://" not in one.said
    assert len(index.downloads()) == 2


def test_an_index_without_hashes(index, install):
    content = index.add("tea", sha256="")
    one = install("tea")
    assert one.wheels == [(hashlib.sha256(content).hexdigest(), "tea", "1.0")]
    assert one.unpacked == [0]


def test_what_is_in_the_cache_is_not_unpacked(index, install):
    index.add("tea", requires=["cup"])
    index.add("cup")
    one = install("tea", has=("cup",))
    assert [one.wheels[number][1] for number in one.unpacked] == ["tea"]


def test_extras(index, install):
    index.add("tea", extras={"milk": ["cow"]})
    index.add("cow")
    assert install("tea").names == {"tea==1.0"}
    assert install("tea[milk]").names == {"tea==1.0", "cow==1.0"}


def test_what_the_session_has_is_seen(index, install):
    index.add("tea", requires=["cup"])
    one = install("tea", installed=[("cup", "1.5", ["saucer"])])
    # What it needs itself is seen, too.
    expect_failure(one, NOT_FOUND, "saucer")
    assert install("tea", installed=[("cup", "1.5", [])]).names == {"tea==1.0"}


def test_what_the_interpreter_has_is_seen_and_stays(index, install):
    index.add("tea", requires=["numpy"])
    index.add("numpy", "99.0")
    assert install("tea").names == {"tea==1.0"}
    expect_failure(install("numpy==99.0"), CONFLICT, "numpy", "cannot be replaced")
    index.add("coffee", requires=["numpy>=99"])
    expect_failure(install("coffee"), CONFLICT, "exclude each other", "numpy")


def test_a_newer_version_in_place_of_the_session_s_own(index, install):
    index.add("cup", "2.0")
    assert install("cup>=2", installed=[("cup", "1.5", [])]).names == {"cup==2.0"}


@pytest.fixture
def folder():
    """Not below pytest's own, which other users may not pass through."""
    with tempfile.TemporaryDirectory(prefix="hatchery-venv-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_virtual_environment_without_pip(index, install, folder):
    venv.EnvBuilder(with_pip=False).create(folder / "v")
    index.add("tea", requires=["numpy"])
    index.add("numpy", "99.0")
    # numpy is not in it, so it is taken from the index.
    one = install("tea", options=("--venv", folder / "v"))
    assert one.names == {"tea==1.0", "numpy==99.0"}, (one.failure, one.said)


def test_a_virtual_environment_with_another_pip(index, install, folder):
    """Somebody has made it newer, as pip itself advises."""
    venv.EnvBuilder(with_pip=False).create(folder / "v")
    package = next((folder / "v/lib").glob("python3*")) / "site-packages/pip"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('another pip')\n")
    index.add("tea")
    one = install("tea", options=("--venv", folder / "v"))
    assert one.names == {"tea==1.0"}, (one.failure, one.said)


# ── What it says when it cannot ──

def test_nothing_of_that_name(install):
    expect_failure(install("nothing-of-that-name"), NOT_FOUND, "nothing-of-that-name", "does not have it")


def test_no_such_version(index, install):
    index.add("tea", "1.0")
    index.add("tea", "1.1")
    expect_failure(install("tea==2.0"), NOT_FOUND, "tea==2.0", "1.0, 1.1")


def test_only_source_distributions(index, install):
    index.add("tea", content=b"no archive at all", file="tea-1.0.tar.gz")
    one = install("tea")
    expect_failure(one, NOT_FOUND, "source distributions", "tea")
    assert index.downloads() == []


def test_no_wheel_for_this_python(index, install):
    index.add("tea", tag="cp27-cp27m-win32")
    expect_failure(install("tea"), NOT_FOUND, "no wheel of it for Python", "tea")


def test_requirements_that_exclude_each_other(index, install):
    index.add("tea", requires=["cup==1.0"])
    index.add("coffee", requires=["cup==2.0"])
    index.add("cup", "1.0")
    index.add("cup", "2.0")
    expect_failure(install("tea", "coffee"), CONFLICT, "exclude each other", "tea 1.0 depends on cup==1.0")


@pytest.mark.parametrize("requirement", ["tea; os_name ~= 'x'", "numpy; python_version ~= os_name"])
def test_markers_that_mean_nothing(index, install, requirement):
    expect_failure(install(requirement), NOT_FOUND, "its marker has no meaning")
    assert index.requests == []


def test_another_hash_than_promised(index, install):
    index.add("tea", sha256="0" * 64)
    expect_failure(install("tea"), BAD_WHEEL, "hash")


def test_no_archive(index, install):
    index.add("tea", content=b"this is no archive")
    expect_failure(install("tea"), BAD_WHEEL)


def test_nobody_listens(install):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        # It stays bound, lest somebody else gets the port.
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/simple/"
        expect_failure(install("tea", url=url), NO_INDEX, "connection refused")


def test_a_name_that_is_no_host(install):
    expect_failure(install("tea", url="http://no-such-host.invalid/simple/"), NO_INDEX, "cannot be resolved")


def test_an_index_that_never_answers(index, install):
    index.silent = True
    expect_failure(install("tea"), NO_INDEX, "in time")
    # One attempt more, and no further.
    eventually(lambda: len(index.requests) >= 2, SECONDS, "both are heard of")
    assert len(index.requests) == 2


@pytest.mark.parametrize("kind, body", [
    ("text/html", b"\xff\x00<a href>" * 100), ("text/plain", b"hello"), ("application/vnd.pypi.simple.v1+json", b"{"),
    ("application/vnd.pypi.simple.v1+json", b'{"files": [{"url": 1}]}'),
    ("text/html", b"<a href='http://[/tea-1.0-py3-none-any.whl' data-requires-python='&gt;=x'>tea</a>")])
def test_an_index_that_answers_nonsense(index, install, kind, body):
    index.pages["/simple/tea/"] = kind, body
    one = install("tea")
    assert one.failure and one.failure[0] in (NO_INDEX, NOT_FOUND), (one.failure, one.said)


def test_a_page_without_an_end(index, install):
    index.endless.add("/simple/tea/")
    expect_failure(install("tea"), NO_INDEX, "no end")


def test_a_file_without_an_end(index, install):
    index.add("tea")
    index.endless.add("/files/tea-1.0-py3-none-any.whl")
    expect_failure(install("tea", options=("--file-bytes", 1 << 20)), TOO_LARGE, "larger")


def test_an_index_that_leads_in_circles(index, install):
    index.redirects["/simple/tea/"] = "/simple/tea/"
    expect_failure(install("tea"), NO_INDEX)
    assert len(index.requests) < 100


@pytest.mark.parametrize("status", [401, 403, 500])
def test_an_index_that_refuses(index, install, status):
    index.statuses["/simple/tea/"] = status
    expect_failure(install("tea"), NO_INDEX, f"answers {status}")


def test_a_file_that_is_not_there(index, install):
    index.add("tea")
    index.statuses["/files/tea-1.0-py3-none-any.whl"] = 404
    expect_failure(install("tea"), NO_INDEX, "answers 404")


def test_a_file_larger_than_it_may_be(index, install):
    index.add("tea", files={"tea.py": "#" * (4 << 20)})
    expect_failure(install("tea", options=("--file-bytes", 1 << 20)), TOO_LARGE, "larger")


# ── What it takes from whom ──

def test_settings_of_users_are_not_read(index, install):
    index.add("tea")
    with Index() as other, tempfile.TemporaryDirectory() as home:
        os.chmod(home, 0o755)
        other.add("tea", "6.0")
        Path(home, ".config/pip").mkdir(parents=True)
        Path(home, ".config/pip/pip.conf").write_text(f"[global]\nextra-index-url = {other.url}\n")
        Path(home, ".netrc").write_text("machine 127.0.0.1 login user password secret\n")
        one = install("tea", environment={"HOME": home, "PIP_EXTRA_INDEX_URL": other.url, "PIP_FIND_LINKS": "/opt/wheels",
                                          "PYTHONPATH": home, "NETRC": f"{home}/.netrc"})
        assert one.names == {"tea==1.0"}, one.said
        assert other.requests == []


def test_what_it_may_do(index, install):
    index.silent = True
    one = Installer(index.url)
    try:
        one.socket.send(b"tea\0")
        eventually(lambda: index.requests, SECONDS, "it asks the index")
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{one.process.pid}/status").read_text().splitlines()
                      if ":\t" in line)
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[name], 16) == 0, name
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
        if UID:
            assert status["Uid"].split() == [str(UID)] * 4
            assert status["Gid"].split() == [str(UID)] * 4
            assert status["Groups"].split() == []
            assert os.stat(f"/proc/{one.process.pid}/mem").st_uid == 0, "it is dumpable"
    finally:
        one.process.kill()
        one.close()


def test_it_ends_with_the_supervisor(index):
    index.silent = True
    one = Installer(index.url)
    one.socket.close()
    assert one.process.wait(30) is not None
    one.directory.cleanup()
