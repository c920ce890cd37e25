"""The process that runs pip for a session: what it finds, what it unpacks, what it says when it cannot, what it may not do."""

import fcntl
import hashlib
import importlib.util
import marshal
import os
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import pytest
from harness.wheels import Index, entry, wheel
from supervisor import SANITIZERS, program

SAYS, WHEEL, RESOLVED, UNPACKED, FINISHED, FAILED = range(1, 7)
OWN, NOT_FOUND, CONFLICT, NO_INDEX, BAD_WHEEL, TOO_LARGE, NO_SPACE = range(1, 8)
UID = 64999 if os.geteuid() == 0 else 0


class Installer:
    def __init__(self, index, *options, installed=(), uid=UID, environment=None):
        self.directory = tempfile.TemporaryDirectory(prefix="hatchery-install-")
        self.staging = Path(self.directory.name)
        self.staging.chmod(0o755)
        for name in ("work", "tmp", "work/installed"):
            (self.staging / name).mkdir()
        for name, version, requires in installed:
            folder = self.staging / "work/installed" / f"{name}-{version}.dist-info"
            folder.mkdir()
            lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
            (folder / "METADATA").write_text("".join(lines + [f"Requires-Dist: {one}\n" for one in requires]))
        if uid:
            for name in (".", "work", "tmp"):
                os.chown(self.staging / name, uid, uid)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(60)
        self.socket = ours
        folder = os.open(self.staging, os.O_RDONLY | os.O_DIRECTORY)

        def place():
            os.dup2(fds[0], 3)
            os.dup2(fds[1], 4)

        # Free numbers above those that they get.
        fds = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 5) for fd in (theirs.fileno(), folder)]
        command = [str(program()), "--install", "--socket", "3", "--template", "test", "--staging", str(self.staging),
                   *(("--uid", str(uid)) if uid else ()), *(("--index", index) if index else ()),
                   *map(str, options)]
        self.process = subprocess.Popen(command, pass_fds=(3, 4), preexec_fn=place, stdin=subprocess.DEVNULL,
                                        env={"PATH": "/usr/bin:/bin", **SANITIZERS, **(environment or {})},
                                        start_new_session=True)
        for fd in (*fds, folder):
            os.close(fd)
        theirs.close()
        self.said = ""
        self.wheels, self.unpacked, self.failure = [], [], None

    def report(self):
        message = self.socket.recv(1 << 16)
        if not message:
            return None, None, None
        kind, number = struct.unpack("=II", message[:8])
        assert message.endswith(b"\0")
        return kind, number, message[8:-1].decode()

    def run(self, *requirements, has=()):
        """has: the names of wheels that are not to be unpacked."""
        self.socket.send("".join(text + "\0" for text in requirements).encode())
        while True:
            kind, number, text = self.report()
            if kind is None or kind == FINISHED:
                break
            if kind == SAYS:
                self.said += text
            elif kind == WHEEL:
                assert number == len(self.wheels)
                self.wheels.append(tuple(text.split(" ")))
            elif kind == RESOLVED:
                assert number == len(self.wheels)
                self.socket.send(bytes(name not in has for _, name, _ in self.wheels) or b"\0")
            elif kind == UNPACKED:
                self.unpacked.append(number)
            elif kind == FAILED:
                self.failure = number, text
                break
        return self

    @property
    def names(self):
        return {f"{name}=={version}" for _, name, version in self.wheels}

    def files(self, number):
        top = self.staging / "work" / str(number)
        return {str(path.relative_to(top)) for path in top.rglob("*") if not path.is_dir()}

    def close(self):
        self.socket.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.directory.cleanup()


@pytest.fixture
def index():
    with Index() as one:
        yield one


@pytest.fixture
def install(index):
    made = []

    def start(*requirements, options=(), url=None, has=(), **keywords):
        made.append(Installer(url or index.url, *options, **keywords))
        return made[-1].run(*requirements, has=has)

    yield start
    for one in made:
        one.close()


def expect_failure(one, kind, *parts):
    assert one.failure is not None, one.said
    assert one.failure[0] == kind, (one.failure, one.said)
    for part in parts:
        assert part in one.failure[1], one.failure
    assert one.failure[1].endswith(".")
    assert one.unpacked == []


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


def test_a_virtual_environment_without_pip(index, install, tmp_path_factory):
    folder = Path(tempfile.mkdtemp(prefix="hatchery-venv-"))
    folder.chmod(0o755)
    venv.EnvBuilder(with_pip=False).create(folder / "v")
    index.add("tea", requires=["numpy"])
    index.add("numpy", "99.0")
    # numpy is not in it, so it is taken from the index.
    one = install("tea", options=("--venv", folder / "v"))
    assert one.names == {"tea==1.0", "numpy==99.0"}, (one.failure, one.said)


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


def test_another_hash_than_promised(index, install):
    index.add("tea", sha256="0" * 64)
    expect_failure(install("tea"), BAD_WHEEL, "hash")


def test_no_archive(index, install):
    index.add("tea", content=b"this is no archive")
    expect_failure(install("tea"), BAD_WHEEL)


def test_nobody_listens(install):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/simple/"
    expect_failure(install("tea", url=url), NO_INDEX, "connection refused")


def test_a_name_that_is_no_host(install):
    expect_failure(install("tea", url="http://no-such-host.invalid/simple/"), NO_INDEX, "cannot be resolved")


def test_an_index_that_never_answers(index, install):
    index.silent = True
    expect_failure(install("tea"), NO_INDEX, "in time")
    # One attempt more, and no further.
    assert len(index.requests) == 2


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


# ── Hostile wheels ──

@pytest.mark.parametrize("path", ["../../outside.py", "/tmp/outside-of-it.py", "tea/../../../outside.py"])
def test_paths_that_lead_out(index, install, path):
    index.add("tea", content=wheel("tea", entries=[(entry(path), b"x = 1\n")]))
    one = install("tea")
    assert one.failure is None or one.failure[0] == BAD_WHEEL, one.failure
    found = [str(found.relative_to(one.staging)) for found in one.staging.rglob("outside*")]
    # What is absolute lands inside, if it is taken at all.
    assert all(where.startswith("work/0/") for where in found), found
    assert not Path("/tmp/outside-of-it.py").exists()


def test_links_and_modes_become_plain_files(index, install):
    index.add("tea", content=wheel("tea", entries=[
        (entry("tea_link", stat.S_IFLNK | 0o777), b"/etc/passwd"),
        (entry("tea_setuid", stat.S_IFREG | 0o6755), b"#!/bin/sh\n"),
        (entry("tea_device", stat.S_IFCHR | 0o666), b""),
    ]))
    one = install("tea")
    assert one.unpacked == [0], (one.failure, one.said)
    for path in (one.staging / "work/0").rglob("*"):
        mode = path.lstat().st_mode
        assert stat.S_ISREG(mode) or stat.S_ISDIR(mode), path
        assert not mode & (stat.S_ISUID | stat.S_ISGID), path


def test_nothing_of_a_wheel_is_run(index, install):
    code = "import os\nos.mkdir(os.path.join(os.environ['TMPDIR'], 'was-run'))\n"
    index.add("tea", files={
        "tea.py": code, "sitecustomize.py": code, "usercustomize.py": code, "_manylinux.py": code, "keyring.py": code,
        "setup.py": code, "zz.pth": "import os; os.mkdir(os.path.join(os.environ['TMPDIR'], 'was-run'))\n"},
        requires=["cup"])
    index.add("cup")
    one = install("tea")
    assert sorted(one.unpacked) == [0, 1], one.failure
    assert not (one.staging / "tmp/was-run").exists()


@pytest.mark.parametrize("paths, why", [
    (["x" * 255 + ".py"], "File name too long"), (["tea_folder", "tea_folder/module.py"], "Not a directory: 'module.py'"),
    (["tea_folder/module.py", "tea_folder"], "Is a directory: 'tea_folder'"), ([("tea" * 60 + "/") * 25 + "deep.py"], "File name too long")])
def test_names_that_no_file_can_have(index, install, paths, why):
    index.add("tea", content=wheel("tea", entries=[(entry(path), b"x = 1\n") for path in paths]))
    expect_failure(install("tea"), BAD_WHEEL, "file that cannot be made", why)


# ── Byte code ──

BAD_SOURCE = "def broken(:\n"


def byte_code(one, number=0):
    """path of the source → bytes, of all byte code that is there."""
    top = one.staging / "work" / str(number)
    return {str(path.parent.parent.relative_to(top) / path.name.partition(".")[0]) + ".py": path.read_bytes()
            for path in top.rglob(f"__pycache__/*.{sys.implementation.cache_tag}.pyc")}


def test_byte_code_for_each_source(index, install):
    files = {"tea.py": "x = 1\n", "pot/__init__.py": "", "pot/deep/er/lid.py": "def f(): return __file__\n", "data.txt": "no source",
             "broken.py": BAD_SOURCE, "nul.py": "x = 1\0", "coded.py": "# coding: nonsense\n", "large.py": "#" * (4 << 20) + "\n"}
    index.add("tea", files=files)
    one, other = install("tea"), install("tea")
    assert one.failure is None, one.said
    found = byte_code(one)
    assert set(found) == {"tea.py", "pot/__init__.py", "pot/deep/er/lid.py"}
    for path, data in found.items():
        # Python's own magic, and that the hash is compared with that of the source (PEP 552).
        assert data[:8] == importlib.util.MAGIC_NUMBER + struct.pack("<I", 3)
        assert data[8:16] == importlib.util.source_hash(files[path].encode())
        assert marshal.loads(data[16:]).co_filename == path
    assert byte_code(other) == found
    record = (one.staging / "work/0/tea-1.0.dist-info/RECORD").read_text()
    assert all(f"{path},,\n" in record for path in one.files(0) if path.endswith(".pyc"))
    assert os.listdir(one.staging / "tmp") == os.listdir(other.staging / "tmp")


def test_a_wheel_s_own_byte_code_is_replaced(index, install):
    name = f"__pycache__/tea.{sys.implementation.cache_tag}.pyc"
    index.add("tea", files={"tea.py": "x = 1\n", name: b"something else", "pot/__pycache__": "a file", "pot/pot.py": "x = 1\n",
                            "y" * 240 + ".py": "x = 1\n"})
    one = install("tea")
    assert one.unpacked == [0], one.failure
    assert set(byte_code(one)) == {"tea.py"}
    assert byte_code(one)["tea.py"] != b"something else"
    assert {"pot/__pycache__", "pot/pot.py"} <= one.files(0)


def test_sources_that_are_hard_to_compile(index, install):
    index.add("tea", files={"nested.py": "(" * 100000 + ")" * 100000, "sum.py": "x = " + "+".join(["1"] * 50000) + "\n",
                            "signs.py": "x = " + "-" * 100000 + "1\n", "power.py": "x = 9 ** 9 ** 9\n" * 100, "tea.py": "x = 1\n"})
    one = install("tea")
    assert one.unpacked == [0], one.failure
    # It has not ended before its time.
    assert "tea.py" in byte_code(one)
    one.close()
    assert one.process.returncode == 0


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
        status = None
        while not index.requests:
            kind, _, text = one.report()
            assert kind == SAYS, text
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
