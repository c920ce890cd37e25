"""What copies of one session may do to each other and to the one they came from; and that nobody copies itself."""

import pytest

from harness.hatchery import eventually
from harness.isolation import NAMESPACES, layers_on, makes_copies
from harness.own_sessions import OwnSession


@pytest.fixture
def source(server):
    if not makes_copies(server):
        pytest.skip("no process can be copied here")
    with OwnSession(server) as source:
        source.ok("secret = 'of the source'\nopen('kept', 'w').write('file of the source')")
        yield source


def test_where_nothing_keeps_them_apart_there_are_none(make_server):
    server = make_server("--imports", "", "--isolation", "best-effort", "--layers-off", "landlock")
    with OwnSession(server) as session:
        session.ok("x = 1")
        answer = session.post("fork", {})
        assert answer.status == 409 and "this machine does not allow it" in answer.json()["detail"], answer
        assert session.ok("print(x)") == "1\n"


READ_ALL = """
import os
found = []
for number in range(12):
    for top in (f"/work/{number}", f"/work/{number}+/tmp", f"/work/{number}+", "/tmp", f"/packages/{number}"):
        for name in ("kept", "of-copy", "planted"):
            try:
                found.append((top, open(f"{top}/{name}").read()))
            except OSError:
                pass
        try:
            open(f"{top}/planted", "w").write("by another")
            found.append((top, "written"))
        except OSError:
            pass
own = os.getcwd()
# The folder of its own copies is open to it; as root it is the server's, and cannot be written.
print([one for one in found if one[0] not in (own, own + "+", os.environ["TMPDIR"])])
"""


def test_copies_do_not_see_each_other(source):
    with source.copy() as one, source.copy() as other:
        one.ok("open('of-copy', 'w').write('file of one')")
        other.ok("open('of-copy', 'w').write('file of other')")
        assert one.ok(READ_ALL) == "[]\n"
        assert other.ok(READ_ALL) == "[]\n"
        assert one.ok("print(open('kept').read(), open('of-copy').read())") == "file of the source file of one\n"


ATTRIBUTES = """
import os
for path in ("/work/0", "/work/0/kept", "/work/0/of-source"):
    for change in (lambda: os.chmod(path, 0), lambda: os.utime(path, (1, 1)), lambda: os.truncate(path, 0), lambda: os.remove(path),
                   lambda: os.rename(path, path + "x"), lambda: os.link(path, "linked"), lambda: os.chmod(path, 0, dir_fd=os.open("/", os.O_PATH))):
        try:
            change()
        except OSError:
            pass
"""


OWN_ATTRIBUTES = """
import os
with open("own", "w") as file:
    file.write("x" * 10)
    file.flush()
    os.fchmod(file.fileno(), 0o640)
    os.utime(file.fileno(), (5, 5))
status = os.stat("own")
print(oct(status.st_mode & 0o777), status.st_mtime)
import shutil
shutil.copy2("own", "second")
"""


def test_copies_do_not_change_what_is_not_theirs(server, source):
    """Nor its modes and times; and neither does the process that a copy gets in place of one that was lost."""
    source.ok("open('of-source', 'w').write('x' * 100)")
    look = "import os\nprint([(os.stat(p).st_mode & 0o777, int(os.stat(p).st_mtime), os.stat(p).st_size) for p in ('.', 'kept', 'of-source')])"
    before = source.ok(look)
    assert "448" in before
    with source.copy() as copy:
        copy.ok(ATTRIBUTES)
        assert source.ok(look) == before
        copy.run("import os; os._exit(0)")
        assert copy.run(ATTRIBUTES)["status"] == "ok"
        assert source.ok(look) == before
        # Its own, by descriptor; where no run may change modes (interp/confine.c), it may not either.
        assert copy.ok(OWN_ATTRIBUTES) == ("0o640 5.0\n" if layers_on(server) & {"mountns", "uid"} else "0o600 5.0\n")


def test_copies_do_not_signal_anybody(source):
    with source.copy() as one, source.copy() as other:
        one.ok("""
import os, signal
for pid in range(1, 500):
    if pid != os.getpid():
        for number in (signal.SIGKILL, signal.SIGINT, signal.SIGSTOP):
            try:
                os.kill(pid, number)
                print("signalled", pid)
            except OSError:
                pass
""")
        assert source.ok("print(secret)") == other.ok("print(secret)") == "of the source\n"


def test_nobody_copies_itself(source):
    attempts = """
import os, ctypes
libc = ctypes.CDLL(None, use_errno=True)
def attempt(what):
    pid = what()
    if pid == 0:
        os._exit(0)
    return pid
tried = []
for what in (lambda: libc.fork(), lambda: libc.vfork() if False else -1, lambda: libc.syscall(56, 17, 0, 0, 0, 0),
             lambda: libc.syscall(56, 0x8000 | 17, 0, 0, 0, 0), lambda: libc.syscall(57), lambda: libc.syscall(58),
             lambda: libc.syscall(56, 0x8000 | 17 | 0x01000000 | 0x00200000, 0, 0, 0, 0)):
    tried.append(attempt(what))
try:
    os.fork()
    tried.append("forked")
except OSError:
    pass
print([one for one in tried if one != -1])
"""
    assert source.ok(attempts) == "[]\n"
    with source.copy() as copy:
        assert copy.ok(attempts) == "[]\n"


def test_a_thread_that_tries_while_a_copy_is_made(server, source):
    """It may take the one permission that there is, and then the copy is another one; it never gets two."""
    source.ok("""
import threading, ctypes, os
libc = ctypes.CDLL(None)
stop = threading.Event()
def storm():
    while not stop.is_set():
        if libc.syscall(56, 0x8000 | 17 | 0x01000000 | 0x00200000, 0, 0, 0, 0) == 0:
            os._exit(0)
thread = threading.Thread(target=storm, daemon=True)
thread.start()
""")
    before = len(server.children())
    for number in range(5):
        answer = server.post(source.path + "/fork", {"id": f"stormy-{number}"})
        assert answer.status in (201, 409, 503), answer
        if answer.status == 201:
            assert server.request("DELETE", f"/v1/sessions/stormy-{number}").status == 204
    eventually(lambda: len(server.children()) <= before + 2, 30, "nobody more than there may be")
    assert server.run("print(1)")["stdout"] == "1\n"


FILL = """
import os
for number in range(60):
    with open(os.path.join(os.environ["TMPDIR"], str(number)), "wb") as file:
        file.write(b"x" * (1 << 20))
import time
time.sleep(60)
"""


@pytest.mark.parametrize("layers", [(), ("--layers-off", ",".join(sorted(NAMESPACES)))], ids=["as it is", "without cells"])
def test_a_copy_that_fills_its_temporary_folder(make_server, layers):
    """It pays for that itself: neither its source nor another copy does; and its files go with its process."""
    server = make_server("--imports", "", "--session-disk-mb", "16", "--isolation", "best-effort", *layers)
    if not makes_copies(server):
        pytest.skip("no process can be copied here")
    with OwnSession(server) as source:
        source.ok("x = 'of the source'")
        with source.copy() as copy, source.copy() as other, copy.copy() as second:
            run = copy.run(FILL)
            assert run["status"] == "output_limit" and "disk_mb" in run["session"]["lost"], run
            for one in (source, other, second):
                assert one.ok("import time; time.sleep(0.5); print(x)") == "of the source\n"
                assert one.inspect()["disk_bytes"] < 1 << 20
            assert copy.ok("import os; print(os.listdir(os.environ['TMPDIR']))") == "[]\n"
            eventually(lambda: copy.inspect()["disk_bytes"] < 1 << 20, 60, "it has been measured anew")


def test_a_copy_outlives_its_source(server, source):
    copy = source.copy()
    try:
        source.end()
        assert copy.ok("print(secret, open('kept').read())") == "of the source file of the source\n"
        second = copy.copy()
        assert second.ok("print(secret)") == "of the source\n"
        second.end()
    finally:
        copy.end()


def test_random_numbers_of_copies_differ(source):
    source.ok("import random, uuid, secrets, numpy")
    numbers = "print(random.random(), numpy.random.rand(), uuid.uuid4(), uuid.uuid1(), secrets.token_hex(8))"
    with source.copy() as one, source.copy() as other:
        lines = [session.ok(numbers).split() for session in (source, one, other)]
        for column in zip(*lines):
            assert len(set(column)) == 3, column
