"""What one session may see of another one, of its copies, and of the server's records."""

import os

import pytest

from harness.hatchery import eventually
from harness.isolation import layers_on
from harness.own_sessions import OwnSession

SECRET = "canary-of-another-session"

# Every folder and file that can be named from inside, and what is in it.
SEARCH = f"""
import os
found, looked = [], 0
def look(top, depth):
    global looked
    try:
        entries = list(os.scandir(top))
    except OSError:
        return
    for entry in entries:
        looked += 1
        path = entry.path
        if "hatchery" in entry.name or ".session" in entry.name or ".cells" in entry.name:
            found.append(path)
        try:
            if entry.is_dir(follow_symlinks=False):
                if depth < 6 and not path.startswith(("/usr", "/lib", "/bin", "/sbin", "/etc")):
                    look(path, depth + 1)
            elif entry.is_file(follow_symlinks=False) and entry.stat().st_size < 100000 and not path.startswith(("/usr", "/lib", "/etc", "/dev/zero", "/dev/urandom", "/dev/random", "/dev/full")):
                if b"{SECRET}" in open(path, "rb").read():
                    found.append(path)
        except OSError:
            pass
look("/", 0)
look(os.getcwd(), 0)
print(looked, found)
"""


@pytest.fixture
def victim(server):
    with OwnSession(server) as victim:
        victim.ok(f"import os, tempfile\nsecret = {SECRET!r}\nopen('kept', 'w').write(secret)\n"
                  "open(os.path.join(tempfile.gettempdir(), 'kept'), 'w').write(secret)")
        assert victim.put("uploaded", SECRET).status in (201, 204)
        yield victim


@pytest.fixture
def attacker(server):
    with OwnSession(server) as attacker:
        yield attacker


def search(server, session):
    """What has the secret in it. Without a view of its own, a session can list no folder but its own."""
    looked, found = session.ok(SEARCH).split(" ", 1)
    assert int(looked) > (3 if "mountns" in layers_on(server) else 0)
    return found


def test_nothing_of_another_session_can_be_found(server, victim, attacker):
    attacker.ok("open('own', 'w').write('nothing');")
    assert search(server, attacker) == "[]\n"


def test_the_search_finds_what_is_there(server, attacker):
    """Positive control: the same search in the session that has it."""
    attacker.ok(f"open('own', 'w').write({SECRET!r})")
    assert "/own" in search(server, attacker)


PATHS = ["/work/0/kept", "/work/1/kept", "/work/../work/0/kept", "/tmp/kept", "/packages/1", "/packages/../work/0/kept",
         "/proc/1/root/work/0/kept", "/proc/self/root/../work/0/kept", "/dev/shm/../../work/0/kept"]


def test_paths_lead_to_its_own_files_only(server, victim, attacker):
    look = f"""
for path in {PATHS!r}:
    try:
        print(path, {SECRET!r} in open(path).read())
    except OSError as problem:
        pass
"""
    assert "True" not in attacker.ok(look)
    # Positive control: to its owner they lead.
    assert victim.ok(look).count("True") > 1 or "mountns" not in layers_on(server)


@pytest.mark.parametrize("where", ["/etc/passwd", "/proc/self/environ", "../../../../etc/hostname", "/work", "/"])
def test_a_link_that_was_left_is_not_followed(server, attacker, where):
    attacker.ok(f"import os\nos.symlink({where!r}, 'link')\nos.makedirs('folder')\nos.symlink({where!r}, 'folder/link')")
    for path in ("link", "folder/link", "link/passwd", "link/0/kept"):
        answer = attacker.get(path)
        assert answer.status in (403, 404, 409, 422), answer
        assert b"root:" not in answer.body and SECRET.encode() not in answer.body
        written = attacker.put(path, b"overwritten")
        # The link itself may be replaced by a file; what it leads to may not be written.
        assert written.status in (201, 204, 403, 404, 409, 422), written
    assert b"overwritten" not in open("/etc/passwd", "rb").read()


def test_a_link_to_another_home_by_its_true_path(server, victim, attacker):
    """The path on the host, which no snippet can know, given away by the test."""
    homes = [path for path in (server.state / "sessions").glob("*/work/*/kept") if SECRET in path.read_text()]
    assert len(homes) == 1, homes
    target = str(homes[0])
    attacker.ok(f"import os\nos.symlink({target!r}, 'link')\nos.symlink({os.path.dirname(target)!r}, 'folder')")
    assert attacker.run("print(open('link').read())")["status"] == "error"
    for path in ("link", "folder/kept"):
        assert SECRET.encode() not in attacker.get(path).body
    assert victim.ok("print(open('kept').read())") == SECRET + "\n"


@pytest.mark.parametrize("path", ["../kept", "..%2fkept", "%2e%2e/kept", "%2e%2e%2fkept", "a/../../kept", "a/./b", "a//b", "/etc/passwd",
                                  "%2fetc%2fpasswd", "a%00b", "..%5ckept", "a/%2e%2e/%2e%2e/kept", "..%c0%afkept", "%ff", "x" * 2000,
                                  "/".join(["d"] * 100)])
def test_names_in_a_path(attacker, path):
    for method, body in (("GET", None), ("PUT", b"x"), ("DELETE", None)):
        answer = attacker.server.request(method, attacker.path + f"/files/{path}", body)
        # One is a plain name with a backslash in it.
        allowed = (400, 404, 414, 422, 431) if path != "..%5ckept" else (200, 201, 204, 404, 422)
        assert answer.status in allowed, (method, answer)


def test_signals_do_not_leave(server, victim, attacker):
    """Every number that a process could have, from inside."""
    attacker.ok("""
import os, signal
for pid in [-1, 0, 1, *range(2, 400)]:
    if pid in (0, os.getpid()):
        continue
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass
""")
    assert victim.ok("print(secret)") == SECRET + "\n"
    assert attacker.ok("print(1)") == "1\n"


def test_the_server_keeps_its_records_to_itself(server, attacker):
    assert attacker.ok("""
import os
for path in ("/sessions", "/var/lib/hatchery", "/tmp/..", "/work/.."):
    try:
        names = os.listdir(path)
    except OSError:
        continue
    print(path, [name for name in names if ".session" in name or len(name) == 16])
""").replace(" []", "").split() in ([], ["/tmp/..", "/work/.."])


# ── Between runs ──

THREAD = """
import threading, time, sys, os
stop = threading.Event()
def talk():
    while not stop.is_set():
        print("from between")
        sys.stderr.write("and more\\n")
        try:
            display("a display from between")
        except NameError:
            pass
        time.sleep(0.002)
thread = threading.Thread(target=talk, daemon=True)
thread.start()
"""


def test_a_thread_that_talks_between_runs(attacker):
    """What it says while no run is under way is in no answer; what it says during one may be in that one."""
    attacker.run(THREAD)
    for number in range(10):
        run = attacker.run(f"import time; time.sleep(0.01)\nmark = {number}\nmark")
        assert run["status"] == "ok" and run["result"]["text/plain"] == str(number), run
        assert all(isinstance(one, dict) for one in run["displays"])
    attacker.run("stop.set(); thread.join()")
    run = attacker.run("print('alone')")
    assert (run["stdout"], run["stderr"], run["displays"]) == ("alone\n", "", []), run


def test_a_thread_that_fills_its_pipe(attacker):
    attacker.run("import threading\nthread = threading.Thread(target=lambda: print('x' * 1000000), daemon=True)\nthread.start()")
    for _ in range(30):
        run = attacker.run("1 + 1")
        assert run["result"]["text/plain"] == "2"
    assert attacker.ok("thread.join(); print(thread.is_alive(), end='')").endswith("False")


def test_a_frame_between_runs_costs_the_session_only(server, attacker):
    """Its author forges the end of a run that nobody has asked for."""
    attacker.run("""
import threading, time, os
def forge():
    while not os.path.exists("go"):
        time.sleep(0.001)
    for fd in range(3, 256):
        try:
            os.write(fd, b"\\x00" * 64)
        except OSError:
            pass
threading.Thread(target=forge, daemon=True).start()
""")
    assert attacker.inspect()["state"] == "idle"
    assert attacker.put("go", b"").status == 201
    eventually(lambda: attacker.inspect()["state"] == "lost", 30, "the session is given up")
    run = attacker.run("print('new')")
    assert run["stdout"] == "new\n" and "between two runs" in run["session"]["began_anew"], run
    assert server.run("print(1)")["stdout"] == "1\n"


def test_memory_that_grows_between_runs(attacker):
    attacker.run("""
import threading
held = []
def grow():
    while True:
        block = bytearray(1 << 20)
        block[::4096] = b"x" * len(block[::4096])
        held.append(block)
threading.Thread(target=grow, daemon=True).start()
""", limits={"memory_mb": 128})
    # It is stopped by MemoryError or by the server; either way it holds no more than it may, and it answers.
    run = attacker.run("print(sum(map(len, held)) >> 20 if 'held' in globals() else 0)")
    assert run["status"] in ("ok", "error", "memory_limit"), run
    assert attacker.inspect()["memory_kb"] < 700 << 10


TOO_MUCH = {
    "memory_mb": "held = bytearray(200 << 20); held[::4096] = b'x' * len(held[::4096])",
    "disk_mb": "for number in range(40): open(f'f{number}', 'wb').write(b'x' * (1 << 20))",
}


@pytest.mark.parametrize("limit", TOO_MUCH)
def test_what_is_taken_between_runs_costs_the_process(make_server, limit):
    """While nobody runs anything: a thread waits for a sign that comes from outside, takes, and keeps still."""
    server = make_server("--imports", "", "--session-disk-mb", "16", "--isolation", "best-effort")
    with OwnSession(server, limits={"memory_mb": 64}) as session:
        session.ok(f"""
import os, threading, time
def take():
    global held
    while not os.path.exists("go"):
        time.sleep(0.001)
    {TOO_MUCH[limit]}
    threading.Event().wait()
threading.Thread(target=take, daemon=True).start()
""")
        assert session.put("go", b"").status == 201
        eventually(lambda: session.inspect()["state"] == "lost", 60, "it is found out")
        assert limit in session.inspect()["lost"], session.inspect()
        assert session.inspect()["runs"] == 1


def test_a_processor_that_is_burnt_between_runs(make_server):
    server = make_server("--session-cpu-ms", "2000")
    with OwnSession(server) as session:
        session.run("import threading\ndef burn():\n    while True: pass\nthreading.Thread(target=burn, daemon=True).start()")
        eventually(lambda: session.inspect()["state"] == "lost", 60, "its time is over")
        assert "processor time" in session.inspect()["lost"]
