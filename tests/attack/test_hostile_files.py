"""Files that are no plain files, have odd names, or are too many: nothing is followed, and the answer stays an answer."""

import base64
import os
import threading

import pytest

from harness.isolation import has_cells, layers_on
from hostile import attack

DISK = {"disk_mb": 8}


def files_of(run):
    return {file["path"]: file for file in run["files"]}


def content_of(file):
    return base64.b64decode(file["content_base64"])


SPECIAL = {
    "symlink": "os.symlink('/etc/passwd', 'out')",
    "symlink to a file of its own": "open('real', 'w').write('root:x'); os.symlink('real', 'out')",
    "dangling symlink": "os.symlink('/nonexistent', 'out')",
    "link to itself": "os.symlink('out', 'out')",
    "fifo": "os.mkfifo('out')",
    "socket": "import socket; s = socket.socket(socket.AF_UNIX); s.bind('out')",
    "hard link": "open('first', 'w').write('root:x'); os.link('first', 'out')",
    "unreadable": "open('out', 'w').write('root:x'); os.chmod('out', 0)",
}


@pytest.mark.parametrize("name", SPECIAL)
def test_what_is_no_plain_file_is_told_and_not_read(server, name):
    run = attack(server, "import os\n" + SPECIAL[name], {"ok", "error"}, collect=["out"])
    if run["status"] == "error":
        # What cannot be made cannot be read: sockets are refused.
        assert name == "socket" and run["error"]["type"] in ("OSError", "PermissionError") and not run["files"], run["error"]
        return
    file = files_of(run)["out"]
    if name == "unreadable" and (os.geteuid() == 0 or not layers_on(server) & {"uid", "mountns"}):
        # Root may read it; and where a run has the server's id and sees its files, chmod does nothing. It is the run's own file.
        assert file.get("content_base64") is None or content_of(file) == b"root:x"
        return
    assert file.get("content_base64") is None and file["skipped"], file


def test_a_plain_file_is_read(server):
    """The control."""
    run = attack(server, "open('out', 'w').write('root:x')", "ok", collect=["out"])
    assert content_of(files_of(run)["out"]) == b"root:x"


def test_a_folder_that_is_a_link_is_not_entered(server):
    run = attack(server, "import os; os.symlink('/etc', 'out')", "ok", collect=["out/*", "**/passwd", "**"])
    assert not [file for file in run["files"] if file.get("content_base64")], run["files"]


def test_a_file_of_somebody_else_cannot_be_linked_in(server):
    """Hard links to what one does not own are refused by the kernel, or told by the number of links."""
    run = attack(server, "import os\ntry: os.link('/etc/passwd', 'out')\nexcept OSError as e: print(e.errno)", "ok",
                 collect=["out"])
    assert not [file for file in run["files"] if file.get("content_base64")], run["files"]


@pytest.mark.parametrize("kind, number", [("S_IFCHR", "os.makedev(1, 5)"), ("S_IFBLK", "os.makedev(8, 0)")])
def test_no_device(server, kind, number):
    run = attack(server, f"import os, stat\nos.mknod('out', stat.{kind} | 0o666, {number})", "error", collect=["out"])
    assert run["error"]["type"] == "PermissionError" and run["files"] == []


def test_a_file_that_is_swapped_while_it_is_collected(server):
    """The run's thread goes on until the worker is dead, so the folder may move under the collector."""
    code = """
import os, threading
open("a", "w").write("plain")
os.symlink("/etc/passwd", "b")
def swap():
    while True:
        try: os.rename("a", "out"); os.rename("out", "a"); os.rename("b", "out"); os.rename("out", "b")
        except OSError: pass
for _ in range(2): threading.Thread(target=swap, daemon=True).start()
"""
    for _ in range(15):
        run = attack(server, code, "ok", collect=["**"])
        for file in run["files"]:
            assert file.get("content_base64") is None or content_of(file) == b"plain", file


NAMES = [b"\xff\xfe", b"a\nb", b"-rf", b'q"uote', b"x" * 255, "\u202etxt.exe".encode(), b"...", b" ", b"\x01\x1b[31m",
         b"back\\slash", "e\u0301".encode(), b"\xed\xa0\x80", "\U0001f600".encode(), b"*", b"[a]", b"~", b"$(id)"]


def test_odd_names(server):
    run = attack(server, f"""
import os
for name in {NAMES!r}:
    os.close(os.open(b"./" + name, os.O_CREAT | os.O_WRONLY))
""", "ok", collect=["*"])
    names = set(files_of(run))
    for name in NAMES:
        try:
            assert name.decode() in names, name
        except UnicodeDecodeError:
            pass
    assert len(run["files"]) <= len(NAMES)


def test_too_many_files_to_return(server):
    run = attack(server, "for i in range(1000): open('f%04d' % i, 'w').write('x')", "ok", collect=["*"])
    assert 0 < len(run["files"]) <= 64
    assert run["files_truncated"]


def test_too_much_to_return(server):
    run = attack(server, "for i in range(6): open('f%d' % i, 'wb').truncate(9 << 20)", {"ok", "output_limit"}, collect=["*"],
                 limits={"disk_mb": 64})
    returned = [file for file in run["files"] if file.get("content_base64")]
    assert sum(len(content_of(file)) for file in returned) <= 32 << 20
    assert all(file["size"] == 9 << 20 for file in run["files"])


def test_deep_folders(server):
    """Where disk use is looked at, what is too deep to be looked at counts as too much."""
    run = attack(server, """
import os
for _ in range(500):
    os.mkdir("d"); os.chdir("d")
open("out", "w").write("x")
""", "ok" if has_cells(server) else {"ok", "output_limit"}, collect=["**/out", "**"])
    assert not [file for file in run["files"] if file["path"].endswith("out")]


def test_costly_patterns(server):
    """The time is for making the files, which takes a busy disk long."""
    attack(server, "import os\nfor i in range(2000): open('a' * 200 + str(i), 'w').close()", "ok",
           collect=["*a" * 100 + "b"] * 64, limits={"wall_ms": 60000})


def test_many_small_files_are_gone_afterwards(server):
    attack(server, "for i in range(20000): open('f%d' % i, 'w').close()", {"ok", "error", "output_limit", "timeout"})


def test_folders_closed_to_everybody_are_gone_afterwards(server):
    attack(server, """
import os, tempfile
for top in (".", tempfile.gettempdir()):
    os.makedirs(os.path.join(top, "a/b/c"))
    open(os.path.join(top, "a/b/c/f"), "w").close()
    os.chmod(os.path.join(top, "a/b"), 0)
    os.chmod(os.path.join(top, "a"), 0)
    os.chmod(top, 0)
""", "ok", collect=["**"])


# ── Disk ──


def test_a_file_has_a_largest_size(server):
    run = attack(server, "with open('big', 'wb', 0) as f:\n    while True: f.write(b'x' * (1 << 20))",
                 {"error", "output_limit"}, limits=DISK)
    assert run["status"] == "output_limit" or run["error"]["type"] == "OSError"


def test_many_files_together_have_a_largest_size(server):
    code = "import time\nfor i in range(40): open('f%d' % i, 'wb').write(b'x' * (1 << 20))\ntime.sleep(20)"
    attack(server, code, "output_limit", limits=DISK)
    attack(server, "import os, tempfile\nos.chdir(tempfile.gettempdir())\n" + code, "output_limit", limits=DISK)


def test_less_than_that_is_fine(server):
    """The control."""
    attack(server, "import time\nfor i in range(4): open('f%d' % i, 'wb').write(b'x' * (1 << 20))\ntime.sleep(0.6)", "ok",
           limits=DISK)


def test_a_sparse_file_is_not_larger_than_it_may_be(server):
    run = attack(server, "open('big', 'wb').truncate(1 << 40)", "error", limits=DISK, collect=["*"])
    assert run["error"]["type"] == "OSError"


def test_a_file_without_a_name_has_a_largest_size(server):
    """It is in no folder; its own size is what bounds it, and it is gone with the process."""
    run = attack(server, """
import os
fd = os.open("f", os.O_CREAT | os.O_RDWR); os.unlink("f")
while True: os.write(fd, b"x" * (1 << 20))
""", {"error", "output_limit"}, limits=DISK)
    assert run["status"] == "output_limit" or run["error"]["type"] == "OSError"


# ── What belongs to others ──


@pytest.mark.parametrize("top", ["/", "/etc", "/usr/lib/python3", "/usr/bin", "/var/lib", "/proc", "/sys", "/run", "/root"])
def test_system_folders_cannot_be_written(server, top, own_files):
    run = attack(server, f"open({top!r} + '/hatchery-was-here', 'w')", "error")
    assert run["error"]["type"] in ("PermissionError", "OSError", "FileNotFoundError"), run["error"]
    assert not os.path.exists(top + "/hatchery-was-here")


def test_python_itself_cannot_be_changed(server, own_files):
    """A module, compiled or not, that a run leaves beside those of the system would be run by the next."""
    run = attack(server, """
import os, sys, sysconfig
for top in {*sys.path, sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), os.path.dirname(os.__file__),
            os.path.dirname(__import__("numpy").__file__), sys.prefix, "/usr/local/lib/python3.11/dist-packages"}:
    for name in ("hatchery.pth", "usercustomize.py", "__pycache__/os.cpython-311.pyc", "json.py"):
        path = os.path.join(top, name)
        if os.path.isdir(top):
            try: open(path, "a"); print("OPENED", path)
            except OSError: pass
print("done")
""", "ok")
    assert run["stdout"] == "done\n"


def test_what_the_system_shares_can_be_locked_and_nobody_waits(server):
    """Locks on files that all may read are not kept from a run; nothing of ours waits for one."""
    hold = """
import fcntl, glob, time
files = [open(name) for pattern in ("/usr/lib/python3*/[a-z]*.py", "/usr/lib/python3/dist-packages/numpy/*.py")
         for name in glob.glob(pattern)][:150]
for file in files:
    try: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError: pass
print(len(files) > 100, flush=True)
time.sleep(2)
"""
    holder = threading.Thread(target=attack, args=(server, hold, "ok"))
    holder.start()
    for _ in range(6):
        assert attack(server, "import os, json, colorsys, wave, numpy\nprint(1)", "ok")["stdout"] == "1\n"
    holder.join(60)


@pytest.mark.parametrize("code", ["import shutil, os\nprint(shutil.disk_usage('.').total <= 1 << 30)",
                                  "import os\nprint(os.statvfs('.').f_files < 10**6)"])
def test_the_workspace_is_no_disk_of_the_host(server, code):
    if "mountns" not in layers_on(server):
        pytest.skip("workspaces are folders on the host's disk here")
    assert attack(server, code, "ok")["stdout"] == "True\n"


def test_the_disk_is_free_again_for_the_next(server):
    """Also where the run before has hidden what it wrote. On a disk that is not its own, nothing but time ends that."""
    more = {"wall_ms": 10000} if has_cells(server) else {"wall_ms": 1000}
    for _ in range(8):
        attack(server, """
import os
kept = []
try:
    while True:
        kept.append(os.open("f", os.O_CREAT | os.O_RDWR)); os.unlink("f")
        for _ in range(4): os.write(kept[-1], bytes(1 << 20))
except OSError: pass
""", {"ok", "output_limit", "memory_limit", "error"} | (set() if has_cells(server) else {"timeout"}), limits={"disk_mb": 8, **more})
        run = attack(server, "open('f', 'wb').write(bytes(6 << 20))", "ok", limits={"disk_mb": 8}, collect=["f"])
        assert run["files"][0]["size"] == 6 << 20
