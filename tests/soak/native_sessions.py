"""What clients do with sessions of /v1/sessions, each step held against the model of the session."""

import json
import time
from collections import Counter

from harness.hatchery import eventually
from harness.services import multipart
from harness.sessions import Background, Streamed
from native_session import SECONDS, Native
from remembered import DEAF, EXIT, FILLERS, HOARD, PROBE, SEGFAULT, SLEEP, VIOLATION, Gone, Model, install_into

MOST = 5  # sessions of one client


def create(client, random, **fields):
    if random.randrange(2):
        fields["id"] = client.fresh_id()
    while True:
        answer = client.server.post("/v1/sessions", fields, timeout=SECONDS)
        if answer.status != 503:
            break
        # Every session is busy at this moment, and none can make room.
        assert answer.headers["Retry-After"], answer
        client.account.add("refused")
        time.sleep(0.2)
    assert answer.status == 201, answer
    session = Native(client.server, answer.json()["id"], Model(client.account, fields.get("forget", False)))
    client.native.append(session)
    return session


def send_and_leave(server, path, document):
    body = json.dumps(document)
    with server.connect() as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    time.sleep(0.3)


def end(client, session):
    assert session.there(session.end(), 204)
    client.native.remove(session)
    client.ended.append(session.id)
    client.account.add("ended")


# ── Steps; each takes (client, session, random) ──


def new(client, session, random):
    create(client, random, **random.choice([{}, {}, {}, {"forget": True}, {"limits": {"memory_mb": 200}}]))


def short_lived(client, session, random):
    """It ends by itself when nobody has used it for a while: a later step of this client sees whether it has."""
    brief = create(client, random, idle_ms=5000)
    client.native.remove(brief)
    client.expiring.append(brief)
    try:
        brief.probe("kept_brief = 1", {"kept_brief": 1}, limits={"wall_ms": 20000})
    except Gone:  # already, on a machine as busy as that: has_expired() accounts for it
        pass


def has_expired(client, session, random):
    if client.expiring:
        brief = client.expiring.pop(0)
        eventually(lambda: client.server.get(brief.path).status == 404, 30, "a session that nobody uses ends")
        client.account.add("gone")


def set_variables(client, session, random):
    name = f"kept_{random.randrange(6)}"
    value = random.choice([random.randrange(1 << 60), "text " * random.randrange(20), [random.random()], None])
    session.probe(f"{name} = {value!r}", {name: value})


def set_by_data(client, session, random):
    value = {"a": [random.randrange(100), None, "ü"]}
    session.probe("", {"kept_data": value}, data={"kept_data": value})


def use_variables(client, session, random):
    """What an earlier run has left is what a later one computes with."""
    number = session.model.variables.get("kept_count", 0)
    session.probe("kept_count = globals().get('kept_count', 0) + 1", {"kept_count": number + 1})


def start_a_thread(client, session, random):
    session.probe("import threading, time\nthreading.Thread(target=time.sleep, args=(3600,), daemon=True).start()")
    session.model.threads += not session.model.forgets


def write_file(client, session, random):
    path, content = session.model.fresh("file"), session.model.content(random)
    session.model.files["folder/" + path] = content
    line = content[:content.find(10) + 1]
    session.probe(f"import os\nos.makedirs('folder', exist_ok=True)\n"
                  f"with open('folder/{path}', 'wb') as f: f.write({line!r} * {content.count(10)})")


def remove_file(client, session, random):
    if session.model.files:
        path = random.choice(sorted(session.model.files))
        if random.randrange(2):
            session.there(client.server.request("DELETE", f"{session.path}/files/{path}"), 204)
            del session.model.files[path]
        else:
            del session.model.files[path]
            session.probe(f"import os; os.remove({path!r})")


def upload(client, session, random):
    model, content = session.model, session.model.content(random)
    path = random.choice([*sorted(model.files), *[model.fresh("upload") for _ in range(3)]])
    session.there(client.server.request("PUT", f"{session.path}/files/{path}", content), 204 if path in model.files else 201, 200)
    model.files[path] = content


def upload_form(client, session, random):
    files = {session.model.fresh("form"): session.model.content(random) for _ in range(3)}
    content_type, body = multipart({}, [("any", name, content) for name, content in files.items()])
    answer = session.there(client.server.post(session.path + "/files", body, {"Content-Type": content_type}), 200, 201)
    assert [one["path"] for one in answer.json()["files"]] == list(files), answer
    session.model.files.update(files)


def upload_cut_off(client, session, random):
    """Nothing of it may appear."""
    with client.server.connect() as connection:
        connection.sendall(f"PUT {session.path}/files/half HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n".encode() + b"x" * 100000)


def download(client, session, random):
    for path, content in sorted(session.model.files.items())[:3]:
        assert session.there(client.server.get(f"{session.path}/files/{path}")).body == content, path
    session.there(client.server.get(f"{session.path}/files/none"), 404)


def list_files(client, session, random):
    answer = session.there(client.server.get(session.path + "/files"))
    files = {one["path"]: one["size"] for one in answer.json()["files"] if one["type"] == "file"}
    assert files == {path: len(content) for path, content in session.model.files.items()}, (files, session.model.files.keys())


def list_sessions(client, session, random):
    ids, after = [], ""
    while after is not None:
        answer = client.server.get("/v1/sessions?limit=7" + (f"&after={after}" if after else ""))
        if answer.status == 422 and after:  # the one that the page ended with has gone meanwhile
            return
        assert answer.status == 200, answer
        ids += [one["id"] for one in answer.json()["sessions"]]
        after = answer.json()["next"]
    assert max(Counter(ids).values(), default=1) == 1, ids
    mine = {one.id for one in [*client.native, *client.expiring]}
    assert not [id for id in client.ended if id in ids and id not in mine], (client.ended, ids)


def inspect(client, session, random):
    told = session.inspect()
    assert told["runs"] == session.runs, (told, session.runs)
    assert bool(told["lost"]) == session.model.lost, told
    assert told["forked_from"] == session.forked_from, told
    packages = session.there(client.server.get(session.path + "/packages")).json()["packages"]
    assert {one["name"]: one["version"] for one in packages} == session.model.packages, packages


def notebook(client, session, random):
    session.await_rest()
    answer = session.there(client.server.get(session.path + "/notebook"))
    cells = [cell["execution_count"] for cell in answer.json()["cells"] if cell["cell_type"] == "code"]
    assert cells == session.cells, (cells, session.cells)


def install(client, session, random):
    wanted = random.choice([["cup==1.0"], ["cup"], ["cup==2.0", "tea"], ["tea"], *([name] for name in FILLERS)])
    answer = session.there(client.server.post(session.path + "/packages", {"packages": wanted}, timeout=150)).json()
    installed, already = install_into(session.model, wanted)
    assert {one["name"]: one["version"] for one in answer["installed"]} == installed, (wanted, answer)
    assert {one["name"]: one["version"] for one in answer["already"]} == already, (wanted, answer)
    session.probe()


def stream(client, session, random):
    def streamed(*_):
        return Streamed(session, f"print('so far', flush=True)\nkept_stream = 1\n{PROBE}")

    run = session.started({}, streamed=streamed)
    done = run.ended()
    session.check(done, {"ok"}, {"kept_stream": 1}, said="".join(data["text"] for name, data in run.events if name == "stdout"))


def raises(client, session, random):
    code, status, variable = random.choice([("kept_e = 1\n[][1]", "error", {"kept_e": 1}), ("def f(:", "error", None),
                                            ("kept_x = 2\nimport sys; sys.exit(3)", "exit", {"kept_x": 2})])
    session.check(session.run(code), {status}, variable)


def ends_its_process(client, session, random):
    code, status = random.choice([(EXIT, "exit"), (SEGFAULT, "crashed"), (VIOLATION, "violation")])
    session.check(session.run("kept_lost = 1\n" + code), {status}, is_lost=True)


def takes_too_much_memory(client, session, random):
    answer = session.run(HOARD, limits={"memory_mb": 48})
    session.check(answer, {"memory_limit", "error"}, is_lost=answer["status"] == "memory_limit")
    assert answer["error"]["type"] in ("MemoryLimit", "MemoryError"), answer


def takes_too_much_processor(client, session, random):
    session.check(session.run("while True: pass", limits={"cpu_ms": 100}), {"cpu_limit"}, is_lost=True)


def times_out(client, session, random):
    session.check(session.run(SLEEP, limits={"wall_ms": 200}), {"timeout"}, is_lost=True)


def times_out_gently(client, session, random):
    session.check(session.run(SLEEP, limits={"wall_ms": 200}, on_timeout="interrupt"), {"timeout"})


def interrupt(client, session, random):
    variables = {"kept_i": random.randrange(1000)}
    session.stopped(session.started(variables), variables)


def interrupt_nothing(client, session, random):
    session.await_rest()
    answer = session.there(session.post("interrupt", {})).json()
    assert not answer["interrupted"] and not answer["lost"], answer


def interrupt_in_vain(client, session, random):
    run = session.started({}, streamed=lambda *_: Streamed(session, DEAF).await_output("deaf"))
    answer = session.interrupt(kill_after_ms=100)
    assert answer["interrupted"] and answer["lost"], answer
    session.check(run.ended(), {"cancelled"}, is_lost=True)


def queue(client, session, random):
    run, waiting = session.started({}), []
    for number in range(3):
        code = f"kept_order = globals().get('kept_order', []) + [{number}]"
        waiting.append(Background(session.run, code))
        eventually(lambda: session.inspect()["queued"] == number + 1, 20, "it waits")
    session.stopped(run, {})
    order = session.model.variables.get("kept_order", [])
    for number, one in enumerate(waiting):
        order = [*order, number]
        session.check(one.ended(), {"ok"}, {"kept_order": order})


def hang_up(client, session, random):
    variables = {"kept_h": random.randrange(1000)}
    session.started(variables).close()
    session.begins({"run": session.runs + 1, "began_anew": session.model.lost})
    session.model.variables.update(variables)
    session.model.after()


def hang_up_at_once(client, session, random):
    """Whether it is begun at all depends; it is not seen to come, so there is nothing to wait for but time."""
    if session.model.lost:
        return  # whether it has been told so would not be known
    send_and_leave(client.server, session.path + "/execute", {"code": SLEEP})
    told = session.inspect()
    assert session.runs <= told["runs"] <= session.runs + 1, (told, session.runs)
    session.runs = told["runs"]
    session.model.after()


def hang_up_waiting(client, session, random):
    run, connection = session.started({}), client.server.client()
    connection.request("POST", session.path + "/execute", json.dumps({"code": "kept_never = 1"}))
    eventually(lambda: session.inspect()["queued"] == 1, 20, "it waits")
    connection.close()
    eventually(lambda: session.inspect()["queued"] == 0, 20, "it waits no more")
    session.stopped(run, {})


def reset(client, session, random):
    keeps = random.randrange(3) > 0
    session.await_rest()  # a run that goes on may still be counted
    session.there(session.post("reset", {"keep_files": keeps}))
    session.model.new_interpreter()
    if not keeps:
        session.model.empty()
        session.cells.clear()


def reset_busy(client, session, random):
    run = session.started({})
    waiting = Background(session.run, PROBE)
    eventually(lambda: session.inspect()["queued"] == 1, 20, "it waits")
    session.there(session.post("reset", {}))
    session.check(run.ended(), {"cancelled"})
    session.model.new_interpreter()
    answer = waiting.ended()
    session.check(answer, {"ok"}, said=answer["stdout"])


def fork(client, session, random):
    session.await_rest()
    if session.model.lost:
        session.there(session.post("fork", {}), 409)
        return
    before = session.inspect()["state"]
    answer = session.post("fork", {"id": client.fresh_id()} if random.randrange(2) else {})
    if session.model.forgets and answer.status == 409:
        return  # its next interpreter is being made
    told = session.there(answer, 201).json()
    assert told["forked_from"] == session.id and before != "lost", told
    assert told["not_copied"] == {"threads": session.model.threads, "sockets": 0, "open_files": 0}, told
    copy = Native(client.server, told["id"], session.model.copied())
    copy.forked_from, copy.cells, copy.runs = session.id, list(session.cells), told["runs"]
    client.native.append(copy)
    copy.probe()


def delete(client, session, random):
    end(client, session)
    assert client.server.get(session.path).status == 404


def delete_busy(client, session, random):
    run = session.started({})
    waiting = Background(session.execute, PROBE)
    eventually(lambda: session.inspect()["queued"] == 1, 20, "it waits")
    end(client, session)
    assert run.ended()["status"] == "cancelled"
    assert waiting.ended().json()["status"] == "cancelled"


# Of each: how often, about, among all steps.
STEPS = {
    new: 20, short_lived: 6, has_expired: 6, set_variables: 60, set_by_data: 20, use_variables: 50, start_a_thread: 8,
    write_file: 30, remove_file: 20, upload: 30, upload_form: 12, upload_cut_off: 6, download: 25, list_files: 20,
    list_sessions: 10, inspect: 25, notebook: 20, install: 10, stream: 25, raises: 25, ends_its_process: 20,
    takes_too_much_memory: 6, takes_too_much_processor: 6, times_out: 10, times_out_gently: 10, interrupt: 15,
    interrupt_nothing: 6, interrupt_in_vain: 8, queue: 8, hang_up: 12, hang_up_at_once: 12, hang_up_waiting: 8, reset: 20,
    reset_busy: 8, fork: 30, delete: 12, delete_busy: 8,
}
# Those that need no session of before.
ALONE = {new, short_lived, has_expired, list_sessions}
