"""Three hundred runs of every kind, and the server holds what it held before."""

import json
import random
import threading

import pytest

from faults import BARE
from harness.aftermath import at_rest, counters, mounts, strict_json, template

RUNS = 300
CLIENTS = 4
# What the C library's heap may grow by without anything being lost.
DRIFT_KB = 6 << 10

KINDS = [
    ({"code": "print(1 + 1)"}, "ok"),
    ({"code": "[][1]"}, "error"),
    ({"code": "import sys; sys.exit(3)"}, "exit"),
    ({"code": "import os; os._exit(0)"}, "exit"),
    ({"code": "import os; os.kill(os.getpid(), 9)"}, "crashed"),
    ({"code": "while True: pass", "limits": {"wall_ms": 50}}, "timeout"),
    ({"code": "x = bytearray(1 << 36)"}, "error"),
    ({"code": "print('z' * 300000)", "limits": {"output_bytes": 1000}}, "ok"),
    ({"code": "print('z' * 300000)", "limits": {"output_bytes": 1000}, "output_overrun": "kill"}, "output_limit"),
    ({"code": "import os\nos.makedirs('a/b')\nopen('a/b/c', 'w').write('x' * 10000)", "collect": ["**"]}, "ok"),
    ({"code": "print(open('f').read())", "files": [{"path": "f", "content": "y" * 50000}], "stdin": "x" * 100000}, "ok"),
    ({"code": "display(1); {'a': [1, 2]}", "data": {"k": list(range(1000))}, "variables": True}, "ok"),
    ({"code": "import os; os.write(251, b'x' * 100)"}, "crashed"),
    ({"code": "import threading, time\nfor _ in range(4): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()"}, "ok"),
]


class Client(threading.Thread):
    def __init__(self, server, seed, runs):
        super().__init__(daemon=True)
        self.server, self.random, self.left = server, random.Random(seed), runs
        self.problems = []

    def run(self):
        try:
            while self.left > 0:
                connection = self.server.client()
                for _ in range(min(self.left, self.random.randrange(1, 20))):
                    request, status = self.random.choice(KINDS)
                    connection.request("POST", "/v1/execute", json.dumps(request))
                    answer = connection.getresponse()
                    run = strict_json(answer.read())
                    self.left -= 1
                    if answer.status != 200 or run["status"] != status:
                        self.problems.append(f"{request}: {answer.status} {str(run)[:500]}")
                connection.close()
                self.hang_up()
        except Exception as problem:
            self.problems.append(repr(problem))

    def hang_up(self):
        body = json.dumps({"code": "import time; time.sleep(5)"}).encode()
        with self.server.connect() as connection:
            connection.sendall(b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def mix(server, runs, seed):
    clients = [Client(server, seed + number, runs // CLIENTS) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(100)
        assert not client.is_alive(), f"a client hangs; the log:\n{server.log_tail()}"
    problems = [problem for client in clients for problem in client.problems]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("options", [(), ("--subprocesses",), ("--recycle", "reset")], ids=["fresh", "subprocesses", "reset"])
def test_nothing_grows(make_server, options):
    server = make_server(*BARE, *options, "--no-access-log")
    # What is allocated once, on first use, is no leak.
    mix(server, 150, 1)
    before, zygote = at_rest(server), template(server)
    mix(server, RUNS, 1000)
    after, now = at_rest(server), template(server)
    assert (after.fds, after.children, after.zombies, after.work_entries, mounts(server)) == \
        (before.fds, before.children, 0, before.work_entries, []), f"{before} → {after}"
    assert after.rss_kb < before.rss_kb + DRIFT_KB, f"{before} → {after}"
    assert (now["zygote_pid"], now["restarts"]) == (zygote["zygote_pid"], 0)
    assert (counters(server)["runs"]["lost"], counters(server)["quarantined"]) == (0, 0)
