"""Packages of sessions: installed from an index of the test's own, by the server and its confined pip."""

import http.client
import json
import os
import socket
import stat
import tempfile
import threading
from contextlib import contextmanager

import pytest

from harness import proc
from harness.hatchery import SMALL_POOL, Hatchery, eventually
from harness.sessions import Background
from harness.wheels import Index, entry, wheel
from http_wire import complaint


@pytest.fixture(scope="module")
def index():
    with Index() as one:
        one.add("tea", requires=["cup>=1.5"])
        one.add("cup", "1.0")
        one.add("cup", "2.0", files={"cup.py": "version = '2.0'\n", "cup_size/__init__.py": "litres = 1\n"})
        one.add("milk", extras={"fat": ["cow"]})
        one.add("cow")
        one.add("Sugar.Cube", files={"sugar.py": "sweet = True\n"})
        one.add("numpy", "99.0")
        one.add("old", content=b"no archive", file="old-1.0.tar.gz")
        one.add("forged", sha256="0" * 64)
        one.add("large", files={"large.py": bytes(range(256)) * (96 << 10)})
        one.add("links", content=wheel("links", entries=[(entry("links_out", stat.S_IFLNK | 0o777), b"/etc/passwd")]))
        one.add("climbs", content=wheel("climbs", entries=[(entry("../../../climbed.py"), b"x = 1\n")]))
        one.add("root-owned", content=wheel("root-owned", entries=[(entry("setuid_program", stat.S_IFREG | 0o6755), b"#!/bin/sh\n")]))
        yield one


@pytest.fixture(scope="module")
def shop(index):
    server = Hatchery(*SMALL_POOL, "--package-index", index.url, "--packages-mb", "16")
    yield server
    server.stop()
    server.close()


class Session:
    def __init__(self, server):
        self.server = server
        answer = server.post("/v1/sessions", {})
        assert answer.status == 201, answer
        self.path = "/v1/sessions/" + answer.json()["id"]

    def install(self, *packages):
        return self.server.post(self.path + "/packages", {"packages": list(packages)})

    def installed(self, *packages):
        """name==version → whether it came from the cache; what was there already has None."""
        answer = self.install(*packages)
        assert answer.status == 200, answer
        body = answer.json()
        assert set(body) == {"installed", "already", "log"}
        return {**{f"{one['name']}=={one['version']}": one["from_cache"] for one in body["installed"]},
                **{f"{one['name']}=={one['version']}": None for one in body["already"]}}

    def packages(self):
        answer = self.server.get(self.path + "/packages")
        assert answer.status == 200, answer
        return answer.json()

    def value(self, code):
        answer = self.server.post(self.path + "/execute", {"code": code})
        assert answer.status == 200, answer
        assert answer.json()["status"] == "ok", answer
        return answer.json()["result"]["text/plain"]

    def end(self):
        assert self.server.request("DELETE", self.path).status == 204


@pytest.fixture
def session(shop):
    one = Session(shop)
    yield one
    one.end()


def expect_problem(answer, status, *parts, field=None):
    detail = complaint(answer, status, field)
    for part in parts:
        assert part in detail, detail


# ── Installing ──

def test_installed_and_imported(session):
    assert set(session.installed("tea")) == {"tea==1.0", "cup==2.0"}
    assert session.value("import tea, cup, cup_size; (tea.version, cup.version, cup_size.litres)") == "('1.0', '2.0', 1)"
    packages = session.packages()
    assert packages["packages"] == [{"name": "cup", "version": "2.0"}, {"name": "tea", "version": "1.0"}]
    assert "numpy" in {one["name"] for one in packages["template"]}


def test_the_interpreter_goes_on(session):
    assert session.value("x = 41\nx") == "41"
    answer = session.server.post(session.path + "/execute", {"code": "import cup"}).json()
    assert answer["error"]["type"] == "ModuleNotFoundError"
    session.installed("cup")
    assert session.value("import cup; x + 1") == "42"


def test_again(session):
    session.installed("cup")
    assert session.installed("cup") == {"cup==2.0": None}
    assert session.installed("cup==2.0", "CUP") == {"cup==2.0": None}
    assert session.installed("cup>=1") == {"cup==2.0": None}


def test_another_version(session):
    assert set(session.installed("cup==1.0")) == {"cup==1.0"}
    assert session.value("import os, sys; any(os.path.exists(path + '/cup_size') for path in sys.path)") == "False"
    assert set(session.installed("cup==2.0")) == {"cup==2.0"}
    assert session.packages()["packages"] == [{"name": "cup", "version": "2.0"}]
    assert session.value("import cup; cup.version") == "'2.0'"


def test_extras_and_names(session):
    assert set(session.installed("milk[fat]")) == {"milk==1.0", "cow==1.0"}
    assert set(session.installed("sugar_cube ; python_version > '3'")) == {"Sugar.Cube==1.0"}
    assert session.value("import sugar; sugar.sweet") == "True"


def test_what_the_interpreter_has(session, index):
    index.requests.clear()
    version = session.value("import numpy; numpy.__version__").strip("'")
    assert session.installed("numpy", "pandas").keys() >= {f"numpy=={version}"}
    assert session.installed(f"numpy=={version}") == {f"numpy=={version}": None}
    assert index.requests == []
    expect_problem(session.install("numpy==99.0"), 422, "numpy", "cannot be replaced", field="packages")


def test_a_second_session_needs_no_pip(shop, index):
    first, second = Session(shop), Session(shop)
    first.installed("tea")
    index.requests.clear()
    assert second.installed("tea") == {"tea==1.0": True, "cup==2.0": True}
    assert index.requests == []
    assert second.value("import tea; tea.version") == "'1.0'"
    # What one session has, the other has not.
    third = Session(shop)
    assert third.packages()["packages"] == []
    for one in (first, second, third):
        one.end()


def test_nothing_is_compiled_again(shop):
    sessions = [Session(shop) for _ in range(2)]
    for one in sessions:
        one.installed("cup")
        assert one.value("""
import sys
compiled = []
sys.addaudithook(lambda event, arguments: compiled.append(str(arguments[1])) if event == 'compile' else None)
import cup, cup_size
[name for name in compiled if 'cup' in name], cup.version
""") == "([], '2.0')"
        # Nothing of one version stays for another one.
        assert set(one.installed("cup==1.0")) == {"cup==1.0"}
        assert one.value("""
import importlib, os
importlib.reload(cup)
files = os.listdir(os.path.dirname(cup.__cached__))
cup.version, [name for name in compiled if 'cup' in name], files == [os.path.basename(cup.__cached__)]
""") == "('1.0', [], True)"
        one.end()


def test_a_copy_has_its_own(session, shop):
    session.installed("tea")
    eventually(lambda: shop.get(session.path).json()["state"] == "idle", 10, "its interpreter is made")
    copied = shop.post(session.path + "/fork", {})
    if copied.status == 409:
        pytest.skip("processes cannot be copied here: " + copied.json()["detail"])
    assert copied.status == 201, copied
    copy = Session.__new__(Session)
    copy.server, copy.path = shop, "/v1/sessions/" + copied.json()["id"]
    assert copy.value("import tea; tea.version") == "'1.0'"
    copy.installed("cow")
    assert "cow" in {one["name"] for one in copy.packages()["packages"]}
    assert "cow" not in {one["name"] for one in session.packages()["packages"]}
    assert copy.value("import cow; cow.version") == "'1.0'"
    copy.end()
    assert session.value("import cup; cup.version") == "'2.0'"


def test_the_cache_survives_a_restart(index):
    server = Hatchery(*SMALL_POOL, "--package-index", index.url)
    try:
        Session(server).installed("tea")
        server.stop()
        server.start()
        assert Session(server).installed("tea") == {"tea==1.0": True, "cup==2.0": True}
        server.stop()
    finally:
        server.close()


def test_the_session_cannot_change_what_is_shared(shop):
    first, second = Session(shop), Session(shop)
    first.installed("cup")
    attempt = """
import os, cup
def tried(action, *arguments):
    try:
        action(*arguments)
        return 'done'
    except OSError:
        return 'refused'
path = cup.__file__
results = [tried(open, path, 'a'), tried(os.chmod, path, 0o666), tried(open, path, 'w'), tried(os.unlink, path),
           tried(os.rename, path, path + 'x'), tried(os.truncate, path, 0), tried(open, os.path.dirname(path) + '/new', 'w')]
results
"""
    # Where workers have the server's own user and no mount namespace, a change of modes is answered as done, and is not.
    assert "done" not in first.value(attempt).replace("'done'", "", 0 if shop_has_namespaces(shop) else 1)
    assert set(second.installed("cup")) == {"cup==2.0"}
    assert second.value("import cup; cup.version") == "'2.0'"
    first.end()
    second.end()


def shop_has_namespaces(server):
    return server.get("/health").json()["isolation"]["layers"]["mountns"]["state"] == "on" \
        if "isolation" in server.get("/health").json() else True


# ── Refusals ──

@pytest.mark.parametrize("package", [
    "--index-url=http://127.0.0.1/", "-r/etc/passwd", "-e.", "file:///etc/passwd", "tea @ file:///tmp/tea.whl", "./tea", "/tmp/tea.whl",
    "tea; os_name=='x' --hash=sha256:00", "tea\ncup", "tea\u0000cup", "té", "", "git+https://127.0.0.1/tea", "tea --pre", "tea.whl",
    "x" * 600])
def test_what_is_no_requirement(session, index, package):
    index.requests.clear()
    expect_problem(session.install("cup==1.0", package), 422, "requirement", field="packages[1]")
    assert index.requests == []
    assert session.packages()["packages"] == []


@pytest.mark.parametrize("body, field", [
    ({}, "packages"), ({"packages": []}, "packages"), ({"packages": None}, "packages"), ({"packages": "tea"}, "packages"),
    ({"packages": [1]}, "packages[0]"), ({"packages": ["tea"] * 65}, "packages"), ({"package": ["tea"]}, "package"),
    ({"packages": ["tea"], "index_url": "http://127.0.0.1/"}, "index_url")])
def test_bodies(session, body, field):
    answer = session.server.post(session.path + "/packages", body)
    assert answer.status == 422, answer
    assert answer.json()["field"] == field


def test_no_session(shop):
    for answer in (shop.post("/v1/sessions/none/packages", {"packages": ["tea"]}), shop.get("/v1/sessions/none/packages")):
        expect_problem(answer, 404)


def test_not_found(session):
    expect_problem(session.install("no-such-package"), 422, "no-such-package", field="packages")
    expect_problem(session.install("cup==7"), 422, "cup==7", "1.0, 2.0", field="packages")
    expect_problem(session.install("old"), 422, "source distributions", field="packages")
    expect_problem(session.install("cup==1.0", "tea"), 422, "exclude each other", field="packages")
    assert session.packages()["packages"] == []


def test_hostile_wheels(session):
    expect_problem(session.install("forged"), 422, "hash", field="packages")
    expect_problem(session.install("climbs"), 422, "wheel", field="packages")
    assert session.packages()["packages"] == []
    session.installed("links", "root-owned")
    found = session.value("""
import os, stat
[(name, oct(os.lstat('/packages/0/' + name).st_mode)) for name in ('links_out', 'setuid_program')] \
    if os.path.exists('/packages/0') else 'no namespace'
""")
    if found != "'no namespace'":
        assert found == "[('links_out', '0o100444'), ('setuid_program', '0o100555')]"


def test_too_large(session):
    expect_problem(session.install("large"), 413, "packages_mb", field="packages")
    assert session.packages()["packages"] == []
    session.installed("cup")


def test_nobody_listens(make_server):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # nobody else gets the port
        server = make_server("--package-index", f"http://127.0.0.1:{silent.getsockname()[1]}/simple/")
        session = Session(server)
        expect_problem(session.install("tea"), 502, "package index", "connection refused")
    assert session.value("1 + 1") == "2"


def test_an_index_that_leads_to_the_server_itself(shop, index, session):
    assert shop.post("/upload_data/kept", {"x": 1}).status == 200
    index.redirects["/simple/round/"] = shop.url + "/clear_data"
    expect_problem(session.install("round"), 502, "packages do not come from")
    assert shop.get("/get_data/kept").status == 200


def test_switched_off(make_server):
    server = make_server("--package-index", "none")
    session = Session(server)
    assert list(session.installed("numpy").values()) == [None]
    expect_problem(session.install("tea"), 403)


@pytest.mark.skipif(os.geteuid() != 0, reason="pip runs as the server's own user")
def test_a_state_directory_that_lets_nobody_pass(make_server, index):
    with tempfile.TemporaryDirectory() as closed:
        server = make_server("--package-index", index.url, "--state-directory", f"{closed}/state")
        if shop_has_namespaces(server):
            assert f"may not pass through {closed}" in server.log()
            expect_problem(Session(server).install("tea"), 503, "cannot reach its folder")
        server.stop()


def installers(server):
    return [pid for pid in proc.descendants(server.pid) if "--install" in proc.command_line(pid)]


def test_time_is_up(make_server):
    with Index() as silent:
        silent.silent = True
        server = make_server("--package-index", silent.url, "--install-timeout-ms", "1000")
        expect_problem(Session(server).install("tea"), 504, "1000 ms")
        eventually(lambda: not installers(server), 20, "pip is killed")


def test_a_client_that_goes(make_server):
    with Index() as silent:
        silent.silent = True
        server = make_server("--package-index", silent.url)
        session = Session(server)
        connection = http.client.HTTPConnection(server.host, server.port)
        connection.request("POST", session.path + "/packages", json.dumps({"packages": ["tea"]}))
        eventually(lambda: silent.requests, 60, "pip asks the index")
        assert installers(server)
        connection.close()
        eventually(lambda: not installers(server), 20, "pip is killed")
        assert session.value("1 + 1") == "2"


@contextmanager
def installing(make_server):
    """A session, and the answers to an installation that has begun and goes on afterwards; then all are there."""
    with Index() as index:
        index.add("tea")
        index.gate.clear()
        session = Session(make_server("--package-index", index.url))
        installation = Background(session.install, "tea")
        eventually(lambda: index.requests, 60, "pip asks the index")
        yield session, installation
        index.gate.set()
        installation.ended()


def test_a_session_that_ends(make_server):
    with installing(make_server) as (session, installation):
        session.end()
    expect_problem(installation.result, 404, "ended")


def test_runs_go_on_meanwhile(make_server):
    with installing(make_server) as (session, installation):
        assert session.value("6 * 7") == "42"
        assert installation.is_alive()
    assert installation.result.status == 200, installation.result
    assert session.value("import tea; tea.version") == "'1.0'"


def test_many_at_once(make_server, index):
    server = make_server("--package-index", index.url)
    sessions = [Session(server) for _ in range(6)]
    answers = [None] * len(sessions)

    def install(number):
        answers[number] = sessions[number].install("tea", "milk" if number % 2 else "cup")

    threads = [threading.Thread(target=install, args=(number,)) for number in range(len(sessions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert [answer.status for answer in answers] == [200] * len(sessions), answers
    for session in sessions:
        assert session.value("import tea, cup; tea.version + cup.version") == "'1.02.0'"
