"""Many minutes of a mix of good, bad and rude runs: every answer is right, and nothing grows.

SOAK_SECONDS sets how long (600).
"""

import json
import os
import random
import threading
import time

import pytest

from harness.hatchery import eventually

SECONDS = float(os.environ.get("SOAK_SECONDS", 600))
CLIENTS = 6

PANDAS = """
import pandas as pd
df = pd.DataFrame({"k": ["a", "b"] * 50, "v": range(100)})
print(int(df.groupby("k")["v"].sum()["b"]))
"""

# Each: the request, the statuses that are right, and the output that must be there.
KINDS = [
    (20, {"code": "print(1 + 1)"}, {"ok"}, "2\n"),
    (8, {"code": PANDAS}, {"ok"}, "2500\n"),
    (4, {"code": "print('x'); [][1]"}, {"error"}, "x\n"),
    (3, {"code": "import sys; print('bye'); sys.exit(3)"}, {"exit"}, "bye\n"),
    (2, {"code": "import os; print('gone', flush=True); os._exit(0)"}, {"exit", "crashed"}, "gone\n"),
    (2, {"code": "import os, signal; print('k', flush=True); os.kill(os.getpid(), 9)"}, {"crashed", "violation"}, None),
    (2, {"code": "import ctypes; ctypes.string_at(0)"}, {"crashed"}, ""),
    (2, {"code": "print('a', flush=True)\nwhile True: pass", "limits": {"wall_ms": 200}}, {"timeout", "cpu_limit"}, "a\n"),
    (2, {"code": "x = bytearray(1 << 34)", "limits": {"memory_mb": 128}}, {"error", "memory_limit"}, None),
    (2, {"code": "open('f', 'w').write('y' * 1000); print(len(open('f').read()))"}, {"ok"}, "1000\n"),
    (1, {"code": "print('z' * 3_000_000)"}, {"ok"}, None),
    (1, {"code": "import threading\nfor _ in range(8): threading.Thread(target=print).start()"}, {"ok"}, None),
]
HANG_UP = 2


class Client(threading.Thread):
    """One connection after the other, each for some requests; keeps what was wrong instead of raising it."""

    def __init__(self, server, seed, until):
        super().__init__(daemon=True)
        self.server, self.random, self.until = server, random.Random(seed), until
        self.runs, self.problems = 0, []

    def run(self):
        while time.monotonic() < self.until and len(self.problems) < 5:
            try:
                if self.random.randrange(30) < HANG_UP:
                    self.hang_up()
                else:
                    self.converse()
            except Exception as problem:
                self.problems.append(repr(problem))

    def hang_up(self):
        """Leaves while its run is under way."""
        body = json.dumps({"code": "import time; time.sleep(5)"}).encode()
        with self.server.connect() as connection:
            connection.sendall(b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    def converse(self):
        connection = self.server.client()
        for _ in range(self.random.randrange(1, 30)):
            _, request, statuses, stdout = self.random.choices(KINDS, [kind[0] for kind in KINDS])[0]
            connection.request("POST", "/v1/execute", json.dumps(request).encode())
            response = connection.getresponse()
            answer = json.loads(response.read())
            self.runs += 1
            if response.status != 200 or answer["status"] not in statuses or stdout not in (None, answer["stdout"]):
                self.problems.append(f"{request}: {response.status} {str(answer)[:600]}")
        connection.close()


def mix(server, seconds, seed):
    clients = [Client(server, seed + number, time.monotonic() + seconds) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(seconds + 90)
        assert not client.is_alive(), f"a client hangs; the log:\n{server.log_tail()}"
    problems = [problem for client in clients for problem in client.problems]
    assert not problems, "\n".join(problems)
    return sum(client.runs for client in clients)


def at_rest(server):
    """What it holds once no run is under way and every spare is made."""
    last = []

    def steady():
        last.append(server.snapshot())
        time.sleep(0.5)
        return len(last) > 4 and len({(one.fds, one.children, one.zombies, one.work_entries) for one in last[-4:]}) == 1

    eventually(steady, 60, f"the pool comes to rest: {last[-4:]}")
    return last[-1]


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 600)
def test_nothing_grows(make_server):
    server = make_server("--no-access-log")
    mix(server, min(60, SECONDS / 4), 1)
    before = at_rest(server)
    runs = mix(server, SECONDS, 1000)
    after = at_rest(server)
    print(f"{runs} runs; {before} → {after}")
    assert after.zombies == 0
    assert (after.fds, after.children, after.work_entries, after.mounts) == \
        (before.fds, before.children, before.work_entries, before.mounts)
    assert after.rss_kb - before.rss_kb < 8192, f"{before} → {after} in {runs} runs"
