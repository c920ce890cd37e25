"""That the soak of sessions finds what is left behind, and answers that are wrong: each is done on purpose."""

import itertools
import os
import random
import subprocess
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from compatible_sessions import Interpreter, interpreter_runs, interpreter_uploads
from harness.sessions import made
from holdings import control_groups
from native_session import Native
from remembered import Account, Model
from session_holdings import SLOTS_MAX, at_rest, homes, look
from test_soak import GIVE_BACK
from test_soak_sessions import OPTIONS, SPARES, UID_BASE, check_account, check_drift, check_left_over


@contextmanager
def process_of_a_home(server):
    """A child of nobody, of a uid that sessions have."""
    child = subprocess.Popen(["sleep", "600"], user=UID_BASE + SLOTS_MAX + 7, group=UID_BASE + SLOTS_MAX + 7)
    try:
        yield
    finally:
        child.kill()
        child.wait()


@contextmanager
def process_of_a_worker(server):
    child = subprocess.Popen(["sleep", "600"], user=UID_BASE + 1, group=UID_BASE + 1)
    try:
        yield
    finally:
        child.kill()
        child.wait()


@contextmanager
def folder(path):
    path.mkdir()
    try:
        yield
    finally:
        path.rmdir()


@contextmanager
def session_that_goes_on(server):
    with made(server) as session:
        session.run("1")
        yield


@contextmanager
def connection(server):
    with server.connect() as one:
        one.sendall(b"GET / HTTP/1.1\r\n")
        yield


@contextmanager
def mount(server):
    subprocess.run(["mount", "-t", "tmpfs", "none", server.state / "wheels" / "staging"], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", server.state / "wheels" / "staging"], check=True)


@contextmanager
def file_on_the_host(server):
    path = Path(f"/dev/shm/soak-{os.getpid()}")
    path.touch()
    os.chown(path, UID_BASE + 1, UID_BASE + 1)
    try:
        yield
    finally:
        path.unlink()


# What is left, and the holding that must tell of it.
LEAKS = {
    "a process of a home's uid": (process_of_a_home, "processes_of_homes"),
    "a process of a worker's uid": (process_of_a_worker, "strays"),
    "a home": (lambda server: folder(server.state / "sessions" / "leftoverleftover"), "n_homes"),
    "a file in a spare's home": (lambda server: folder(homes(server)[0] / "work" / "0" / "left"), "home_names"),
    "trash of sessions": (lambda server: folder(server.state / "sessions" / "trash" / "left"), "trash"),
    "trash of wheels": (lambda server: folder(server.state / "wheels" / "trash" / "left"), "trash"),
    "what pip has staged": (lambda server: folder(server.state / "wheels" / "staging" / "left"), "staged"),
    "a folder of the server's state": (lambda server: folder(server.state / "left"), "state_entries"),
    "an entry of the work directory": (lambda server: folder(server.work / "left"), "work_entries"),
    "a session": (session_that_goes_on, "sessions"),
    "a descriptor": (connection, "fds"),
    "a mount": (mount, "host_mounts"),
    "a file on the host": (file_on_the_host, "on_the_host"),
    "a control group": (lambda server: folder(Path(control_groups(server.pid)[0]) / "left"), "control_groups"),
}


@pytest.mark.soak
def test_what_is_left_is_found(make_server):
    """The same looks, at what the test itself has left behind."""
    if os.geteuid() != 0:
        pytest.skip("only root may leave all of this behind")
    server = make_server(*OPTIONS, "--package-index", "none", env=GIVE_BACK)
    with made(server) as session:
        session.run("1")
    clean = at_rest(server, UID_BASE, SPARES)
    for name, (leak, holding) in LEAKS.items():
        if holding == "control_groups" and not control_groups(server.pid):
            continue
        with leak(server):
            found = set(look(server, UID_BASE).left_over(clean))
            assert holding in found, f"{name} is not found; only {found}"
            with pytest.raises(AssertionError):
                check_left_over(clean, clean, look(server, UID_BASE))
    check_left_over(clean, clean, at_rest(server, UID_BASE, SPARES))


@pytest.mark.soak
def test_what_the_account_lacks_is_found(make_server):
    """Sessions that nobody has accounted for, and memory that is kept: as much as 64 bytes and a head are of 7000 steps."""
    server = make_server(*OPTIONS, "--package-index", "none", env=GIVE_BACK)
    before, account = at_rest(server, UID_BASE, SPARES), Account()
    check_account(server, account)
    with made(server) as session:
        session.run("1")
    with pytest.raises(AssertionError):
        check_account(server, account)
    account.add("made")
    account.add("ended")
    check_account(server, account)
    for number in range(80 * 7000 // 20000):
        assert server.post(f"/upload_data/left-{number}", {"rows": "x" * 20000}).status == 200
    with pytest.raises(AssertionError):
        check_drift(before, at_rest(server, UID_BASE, SPARES))


@pytest.mark.parametrize("spoil", [
    lambda model: model.variables.update(kept_a=2), lambda model: model.variables.clear(), lambda model: model.files.update(a=b"2"),
    lambda model: model.files.update(b=b""), lambda model: model.packages.update(cup="2.0"), lambda model: model.begins() or model.lose(),
], ids=["a value", "no variables", "a content", "a file", "a package", "lost"])
@pytest.mark.soak
def test_what_the_model_does_not_expect_is_found(make_server, spoil):
    server = make_server("--package-index", "none")
    with made(server) as session:
        native = Native(server, session.id, Model(Account()))
        native.model.files["a"] = b"1"
        native.probe("kept_a = 1; open('a', 'w').write('1')", {"kept_a": 1})
        native.probe()
        spoil(native.model)
        with pytest.raises(AssertionError):
            native.probe()


@pytest.mark.soak
def test_an_interpreter_that_has_gone_twice_is_accounted_for(make_server):
    """Each time, an upload makes it anew."""
    numbers = itertools.count()
    client = SimpleNamespace(server=make_server("--package-index", "none"), number=0, account=Account(),
                             fresh_id=lambda: f"fresh-{next(numbers)}")
    session = Interpreter(client, 0)
    session.begin()
    for times in (1, 2, 3):
        assert session.service.terminate()[0] == 200
        interpreter_uploads(session, random.Random(times))
        interpreter_runs(session, random.Random(times))
        assert client.account["gone"] == times
