"""Runs that are under way, and the processes that a fault is brought to."""

import os
import signal
import threading
from pathlib import Path

from harness import proc
from harness.aftermath import at_rest, counters, template
from harness.hatchery import eventually

# Servers of one test import nothing, so that they start at once.
BARE = ("--imports", "")


class Under(threading.Thread):
    """A request under way; answer() waits for what came of it."""

    def __init__(self, server, code, **fields):
        super().__init__(daemon=True)
        self.server, self.body = server, {"code": code, **fields}
        self.response, self.problem = None, None
        self.start()

    def run(self):
        try:
            self.response = self.server.post("/v1/execute", self.body, timeout=90)
        except Exception as problem:
            self.problem = problem

    def answer(self):
        self.join(90)
        assert not self.is_alive(), f"no answer; the log:\n{self.server.log_tail()}"
        if self.problem:
            raise self.problem
        return self.response

    def result(self):
        answer = self.answer()
        assert answer.status == 200, answer
        return answer.json()


def marked(mark, seconds):
    """A program that shows from outside which process runs it."""
    return f"""
import ctypes, time
print("before", flush=True)
ctypes.CDLL(None).prctl(15, b"{mark}")
time.sleep({seconds})
print("after")
"""


def held(mark):
    """The same, which goes on when it is told to: see let_go()."""
    return f"""
import ctypes, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print("before", flush=True)
ctypes.CDLL(None).prctl(15, b"{mark}")
signal.sigwait([signal.SIGUSR1])
print("after")
"""


def let_go(pids):
    for pid in pids:
        os.kill(pid, signal.SIGUSR1)


def marked_pids(server, mark):
    found = []
    for pid in server.children():
        try:
            if Path(f"/proc/{pid}/comm").read_text().strip() == mark:
                found.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def start(server, count, code, mark):
    under = [Under(server, code) for _ in range(count)]
    pids = eventually(lambda: len(marked_pids(server, mark)) == count and marked_pids(server, mark), 20, "the runs began")
    return under, pids


def start_marked(server, count, seconds, mark="busy"):
    """So many runs under way, and the processes that run them."""
    return start(server, count, marked(mark, seconds), mark)


def start_held(server, count, mark="held"):
    """The same, for as long as the test wants: until let_go() of the processes."""
    return start(server, count, held(mark), mark)


def idle_pids(server):
    """When every slot is idle: the workers."""
    at_rest(server)
    return server.workers()


def makers(server):
    """Of the processes of the cells, those that make them: a keeper has taken another name."""
    found = []
    for pid in server.makers_and_keepers():
        try:
            if Path(f"/proc/{pid}/comm").read_text().strip() != "hatchery-cell":
                found.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def keepers(server):
    return [pid for pid in server.makers_and_keepers() if pid not in makers(server)]


def kill(pid):
    """Some may be at their end by themselves, and then they have been waited for at any moment."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def kill_and_wait(pids):
    """Until they are dead: a process that is only about to die may still take a run, which then says that it was killed."""
    for pid in pids:
        kill(pid)
    eventually(lambda: all(proc.state(pid) in (None, "Z", "X") for pid in pids), 10, "they are dead")


def kill_zygote(server, number=signal.SIGKILL):
    state = template(server)
    os.kill(state["zygote_pid"], number)
    return state


def replaced(server, before):
    """Waits until another zygote serves; returns the state."""

    def ready():
        now = template(server)
        return now if now["ready"] and now["generation"] > before["generation"] else None

    return eventually(ready, 30, "a new zygote serves")


def nothing_lost(server):
    now = counters(server)
    assert (now["runs"]["lost"], now["quarantined"]) == (0, 0)
    return True


def refused(answer):
    """A 503 in the stated form, which says when to come again."""
    assert answer.status == 503, answer
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json()["status"] == 503 and answer.json()["detail"]
    return True


def gone(processes):
    """Whether none of {pid: start time} lives."""
    return not [pid for pid, start in processes.items() if proc.is_same_alive(pid, start)]
