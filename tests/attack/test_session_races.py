"""Everything that can be asked of sessions, in no order, from many connections at once, while their code does what it likes with
its process. No answer is a failure of the server, no output is another run's, nobody waits for ever, and nothing is left."""

import json
import os
import random
import re
import threading
import time

import pytest

from harness.aftermath import children_at_rest, quiet_snapshot, template
from harness.hatchery import eventually

CLIENTS, STEPS = 8, 60
NAMES = [f"raced-{number}" for number in range(5)]
# As long as any answer may take on a machine that is busy with other things; a limit of a run is two seconds.
PATIENCE = 60

CODES = [
    "print('{mark}')", "x = '{mark}'\nprint(x)", "import time\ntime.sleep(0.1)\nprint('{mark}')", "print('{mark}' * 20000)",
    "import os\nos._exit(0)", "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", "import sys\nsys.exit(3)", "while True: pass",
    "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass", "import signal\nsignal.alarm(1)\nprint('{mark}')",
    "import threading, time\ndef talk():\n    while True:\n        print('from a thread')\n        time.sleep(0.001)\n"
    "threading.Thread(target=talk, daemon=True).start()\nprint('{mark}')",
    "import os\nfor fd in range(3, 1024):\n    try: os.close(fd)\n    except OSError: pass\nprint('{mark}')",
    "import os\nfor fd in range(3, 1024):\n    try: os.write(fd, b'x' * 100)\n    except OSError: pass\nprint('{mark}')",
    "import os\nfor fd in range(3): os.close(fd)", "import os\nos.chmod('.', 0)\nprint('{mark}')",
    "import threading\nwhile True:\n    try: threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    "    except RuntimeError: break\nprint('{mark}')",
    "import os\nos.register_at_fork(after_in_child=lambda: os._exit(0))\nprint('{mark}')",
    "import os\nos.register_at_fork(after_in_parent=lambda: os._exit(0))\nprint('{mark}')",
    "import os, signal\nos.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGSTOP))\nprint('{mark}')",
    "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\nprint('{mark}')",
]

# Of each: what may be answered.
ALLOWED = {"make": {201, 409, 503}, "run": {200, 404, 429}, "stream": {200, 404, 429}, "end": {204, 404}, "reset": {200, 404},
           "interrupt": {200, 404}, "fork": {201, 404, 409, 503}, "look": {200, 404}, "notebook": {200, 404}, "list": {200, 404},
           "put": {201, 204, 404, 409, 413}, "remove": {204, 404}, "hang up": set(), "cut": set()}
WEIGHTS = [12, 30, 4, 7, 6, 8, 12, 4, 2, 2, 4, 2, 5, 3]


class Client(threading.Thread):
    def __init__(self, server, number, seed):
        super().__init__(daemon=True)
        self.server, self.number, self.random = server, number, random.Random(f"{seed} {number}")
        self.problems = []
        self.start()

    def request(self, step, path, mark):
        code = self.random.choice(CODES).replace("{mark}", mark)
        execute = {"code": code, "on_timeout": self.random.choice(["kill", "interrupt"])}
        limits = {"wall_ms": self.random.choice([300, 2000])}
        other = self.random.choice(NAMES)
        return {"make": ("POST", "/v1/sessions", {"id": path.rsplit("/")[-1], "limits": limits, "idle_ms": self.random.choice([1, 60, 60000, 60000])}),
                "run": ("POST", f"{path}/execute", execute), "stream": ("POST", f"{path}/execute", execute), "end": ("DELETE", path, None),
                "reset": ("POST", f"{path}/reset", {"keep_files": self.random.random() < 0.5}),
                "interrupt": ("POST", f"{path}/interrupt", {"kill_after_ms": self.random.choice([0, 1, 100, 1000])}),
                "fork": ("POST", f"{path}/fork", {"id": other}), "look": ("GET", path, None), "notebook": ("GET", f"{path}/notebook", None),
                "list": ("GET", f"{path}/files", None), "put": ("PUT", f"{path}/files/a/b", os.urandom(self.random.choice([0, 9, 100000, 400000]))),
                "remove": ("DELETE", f"{path}/files/a?recursive=1", None)}[step]

    def leave(self, step, path, mark):
        body = json.dumps({"code": self.random.choice(CODES).replace("{mark}", mark)}).encode()
        what = f"POST {path}/{self.random.choice(['execute', 'fork', 'reset', 'interrupt'])}" if step == "hang up" else f"PUT {path}/files/cut"
        size = len(body) if step == "hang up" else 1_000_000
        with self.server.connect() as connection:
            connection.sendall(f"{what} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode() + (body if step == "hang up" else bytes(300_000)))

    def step(self, number):
        step = self.random.choices(list(ALLOWED), WEIGHTS)[0]
        path, mark = f"/v1/sessions/{self.random.choice(NAMES)}", f"<{self.number}-{number}>"
        if not ALLOWED[step]:
            return self.leave(step, path, mark)
        method, target, body = self.request(step, path, mark)
        headers = {"Accept": "text/event-stream"} if step == "stream" else {}
        began = time.monotonic()
        answer = self.server.request(method, target, body, headers)
        assert answer.status in ALLOWED[step], (step, answer)
        assert answer.status != 503 or int(answer.headers["retry-after"]) >= 1, (step, answer)
        assert time.monotonic() - began < PATIENCE, (step, answer)
        if answer.status == 200 and step in ("run", "stream"):
            marks = set(re.findall(r"<\d+-\d+>", answer.body.decode().replace("\\u003c", "<").replace("\\u003e", ">")))
            assert marks <= {mark}, (mark, marks)

    def run(self):
        try:
            for number in range(STEPS):
                self.step(number)
        except BaseException as problem:
            self.problems.append(repr(problem)[:2000])


@pytest.mark.timeout(240)
@pytest.mark.parametrize("arguments", [("--sessions", "24"), ("--sessions", "3", "--evict-sessions")], ids=["room for all", "room for few"])
def test_everything_at_once(make_server, arguments):
    server = make_server("--imports", "", "--isolation", "best-effort", "--session-queue", "3", "--interrupt-grace-ms", "300",
                         "--no-access-log", *arguments)
    homes = server.state / "sessions"

    def at_rest():
        state = template(server)
        return state["idle"] == state["workers"] and server.health()["pool"]["counters"]["sessions"] == 0 and \
            len(server.children()) == children_at_rest(server) and os.listdir(homes) == ["trash"] and not os.listdir(homes / "trash")

    eventually(at_rest, 30, lambda: (template(server), os.listdir(homes)))
    before = quiet_snapshot(server)
    seed = random.randrange(1 << 30)
    clients = [Client(server, number, seed) for number in range(CLIENTS)]
    for client in clients:
        client.join(200)
    assert not any(client.is_alive() for client in clients), f"seed {seed}: somebody waits for ever"
    assert not any(client.problems for client in clients), (seed, [client.problems for client in clients])
    for name in NAMES:
        assert server.request("DELETE", f"/v1/sessions/{name}").status in (204, 404)
    eventually(at_rest, 30, lambda: (seed, template(server), server.children(), os.listdir(homes)))
    after = quiet_snapshot(server)
    assert (after.zombies, after.work_entries) == (0, before.work_entries), (seed, before, after)
    # None where they are closed to us: harness/proc.py.
    assert before.fds is None or after.fds <= before.fds + 4, (seed, before, after)
    counters = server.health()["pool"]["counters"]
    assert (counters["quarantined"], counters["runs"]["lost"]) == (0, 0), (seed, counters)
