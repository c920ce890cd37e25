"""Cells: what is seen in them, what fits in them, and who may make them."""

import contextlib
import errno
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from cells_supervisor import ALL, FAILED, IS_ROOT, MIB, SHARED, WORKER_GID, WITHOUT_MOUNT_RIGHTS, WORKER_UID, layers, \
    refusal, user_namespaces_work
from supervisor import LAYERS, SECONDS, program

HERE = Path(__file__).resolve().parent

pytestmark = pytest.mark.skipif(not IS_ROOT and not user_namespaces_work(), reason="a plain user has no user namespaces here")


@pytest.fixture
def outside():
    """A folder of the host that is not below /tmp, and that anybody may enter."""
    path = Path(tempfile.mkdtemp(prefix="hatchery-cells-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def refusal_where_read_only(path, function, *arguments):
    """As refusal(), but nothing is tried where it might work on the host's own file: then the mount flag has told enough."""
    assert os.statvfs(path).f_flag & os.ST_RDONLY, f"{path} is writable"
    return refusal(function, *arguments)


# What is shared


def test_ready_brings_the_shared_namespaces(maker):
    assert maker.ready.layers == layers(*(set(ALL) & set(SHARED)))
    names = [{"userns": "user", "netns": "net", "ipcns": "ipc", "utsns": "uts", "cgroupns": "cgroup"}[name]
             for name in SHARED if name in ALL]
    assert len(maker.shared) == len(names)
    for fd, name in zip(maker.shared, names):
        assert os.readlink(f"/proc/self/fd/{fd}").startswith(f"{name}:")
        assert os.fstat(fd).st_ino != os.stat(f"/proc/self/ns/{name}").st_ino


def test_there_is_no_network_and_no_host_name(cell):
    def look():
        import socket
        with socket.socket() as one:
            return os.uname().nodename, socket.gethostname(), [name for _, name in socket.if_nameindex()], \
                one.connect_ex(("127.0.0.1", 9))
    assert cell.run(look) == ("hatchery", "hatchery", ["lo"], errno.ENETUNREACH)


def test_only_what_is_asked_for_is_made(make_maker):
    user = () if IS_ROOT else ("userns",)
    only_pids = make_maker(mask=("pidns", *user))
    assert only_pids.ready.layers == layers(*user)
    one = only_pids.cell()
    assert (one.layers, one.directory) == (layers("pidns", *user), None)
    assert one.run(lambda: os.path.isdir("/proc/self"))
    only_mounts = make_maker(mask=("mountns", *user))
    one = only_mounts.cell()
    assert (one.layers, one.pid_fd) == (layers("mountns", *user), None)
    assert one.run(lambda: (os.path.exists("/proc"), os.getcwd())) == (False, "/work")


# What is seen


def test_the_root_holds_nothing_but_the_view(cell):
    of_system = {name for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32") if os.path.exists(f"/{name}")}
    seen = set(cell.run(lambda: os.listdir("/")))
    assert seen - {"var"} == of_system | {"usr", "dev", "etc", "packages", "tmp", "work"}
    assert set(cell.run(lambda: os.listdir("/dev"))) == {"null", "zero", "full", "random", "urandom", "shm"}
    if "var" in seen:
        assert cell.run(lambda: (os.listdir("/var"), os.listdir("/var/cache"))) == (["cache"], ["fontconfig"])


def test_links_of_the_root_stay_links(cell):
    for name in ("/bin", "/lib", "/sbin", "/lib64", "/etc/localtime"):
        if os.path.islink(name) and os.path.exists(name):
            assert cell.run(lambda name=name: os.readlink(name)) == os.readlink(name)


def test_settings_tell_nothing_of_the_host(cell):
    def look():
        return {name: Path("/etc", name).read_text() for name in ("passwd", "group", "hosts", "hostname")}

    texts = cell.run(look)
    assert [line.split(":")[0] for line in texts["passwd"].splitlines()] == ["root", "nobody", "runner"]
    assert f"runner:x:{WORKER_UID}:{WORKER_GID}:runner:/work:/bin/sh\n" in texts["passwd"]
    assert f"runner:x:{WORKER_GID}:\n" in texts["group"]
    assert texts["hosts"].split() == ["127.0.0.1", "localhost", "::1", "localhost"]
    assert texts["hostname"] == "hatchery\n"
    secret = {"shadow", "gshadow", "sudoers", "machine-id", "resolv.conf", "fstab", "environment", "ssh", "pip.conf", "profile"}
    assert not secret & set(cell.run(lambda: os.listdir("/etc")))


def test_each_user_of_a_cell_has_a_name(maker):
    if not IS_ROOT:
        pytest.skip("a plain user has but one")
    cells = [maker.cell(uid=uid, gid=uid) for uid in (61001, 61002, 61001)]
    text = cells[0].run(lambda: Path("/etc/passwd").read_text())
    assert [line.split(":")[2] for line in text.splitlines()] == ["0", "65534", "61001", "61002"]


def test_a_program_runs_in_it(cell):
    """Loader, libraries, time zones, types and names are all there."""
    code = ("import ctypes.util, mimetypes, os, pwd, sqlite3, ssl, tempfile, time; time.tzset(); "
            "tempfile.NamedTemporaryFile().write(b'1'); print(pwd.getpwuid(os.getuid()).pw_dir, mimetypes.guess_type('a.csv')[0])")

    def start():
        done = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True, env={}, check=False)
        return done.stdout + done.stderr
    home = "/nonexistent" if WORKER_UID == 65534 else "/work"
    assert cell.run(start) == f"{home} text/csv\n"


def test_all_but_the_own_folders_is_read_only(cell):
    """Even for one who has all capabilities that there are in the cell."""
    def attempt():
        places = ["/", "/etc", "/dev", "/packages", "/usr", "/usr/bin", "/var", "/var/cache/fontconfig"]
        return {place: refusal_where_read_only(place, os.mkdir, f"{place}/hatchery-test") for place in places if os.path.isdir(place)}

    found = cell.run(attempt, drop=False)
    assert set(found.values()) <= {"EROFS", "EACCES"}, found
    assert cell.run(lambda: refusal_where_read_only("/etc/passwd", os.truncate, "/etc/passwd", 0), drop=False) == "EROFS"
    if IS_ROOT:
        assert set(found.values()) == {"EROFS"}
        assert cell.run(lambda: refusal_where_read_only("/dev/null", os.chmod, "/dev/null", 0o666), drop=False) == "EROFS"
    for place in ("/work", "/tmp", "/dev/shm"):
        cell.run(lambda place=place: Path(place, "file").write_text("mine"))


def test_every_mount_is_nosuid_and_nodev(cell):
    def look():
        return {place: os.statvfs(place).f_flag for place in ("/", "/usr", "/etc/ld.so.cache", "/work", "/tmp", "/dev/shm")}
    for place, flags in cell.run(look).items():
        assert flags & os.ST_NOSUID and flags & os.ST_NODEV, place
    assert cell.run(lambda: os.statvfs("/dev/null").f_flag) & os.ST_NOSUID


def test_devices_work(cell):
    def attempt():
        Path("/dev/null").write_bytes(b"gone")
        with open("/dev/zero", "rb") as zero, open("/dev/urandom", "rb") as first, open("/dev/random", "rb") as second:
            assert zero.read(4) == bytes(4)
            assert len(first.read(16) + second.read(16)) == 32
        with open("/dev/full", "wb", buffering=0) as full:
            return refusal(full.write, b"1")
    assert cell.run(attempt) == "ENOSPC"


def test_devices_of_ones_own_do_not(cell):
    def attempt():
        refused = refusal(os.mknod, "/work/null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        return refused or refusal(os.open, "/work/null", os.O_RDONLY)
    assert cell.run(attempt, drop=False) == ("EACCES" if IS_ROOT else "EPERM")


def test_links_in_the_workspace_work(cell):
    def attempt():
        Path("target").write_text("here")
        os.symlink("target", "link")
        return Path("link").read_text()
    assert cell.run(attempt) == "here"


# What an operator adds


def test_paths_of_the_operator(make_maker, outside):
    (outside / "library").mkdir()
    (outside / "library" / "module.py").write_text("x = 1")
    (outside / "data").mkdir()
    (outside / "data").chmod(0o777)
    (outside / "secret").write_text("secret")
    one = make_maker("--view", str(outside / "library"), "--data", str(outside / "data")).cell()

    def attempt():
        (outside / "data" / "out").write_text("kept")
        return (outside / "library" / "module.py").read_text(), sorted(os.listdir(outside))
    assert one.run(attempt) == ("x = 1", ["data", "library"])
    assert (outside / "data" / "out").read_text() == "kept"
    for name in ("library/new", "new"):
        assert refusal(one.run, lambda name=name: (outside / name).write_text("x"), False) == "EROFS"


def test_one_path_in_another(make_maker, outside):
    """A writable folder in a read-only one, and the other way round, in whatever order they are named."""
    for name in ("a", "a/data", "b", "b/fixed"):
        (outside / name).mkdir()
        (outside / name).chmod(0o777)
    one = make_maker("--data", f"{outside}/a/data", "--view", f"{outside}/b/fixed", "--view", f"{outside}/a/",
                     "--data", f"{outside}/b").cell()
    found = one.run(lambda: {name: refusal((outside / name / "new").write_text, "x") for name in ("a", "a/data", "b", "b/fixed")})
    assert found == {"a": "EROFS", "a/data": None, "b": None, "b/fixed": "EROFS"}


@pytest.mark.parametrize("path", ["/nonexistent", "relative", "/", "/usr/../etc", "//etc", "/tmp", "/tmp/venv", "/work/venv", "/packages",
                                  "/dev", "/dev/shm/x"])
@pytest.mark.parametrize("option", ["--view", "--data"])
def test_paths_that_cannot_be_shown(make_maker, option, path):
    one = make_maker(option, path, start=False)
    report = one.receive()
    assert report.kind == FAILED and report.error == errno.EINVAL
    assert report.text.startswith(path)
    assert one.receive() is None
    assert one.process.wait(SECONDS) == 1


# What fits


def test_size_is_limited(maker):
    one = maker.cell(size_bytes=2 * MIB)
    assert os.fstatvfs(one.directory).f_blocks * os.fstatvfs(one.directory).f_frsize == 2 * MIB

    def fill():
        written = 0
        for place in ("/work", "/tmp", "/dev/shm"):
            with open(f"{place}/file", "wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    written += file.write(bytes(4096))
        return written, refusal(Path("/work/other").write_bytes, b"x" * 8192)
    written, refused = one.run(fill)
    assert 1.5 * MIB < written <= 2 * MIB
    assert refused == "ENOSPC"


def test_inodes_are_limited(maker):
    one = maker.cell(inodes=50)

    def fill():
        for number in range(60):
            if refused := refusal(os.mkdir, f"/work/{number}"):
                return number, refused, refusal(os.mkdir, "/tmp/more"), refusal(os.mkdir, "/dev/shm/more")
        return None
    number, *refused = one.run(fill)
    assert 40 < number < 50
    assert refused == ["ENOSPC"] * 3


def test_the_folders_belong_to_the_worker(cell):
    for name in ("work", "tmp", "shm"):
        found = os.stat(name, dir_fd=cell.directory)
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (WORKER_UID, WORKER_GID, 0o700)
    assert stat.S_IMODE(os.fstat(cell.directory).st_mode) == 0o755


def test_the_supervisor_works_in_the_folders(cell):
    """With its own descriptor, and what it does is seen in the cell."""
    work = os.open("work", os.O_RDONLY | os.O_DIRECTORY, dir_fd=cell.directory)
    tmp = os.open("tmp", os.O_RDONLY | os.O_DIRECTORY, dir_fd=cell.directory)
    cell.run(lambda: Path("/work/from-inside").write_text("1"))
    assert os.listdir(work) == ["from-inside"] and os.listdir(tmp) == []
    os.mkdir("folder", dir_fd=work)
    os.rename("from-inside", "moved", src_dir_fd=work, dst_dir_fd=tmp)
    assert cell.run(lambda: (os.listdir("/work"), os.listdir("/tmp"))) == (["folder"], ["moved"])
    os.rmdir("folder", dir_fd=work)
    os.unlink("moved", dir_fd=tmp)
    assert cell.run(lambda: (os.listdir("/work"), os.listdir("/tmp"))) == ([], [])
    os.close(work)
    os.close(tmp)


def test_cells_do_not_see_each_other(maker):
    first, second = maker.cell(), maker.cell()

    def write():
        for place in ("/work", "/tmp", "/dev/shm"):
            Path(place, "mine").write_text("mine")
    first.run(write)
    assert second.run(lambda: [os.listdir(place) for place in ("/work", "/tmp", "/dev/shm")]) == [[], [], []]
    assert first.run(lambda: [os.listdir(place) for place in ("/work", "/tmp", "/dev/shm")]) == [["mine"]] * 3


# Other users


def test_root_without_the_right_to_mount(make_maker):
    """As in a container with its usual capabilities: a user namespace that has all ids."""
    if not IS_ROOT or not user_namespaces_work():
        pytest.skip("needs root, and user namespaces")
    one = make_maker(mask=(*ALL, "userns"), wrapper=WITHOUT_MOUNT_RIGHTS)
    assert one.ready.layers & LAYERS["userns"]
    cells = [one.cell(uid=uid, gid=uid) for uid in (WORKER_UID, 61008)]
    assert not cells[0].layers & LAYERS["userns"], "all ids are there already"
    assert cells[0].run(lambda: (os.getuid(), os.getgid(), os.getgroups())) == (WORKER_UID, WORKER_GID, [])
    cells[0].run(lambda: Path("/work/file").write_text("x"))
    assert os.stat("work/file", dir_fd=cells[0].directory).st_uid == WORKER_UID
    assert os.stat("work", dir_fd=cells[1].directory).st_uid == 61008
    assert cells[0].run(lambda: refusal_where_read_only("/usr", os.mkdir, "/usr/new"), drop=False) == "EROFS"


def test_all_of_this_as_a_plain_user():
    """… and what is in test_cell_homes.py and test_keepers.py."""
    if not IS_ROOT:
        pytest.skip("this is it")
    with tempfile.TemporaryDirectory(prefix="hatchery-cells-", dir="/var/tmp") as directory:
        copy = Path(shutil.copy(program(), directory))
        copy.chmod(0o755)
        os.chmod(directory, 0o755)
        # Who owns the tree may keep others out of it.
        top = Path(directory) / "tests"
        for folder in ("harness", "unit/interp"):
            shutil.copytree(Path(HERE).parents[1] / folder, top / folder, ignore=shutil.ignore_patterns("__pycache__"))
        for path in (top, *top.rglob("*")):
            path.chmod(0o755)
        tests = top / "unit" / "interp"
        done = subprocess.run(
            ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", sys.executable, "-m", "pytest", "-q", "-rs",
             "-p", "no:cacheprovider", "--rootdir", tests, "-c", "/dev/null",
             *(tests / name for name in ("test_cells.py", "test_cell_homes.py", "test_keepers.py"))],
            env={**os.environ, "HATCHERY_PYTHON": str(copy), "HOME": directory, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout
