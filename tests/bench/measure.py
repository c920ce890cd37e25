"""One measurement each: a load on a contender, a loop without a server, the memory of idle workers."""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from contenders import ENVIRONMENT, HERE, PYTHON, Server
from harness import proc


class Wrong(Exception):
    """Answers were wrong, lost or refused: no figure may come of that."""


def load(build, contender, snippet, seconds, connections=1, rest_us=0, rate=None):
    """Runs the load generator; returns p50 and p99 in µs, runs per second, and per run the CPU time in µs and the minor
    faults of all processes of the contender, with what it puts off until later."""
    with tempfile.TemporaryDirectory() as folder:
        body, expected = Path(folder) / "body", Path(folder) / "expected"
        body.write_bytes(snippet.body)
        expected.write_bytes(contender.expected(snippet))
        command = [build / "tests/bench/hatchery-load", "--verbose", "--body-file", body, "--expect-file", expected,
                   "--connections", connections, "--seconds", seconds, "--warm-up", min(0.2, seconds / 4),
                   "--rest-us", rest_us]
        if contender.checks_status:
            command += ["--expect", json.dumps(snippet.status)]
        if rate:
            command += ["--rate", rate, "--poisson"]
        before = contender.used()
        ended = subprocess.run([*map(str, command), contender.url], capture_output=True, text=True)
        contender.settle()
        after = contender.used()
    if ended.returncode != 0:
        raise Wrong(f"{contender.name}, {snippet.name}: {ended.stdout[-500:]} {ended.stderr[-1500:]}")
    report = json.loads(ended.stdout)
    n = report["requests"]
    return {
        "p50": report["latency_us"]["p50"],
        "p99": report["latency_us"]["p99"],
        "per_second": report["per_second"],
        "cpu_us": (after[0] - before[0]) / n * 1e6,
        "minor_faults": (after[1] - before[1]) / n,
        "lateness_p50": report["lateness_us"]["p50"],
    }


def _json_lines(command):
    ended = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True,
                           env=ENVIRONMENT)
    return [json.loads(line) for line in ended.stdout.splitlines()]


def warm_exec(build, snippet, seconds):
    """The snippet in a loop in one warm process."""
    return _json_lines([build / "tests/bench/warm-python", "exec", HERE / "floors/warm_exec.py", snippet.path,
                        seconds])[0]


def fork_loop(build, seconds, loops):
    """Bare fork, exit and wait of an interpreter with the same imports, in so many loops side by side."""
    lines = _json_lines([build / "tests/bench/warm-python", "fork", seconds, loops])
    return {
        "p50": sum(line["p50"] for line in lines) / len(lines),
        "p99": max(line["p99"] for line in lines),
        "per_second": sum(line["per_second"] for line in lines),
        "cpu_us": sum(line["cpu_us"] for line in lines) / len(lines),
    }


def cold(snippet, times):
    """`python3 -c` from nothing, one after the other; with one thread for linear algebra, which starts faster."""
    samples, usage = [], os.times()
    for _ in range(times):
        start = time.perf_counter()
        ended = subprocess.run([PYTHON, "-c", snippet.code], capture_output=True, text=True, check=True,
                               env=ENVIRONMENT)
        samples.append((time.perf_counter() - start) * 1e6)
        if ended.stdout != snippet.stdout:
            raise Wrong(f"python3 -c, {snippet.name}: {ended.stdout!r}")
    after = os.times()
    cpu = after.children_user + after.children_system - usage.children_user - usage.children_system
    samples.sort()
    return {"p50": samples[times // 2], "p99": samples[-1], "per_second": 1e6 * times / sum(samples),
            "cpu_us": cpu / times * 1e6}


def _available_kb():
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1])
    raise RuntimeError("/proc/meminfo says nothing of MemAvailable")


def _settled_available_kb(seconds=10):
    """What the last server had is given back after its end, some of it by the kernel's own threads."""
    looks = []
    deadline = time.monotonic() + seconds
    while len(looks) < 6 or max(looks[-6:]) - min(looks[-6:]) > 512:
        if time.monotonic() > deadline:
            break
        looks.append(_available_kb())
        time.sleep(0.2)
    return looks[-1]


def _pss_kb(pid):
    """The proportional set size and the page tables of a process."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total = int(line.split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return total + int((proc.status_field(pid, "VmPTE") or "0").split()[0])


def idle_memory(build, few, many, touched):
    """KiB that one more idle worker costs: the difference between two pools, by what the whole machine has left (which
    counts kernel memory too) and, as a check, by proportional shares."""
    left, shares = [], []
    for workers in (few, many):
        base = _settled_available_kb()
        server = Server("idle", build, "--workers", workers, "--touched", workers if touched else 0)
        server.start()
        try:
            server.settle(quiet_seconds=1.0, seconds=60)
            left.append(base - _settled_available_kb())
            shares.append(sum(map(_pss_kb, [server.pid, *proc.descendants(server.pid)])))
        finally:
            server.stop()
    more = many - few
    return {"available_kb": (left[1] - left[0]) / more, "pss_kb": (shares[1] - shares[0]) / more}
