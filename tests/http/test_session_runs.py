"""Runs in a session: their order, what ends them, what is left after that, and what a client is told of it."""

import json
import signal

import pytest

from harness.hatchery import eventually
from harness.sessions import Background, Held, Streamed, begun, made, make
from http_wire import BARE

SLEEP = "import time\ntime.sleep(60)"
LOOP = "while True:\n    pass"
NUMPY = "import numpy as np\na = np.random.rand(300, 300)\nwhile True:\n    a = (a @ a) % 1"
# A run that is interrupted has all the time that it needs.
PATIENT = ("--interrupt-grace-ms", "60000")
STUBBORN = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('deaf', flush=True)\n" + LOOP


# ── What a run is told ──


def test_the_answer_names_its_session(server):
    with made(server) as session:
        first = session.run("1")
        assert first["session"] == {"id": session.id, "run": 1, "state": "idle", "began_anew": None, "lost": None}
        assert session.run("2")["session"]["run"] == 2
        assert "session" not in server.run("1")


def test_all_that_a_run_may_ask_for(server):
    with made(server) as session:
        answer = session.run(
            "import sys, os\nprint(sys.argv[1:], os.environ['UNIT'], sys.stdin.read(), open('in/a').read(), factor)\n"
            "open('out.bin', 'wb').write(b'\\xff');",
            args=["-v"], env={"UNIT": "kg"}, stdin="typed", data={"factor": 2.5},
            files=[{"path": "in/a", "content": "x"}], variables=["factor"], collect=["*.bin"])
        assert answer["stdout"] == "['-v'] kg typed x 2.5\n", answer
        assert answer["variables"] == {"factor": 2.5}
        assert answer["files"] == [{"path": "out.bin", "size": 1, "content_base64": "/w=="}]
        # What belongs to one run is gone with it; what is in its namespace and workspace stays.
        answer = session.run("print(sys.argv[1:], os.environ.get('UNIT'), repr(sys.stdin.read()), open('in/a').read())\n"
                             "factor")
        assert answer["stdout"] == "[] None '' x\n" and answer["result"]["text/plain"] == "2.5"


def test_what_the_program_sets_itself_stays(server):
    with made(server) as session:
        session.ok("import os\nos.environ['MINE'] = 'yes'\nos.mkdir('sub')\nos.chdir('sub')")
        assert session.ok("print(os.environ['MINE'], os.path.basename(os.getcwd()))") == "yes sub\n"


@pytest.mark.parametrize("fields, field", [
    ({"template": "default"}, "template"),
    ({"on_timeout": "ask"}, "on_timeout"),
    ({"on_timeouts": "kill"}, "on_timeouts"),
    ({"limits": {"wall_ms": 2001}}, "limits.wall_ms"),
    ({"limits": {"disk_mb": 9999}}, "limits.disk_mb"),
    ({"id": "a"}, "id"),
])
def test_requests_that_are_wrong(server, fields, field):
    with made(server, limits={"wall_ms": 2000}) as session:
        answer = session.execute("1", **fields)
        assert answer.status == 422 and answer.json()["field"] == field, answer
        assert session.run("1", limits={"wall_ms": 2000})["limits"]["wall_ms"] == 2000
        assert session.run("1")["limits"]["wall_ms"] == 2000
        assert session.inspect()["runs"] == 2


def test_on_timeout_is_for_sessions(server):
    answer = server.post("/v1/execute", {"code": "1", "on_timeout": "interrupt"})
    assert answer.status == 422 and answer.json()["field"] == "on_timeout"


def test_errors_name_the_lines_of_earlier_runs(server):
    with made(server) as session:
        session.ok("def f():\n    raise KeyError('inside')")
        answer = session.run("\n\nf()")
        assert answer["error"]["type"] == "KeyError"
        assert "raise KeyError('inside')" in answer["error"]["traceback"], answer
        assert session.value("1") == "1"


def test_sys_exit_ends_the_run_and_not_the_session(server):
    with made(server) as session:
        session.ok("x = 1")
        answer = session.run("import sys\nsys.exit(3)")
        assert (answer["status"], answer["exit_code"], answer["session"]["lost"]) == ("exit", 3, None)
        assert session.value("x") == "1"


def test_a_session_that_forgets(server):
    with made(server, forget=True) as session:
        session.ok("x = 1\nopen('a', 'w').write('kept');")
        answer = session.run("print(open('a').read())\n'x' in globals()")
        assert (answer["stdout"], answer["result"]["text/plain"]) == ("kept\n", "False")
        assert answer["session"]["began_anew"] is None and answer["session"]["lost"] is None


# ── Order ──


def test_runs_are_serial_and_in_order_of_arrival(server):
    with made(server) as session:
        session.ok("order = []")
        first = Held(session, "order.append(0)")
        runs = []
        for number in range(1, 6):
            runs.append(Background(session.run, f"order.append({number})\ntime.sleep(0.01)"))
            eventually(lambda: session.inspect()["queued"] == number)
        assert session.state() == "busy"
        first.release()
        numbers = [run.ended()["session"]["run"] for run in runs]
        assert first.ended()["session"]["run"] == 2
        assert numbers == [3, 4, 5, 6, 7]
        assert session.value("order") == "[0, 1, 2, 3, 4, 5]"


def test_sessions_do_not_wait_for_one_another(server):
    with made(server) as one, made(server) as other:
        run = begun(one, SLEEP)
        assert other.value("1 + 1") == "2"
        one.interrupt()
        run.ended()


def test_the_queue_of_a_session_is_bounded(make_server):
    server = make_server(*BARE, "--session-queue", "2")
    session, other = make(server), make(server)
    run = begun(session, SLEEP)
    waiting = [Background(session.run, "1") for _ in range(2)]
    eventually(lambda: session.inspect()["queued"] == 2)
    answer = session.execute("1")
    assert answer.status == 429 and int(answer.headers["retry-after"]) >= 1, answer
    answer = server.post(session.path + "/execute", {"code": "1"}, {"Accept": "text/event-stream"})
    assert answer.status == 429, answer
    assert other.value("1") == "1"
    assert session.interrupt(kill_after_ms=20000)["lost"] is False
    run.ended()
    assert [one.ended()["status"] for one in waiting] == ["ok", "ok"]
    assert session.value("1") == "1"


# ── Interrupts ──


@pytest.mark.parametrize("code", [SLEEP, LOOP, NUMPY], ids=["sleep", "loop", "numpy"])
def test_an_interrupt_keeps_the_state(server, code):
    with made(server) as session:
        session.ok("x = 1")
        run = begun(session, code, before="y = 2")
        answer = session.interrupt(kill_after_ms=20000)
        assert (answer["interrupted"], answer["lost"]) == (True, False), answer
        done = run.ended()
        assert (done["status"], done["error"]["type"]) == ("error", "KeyboardInterrupt"), done
        assert done["session"]["lost"] is None
        assert session.value("x, y") == "(1, 2)"


def test_nothing_to_interrupt(server):
    with made(server) as session:
        session.run("1")
        assert session.interrupt() == {"interrupted": False, "lost": False, "state": "idle"}
        session.ok("x = 1")
        assert session.interrupt()["interrupted"] is False
        # It does not hit the next run either.
        assert session.ok("import time\ntime.sleep(0.1)\nprint(x)") == "1\n"
        answer = session.post("interrupt", {"kill_after_ms": -1})
        assert answer.status == 422 and answer.json()["field"] == "kill_after_ms"


def test_who_does_not_listen_is_killed(server):
    with made(server) as session:
        session.ok("x = 1\nopen('kept', 'w').write('here');")
        run = Streamed(session, STUBBORN).await_output("deaf")
        answer = session.interrupt(kill_after_ms=200)
        assert (answer["interrupted"], answer["lost"], answer["state"]) == (True, True, "lost"), answer
        done = run.ended()
        assert done["status"] == "cancelled", done
        assert done["session"]["state"] == "lost" and done["session"]["lost"]
        after = session.run("open('kept').read()")
        assert after["result"]["text/plain"] == "'here'" and after["session"]["began_anew"]


def test_a_handler_of_its_own_decides(server):
    with made(server) as session:
        run = Streamed(session, "import time\ntry:\n    print('begun', flush=True)\n    time.sleep(60)\n"
                                "except KeyboardInterrupt:\n    print('caught')").await_output("begun")
        assert session.interrupt(kill_after_ms=20000)["lost"] is False
        assert run.ended()["status"] == "ok"
        assert "caught" in "".join(data["text"] for name, data in run.events if name == "stdout")


def test_an_interrupt_that_came_too_early_is_sent_again(server):
    """One that comes just before a call that waits is not seen until that returns; here a handler plays that it was not."""
    with made(server) as session:
        run = begun(session, "time.sleep(60)", before="import signal, time\nseen = []\ndef late(*_):\n    seen.append(1)\n"
                    "    if len(seen) == 2:\n        raise KeyboardInterrupt\nsignal.signal(signal.SIGINT, late)")
        assert session.interrupt(kill_after_ms=30000)["lost"] is False
        assert run.ended()["error"]["type"] == "KeyboardInterrupt"
        assert session.value("len(seen) >= 2") == "True"  # a third may come before the answer does


# ── Time ──


def test_a_timeout_that_interrupts_keeps_the_state(make_server):
    server = make_server(*BARE, *PATIENT)
    with made(server) as session:
        session.ok("x = 1")
        answer = session.run(SLEEP, limits={"wall_ms": 200}, on_timeout="interrupt")
        assert (answer["status"], answer["session"]["state"]) == ("timeout", "idle"), answer
        assert answer["session"]["lost"] is None
        assert session.value("x") == "1"


def test_a_timeout_that_interrupts_in_vain_kills(make_server):
    server = make_server(*BARE, "--interrupt-grace-ms", "200")
    session = make(server)
    session.ok("import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN);")
    answer = session.run(LOOP, limits={"wall_ms": 300}, on_timeout="interrupt")
    assert (answer["status"], answer["session"]["state"]) == ("timeout", "lost"), answer


def test_lost_is_told_once_and_files_are_there(server):
    with made(server) as session:
        session.ok("x = 1\nopen('kept', 'w').write('here');")
        answer = session.run(SLEEP, limits={"wall_ms": 200})
        assert (answer["status"], answer["session"]["state"]) == ("timeout", "lost"), answer
        assert answer["session"]["lost"] and answer["session"]["began_anew"] is None
        told = session.inspect()
        assert told["state"] == "lost" and told["lost"] == answer["session"]["lost"]
        answer = session.run("print(open('kept').read())\n'x' in globals()")
        assert (answer["stdout"], answer["result"]["text/plain"]) == ("here\n", "False")
        assert answer["session"]["began_anew"] == told["lost"] and answer["session"]["lost"] is None
        assert session.inspect()["lost"] is None
        assert session.run("1")["session"]["began_anew"] is None


@pytest.mark.parametrize("code, limits, status", [
    ("import os\nos._exit(3)", {}, "exit"),
    ("import os\nos.kill(os.getpid(), 9)", {}, "crashed"),
    ("import ctypes\nctypes.string_at(0)", {}, "crashed"),
    ("x = bytearray(300 << 20)\nfor i in range(0, len(x), 4096):\n    x[i] = 1\nimport time\ntime.sleep(20)",
     {"memory_mb": 100}, "memory_limit"),
    (LOOP, {"cpu_ms": 200}, "cpu_limit"),
    ("for i in range(4):\n    open(str(i), 'wb').write(b'x' * (700 << 10))\nimport time\ntime.sleep(20)",
     {"disk_mb": 1}, "output_limit"),
], ids=["exit", "signal", "segfault", "memory", "cpu", "disk"])
def test_ends_that_take_the_state_with_them(server, code, limits, status):
    with made(server) as session:
        session.ok("x = 1\nopen('kept', 'w').write('here');")
        answer = session.run(code, limits=limits)
        assert (answer["status"], answer["session"]["state"]) == (status, "lost"), answer
        assert answer["session"]["lost"]
        answer = session.run("print(open('kept').read())\n'x' in globals()")
        assert (answer["stdout"], answer["result"]["text/plain"]) == ("here\n", "False")
        assert answer["session"]["began_anew"]


def test_memory_counts_over_its_life(server):
    with made(server, limits={"memory_mb": 120}) as session:
        more = "hold = globals().get('hold', []) + [bytes(50 << 20).replace(b'\\0', b'x')]\nimport time\ntime.sleep(0.3)"
        assert session.run(more)["status"] == "ok"
        answers = [session.run(more) for _ in range(2)]
        assert [answer["status"] for answer in answers].count("memory_limit") >= 1, answers


def test_cpu_time_of_its_life_is_bounded(server):
    with made(server, cpu_ms=500) as session:
        spin = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end:\n    pass"
        answers = [session.run(spin) for _ in range(5)]
        assert any(answer["session"]["lost"] for answer in answers), answers
        assert session.inspect()["cpu_ms"] > 500


def test_threads_between_runs_are_not_without_bound(server):
    with made(server, cpu_ms=1000) as session:
        session.ok("import threading\ndef spin():\n    while True:\n        pass\n"
                   "threading.Thread(target=spin, daemon=True).start()")
        eventually(lambda: session.state() == "lost", 40, "its thread uses up its time")
        assert session.value("1") == "1"


# ── Streams ──


def test_a_stream_says_the_same(server):
    with made(server) as session:
        run = Streamed(session, "import sys\nx = 5\nprint('one')\nprint('two', file=sys.stderr)\nx")
        done = run.ended()
        assert done["session"] == {"id": session.id, "run": 1, "state": "idle", "began_anew": None, "lost": None}
        text = {"stdout": "", "stderr": ""}
        for name, data in run.events:
            if name in text:
                text[name] += data["text"]
        assert text == {"stdout": "one\n", "stderr": "two\n"}
        assert ("result", {"text/plain": "5", "application/json": 5}) in run.events
        assert session.value("x") == "5"
        answer = server.post(session.path + "/execute", {"code": "1", "template": "x"}, {"Accept": "text/event-stream"})
        assert answer.status == 422


def test_output_between_runs_is_dropped(server):
    with made(server) as session:
        session.ok("import threading, time, os\n"
                   "def later():\n"
                   "    while not os.path.exists('go'):\n        time.sleep(0.01)\n"
                   "    print('between')\n    open('said', 'w').close()\n"
                   "threading.Thread(target=later, daemon=True).start()\nhere = os.getcwd()")
        # From outside, while no run is under way.
        (session.folder() / "go").touch()
        eventually((session.folder() / "said").exists, 20, "the thread has printed")
        answer = session.run("print('mine')")
        assert answer["stdout"] == "mine\n", answer


def test_output_of_a_thread_belongs_to_the_run_in_which_it_comes(server):
    with made(server) as session:
        session.ok("import threading\nsay, said = threading.Event(), threading.Event()\n"
                   "def talk():\n    say.wait()\n    print('thread')\n    said.set()\n"
                   "threading.Thread(target=talk, daemon=True).start()")
        assert session.ok("say.set()\nsaid.wait();") == "thread\n"


# ── Clients that go ──


@pytest.mark.parametrize("streams", [False, True])
def test_a_client_that_hangs_up_interrupts_its_run(make_server, streams):
    server = make_server(*BARE, *PATIENT)
    with made(server) as session:
        session.ok("x = 1")
        if streams:
            begun(session, SLEEP, before="y = 2").close()
        else:
            client = server.client()
            client.request("POST", session.path + "/execute", json.dumps({"code": "y = 2\nopen('begun', 'w').close()\n" + SLEEP}))
            eventually((session.folder() / "begun").exists, 20)
            client.close()
        session.await_state("idle")
        assert session.value("x, y") == "(1, 2)"


def test_a_client_that_hangs_up_while_it_waits(server):
    with made(server) as session:
        session.ok("order = []")
        run = Held(session, "order.append('first')")
        client = server.client()
        client.request("POST", session.path + "/execute", json.dumps({"code": "order.append('gone')"}))
        eventually(lambda: session.inspect()["queued"] == 1)
        client.close()
        eventually(lambda: session.inspect()["queued"] == 0, 20)
        assert run.release().ended()["status"] == "ok"
        assert session.value("order") == "['first']"


# ── The server's end ──


def test_a_drain_waits_for_runs_and_keeps_sessions(make_server):
    server = make_server(*BARE)
    session, idle = make(server), make(server)
    idle.ok("x = 1")
    run = Held(session, "print('end')\nopen('kept', 'w').write('here');")
    waiting = Background(session.run, "print(1)")
    eventually(lambda: session.inspect()["queued"] == 1)
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: " draining " in server.log(), 20, "it drains")
    assert run.release().ended()["status"] == "ok"
    assert waiting.ended()["stdout"] == "1\n"
    assert server.wait() == 0
    server.start()
    assert session.value("open('kept').read()") == "'here'"
    assert idle.state() == "lost"
