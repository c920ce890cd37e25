"""Folders that a session has closed to itself. A plain user's server has the same user id as its runs, so a mode that keeps the
owner out keeps the server out as well: it must neither fail with a 5xx, nor lose sight of what is in there."""

import os
import shutil

import pytest

from harness.hatchery import SMALL_POOL, Hatchery, eventually, python_program
from harness.isolation import makes_copies
from harness.own_sessions import OwnSession

PLAIN = 54321


@pytest.fixture(scope="module", params=["as it is", "plain user"])
def server(request):
    arguments = (*SMALL_POOL, "--imports", "", "--isolation", "best-effort", "--session-disk-mb", "16")
    if request.param == "as it is":
        server = Hatchery(*arguments)
    else:
        if os.geteuid() != 0:
            pytest.skip("this is what it is already")
        server = Hatchery(*arguments, start=False, wrapper=("setpriv", f"--reuid={PLAIN}", f"--regid={PLAIN}", "--clear-groups"))
        # Who owns the tree may keep others out of it.
        copy = server.env["HATCHERY_PYTHON_PROGRAM"] = shutil.copy(python_program(), server.directory.name)
        os.chmod(copy, 0o755)
        for path in (server.directory.name, server.work, server.state):
            os.chown(path, PLAIN, PLAIN)
        server.start()
    with server:
        yield server


MAKE = """
import os
os.mkdir('below')
for name in ('below/file', 'file'):
    with open(name, 'w') as file:
        file.write('x')
os.chmod('below', {mode})
os.chmod('.', {mode})
"""

REQUESTS = [("GET", "/files", None), ("GET", "/files?path=below", None), ("GET", "/files/file", None), ("GET", "/files/below/file", None),
            ("PUT", "/files/new", b"n"), ("PUT", "/files/below/new", b"n"), ("PUT", "/files/below/file", b"n"),
            ("PUT", "/files/a/b", b"n"), ("DELETE", "/files/file", None), ("DELETE", "/files/below?recursive=1", None),
            ("POST", "/fork", b"{}"), ("POST", "/reset", b'{"keep_files": true}'), ("POST", "/reset", b"{}")]


@pytest.mark.parametrize("mode", [0, 0o100, 0o200, 0o300, 0o400, 0o500, 0o600], ids=oct)
@pytest.mark.parametrize("method, path, body", REQUESTS, ids=[f"{method} {path}" for method, path, _ in REQUESTS])
def test_a_closed_workspace_is_no_failure(server, method, path, body, mode):
    with OwnSession(server) as session:
        session.run(MAKE.format(mode=mode))
        answer = server.request(method, session.path + path, body)
        if path == "/fork" and not makes_copies(server):
            assert answer.status == 409 and "this machine does not allow it" in answer.json()["detail"], answer
        else:
            assert answer.status in (200, 201, 204), answer
        if path == "/fork" and answer.status == 201:
            assert server.request("DELETE", "/v1/sessions/" + answer.json()["id"]).status == 204


FLIP = """
import os, threading
os.makedirs('a/b')
def flip():
    while True:
        for path in ('.', 'a', 'a/b'):
            for mode in (0, 0o700):
                try: os.chmod(path, mode)
                except OSError: pass
threading.Thread(target=flip, daemon=True).start()
"""


def test_folders_that_open_and_close_meanwhile(server):
    with OwnSession(server) as session:
        session.run(FLIP)
        for _ in range(120):
            for method, path, body in (("PUT", "/a/b/new", b"n"), ("GET", "", None), ("GET", "?path=a", None), ("GET", "/a/b/new", None),
                                       ("DELETE", "/a/b/new", None)):
                answer = server.request(method, f"{session.path}/files{path}", body)
                assert answer.status in (200, 201, 204, 404, 409, 413), answer


DISTURB = {
    "moved away": "os.rename(f'/work/{number}/a', f'/work/{number}/b')",
    "made before": "os.mkdir(f'/work/{number}{part}')",
    "links in their place": "os.symlink('/', f'/work/{number}{part}')",
}


@pytest.mark.parametrize("what", DISTURB.values(), ids=DISTURB)
def test_folders_of_a_copy_that_its_source_meddles_with(server, what):
    """The process of the first member may enter the workspaces of copies, and where a plain user's server is its owner, make what
    stands beside them."""
    if not makes_copies(server):
        pytest.skip("nothing is copied here")
    with OwnSession(server) as session:
        session.run(f"""
import os, threading
os.makedirs('a/b')
for number in range(100): os.mkdir(f'a/b/{{number}}')
number = 1
def meddle():
    while True:
        for part in ('', '+', '+/tmp'):
            try: {what}
            except OSError: pass
threading.Thread(target=meddle, daemon=True).start()
""")
        for number in range(1, 11):
            answer = session.post("fork", {})
            assert answer.status in (201, 409), answer
            if answer.status == 201:
                server.request("DELETE", "/v1/sessions/" + answer.json()["id"])
            session.run(f"number = {number + 1}")


def test_a_closed_workspace_of_a_user(server):
    for code in ("import os\nos.chmod('.', 0)", "pass"):
        answer = server.post("/run", {"user_id": "closed", "code": f"{code}\nresult = 1"})
        assert answer.status == 200 and answer.json()["result"] == 1, answer
        assert "Error listing files" not in answer.json()["workspace_files"]


@pytest.mark.parametrize("mode", [0, 0o400], ids=oct)
def test_what_is_in_a_closed_folder_counts(server, mode):
    """Names can be read in a folder of mode 0400, and nothing be learnt of what they name."""
    with OwnSession(server) as session:
        session.run(f"""
import os
os.mkdir('below')
for number in range(40):
    os.chmod('below', 0o700)
    with open(f'below/{{number}}', 'wb') as file:
        os.chmod('below', {mode})
        file.write(b'x' * (1 << 20))
while True:
    os.chmod('below', {mode})
""", limits={"wall_ms": 20000})
        eventually(lambda: session.inspect()["lost"], 20, "its files are too many")
        assert "file" in session.inspect()["lost"] or "disk" in session.inspect()["lost"]
