"""What must hold after whatever a test has done to a server: it is the same process, its neighbours' runs were right all the
time, the next run works, and it holds what it held before.

    with unharmed(server):
        …
"""

import json
import os
import threading
from collections import Counter
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from harness import proc
from harness.hatchery import eventually
from harness.isolation import NAMESPACES, OF_CELLS, layers_on

# Store that the C library keeps, not what leaks: drift over many runs is tested apart.
RSS_SLACK_KB = 64 << 10

WITNESS = {"code": "print(sum(i * i for i in range(3000)))"}
WITNESS_SAYS = "8995500500\n"


def template(server):
    """The state of the one template, also of a server that is not healthy."""
    return server.get("/health").json()["pool"]["templates"][0]


def counters(server):
    return server.get("/health").json()["pool"]["counters"]


def strict_json(body):
    """Parses what every JSON parser must take: UTF-8, and no NaN."""

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(body.decode("utf-8"), parse_constant=refuse)


def is_full(server):
    state = template(server)
    return state["idle"] == state["workers"] and state["queued"] == 0


def look_while_it_sleeps(server):
    if not proc.sleeps(server.pid):
        return None
    snapshot = server.snapshot()
    return snapshot if proc.sleeps(server.pid) else None


def quiet_snapshot(server):
    """Nobody talks to the server meanwhile, and none of its threads is at work. A connection that was closed before is the server's
    for a moment longer, but not beyond the second question on another one, which it hears after that end."""
    connection = server.client()
    try:
        for _ in range(2):
            connection.request("GET", "/health")
            connection.getresponse().read()
        snapshot = eventually(lambda: look_while_it_sleeps(server), 20, "it has nothing to do")
    finally:
        connection.close()
    return snapshot if snapshot.fds is None else replace(snapshot, fds=snapshot.fds - 1)


def children_at_rest(server):
    """A zygote and a worker in each slot; one maker of namespaces where there are any, and a keeper of each cell."""
    workers, layers = template(server)["workers"], layers_on(server)
    return 1 + workers + bool(layers & NAMESPACES) + (workers if layers & OF_CELLS else 0)


def held(snapshot):
    return snapshot.fds, snapshot.threads, snapshot.children, snapshot.work_entries


def at_rest(server, seconds=20, like=None):
    """What the server holds once every slot has an idle worker, and all that was thrown away is gone: two looks are alike. A
    witness waits meanwhile. like: what it must hold then; folders and connections are closed a while after whoever used them was
    answered."""
    last = []

    def steady():
        try:
            last[:] = [*last[-1:], quiet_snapshot(server)] if is_full(server) else []
        except FileNotFoundError:  # the work directory is being emptied
            return False
        return len(last) == 2 and held(last[0]) == held(last[1]) and last[1].zombies == 0 and \
            last[1].children == children_at_rest(server) and (like is None or held(last[1]) == held(like))

    with server.witness.between if server.witness else nullcontext():
        eventually(steady, seconds, lambda: f"the pool comes to rest; lately: {last}, {template(server)}; it was {like}")
    return last[1]


class Witness(threading.Thread):
    """Runs one small program after the other, and keeps what was wrong. Who holds `between` knows that none of them runs."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.over, self.between = threading.Event(), threading.RLock()
        self.runs, self.problems = 0, []

    def run(self):
        try:
            connection = self.server.client()
            while not (self.over.is_set() and self.runs):
                with self.between:
                    connection.request("POST", "/v1/execute", json.dumps(WITNESS))
                    answer = connection.getresponse()
                    body = strict_json(answer.read())
                self.runs += 1
                if answer.status != 200 or (body["status"], body["stdout"]) != ("ok", WITNESS_SAYS):
                    self.problems.append(f"{answer.status} {body}")
                self.over.wait(0.03)
            connection.close()
        except Exception as problem:
            self.problems.append(repr(problem))

    def end(self):
        self.over.set()
        self.join(60)
        assert not self.is_alive(), "a neighbour's run hangs"
        assert not self.problems, self.problems[:3]
        assert self.runs > 0


def processes_of_workers(server, uid_base, n_workers):
    """Processes that belong to a worker's uid, whoever is their parent."""
    found = []
    for pid in proc.pids():
        uids = proc.status_field(pid, "Uid")
        if uids and uid_base <= int(uids.split()[0]) < uid_base + n_workers and proc.state(pid) not in ("Z", "X", None):
            found.append(pid)
    return found


def strays(server, uid_base=0):
    """Processes that came from a run and are none of the pool's own, which are all the server's children: those of a worker's
    uid, when each has one of its own, and those that have a keeper or a worker for a parent."""
    kin = set(server.children())
    found = set(proc.descendants(server.pid)) - kin
    if os.geteuid() == 0 and uid_base:
        found |= set(processes_of_workers(server, uid_base, template(server)["workers"])) - kin
    return [pid for pid in found if proc.state(pid) not in ("Z", "X", None)]


def mounts(server):
    """Those in the server's own folders, as it sees them: others come and go on the same machine."""
    with open(f"/proc/{server.pid}/mountinfo") as file:
        return [line.split()[4] for line in file if line.split()[4].startswith(str(server.work.parent))]


def ids_of_runs(server, uid_base):
    """Whose things would be a run's: those of the workers' ids, or of the server's where they have none of their own."""
    if os.geteuid() == 0 and uid_base:
        return set(range(uid_base, uid_base + template(server)["workers"]))
    return {os.geteuid()} - {0}


# What the tests themselves, and servers, put there.
OURS = ("hatchery", "pytest")


def left_on_the_host(server, uid_base):
    """What runs could leave outside their cells: files in the folders that all may write to, and objects of System V. Of
    everything, only what belongs to their ids, since other programs use the machine, too."""
    ids, found = ids_of_runs(server, uid_base), set()
    for folder in ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/lock"):
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for path in (os.path.join(folder, name) for name in names if not name.startswith(OURS)):
            try:
                found |= {path} if os.lstat(path).st_uid in ids else set()
            except OSError:  # somebody's, and gone meanwhile
                pass
    for kind in ("shm", "msg", "sem"):
        rows = [line.split() for line in Path(f"/proc/sysvipc/{kind}").read_text().splitlines()]
        columns = {name: i for i, name in enumerate(rows[0])}
        # By their id: the key of each private one is 0.
        name, owner = columns["msqid" if kind == "msg" else f"{kind}id"], columns["uid"]
        found |= {f"{kind} {row[name]}" for row in rows[1:] if int(row[owner]) in ids}
    return found


def control_groups(server):
    """The server's own, and those of its slots. A slot of sessions gets one when it is used, and keeps it."""
    return {path for path in proc.control_groups(server.pid) if os.path.basename(path) != f"hatchery-{server.pid}"}


def groups_opened_twice(server):
    if proc.footprint(server.pid).fds is None:
        return {}
    counts = Counter(filter(proc.is_of_a_control_group, proc.descriptors(server.pid)))
    return {target: count for target, count in counts.items() if count > 1}


@contextmanager
def unharmed(server, uid_base=0, baseline=None, witness=True):
    """baseline: what the server held when it was new, so that small leaks add up over many tests. witness: off where the
    test kills workers without asking whose they are. Yields it."""
    baseline = baseline or at_rest(server)
    pid, zygote = server.pid, template(server)
    before, littered, groups = counters(server), left_on_the_host(server, uid_base), control_groups(server)
    neighbour = server.witness = Witness(server) if witness else None
    if neighbour:
        neighbour.start()
    try:
        yield neighbour
    finally:
        server.witness = None
        if neighbour:
            neighbour.over.set()
    assert server.is_alive(), f"the server ended; its log:\n{server.log_tail()}"
    if neighbour:
        neighbour.end()
    assert server.pid == pid
    assert server.run("print(1)")["stdout"] == "1\n"
    eventually(lambda: not strays(server, uid_base), 10, "no process of a run is left")
    at_rest(server)
    # Not for long: what is held until a deadline of the server's has been left behind.
    after = at_rest(server, seconds=5, like=baseline)
    now, state = counters(server), template(server)
    assert (state["zygote_pid"], state["restarts"]) == (zygote["zygote_pid"], zygote["restarts"]), "the zygote was replaced"
    assert (now["runs"]["lost"], now["quarantined"]) == (before["runs"]["lost"], before["quarantined"])
    assert mounts(server) == []
    assert after.rss_kb < baseline.rss_kb + RSS_SLACK_KB, f"{baseline} → {after}"
    left = left_on_the_host(server, uid_base) - littered
    assert not left, left
    assert control_groups(server) >= groups
    assert not groups_opened_twice(server)
