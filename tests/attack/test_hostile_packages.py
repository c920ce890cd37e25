"""Wheels that are made to harm the server or other sessions: by their names, their size, and what they would have run."""

import os
import stat

import pytest

from harness.hatchery import SMALL_POOL, Hatchery, eventually
from harness.wheels import Index, entry, file_name, wheel

CONTROLS = "evil\n2026-01-01 error \x1b[31mforged\x07 line\r"


def bomb(name, size, copies):
    """Small to send: `copies` files, each of them `size` zeros."""
    return wheel(name, files={f"{name}_{number}.bin": bytes(size) for number in range(copies)})


@pytest.fixture(scope="module")
def index():
    with Index() as one:
        one.add("cup", files={"cup.py": "version = '1.0'\n", "shared/__init__.py": "of = 'cup'\n"})
        one.add("thief", requires=["cup"], files={"shared/__init__.py": "of = 'thief'\n", "cup.py": "version = 'stolen'\n"})
        one.add("controls", content=wheel("controls", entries=[
            (entry(CONTROLS + ".py"), b"x = 1\n"), (entry(CONTROLS + "/__init__.py"), b"x = 1\n"),
            (entry("link" + CONTROLS, stat.S_IFLNK | 0o777), b"/etc/passwd")]))
        one.add("misnamed", content=wheel(CONTROLS), file=file_name("misnamed"))
        one.add("versioned", content=wheel("versioned", "1.0\x1b[31m"), file=file_name("versioned"))
        one.add("bomb", content=bomb("bomb", 4 << 20, 40))
        one.add("one-bomb", content=bomb("one_bomb", 200 << 20, 1))
        one.add("deep", content=wheel("deep", entries=[(entry("d/" * 80 + "deep.py"), b"x = 1\n")]))
        with pytest.warns(UserWarning, match="Duplicate name"):
            one.add("entries", content=wheel("entries", entries=[(entry("twice.py"), b"x = 1\n"), (entry("twice.py"), b"x = 2\n")]))
        code = "import os; os.environ['STARTED'] = '1'"
        one.add("startup", files={
            "zz.pth": code + "\n", "sitecustomize.py": code + "\n", "usercustomize.py": code + "\n", "numpy/__init__.py": code + "\n",
            "encodings/__init__.py": code + "\n", "os.py": code + "\n", "json.py": code + "\n", "startup.py": "x = 1\n",
            "hatchery_runtime.py": code + "\n", "startup-1.0.data/data/lib/python3.11/site-packages/aa.pth": code + "\n"})
        yield one


@pytest.fixture(scope="module")
def server(index):
    one = Hatchery(*SMALL_POOL, "--package-index", index.url, "--packages-mb", "16")
    yield one
    one.stop()
    one.close()


@pytest.fixture
def session(server):
    path = "/v1/sessions/" + server.post("/v1/sessions", {}).json()["id"]
    yield path
    assert server.request("DELETE", path).status == 204


def install(server, session, *packages):
    return server.post(session + "/packages", {"packages": list(packages)})


def value(server, session, code):
    answer = server.post(session + "/execute", {"code": code})
    assert answer.status == 200 and answer.json()["status"] == "ok", answer
    return answer.json()["result"]["text/plain"]


def staged(server):
    return os.listdir(server.state / "wheels/staging")


@pytest.mark.parametrize("name, status", [
    ("bomb", 413), ("one-bomb", 413), ("deep", 422), ("misnamed", 422), ("versioned", 422)])
def test_refused_for_what_they_are(server, session, name, status):
    answer = install(server, session, name)
    assert answer.status == status, answer
    problem = answer.json()
    assert problem["field"] == "packages" and problem["detail"].isprintable(), problem
    assert server.get(session + "/packages").json()["packages"] == []
    eventually(lambda: not staged(server), 20, "what pip has left goes")


def test_names_reach_no_log_and_no_answer_unescaped(server, session):
    answer = install(server, session, "controls")
    assert answer.status in (200, 422), answer
    assert b"\x1b" not in answer.body and b"\x07" not in answer.body
    assert server.get(session + "/packages").status == 200
    assert "\x1b" not in server.log() and "\n2026-01-01 error" not in server.log()
    assert value(server, session, "1 + 1") == "2"


def test_nothing_runs_when_a_process_starts(server, session):
    assert install(server, session, "startup").status == 200
    look = "import os, numpy, json; ('STARTED' in os.environ, hasattr(numpy, 'ndarray'), os.path.basename(os.__file__), os.getpid() > 0)"
    expected = "(False, True, 'os.py', True)"
    assert value(server, session, look) == expected
    # A process that is made when the files are there already.
    assert server.post(session + "/reset", {}).status == 200
    assert value(server, session, look) == expected
    answer = server.post(session + "/execute", {"code": "import os; os._exit(1)"})
    assert answer.status == 200
    assert value(server, session, look) == expected


def test_a_package_takes_no_file_of_another(server, session):
    assert install(server, session, "cup").status == 200
    assert install(server, session, "thief").status == 200
    assert value(server, session, "import cup, shared; (cup.version, shared.of)") == "('1.0', 'cup')"
    other = "/v1/sessions/" + server.post("/v1/sessions", {}).json()["id"]
    assert install(server, other, "cup").status == 200
    assert value(server, other, "import cup, shared; (cup.version, shared.of)") == "('1.0', 'cup')"
    server.request("DELETE", other)


def test_one_path_twice_in_an_archive(server, session):
    answer = install(server, session, "entries")
    assert answer.status in (200, 422), answer
    if answer.status == 200:
        assert value(server, session, "import twice; twice.x") in ("1", "2")


def test_an_archive_that_lies_about_sizes(server, session, index):
    content = bytearray(wheel("liar", files={"liar.py": "#" * 100000}))
    # In the central directory: the size that it has when it is unpacked.
    at = content.rindex(b"PK\x01\x02", 0, content.index(b"PK\x01\x02") + 4)
    content[at + 24:at + 28] = (7).to_bytes(4, "little")
    index.add("liar", content=bytes(content))
    answer = install(server, session, "liar")
    assert answer.status == 422, answer

