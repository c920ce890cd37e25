"""kill -9 and SIGSTOP of workers and zygotes: a worker's run says that it crashed, everything else goes on."""

import os
import random
import signal
import threading

import pytest

from faults import BARE, Under, idle_pids, keepers, kill, kill_and_wait, kill_zygote, let_go, makers, nothing_lost, replaced, \
    start_held, start_marked
from harness import proc
from harness.aftermath import at_rest, counters, template, unharmed
from harness.hatchery import eventually


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGABRT])
def test_a_busy_worker(server, number):
    with unharmed(server):
        (under,), (pid,) = start_marked(server, 1, 60)
        os.kill(pid, number)
        run = under.result()
        assert (run["status"], run["signal"], run["stdout"]) == ("crashed", number, "before\n")
        assert signal.Signals(number).name in run["error"]["message"]


def test_every_busy_worker_at_once(server):
    with unharmed(server):
        under, pids = start_marked(server, 3, 60)
        waiting = [Under(server, f"print({number})") for number in range(6)]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert [one.result()["signal"] for one in under] == [9] * 3
        assert [one.result()["stdout"] for one in waiting] == [f"{number}\n" for number in range(6)]


def test_an_idle_worker(server):
    with unharmed(server) as neighbour:
        with neighbour.between:
            kill_and_wait([random.choice(idle_pids(server))])
        for number in range(8):
            assert server.run(f"print({number})")["stdout"] == f"{number}\n"


def test_every_idle_worker_at_once(server):
    """Runs may be given to the dead before anybody has noticed: they go to others, and nobody is told."""
    for _ in range(5):
        with unharmed(server, witness=False):
            kill_and_wait(idle_pids(server))
            under = [Under(server, f"print({number})") for number in range(8)]
            assert [one.result()["stdout"] for one in under] == [f"{number}\n" for number in range(8)]


def test_an_idle_worker_that_hangs(server):
    """It is given a run and says nothing: the run's own clock ends it, and the slot is filled again."""
    with unharmed(server) as neighbour:
        with neighbour.between:
            pids = idle_pids(server)
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            # One that is only about to stop may still take a request.
            eventually(lambda: all(proc.state(pid) == "T" for pid in pids), 10, "they have stopped")
        run = server.run("print(1)", limits={"wall_ms": 300})
        # One that is just coming up may take it instead.
        assert run["status"] in ("timeout", "ok")
        for pid in pids:
            if pid in server.children():
                kill(pid)


def test_a_storm_of_kills(server):
    """Workers and keepers of cells die at every moment of their lives: each answer is right, or says that its worker
    was killed."""
    over = threading.Event()
    zygote = server.zygote_pid()
    spared = [zygote, *makers(server)]
    killed = []

    def storm():
        while not over.is_set():
            kin = [pid for pid in proc.children(server.pid) if pid not in spared]
            if kin:
                pid = random.choice(kin)
                try:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
                except ProcessLookupError:
                    pass
            over.wait(0.005)

    thread = threading.Thread(target=storm, daemon=True)
    thread.start()
    try:
        for number in range(100):
            run = server.run(f"print({number})")
            if (run["status"], run["stdout"]) != ("ok", f"{number}\n"):
                assert (run["status"], run["signal"]) == ("crashed", 9), run
    finally:
        over.set()
        thread.join()
    assert killed and template(server)["zygote_pid"] == zygote
    at_rest(server)
    assert nothing_lost(server)


# ── Cells ──


def test_every_keeper_at_once(server):
    """Their workers die with them; runs go to the next ones."""
    if not keepers(server):
        pytest.skip("no cells here")
    for _ in range(3):
        with unharmed(server, witness=False):
            pids = idle_pids(server)
            before = keepers(server)
            kill_and_wait(before)
            eventually(lambda: all(proc.state(pid) in (None, "Z", "X") for pid in pids), 10, "their workers are dead")
            under = [Under(server, f"print({number})") for number in range(8)]
            assert [one.result()["stdout"] for one in under] == [f"{number}\n" for number in range(8)]
            at_rest(server)
            assert not set(before) & set(keepers(server))


def test_a_maker_of_cells_under_load(make_server):
    """It is replaced together with its zygote; runs in flight go on in the cells that it has made."""
    server = make_server(*BARE)
    at_rest(server)
    if not makers(server):
        pytest.skip("no cells here")
    under, pids = start_held(server, 4)
    before = template(server)
    os.kill(makers(server)[0], signal.SIGKILL)
    waiting = [Under(server, f"print({n})") for n in range(12)]
    eventually(lambda: template(server)["queued"] == 12, 10, "all wait")
    let_go(pids)
    assert [one.result()["stdout"] for one in under] == ["before\nafter\n"] * 4
    assert [one.result()["stdout"] for one in waiting] == [f"{n}\n" for n in range(12)]
    now = replaced(server, before)
    assert now["restarts"] == before["restarts"] + 1
    at_rest(server)
    assert nothing_lost(server) and len(makers(server)) == 1


# ── Zygotes ──


def test_an_idle_zygote(make_server):
    server = make_server(*BARE)
    at_rest(server)
    before = kill_zygote(server)
    assert server.run("print(7)")["stdout"] == "7\n"
    now = replaced(server, before)
    assert (now["generation"], now["restarts"]) == (before["generation"] + 1, before["restarts"] + 1)
    for number in range(8):
        assert server.run(f"print({number})")["stdout"] == f"{number}\n"
    assert server.health()["status"] == "healthy" and nothing_lost(server)
    at_rest(server)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_zygote_under_load(make_server, number):
    """Runs in flight are the supervisor's children: they go on; those that wait are served by the next one."""
    server = make_server(*BARE)
    at_rest(server)
    under, pids = start_held(server, 4)
    before = kill_zygote(server, number)
    waiting = [Under(server, f"print({n})") for n in range(12)]
    eventually(lambda: template(server)["queued"] == 12, 10, "all wait")
    let_go(pids)
    assert [one.result()["stdout"] for one in under] == ["before\nafter\n"] * 4
    assert [one.result()["stdout"] for one in waiting] == [f"{n}\n" for n in range(12)]
    now = replaced(server, before)
    assert now["restarts"] == before["restarts"] + 1
    eventually(lambda: proc.state(before["zygote_pid"]) in (None, "Z"), 10, "the old zygote is gone")
    at_rest(server)
    assert nothing_lost(server)


def test_a_zygote_that_hangs_while_nothing_happens(make_server):
    """Nobody needs it, so nobody notices: the next run does, and is served."""
    server = make_server(*BARE)
    at_rest(server)
    before = kill_zygote(server, signal.SIGSTOP)
    for n in range(12):
        assert server.run(f"print({n})")["stdout"] == f"{n}\n"
    assert replaced(server, before)["restarts"] == before["restarts"] + 1
    at_rest(server)
    assert nothing_lost(server)


def test_a_zygote_and_all_of_its_workers(make_server):
    server = make_server(*BARE)
    pids = idle_pids(server)
    before = kill_zygote(server)
    kill_and_wait(pids)
    assert server.run("print(7)")["stdout"] == "7\n"
    replaced(server, before)
    at_rest(server)
    assert nothing_lost(server)


def test_a_zygote_that_dies_again_and_again(make_server):
    server = make_server(*BARE)
    for _ in range(4):
        before = kill_zygote(server)
        assert server.run("print(7)")["stdout"] == "7\n"
        replaced(server, before)
    assert template(server)["restarts"] == 4
    at_rest(server)
    assert nothing_lost(server)


def test_the_next_zygote_dies_while_it_starts(make_server, tmp_path):
    """A reload whose zygote is killed before it is ready: the old one goes on serving until one comes up."""
    prelude, slow, started = tmp_path / "prelude.py", tmp_path / "slow", tmp_path / "started"
    prelude.write_text(f"""
import os, time
if os.path.exists({str(slow)!r}):
    open({str(started)!r} + ".new", "w").write(str(os.getpid()))
    os.rename({str(started)!r} + ".new", {str(started)!r})
    time.sleep(60)
""")
    server = make_server(*BARE, "--prelude", prelude)
    at_rest(server)
    before = template(server)
    slow.touch()
    server.process.send_signal(signal.SIGHUP)
    eventually(started.exists, 10, "the next zygote starts")
    assert server.run("print(7)")["stdout"] == "7\n"
    slow.unlink()
    os.kill(int(started.read_text()), signal.SIGKILL)
    for n in range(8):
        assert server.run(f"print({n})")["stdout"] == f"{n}\n"
    now = replaced(server, {"generation": before["generation"] + 1})
    assert now["restarts"] == before["restarts"], "the one that served never died"
    at_rest(server)
    assert counters(server)["runs"]["lost"] == 0
