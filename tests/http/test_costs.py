"""What a tiny run costs, in numbers that do not depend on the machine's mood: page faults and system calls. A worker that is
idle has been rehearsed, so its run should find every page in place, and say what it has to say in few calls."""

import os
import re
import shutil
import subprocess

import pytest

from harness.hatchery import eventually

TINY = {"code": "print(1+1)"}

# Measured: no fault, 9 calls in the worker; in the server, between the request and its answer, 16, or 18 when a timer falls due
# meanwhile. The bounds leave room for another version of a library, not for another way of working.
FAULTS_MAX = 8
WORKER_CALLS_MAX = 14
SERVER_CALLS_MAX = 20

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None or os.geteuid() != 0,
    reason="strace of a process that is not dumpable needs root, and strace")


def counter(server, name):
    return server.get("/health").json()["pool"]["counters"][name]


def idle_worker(server):
    """The one worker of a pool of one, once it waits for a run."""
    def find():
        state = server.get("/health").json()["pool"]["templates"][0]
        workers = server.workers()
        return workers[0] if state["idle"] == 1 and len(workers) == 1 else None

    return eventually(find, 10, "one idle worker")


def minor_faults(pid):
    return int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[7])


def faults_of_a_run(server):
    worker = idle_worker(server)
    before, total = minor_faults(worker), counter(server, "minor_faults")
    assert server.post("/v1/execute", TINY).json()["stdout"] == "2\n"
    # It is counted when the worker has been waited for.
    after = eventually(lambda: counter(server, "minor_faults") - total, 10, "the worker is accounted for")
    return after - before


def test_a_tiny_run_finds_its_pages(make_server):
    server = make_server("--workers", "1", "--touched", "0")
    faults = sorted(faults_of_a_run(server) for _ in range(5))
    assert faults[2] <= FAULTS_MAX, f"minor faults of tiny runs: {faults}"


class Strace:
    """Traces one process, not its children, from the time it is attached until it is told to stop."""

    def __init__(self, pid, path):
        self.path = path
        self.process = subprocess.Popen(["strace", "-qq", "-p", str(pid), "-o", str(path)], stderr=subprocess.PIPE)
        eventually(lambda: re.search(r"^TracerPid:\t[1-9]", open(f"/proc/{pid}/status").read(), re.M), 10, "strace traces")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.communicate(timeout=20)
        return self.path.read_text().splitlines()


@needs_strace
def test_the_calls_of_a_worker(make_server, tmp_path):
    server = make_server("--workers", "1", "--touched", "0")
    trace = Strace(idle_worker(server), tmp_path / "trace")
    assert server.post("/v1/execute", TINY).json()["status"] == "ok"
    lines = [line for line in trace.stop() if not line.startswith("+++")]
    # From the read that brings the request to the last frame; then it waits for its end.
    calls = [line.partition("(")[0] for line in lines]
    assert calls[0] == "read"
    end = max(i for i, line in enumerate(lines) if line.startswith("write("))
    assert end + 1 <= WORKER_CALLS_MAX, "\n".join(lines[:end + 1])


def calls_between(lines, first, last):
    """From each line that matches the one to the next that matches the other."""
    start = None
    for i, line in enumerate(lines):
        if first(line):
            start = i
        elif start is not None and last(line):
            yield lines[start:i + 1]
            start = None


@needs_strace
def test_the_calls_of_the_server(make_server, tmp_path):
    server = make_server("--workers", "1", "--touched", "0", "--no-access-log")
    client = server.client()
    body = b'{"code": "print(1+1)"}'

    def ask():
        idle_worker(server)
        client.request("POST", "/v1/execute", body)
        assert b'"stdout":"2\\n"' in client.getresponse().read()

    try:
        for _ in range(2):
            # The first one pays for what libraries do once.
            ask()
        trace = Strace(server.pid, tmp_path / "trace")
        for _ in range(10):
            ask()
        lines = trace.stop()
    finally:
        client.close()
    runs = list(calls_between(lines, lambda line: line.startswith("read(") and "/v1/execute" in line,
                              lambda line: line.startswith("writev(") and "200 OK" in line))
    assert len(runs) == 10
    # On a machine that is busy, a run may last until the next look at its limits, which costs some more.
    least = min(runs, key=len)
    assert len(least) <= SERVER_CALLS_MAX, "\n".join(least)
