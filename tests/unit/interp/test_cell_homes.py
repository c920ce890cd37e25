"""Cells of sessions: /work and /packages are folders of a home on disk, and no other home can be seen, let alone reached."""

import contextlib
import inspect
import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
from cells_supervisor import ALL, FAILED, IS_ROOT, WITHOUT_MOUNT_RIGHTS, WORKER_GID, WORKER_UID, layers, libc, refusal, \
    user_namespaces_work
from confined import Celled, value_of
from supervisor import FAILED as FAILED_FRAME
from supervisor import REHEARSE, SESSION

pytestmark = pytest.mark.skipif(not IS_ROOT and not user_namespaces_work(), reason="a plain user has no user namespaces here")

MINE, OTHER = "aaaabbbbccccdddd", "eeeeffffgggghhhh"


def make_home(sessions, name, uid=WORKER_UID, gid=WORKER_GID):
    """As pool/home.c makes it."""
    home = sessions / name
    for folder, mode in (("", 0o711), ("work", 0o711), ("work/0", 0o700), ("packages", 0o711), ("packages/0", 0o755)):
        (home / folder).mkdir()
        (home / folder).chmod(mode)
    if IS_ROOT:
        os.chown(home / "work", 0, gid)
        os.chown(home / "work/0", uid, gid)
    (home / "0.session").write_text("a record")
    (home / "packages/0/package.py").write_text("x = 1")
    (home / "packages/0/package.py").chmod(0o644)
    (home / "work/0/from-outside").write_text(name)
    if IS_ROOT:
        os.chown(home / "work/0/from-outside", uid, gid)
    return home


@pytest.fixture
def sessions():
    top = Path(tempfile.mkdtemp(prefix="hatchery-homes-", dir="/var/tmp"))
    path = top / "state" / "sessions"
    path.mkdir(parents=True)
    # Nobody but the server has to come this way.
    path.parent.chmod(0o700)
    path.chmod(0o711)
    make_home(path, MINE)
    make_home(path, OTHER, *((61099, 61099) if IS_ROOT else ()))
    (path / "trash").mkdir(mode=0o700)
    yield path
    shutil.rmtree(top)


@pytest.fixture
def housed(make_maker, sessions):
    """A maker, and a cell with a home."""
    maker = make_maker(homes=sessions)
    return maker, maker.cell(home=MINE.encode())


def test_the_workspace_is_that_of_the_home(housed, sessions):
    _, cell = housed

    def work():
        os.chdir("/work/0")
        Path("from-inside").write_text("kept")
        return os.getcwd(), Path("from-outside").read_text(), sorted(os.listdir(".")), sorted(os.listdir("/packages/0"))
    assert cell.run(work) == ("/work/0", MINE, ["from-inside", "from-outside"], ["package.py"])
    assert (sessions / MINE / "work/0/from-inside").read_text() == "kept"
    assert (sessions / MINE / "work/0/from-inside").stat().st_uid == WORKER_UID
    assert os.listdir(sessions / OTHER / "work/0") == ["from-outside"]


def test_what_the_server_adds_later_is_seen(housed, sessions):
    """The folders of a copy, packages, uploads: made while the cell is there."""
    _, cell = housed
    for folder in ("work/1", "packages/1"):
        (sessions / MINE / folder).mkdir()
        (sessions / MINE / folder).chmod(0o755)
        (sessions / MINE / folder / "new").write_text("new")
    assert cell.run(lambda: [Path(f"/{folder}/1/new").read_text() for folder in ("work", "packages")]) == ["new", "new"]


def test_packages_cannot_be_written_to(housed):
    """Not by one who has all capabilities in the cell, either."""
    _, cell = housed

    def attempt():
        return [refusal(os.mkdir, "/packages/new"), refusal(os.mkdir, "/packages/0/new"),
                refusal(Path("/packages/0/new.py").write_text, "x"), refusal(Path("/packages/0/package.py").write_text, "x = 2"),
                refusal(os.unlink, "/packages/0/package.py"), refusal(os.chmod, "/packages/0/package.py", 0o777),
                refusal(os.utime, "/packages/0/package.py"), refusal(os.link, "/packages/0/package.py", "/packages/0/again")]
    assert cell.run(lambda: os.statvfs("/packages").f_flag & os.ST_RDONLY)
    assert set(cell.run(attempt, drop=False)) == {"EROFS"}
    assert set(cell.run(attempt)) <= {"EROFS", "EACCES"}
    assert cell.run(lambda: refusal(os.link, "/packages/0/package.py", "/work/0/package.py"), drop=False) == "EXDEV"
    assert cell.run(lambda: Path("/packages/0/package.py").read_text()) == "x = 1"


def test_mounts_are_nosuid_and_nodev(housed):
    _, cell = housed
    for place in ("/work", "/work/0", "/packages"):
        flags = cell.run(lambda place=place: os.statvfs(place).f_flag)
        assert flags & os.ST_NOSUID and flags & os.ST_NODEV, place

    def attempt():
        refused = refusal(os.mknod, "/work/0/null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        return refused or refusal(os.open, "/work/0/null", os.O_RDONLY)
    assert cell.run(attempt, drop=False) in ("EACCES", "EPERM")


def test_members_folders_cannot_be_moved_by_root_s_sessions(housed):
    _, cell = housed
    if not IS_ROOT:
        pytest.skip("needs root: a plain user owns all of its homes")
    assert cell.run(lambda: [refusal(os.mkdir, "/work/1"), refusal(os.rename, "/work/0", "/work/x"), refusal(os.listdir, "/work"),
                             refusal(os.listdir, "/packages")]) == ["EACCES"] * 4


def test_the_rest_is_as_in_every_cell(housed, sessions):
    _, cell = housed

    def look():
        for place in ("/tmp", "/dev/shm"):
            Path(place, "file").write_text("mine")
        return os.listdir("/tmp"), os.listdir("/dev/shm")
    assert cell.run(look) == (["file"], ["file"])
    assert sorted(os.listdir(sessions)) == sorted([MINE, OTHER, "trash"])
    for name in ("work", "tmp", "shm"):
        assert os.listdir(f"/proc/self/fd/{cell.directory}/{name}") == ([] if name == "work" else ["file"])


def test_a_cell_without_a_home_has_empty_packages(housed, sessions):
    maker, _ = housed
    cell = maker.cell()
    assert cell.run(lambda: (os.listdir("/packages"), os.listdir("/work"), os.listdir("/tmp"))) == ([], [], [])
    assert cell.run(lambda: refusal(os.mkdir, "/packages/new"), drop=False) == "EROFS"
    cell.run(lambda: Path("/work/file").write_text("x"))
    assert not list(sessions.rglob("file"))


# No other home


def search_for(name):
    """Every way that leads somewhere: all below the root, and back up from each place."""
    found = []
    for top in ("/", "/tmp/..", "/work/..", "/work/0/../..", "/work/0/../../..", "/packages/..", "/packages/0/../../..",
                "/dev/shm/..", "/dev/shm/../..", "/tmp/../tmp/..", "."):
        for path in (f"{top}/{name}", f"{top}/tmp/{name}", f"{top}/../{name}", f"{top}/sessions/{name}", f"{top}/../../{name}"):
            if refusal(os.lstat, path) is None:
                found.append(path)
    return found


def search_by_descriptors(name):
    """From descriptors that are opened before and after a move up; by handles of files, too."""
    found = []
    places = ("/", "/tmp", "/work", "/work/0", "/packages", "/packages/0", "/dev/shm")
    for place in filter(os.path.isdir, places):
        fd = os.open(place, os.O_PATH | os.O_DIRECTORY)
        for _ in range(6):
            for path in (name, f"tmp/{name}", f"sessions/{name}"):
                if refusal(lambda fd=fd, path=path: os.stat(path, dir_fd=fd, follow_symlinks=False)) is None:
                    found.append((place, path))
            upper = os.open("..", os.O_PATH | os.O_DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = upper
        os.close(fd)
    return found


@pytest.mark.parametrize("drop", [True, False])
@pytest.mark.parametrize("search", [search_for, search_by_descriptors])
def test_no_home_can_be_found(housed, search, drop):
    maker, cell = housed
    for one in (cell, maker.cell()):
        for name in (OTHER, MINE, "trash"):
            assert one.run(lambda name=name: search(name), drop) == []


def test_a_link_leads_nowhere(housed, sessions):
    """Neither one that a session makes, nor one to where the homes are on the host."""
    _, cell = housed

    def attempt():
        results = []
        for number, target in enumerate((f"../../../{OTHER}/work/0", f"/tmp/{OTHER}", f"{sessions}/{OTHER}", f"../../{OTHER}")):
            os.symlink(target, f"/work/0/link-{number}")
            results.append(refusal(os.stat, f"/work/0/link-{number}"))
        return results
    assert cell.run(attempt) == ["ENOENT"] * 4


def test_a_moved_folder_leads_nowhere(housed, sessions):
    """The directory that a process stands in is moved away beneath it: to the trash, as when a session ends."""
    _, cell = housed
    told, tell = os.pipe()
    ready, say_ready = os.pipe()

    def attempt():
        os.chdir("/work/0")
        os.write(say_ready, b"1")
        os.read(told, 1)
        seen = []
        for up in ("..", "../..", "../../..", "../../../.."):
            for name in (OTHER, f"sessions/{OTHER}", "0.session", "trash", f"../{OTHER}"):
                if refusal(os.stat, f"{up}/{name}") is None:
                    seen.append(f"{up}/{name}")
        return seen, refusal(os.listdir, "..")
    pid, readable = cell.start(attempt)
    os.read(ready, 1)
    os.rename(sessions / MINE / "work/0", sessions / "trash/abc")
    os.write(tell, b"1")
    import pickle

    from cells_supervisor import read_all
    worked, (seen, refused) = pickle.loads(read_all(readable))
    os.waitpid(pid, 0)
    for fd in (told, tell, ready, say_ready, readable):
        os.close(fd)
    assert worked and seen == []
    assert refused in ("ENOENT", "EACCES"), "above a folder that was moved out of the mount there is nothing"


def test_what_covers_the_homes_stays(housed):
    """For one with all capabilities that there are in a cell, too. The host's own root, which no worker is, can take anything off."""
    maker, cell = housed

    def attempt():
        taken = sum(libc.umount2(place.encode(), flags) == 0
                    for _ in range(4) for place in ("/tmp", "/work", "/packages", "/dev/shm") for flags in (8, 0, 2))
        return taken, search_for(OTHER) + search_for(MINE) + os.listdir("/tmp"), libc.umount2(b"/tmp", 0)
    for one in (cell, maker.cell()):
        taken, found, result = one.run(attempt)
        assert (taken == 0) == IS_ROOT and found == [] and result == -1


# The end


def test_nothing_stays_mounted(housed, sessions):
    _, cell = housed
    cell.run(lambda: Path("/work/0/file").write_text("kept"))
    # As it is in a mount's own file system: other tests, of another run too, have homes of the same name.
    home = f"{sessions.relative_to('/var/tmp')}/{MINE}"
    if IS_ROOT:
        assert home in Path(f"/proc/{cell.pid}/mountinfo").read_text()
    cell.close()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        # It may just have ended, or be another user's.
        with contextlib.suppress(OSError):
            assert home not in (Path("/proc") / pid / "mountinfo").read_text(), f"process {pid}"
    shutil.rmtree(sessions / MINE)
    assert not (sessions / MINE).exists()


def test_a_cell_is_made_again_in_the_same_home(housed):
    maker, cell = housed
    cell.run(lambda: Path("/work/0/file").write_text("kept"))
    cell.close()
    assert maker.cell(home=MINE.encode()).run(lambda: Path("/work/0/file").read_text()) == "kept"


# A worker of a session, as the server makes it

HAS_LANDLOCK = libc.syscall(444, None, 0, 1) > 0
OF_SERVER = ("rlimits", "no_new_privs", "capabilities", "not_dumpable", "landlock", "seccomp")


@pytest.fixture
def session(make_maker, make_zygote, sessions):
    """A function that makes a worker of a session in a cell of that home."""
    maker = make_maker(homes=sessions)
    celled = Celled(maker, make_zygote(enter=maker.shared))

    def make(**parts):
        taken = (*(name for name in OF_SERVER if name != "landlock" or HAS_LANDLOCK), *(("uid",) if IS_ROOT else ()))
        return celled.spawn(taken, maker.cell(home=MINE.encode()), REHEARSE | SESSION,
                            uid=WORKER_UID if IS_ROOT else None, **parts)
    return make


def test_a_worker_has_the_workspace(session, sessions):
    worker = session()
    assert value_of(worker, "import os\nopen('from-inside', 'w').write('kept')\n[os.getcwd(), os.environ['HOME'], "
                            "open('from-outside').read()]") == ["/work/0", "/work/0", MINE]
    assert value_of(worker, "import package\n[package.x, package.__file__]") == [1, "/packages/0/package.py"]
    assert value_of(worker, "os.path.exists('from-inside')") is True
    worker.end()
    assert (sessions / MINE / "work/0/from-inside").read_text() == "kept"
    worker = session()
    assert value_of(worker, "open('from-inside').read()") == "kept"
    worker.end()


def test_a_worker_finds_no_other_home(session):
    source = "import errno, os\n" + "".join(map(inspect.getsource, (refusal, search_for)))
    worker = session()
    assert value_of(worker, f"{source}\n[*search_for({OTHER!r}), *search_for({MINE!r}), *search_for('trash')]") == []
    # The search finds what is there.
    assert value_of(worker, f"os.mkdir('/tmp/{OTHER}')\nlen(search_for({OTHER!r})) > 2") is True
    refused = value_of(worker, "[refusal(os.mkdir, '/packages/x'), refusal(open, '/packages/0/package.py', 'a'), "
                               "refusal(open, '/packages/0/x', 'w'), refusal(os.chmod, '/packages/0/package.py', 0o777)]")
    assert len(refused) == 4 and set(refused) <= {"EROFS", "EACCES"}
    worker.end()


def test_a_workspace_that_has_become_a_link(session, sessions):
    """What an earlier process of a plain user's session can do; nothing is entered through it."""
    (sessions / MINE / "work/0").rename(sessions / MINE / "work/gone")
    (sessions / MINE / "work/0").symlink_to("/tmp")
    worker = session(ready=False)
    kind, text = worker.next_frame()
    assert kind == FAILED_FRAME and text.startswith(b"workspace: "), text
    worker.end()


# … and without a mount namespace


@pytest.mark.skipif(not HAS_LANDLOCK, reason="this kernel has no Landlock")
def test_a_worker_without_a_cell_reaches_only_its_home(make_zygote, sessions):
    """By Landlock alone: all homes belong to one user, as a plain user's do."""
    for path in (sessions, *sessions.parents[:2]):
        path.chmod(0o711)
    home, other = sessions / MINE, sessions / OTHER
    (home / "tmp").mkdir(mode=0o700)
    if IS_ROOT:
        for path in (home, other):
            for one in (path, *path.rglob("*")):
                os.chown(one, WORKER_UID, WORKER_GID)
    worker = make_zygote().spawn(REHEARSE | SESSION, taken=layers("no_new_privs", "capabilities", "landlock", "seccomp",
                                                                  *(("uid",) if IS_ROOT else ())),
                                 uid=WORKER_UID if IS_ROOT else None, directory=str(home))
    assert value_of(worker, "import os, tempfile\nopen('from-inside', 'w').write('x')\nimport package\n"
                            "[os.getcwd(), os.environ['HOME'], tempfile.gettempdir(), package.x]") \
        == [f"{home}/work/0", f"{home}/work/0", f"{home}/tmp", 1]
    refused = value_of(worker, f"""
home, other = {str(home)!r}, {str(other)!r}
attempts = [
    lambda: os.listdir(home), lambda: os.listdir(os.path.dirname(home)), lambda: os.listdir("../.."),
    lambda: os.listdir(other), lambda: open(other + "/work/0/from-outside"), lambda: open("../../../{OTHER}/work/0/from-outside"),
    lambda: open(home + "/0.session"), lambda: open("../../0.session", "a"), lambda: open("../../1.session", "w"),
    lambda: os.unlink("../../0.session"), lambda: os.rename("../../0.session", "x"), lambda: os.rename("../../work", "../../w"),
    lambda: os.link("../../0.session", "x"), lambda: os.mkdir("../../../zzzzzzzzzzzzzzzz"), lambda: os.mkdir("../../packages/1"),
    lambda: open("../../packages/0/package.py", "a"), lambda: open("../../packages/0/new.py", "w"),
    lambda: os.link("../../packages/0/package.py", "x"), lambda: os.rename("../../packages/0/package.py", "x"),
    lambda: os.truncate("../../packages/0/package.py", 0) if {libc.syscall(444, None, 0, 1)} >= 3 else open("/root/x"),
    lambda: os.symlink(other, "link") or os.listdir("link"), lambda: os.listdir(os.path.dirname(home) + "/trash"),
]
worked = []
for number, attempt in enumerate(attempts):
    try:
        attempt()
    except OSError:
        continue
    worked.append(number)
worked
""")
    assert refused == []
    worker.end()
    assert sorted(os.listdir(sessions)) == sorted([MINE, OTHER, "trash"]) and os.listdir(other / "work/0") == ["from-outside"]


# What cannot be


@pytest.mark.parametrize("name", [b"iiiijjjjkkkkllll", b"../sessions", b"..", b".", b"/", b"a/b", b"trash/..", b"AAAABBBBCCCCDDDD",
                                  b"x" * 23, MINE.encode() + b"/work"])
def test_homes_that_are_none(housed, name):
    maker, _ = housed
    report = maker.failure(home=name)
    assert report.text
    maker.cell(home=OTHER.encode())


def test_a_name_without_an_end_is_no_command(housed):
    maker, _ = housed
    maker.ask(home=b"x" * 24)
    assert maker.receive() is None


def test_a_link_is_no_home(housed, sessions):
    maker, _ = housed
    (sessions / "mmmmnnnnoooopppp").mkdir()
    (sessions / "mmmmnnnnoooopppp/work").symlink_to(f"../{OTHER}/work")
    (sessions / "mmmmnnnnoooopppp/packages").mkdir()
    assert maker.failure(home=b"mmmmnnnnoooopppp").text


def test_a_maker_without_homes(make_maker):
    maker = make_maker()
    assert "home" in maker.failure(home=MINE.encode()).text
    assert maker.cell().run(lambda: os.listdir("/packages")) == []


def test_homes_that_are_no_folder(make_maker):
    for arguments, keywords in [((), {"homes": "/etc/hostname"}), (("--homes", "4000"), {})]:
        report = make_maker(*arguments, **keywords, start=False).receive()
        assert report.kind == FAILED and "the homes of sessions" in report.text


def test_root_without_the_right_to_mount(make_maker, sessions):
    """As in a container with its usual capabilities."""
    if not IS_ROOT or not user_namespaces_work():
        pytest.skip("needs root, and user namespaces")
    maker = make_maker(homes=sessions, mask=(*ALL, "userns"), wrapper=WITHOUT_MOUNT_RIGHTS)
    assert maker.ready.layers & layers("userns")
    cell = maker.cell(home=MINE.encode())
    cell.run(lambda: Path("/work/0/file").write_text("x"))
    assert (sessions / MINE / "work/0/file").stat().st_uid == WORKER_UID
    assert cell.run(lambda: refusal(os.mkdir, "/packages/new"), drop=False) == "EROFS"
    assert cell.run(lambda: search_for(OTHER), drop=False) == []
