"""Several clients that work off one list of runs, and keep count of what they were told."""

import json
import queue
import random
import threading
from collections import Counter

from harness.aftermath import strict_json
from kinds import LEAVE_AFTER_OUTPUT, LEAVE_AT_ONCE, STREAM, WHOLE, problem_with

# A client that has been told so much nonsense need not go on.
PROBLEMS = 5
ANSWER_SECONDS = 90


class Client(threading.Thread):
    """One connection after the other, each for some requests; keeps what was wrong instead of raising it."""

    def __init__(self, server, todo, seed):
        super().__init__(daemon=True)
        self.server, self.todo, self.random = server, todo, random.Random(seed)
        self.counts, self.problems = Counter(), []
        self.connection = None

    def run(self):
        try:
            while len(self.problems) < PROBLEMS:
                self.one(self.todo.get_nowait())
        except queue.Empty:
            pass
        self.hang_up()

    def one(self, kind):
        ways = {WHOLE: self.whole, STREAM: self.stream, LEAVE_AT_ONCE: self.leave_at_once,
                LEAVE_AFTER_OUTPUT: self.leave_after_output}
        try:
            code, answer = ways[kind.sent](kind)
        except Exception as problem:
            self.counts[kind.group, kind.name, type(problem).__name__] += 1
            self.problems.append(f"{kind.group}, {kind.name}: {problem!r}")
            self.hang_up()
            return
        self.counts[kind.group, kind.name, answer["status"] if code == 200 else str(code)] += 1
        wrong = f"HTTP status {code}" if code != 200 else None if answer["status"] == "gone" else problem_with(kind, answer)
        if wrong:
            self.problems.append(f"{kind.group}, {kind.name}: {wrong} is not right: {str(answer)[:1500]}")

    def ask(self, kind, headers=None):
        if self.connection is None or self.random.randrange(20) == 0:
            self.hang_up()
            self.connection = self.server.client(ANSWER_SECONDS)
        self.connection.request("POST", "/v1/execute", json.dumps(kind.request).encode(), headers or {})
        return self.connection.getresponse()

    def hang_up(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def whole(self, kind):
        response = self.ask(kind)
        return response.status, strict_json(response.read())

    def stream(self, kind):
        response = self.ask(kind, {"Accept": "text/event-stream"})
        body = response.read().decode()
        if response.status != 200:
            return response.status, body
        events = [dict(line.split(": ", 1) for line in event.split("\n")) for event in body.split("\n\n")[:-1]
                  if not event.startswith(":")]
        answer = json.loads(events[-1]["data"])
        answer["stdout"] = "".join(json.loads(event["data"])["text"] for event in events if event["event"] == "stdout")
        return 200, answer

    def leave_at_once(self, kind):
        body = json.dumps(kind.request).encode()
        with self.server.connect() as connection:
            connection.sendall(b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        return 200, {"status": "gone"}

    def leave_after_output(self, kind):
        """Its run is certainly under way when the connection is closed."""
        response = self.ask(kind, {"Accept": "text/event-stream"})
        while response.status == 200:
            line = response.readline()
            assert line, "the stream ended before any output"
            if line.startswith(b"event: stdout"):
                break
        # Both of them, or the socket stays open.
        response.close()
        self.hang_up()
        return response.status, {"status": "gone"}


def work_off(server, plan, n_clients, seed, seconds):
    """Returns the counts {(group, kind, status): runs}; fails when any answer was wrong."""
    todo = queue.SimpleQueue()
    for kind in plan:
        todo.put(kind)
    clients = [Client(server, todo, seed + number) for number in range(n_clients)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(seconds)
        assert not client.is_alive(), f"a client hangs, or it takes too long; {todo.qsize()} runs are not begun"
    told = sum((client.counts for client in clients), Counter())
    problems = [problem for client in clients for problem in client.problems]
    assert not problems, "\n".join([table(told), *problems])
    return told


def table(counts):
    """As text: a line for each kind."""
    kinds = {}
    for (group, name, status), n in counts.items():
        kinds.setdefault((group, name), {})[status] = n
    lines = [f"{group:11} {name:24} {sum(by.values()):6}  " + ", ".join(f"{status} {n}" for status, n in sorted(by.items()))
             for (group, name), by in kinds.items()]
    by_status = Counter()
    for (_, _, status), n in counts.items():
        by_status[status] += n
    total = f"{'all':36} {sum(counts.values()):6}  " + ", ".join(f"{status} {n}" for status, n in by_status.most_common())
    return "\n".join([*sorted(lines), total])
