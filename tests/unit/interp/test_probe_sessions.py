"""The canary of a session and its copy: what they can break out to, with no layer, with one layer less, and with all."""

import errno
import os
import select
import struct
import threading

import pytest
from confined import IS_ROOT
from copies import HELLO, Family, read_control
from supervisor import ALWAYS, PROBE, PROBED, REHEARSE, SESSION, frame, layers
from test_confine_landlock import ABI
from test_probe import IN_COPY, IN_SESSION, OF_COPIES, OF_SESSIONS, PROBES, UID, target, worked  # noqa: F401

is_root = pytest.mark.skipif(not IS_ROOT, reason="only root can be kept from being root")
needs_landlock = pytest.mark.skipif(ABI < 1, reason="this kernel has no Landlock")
OF_FIRST = OF_SESSIONS - OF_COPIES
OWN_UID = layers("uid") if IS_ROOT else 0
FILES = {"READ_OTHER_HOME", "WRITE_OTHER_HOME", "LIST_HOMES", "WRITE_HOME", "WRITE_PACKAGES"}


@pytest.fixture
def homes(tmp_path):
    """A folder of homes, in one of them a session that is nobody's here."""
    folder = tmp_path / "homes"
    other = folder / "other" / "work" / "0"
    other.mkdir(parents=True)
    (other / "secret").write_text("secret")
    (other / "secret").chmod(0o600)
    other.chmod(0o700)
    for path in (tmp_path, *tmp_path.parents[:2], folder, folder / "other", folder / "other" / "work"):
        path.chmod(0o711)
    return folder


class Canary:
    """The worker of a session, its answers to the listener and on the control socket, as the server gives them."""

    def __init__(self, zygote, homes, taken, uid=None, hangs_up=True):
        self.homes, self.hangs_up, self.uid = homes, hangs_up, uid
        # With users of their own, each session has another one.
        for path in (homes / "other/work/0", homes / "other/work/0/secret"):
            if uid:
                os.chown(path, uid + 1, uid + 1)
        self.worker = zygote.spawn(REHEARSE | SESSION, taken=taken, uid=uid)
        self.family = Family(self.worker)
        home = self.worker.directory
        # As a server makes it: what is not the session's own belongs to root.
        for path in (home, f"{home}/work"):
            if uid:
                os.chown(path, 0, 0)
            os.chmod(path, 0o711)
        with open(f"{home}/work/0/secret", "w") as file:
            file.write("secret")
        os.chmod(file.name, 0o600)
        if uid:
            os.chown(file.name, uid, uid)
        self.own = f"own-{self.worker.pid}"
        (homes / self.own).symlink_to(home)

    def request(self, target, worker, attempts, flags=IN_SESSION, **other):  # noqa: F811
        return target.request(attempts=attempts, flags=flags, home=worker.directory, homes=str(self.homes),
                              own_home=self.own, other_home="other", **other)

    def _serve(self, worker, end):
        """Refuses what is attempted, and closes the control socket when it is told what nobody has asked for."""
        watched = {worker.control, end} | ({self.family.listener} if self.family.listener is not None else set())
        while True:
            readable, _, _ = select.select(list(watched), [], [])
            if end in readable:
                return
            if self.family.listener in readable:
                try:
                    self.family.answer()
                except FileNotFoundError:  # nobody is left who could attempt anything
                    watched.discard(self.family.listener)
            if worker.control in readable:
                watched.discard(worker.control)
                if self.hangs_up:
                    worker.control.close()

    def probe(self, target, attempts, worker=None, **other):  # noqa: F811
        worker = worker or self.worker
        reader, writer = os.pipe()
        thread = threading.Thread(target=self._serve, args=(worker, reader))
        thread.start()
        try:
            worker.send(frame(PROBE, self.request(target, worker, attempts, **other)))
            kind, answer = worker.next_frame()
            assert kind == PROBED
            assert worker.next_frame() is None, "a canary takes no run"
            worker.wait()
        finally:
            os.close(writer)
            thread.join()
            os.close(reader)
        return dict(zip(PROBES, struct.unpack(f"<{len(PROBES)}i", answer)))

    def close(self):
        for member in self.family.members:
            member.end()
        if self.family.listener is not None:
            os.close(self.family.listener)


@pytest.fixture
def canary(zygote, homes):
    made = []

    def make(taken, **parts):
        made.append(Canary(zygote, homes, taken, UID if taken & layers("uid") else None, **parts))
        return made[-1]

    yield make
    for one in made:
        one.close()


def named(outcomes, names):
    return {name: errno.errorcode.get(outcomes[name], outcomes[name]) for name in sorted(names)}


# ── A session ──


@is_root
def test_without_layers_everything_works(canary, target):  # noqa: F811
    """Else an attempt attempts nothing. The server's own part is no layer."""
    outcomes = canary(0).probe(target, OF_SESSIONS)
    missing = OF_FIRST - {"CONTROL_UNASKED"} - worked(outcomes)
    # After a descriptor has come, nobody listens; it is tried apart below.
    assert missing == set(), named(outcomes, missing)
    assert not OF_COPIES & worked(outcomes)
    for folder, _, files in os.walk(target.folder):
        assert not [name for name in files if name.startswith("hatchery-probe")], folder


def test_a_server_that_listens_on_is_noticed(canary, target):  # noqa: F811
    assert canary(ALWAYS | OWN_UID, hangs_up=False).probe(target, ["CONTROL_UNASKED"])["CONTROL_UNASKED"] == 0
    assert canary(ALWAYS | OWN_UID).probe(target, ["CONTROL_UNASKED"])["CONTROL_UNASKED"] == errno.EPIPE


def test_the_filter_alone(canary, target):  # noqa: F811
    """No process, no listener, no descriptor; and nothing else but what it is for."""
    one = canary(ALWAYS)
    outcomes = one.probe(target, OF_SESSIONS - {"CONTROL_UNASKED"})
    of_filter = {"COPY_UNTOLD", "COPY_OTHERWISE", "OWN_LISTENER", "RECEIVE_DESCRIPTOR", "CONTROL_DESCRIPTOR"}
    assert not of_filter & worked(outcomes), named(outcomes, of_filter)
    if one.family.listener is not None:
        # The supervisor was asked for those two alone that look like a copy's.
        assert one.family.refused == 2
    if IS_ROOT:
        assert FILES <= worked(outcomes), named(outcomes, FILES)


def test_without_the_filter_processes_are_made(canary, target):  # noqa: F811
    outcomes = canary(ALWAYS & ~layers("seccomp") | OWN_UID).probe(target, OF_SESSIONS)
    assert {"COPY_UNTOLD", "COPY_OTHERWISE", "OWN_LISTENER", "RECEIVE_DESCRIPTOR"} <= worked(outcomes) | (
        # As a plain user, and where there are no user namespaces for anybody.
        {"COPY_OTHERWISE"} if outcomes["COPY_OTHERWISE"] > 0 and not IS_ROOT else set()), named(outcomes, OF_FIRST)


@is_root
def test_a_user_of_ones_own_keeps_it_from_others(canary, target):  # noqa: F811
    outcomes = canary(ALWAYS | OWN_UID).probe(target, OF_SESSIONS)
    assert worked(outcomes) == set(), named(outcomes, worked(outcomes))


@needs_landlock
def test_landlock_keeps_it_from_others(canary, target):  # noqa: F811
    """The first session of a home has all of its work/, which only a user of its own keeps it from."""
    outcomes = canary(ALWAYS | layers("landlock")).probe(target, OF_SESSIONS)
    assert worked(outcomes) == {"WRITE_BESIDE_WORKSPACE"}, named(outcomes, OF_FIRST)


def test_a_run_without_a_session_has_no_such_ways(zygote, target):  # noqa: F811
    worker = zygote.spawn()
    worker.send(frame(PROBE, target.request(attempts=OF_SESSIONS)))
    _, answer = worker.next_frame()
    assert set(dict(zip(PROBES, struct.unpack(f"<{len(PROBES)}i", answer))).values()) == {-1}


# ── A copy ──


def copy_of(one):
    if one.family.listener is None:
        pytest.skip("this kernel, or this container, cannot ask about attempts to make a process")
    copy = one.family.copy(owner=one.uid)
    assert not isinstance(copy, int), os.strerror(copy)
    return copy


def probe_copy(one, target, attempts=OF_SESSIONS):  # noqa: F811
    return one.probe(target, attempts, copy_of(one), flags=IN_SESSION | IN_COPY, member=1)


@needs_landlock
def test_a_copy_reaches_nothing_of_its_source(canary, target):  # noqa: F811
    one = canary(ALWAYS | layers("landlock") | OWN_UID)
    outcomes = probe_copy(one, target)
    assert worked(outcomes) == set(), named(outcomes, worked(outcomes))
    # Tried, each of them.
    assert {name for name in OF_SESSIONS if outcomes[name] < 0} == set()
    assert outcomes["CHANGE_MODE_SOURCE"] == errno.EPERM
    assert os.stat(f"{one.worker.directory}/work/0/secret").st_mode & 0o777 == 0o600


def test_without_landlock_a_copy_has_the_files_of_its_source(canary, target):  # noqa: F811
    one = canary(ALWAYS | OWN_UID)
    outcomes = probe_copy(one, target)
    assert {"READ_SOURCE", "WRITE_SOURCE", "WRITE_SOURCE_TEMPORARY"} <= worked(outcomes), named(outcomes, OF_COPIES)
    assert outcomes["SIGNAL_SOURCE"] == outcomes["CHANGE_MODE_SOURCE"] == errno.EPERM
    assert sorted(os.listdir(f"{one.worker.directory}/work/0")) == ["secret"]


@needs_landlock
def test_without_its_filter_a_copy_changes_modes(canary, target):  # noqa: F811
    """Its source has none either, so that there is no listener to wait for."""
    one = canary((ALWAYS & ~layers("seccomp")) | layers("landlock") | OWN_UID)
    one.family.next = 1
    folder = one.family.add_folders(one.worker, 1, owner=one.uid)
    copy = one.family.order(one.worker, 1, folder, one.worker.directory)
    kind, _, copy.pid, _ = read_control(copy.control)
    assert kind == HELLO
    one.family.members.append(copy)
    copy.await_copy()
    outcomes = one.probe(target, OF_COPIES, copy, flags=IN_SESSION | IN_COPY, member=1)
    assert "CHANGE_MODE_SOURCE" in worked(outcomes), named(outcomes, OF_COPIES)
    assert not {"READ_SOURCE", "WRITE_SOURCE", "WRITE_SOURCE_TEMPORARY"} & worked(outcomes)
    # Signals: Landlock's scope, where there is one.
    assert ("SIGNAL_SOURCE" in worked(outcomes)) == (ABI < 6), named(outcomes, OF_COPIES)

