"""kill -9 of everything that a session is made of, and of the server: files stay, neighbours live, nothing is left behind."""

import os
import signal
import threading

import pytest

from faults import BARE, keepers, kill_and_wait, kill_zygote, makers, replaced
from harness import proc
from harness.aftermath import children_at_rest, counters, mounts, quiet_snapshot, template
from harness.hatchery import eventually
from harness.isolation import NAMESPACES, OF_CELLS, layers_on, makes_copies
from harness.own_sessions import OwnSession, all_ended
from harness.sessions import begun


@pytest.fixture
def bare(make_server):
    return make_server(*BARE, "--session-spares", "2")


def lost_and_found(session, code="print(open('kept').read())", said="file\n"):
    """The next run gets a new interpreter, says so once, and has the files."""
    run = session.run(code)
    assert (run["status"], run["stdout"]) == ("ok", said), run
    assert run["session"]["began_anew"], run
    assert session.run("1")["session"]["began_anew"] is None


def test_its_process(server):
    with OwnSession(server) as session, OwnSession(server) as other:
        other.ok("x = 'other'")
        session.ok("x = 1; open('kept', 'w').write('file')")
        kill_and_wait([session.pid()])
        eventually(lambda: session.inspect()["state"] == "lost", 20, "the loss is noticed")
        assert "x" not in session.run("print('x' in globals())")["stderr"]
        assert other.ok("print(x)") == "other\n"
    with OwnSession(server) as session:
        session.ok("open('kept', 'w').write('file')")
        kill_and_wait([session.pid()])
        lost_and_found(session)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_its_process_in_a_run(server, number):
    with OwnSession(server) as session:
        session.ok("open('kept', 'w').write('file')")
        pid = session.pid()
        run = begun(session, "import time; time.sleep(60)")
        os.kill(pid, number)
        done = run.ended()
        assert (done["status"], done["signal"]) == ("crashed", number), done
        assert done["session"]["state"] == "lost" and done["session"]["lost"]
        lost_and_found(session)


def test_its_keeper(server):
    if not keepers(server):
        pytest.skip("no cells here")
    with OwnSession(server) as session:
        session.ok("open('kept', 'w').write('file')")
        kill_and_wait(keepers(server))
        lost_and_found(session)


def test_a_zygote_and_its_maker(bare):
    """Live sessions go on without the zygote they came from; so do those that are made after it has been replaced."""
    with OwnSession(bare) as session:
        session.ok("x = 'alive'; open('kept', 'w').write('file')")
        replaced(bare, kill_zygote(bare))
        assert session.ok("print(x)") == "alive\n"
        if makers(bare):
            kill_and_wait(makers(bare))
        with OwnSession(bare) as other:
            assert other.ok("print('new')") == "new\n"
        assert session.ok("print(x)") == "alive\n"
        # It needs a new cell, of the new maker.
        session.reset()
        assert session.ok("print('x' in globals(), open('kept').read())") == "False file\n"


def test_sighup(bare):
    with OwnSession(bare) as session:
        session.ok("x = 'alive'")
        before = bare.health()["pool"]["templates"][0]
        bare.process.send_signal(signal.SIGHUP)
        replaced(bare, before)
        assert session.ok("print(x)") == "alive\n"
        with OwnSession(bare) as other:
            assert other.ok("print(1)") == "1\n"


def restart(server, how):
    descendants = proc.descendants(server.pid)
    if how == "kill":
        server.kill()
    else:
        server.stop()
    eventually(lambda: not [pid for pid, start in descendants.items() if proc.is_same_alive(pid, start)], 10, "nobody is left")
    left = [line for line in open("/proc/self/mountinfo") if str(server.work.parent) in line]
    assert left == []
    server.start()


@pytest.mark.parametrize("layers", [(), ("--isolation", "best-effort", "--layers-off", ",".join(sorted(NAMESPACES)))], ids=["as it is", "without cells"])
def test_copies_end_with_the_server(make_server, layers):
    """Also where no process of theirs ends with another one, and in the middle of their runs."""
    server = make_server(*BARE, *layers)
    if not makes_copies(server):
        pytest.skip("no process can be copied here")
    with OwnSession(server) as source:
        source.ok("x = 1")
        copy = source.copy()
        second = copy.copy()
        processes = {one.pid() for one in (source, copy, second)}
        run = begun(second, "while True: pass")
        assert processes <= set(proc.descendants(server.pid)), "they are what restart() waits for"
        restart(server, "kill")
        run.close()
        assert all(one.inspect()["state"] == "lost" for one in (source, copy, second))
        copy.end()
        second.end()


def test_who_was_ended_before_the_server_stays_so(bare):
    """Though its folders stay for as long as there is a copy in its cell, and the server has no time for anything."""
    if not makes_copies(bare):
        pytest.skip("no process can be copied here")
    with OwnSession(bare) as source:
        source.ok("x = 1")
        copy = source.copy()
    restart(bare, "kill")
    assert [one["id"] for one in bare.get("/v1/sessions").json()["sessions"]] == [copy.id]
    copy.end()


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_the_server(bare, how):
    """Files, notebook, and the session itself survive; its variables do not, and the next answer says so."""
    session = OwnSession(bare)
    session.ok("x = 1; open('kept', 'w').write('file'); print('remembered')")
    assert session.put("deep/er/up", b"loaded").status == 201
    with_own_id = OwnSession(bare, "ended-before")
    with_own_id.end()
    restart(bare, how)
    assert [one["id"] for one in bare.get("/v1/sessions").json()["sessions"]] == [session.id]
    assert session.inspect()["state"] == "lost" and session.inspect()["runs"] == 1
    assert session.get("deep/er/up").body == b"loaded"
    notebook = bare.get(session.path + "/notebook").json()
    assert "".join(notebook["cells"][0]["outputs"][0]["text"]) == "remembered\n"
    lost_and_found(session)
    assert session.run("x")["status"] == "error"
    session.end()
    eventually(lambda: not any((home / "work" / "0" / "kept").exists() for home in (bare.state / "sessions").iterdir()), 10,
               "the files are removed")


def test_the_server_in_the_middle_of_everything(bare):
    """Killed while sessions are made, run, copied and ended, five times: it starts again each time, and what it then says
    is there can be used."""
    over = threading.Event()

    def churn(number):
        serial = 0
        while not over.is_set():
            serial += 1
            name = f"churn-{number}-{serial}"
            try:
                bare.post("/v1/sessions", {"id": name})
                bare.post(f"/v1/sessions/{name}/execute", {"code": "open('f', 'w').write('x' * 10000)"})
                bare.post(f"/v1/sessions/{name}/fork", {"id": f"{name}-copy"})
                if serial % 2:
                    bare.request("DELETE", f"/v1/sessions/{name}")
                    bare.request("DELETE", f"/v1/sessions/{name}-copy")
            except OSError:
                return
            except Exception:
                if not over.is_set() and bare.is_alive():
                    raise

    for _ in range(5):
        threads = [threading.Thread(target=churn, args=(number,), daemon=True) for number in range(3)]
        for thread in threads:
            thread.start()
        eventually(lambda: bare.health()["pool"]["counters"]["sessions_made"] > 6, 30, "sessions are made")
        restart(bare, "kill")
        over.set()
        for thread in threads:
            thread.join(30)
        over.clear()
        for one in bare.get("/v1/sessions").json()["sessions"]:
            answer = bare.post(f"/v1/sessions/{one['id']}/execute", {"code": "print(1)"})
            assert (answer.status, answer.json()["stdout"]) == (200, "1\n"), answer
            assert bare.request("DELETE", f"/v1/sessions/{one['id']}").status == 204
        all_ended(bare)
    eventually(lambda: len(list((bare.state / "sessions").glob("[!.]*"))) <= 4, 10,
               lambda: f"homes of nobody are removed: {os.listdir(bare.state / 'sessions')}")


def test_stale_ones_are_gone_after_a_restart(make_server):
    server = make_server(*BARE, "--session-idle-ms", "600000")
    session = OwnSession(server)
    session.ok("open('kept', 'w').write('x')")
    server.kill()
    home = list((server.state / "sessions").glob("*/work/*/kept"))
    assert len(home) == 1
    record = next(home[0].parents[2].glob("*.session"))
    long_ago = record.stat().st_mtime - 3600
    os.utime(record, (long_ago, long_ago))
    server.start()
    assert server.get("/v1/sessions").json()["sessions"] == []
    eventually(lambda: not home[0].exists(), 10, "its files are removed")


GARBAGE = {
    "empty record": lambda home: next(home.glob("*.session")).write_bytes(b""),
    "binary record": lambda home: next(home.glob("*.session")).write_bytes(os.urandom(500)),
    "record of zeros": lambda home: next(home.glob("*.session")).write_bytes(bytes(500)),
    "cut record": lambda home: os.truncate(next(home.glob("*.session")), 20),
    "no workspace": lambda home: (home / "work").rename(home / "gone"),
    "link for a workspace": lambda home: ((home / "work").rename(home / "gone"), (home / "work").symlink_to("/etc")),
    "a file": lambda home: (home.parent / "ABCDEFGHIJKLMNOP").write_bytes(b"x"),
    "a strange folder": lambda home: (home.parent / "strange").mkdir(),
}


def test_a_record_that_was_being_written(bare):
    """It takes the old one's place when it is complete, so the old one holds."""
    session = OwnSession(bare)
    session.ok("open('kept', 'w').write('file')")
    bare.kill()
    record = next((bare.state / "sessions").glob("*/0.session"))
    record.with_name(record.name + ".new").write_bytes(record.read_bytes()[:20])
    bare.start()
    assert [one["id"] for one in bare.get("/v1/sessions").json()["sessions"]] == [session.id]
    lost_and_found(session)
    session.end()


@pytest.mark.parametrize("spoil", GARBAGE.values(), ids=GARBAGE.keys())
def test_what_is_garbled_on_disk_does_not_keep_it_from_starting(bare, spoil):
    session, other = OwnSession(bare), OwnSession(bare)
    session.ok("open('kept', 'w').write('file')")
    other.ok("open('other', 'w').write('file')")
    bare.kill()
    homes = [path.parents[2] for path in (bare.state / "sessions").glob("*/work/*/kept")]
    assert len(homes) == 1
    spoil(homes[0])
    bare.start()
    assert other.id in [one["id"] for one in bare.get("/v1/sessions").json()["sessions"]]
    lost_and_found(other, "print(open('other').read())")
    assert os.path.exists("/etc/hostname")


@pytest.mark.timeout(200)
def test_nothing_grows(make_server):
    """Two hundred sessions of every fate, and the server holds what it held after the first ones."""
    server = make_server(*BARE, "--session-spares", "2", "--no-access-log", "--session-idle-ms", "300000")

    def fates(count):
        for number in range(count):
            session = OwnSession(server)
            session.run("x = bytearray(1 << 20); open('f', 'w').write('y' * 5000)")
            kind = number % 5
            if kind == 0:
                session.run("import os; os._exit(3)")
            elif kind == 1:
                session.reset()
            elif kind == 2:
                answer = server.post(session.path + "/fork", {"id": f"{session.id}-copy"})
                if answer.status == 201:
                    assert server.request("DELETE", session.path + "-copy").status == 204
            elif kind == 3:
                session.run("while True: pass", limits={"wall_ms": 50})
            session.end()

    def rest():
        """All workers and spares are there, and what has ended is gone, on disk too."""
        all_ended(server)
        last = []

        def at_rest():
            state = template(server)
            last[:] = quiet_snapshot(server), state
            return state["session_spares"] == 2 and last[0].zombies == 0 and \
                last[0].children == children_at_rest(server) + 2 * children_of_a_spare and \
                len(list(homes.glob("*/work"))) == 2 and not list((homes / "trash").iterdir()) and last[0]

        return eventually(at_rest, 20, lambda: last)

    # The worker, and the keeper of its cell.
    children_of_a_spare = 1 + bool(layers_on(server) & OF_CELLS)
    homes = server.state / "sessions"

    fates(40)
    before = rest()
    fates(200)
    after = rest()
    assert (after.fds, after.children, after.zombies, mounts(server)) == (before.fds, before.children, 0, []), f"{before} → {after}"
    assert after.rss_kb < before.rss_kb + (6 << 10), f"{before} → {after}"
    assert counters(server)["quarantined"] == 0 and counters(server)["sessions"] == 0
