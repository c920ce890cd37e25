"""What sessions cost: to make one, to run in one, to copy one, to keep a thousand. `./dev bench-sessions`.

One server, started for this alone; stateless runs of the same server stand beside those in sessions. A second one without
a session stands beside it while it keeps a thousand. What is compared is measured by turns, in short rounds; a ratio is the
median of those of the rounds, and ± half the distance between their quartiles.
"""

import argparse
import http.client
import json
import os
import random
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import measure  # noqa: E402
import report  # noqa: E402
from contenders import BareHttp, Server  # noqa: E402
from corpus import SNIPPETS  # noqa: E402
from harness.hatchery import eventually  # noqa: E402
from harness.wheels import Index  # noqa: E402

MARKS = "<!-- sessions: written by ./dev bench-sessions --markdown -->", "<!-- /sessions -->"
TINY = SNIPPETS["tiny"]
MEGABYTE = 1 << 20
PACES = (("resting 2 ms", 2000), ("resting 20 ms", 20000))

FILES_OF_WHEEL = 200
# A server closes connections that nothing comes over.
IDLE_SECONDS_MAX = 5


class Client:
    """One connection, every answer checked."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self.used = time.monotonic()

    def ask(self, method, path, body=None, expected=200):
        """Returns the answer and the µs that it took."""
        bytes_of_body = json.dumps(body).encode() if body is not None else None
        if time.monotonic() - self.used > IDLE_SECONDS_MAX:
            self.connection.close()  # the next request opens another one
        start = time.perf_counter()
        self.connection.request(method, path, bytes_of_body)
        answer = self.connection.getresponse()
        content = answer.read()
        took = (time.perf_counter() - start) * 1e6
        self.used = time.monotonic()
        if answer.status != expected:
            raise measure.Wrong(f"{method} {path}: {answer.status} {content[:500]!r}")
        return (json.loads(content) if content else None), took

    def create(self, **members):
        return self.ask("POST", "/v1/sessions", members, 201)

    def run(self, session, code, expected_stdout=""):
        answer, took = self.ask("POST", f"/v1/sessions/{session}/execute", {"code": code})
        if answer["status"] != "ok" or answer["stdout"] != expected_stdout:
            raise measure.Wrong(f"in session {session}: {answer}")
        return took

    def delete(self, session):
        return self.ask("DELETE", f"/v1/sessions/{session}", expected=204)[1]


def quantiles(samples):
    samples = sorted(samples)
    return {"p50": statistics.median(samples), "p99": samples[int(len(samples) * 0.99)], "n": len(samples)}


def creation(client, times, rest_seconds):
    """Making one while a spare is ready, the first two runs in it, and the end of it."""
    made, first, second, ended = [], [], [], []
    for number in range(times):
        time.sleep(rest_seconds)
        made.append(client.create(id=f"made-{number}")[1])
        first.append(client.run(f"made-{number}", "x = 1"))
        time.sleep(rest_seconds)
        second.append(client.run(f"made-{number}", "x = 1"))
        ended.append(client.delete(f"made-{number}"))
    return {"create": quantiles(made), "first run": quantiles(first), "second run": quantiles(second),
            "delete": quantiles(ended)}


def await_spares(client):
    """A server that makes none would be measured as something else."""
    def has_spares():
        return client.ask("GET", "/health")[0]["pool"]["templates"][0]["session_spares"] > 0

    eventually(has_spares, 30, "spares for sessions")


def flood(port, count, connections):
    """Sessions made and used once, back to back, per second."""
    failures = []

    def make(connection):
        client = Client(port)
        try:
            for number in range(count // connections):
                client.create(id=f"flood-{connection}-{number}")
                client.run(f"flood-{connection}-{number}", "print(1)", "1\n")
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=make, args=(connection,)) for connection in range(connections)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - start
    if failures:
        raise measure.Wrong(f"in a flood of sessions: {failures[0]}")
    client = Client(port)
    for connection in range(connections):
        for number in range(count // connections):
            client.delete(f"flood-{connection}-{number}")
    return count // connections * connections / took


class InSession:
    """The load generator's view of a session: another path of the same server."""

    checks_status = True

    def __init__(self, server, session):
        self.server = server
        self.name = f"session {session}"
        self.url = f"http://127.0.0.1:{server.port}/v1/sessions/{session}/execute"

    def expected(self, snippet):
        return self.server.expected(snippet)

    def used(self):
        return self.server.used()

    def settle(self):
        self.server.settle()


def by_turns(build, contenders, seconds, rounds, rest_us):
    """The p50 of each contender in each round: [[p50 of the first, p50 of the second, …] of the first round, …]."""
    samples = [[0.0] * len(contenders) for _ in range(rounds)]
    for sample in samples:
        for number in random.sample(range(len(contenders)), len(contenders)):
            sample[number] = measure.load(build, contenders[number], TINY, seconds, rest_us=rest_us)["p50"]
    return samples


class Beside:
    """One contender beside another, over all rounds."""

    def __init__(self, samples, number, other):
        self.p50 = statistics.median(sample[number] for sample in samples)
        self.other = statistics.median(sample[other] for sample in samples)
        ratios = [sample[number] / sample[other] for sample in samples]
        self.ratio = statistics.median(ratios)
        low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 2 else (min(ratios), 0, max(ratios))
        self.spread = (high - low) / 2

    def __str__(self):
        return f"{self.ratio:.2f} × (± {self.spread:.2f})"


def runs(build, server, bare, client, seconds, rounds):
    """{pace: (a session's beside stateless runs, the same beside bare h2o)}"""
    client.create(id="runs")
    client.run("runs", TINY.code, TINY.stdout)
    rows = {}
    for pace, rest_us in PACES:
        samples = by_turns(build, [InSession(server, "runs"), server, bare], seconds, rounds, rest_us)
        rows[pace] = Beside(samples, 0, 1), Beside(samples, 0, 2)
    client.delete("runs")
    return rows


def forks(client, megabytes, times):
    """Copies of a session that holds so much memory, every page of it written."""
    code = f"data = bytearray({megabytes * MEGABYTE})\ndata[::4096] = b'x' * len(data[::4096])" if megabytes else "data = b''"
    client.create(id="source", limits={"memory_mb": max(512, megabytes + 256)})
    client.run("source", code)
    took = []
    for number in range(times):
        copy, one = client.ask("POST", "/v1/sessions/source/fork", {"id": f"copy-{number}"}, 201)
        took.append(one)
        client.run(copy["id"], "print(len(data))", f"{megabytes * MEGABYTE}\n")
        client.delete(copy["id"])
    client.delete("source")
    return quantiles(took)


def installations(client, times):
    """The first of one wheel, with pip, and those of the same requirement in other sessions; each is imported."""
    took = []
    for number in range(times):
        client.create(id="install")
        answer, one = client.ask("POST", "/v1/sessions/install/packages", {"packages": ["bench-wheel"]})
        if [package["name"] for package in answer["installed"]] != ["bench-wheel"]:
            raise measure.Wrong(f"installed: {answer}")
        client.run("install", "import bench_wheel\nprint(bench_wheel.version)", "1.0\n")
        client.delete("install")
        took.append(one)
    client.create(id="install")
    client.ask("POST", "/v1/sessions/install/packages", {"packages": ["numpy"]})
    already = [client.ask("POST", "/v1/sessions/install/packages", {"packages": ["numpy"]})[1] for _ in range(times)]
    client.delete("install")
    return {"first": took[0], "again": quantiles(took[1:]), "already": quantiles(already)}


def wheel_of_many_files():
    files = {f"bench_wheel/part_{number}.py": "x = 1\n" * 50 for number in range(FILES_OF_WHEEL)}
    return {**files, "bench_wheel/__init__.py": "version = '1.0'\n"}


def shared_memory(server, client, megabytes, copies):
    """MiB that so many copies of one session take beside it."""
    client.create(id="source", limits={"memory_mb": megabytes + 256})
    client.run("source", f"data = bytearray({megabytes * MEGABYTE})\ndata[::4096] = b'x' * len(data[::4096])")
    server.settle(quiet_seconds=0.5)
    before = measure._available_kb()
    for number in range(copies):
        client.ask("POST", "/v1/sessions/source/fork", {"id": f"copy-{number}"}, 201)
        client.run(f"copy-{number}", f"own = {number}; print(data[4096], own)", f"120 {number}\n")
    server.settle(quiet_seconds=0.5)
    taken = (before - measure._available_kb()) / 1024
    for number in range(copies):
        client.run(f"copy-{number}", "print(own)", f"{number}\n")
        client.delete(f"copy-{number}")
    client.delete("source")
    return taken


def many(build, server, client, count, seconds, rounds):
    """What so many idle sessions take, and what they cost whoever has none. Beside it a server without sessions."""
    alone = Server("alone", build).start()
    try:
        alone.settle(quiet_seconds=0.5)
        server.settle(quiet_seconds=1.0)
        before = measure._available_kb()
        for number in range(count):
            client.create(id=f"many-{number}")
        server.settle(quiet_seconds=1.0, seconds=60)
        untouched = before - measure._available_kb()
        for number in range(count):
            client.run(f"many-{number}", f"mine = {number}")
        server.settle(quiet_seconds=1.0, seconds=60)
        used = before - measure._available_kb()
        rows = {pace: Beside(by_turns(build, [server, alone], seconds, rounds, rest_us), 0, 1) for pace, rest_us in PACES}
        cpu_seconds, idle_seconds = server.used()[0], 10
        time.sleep(idle_seconds)
        cpu_seconds = server.used()[0] - cpu_seconds
    finally:
        alone.stop()
    for number in range(count):
        client.run(f"many-{number}", "print(mine)", f"{number}\n")
        client.delete(f"many-{number}")
    return {"count": count, "untouched_mib": untouched / count / 1024, "used_mib": used / count / 1024, "rows": rows,
            "cpu_percent": 100 * cpu_seconds / idle_seconds}


def rows_of(results):
    figure = report.figure
    made = results["creation"]
    yield ["create, a spare ready, p50", f"{figure(made['create']['p50'])} µs", f"p99 {figure(made['create']['p99'])} µs",
           "≤ 2,000 µs"]
    yield ["first run in it, at once, p50", f"{figure(made['first run']['p50'])} µs",
           f"{figure(made['second run']['p50'])} µs the second, 20 ms later", "–"]
    yield ["delete, p50", f"{figure(made['delete']['p50'])} µs", f"p99 {figure(made['delete']['p99'])} µs", "–"]
    for connections, per_second in results["floods"].items():
        yield [f"created and used once, back to back, {connections} connection{'s' * (connections > 1)}",
               f"{figure(per_second)} /s", "–", "–"]
    for pace, (beside_stateless, beside_bare) in results["runs"].items():
        yield [f"tiny run in a session, {pace}, p50", f"{figure(beside_stateless.p50)} µs",
               f"{figure(beside_stateless.other)} µs stateless, {beside_stateless}", "≤ 1.2 ×"]
        yield ["", "", f"{figure(beside_bare.other)} µs bare h2o, {beside_bare}", "–"]
    yield from rows_of_copies(results)
    crowd = results["many"]
    yield [f"one of {crowd['count']} sessions, never used", f"{figure(crowd['untouched_mib'])} MiB", "–", "≤ 1.4 MB"]
    yield ["the same after one tiny run", f"{figure(crowd['used_mib'])} MiB", "–", "–"]
    for pace, beside in crowd["rows"].items():
        yield [f"stateless tiny run beside {crowd['count']} idle sessions, {pace}, p50", f"{figure(beside.p50)} µs",
               f"{figure(beside.other)} µs without, {beside}", "unmoved"]
    yield [f"{crowd['count']} idle sessions, processor time of all processes", f"{crowd['cpu_percent']:.1f} % of a core", "–",
           "–"]


def rows_of_copies(results):
    figure = report.figure
    for megabytes, target in ((0, "≤ 5,000 µs"), (100, "–"), (500, "≤ 50,000 µs")):
        one = results["forks"][megabytes]
        yield [f"copy of a session of {megabytes} MiB, p50", f"{figure(one['p50'])} µs", f"p99 {figure(one['p99'])} µs", target]
    shared = results["shared"]
    yield [f"{shared['copies']} copies of one of 100 MiB", f"{figure(shared['mib'])} MiB together",
           f"{figure(shared['mib'] / shared['copies'])} MiB each", "shared"]
    installed = results["installations"]
    yield [f"first installation of a wheel of {FILES_OF_WHEEL} files, pip included", f"{figure(installed['first'])} µs", "–", "–"]
    yield ["the same in another session, p50", f"{figure(installed['again']['p50'])} µs",
           f"{installed['first'] / installed['again']['p50']:.0f} × faster", "hard links only"]
    yield ["a package that the template has, p50", f"{figure(installed['already']['p50'])} µs", "–", "at once"]


def run(build, options):
    with Index() as index:
        index.add("bench-wheel", files=wheel_of_many_files())
        return run_with(build, options, index)


def run_with(build, options, index):
    server = Server("sessions", build, "--sessions", options.sessions + 150, "--max-memory-mb", 1024,
                    "--package-index", index.url).start()
    bare = BareHttp(build).start()
    client = Client(server.port)
    try:
        server.verify(TINY)
        await_spares(client)
        server.settle(quiet_seconds=0.5)
        results = {"creation": creation(client, options.times, 0.02)}
        results["floods"] = {connections: flood(server.port, options.times, connections) for connections in (1, 8)}
        results["runs"] = runs(build, server, bare, client, options.seconds, options.rounds)
        results["forks"] = {size: forks(client, size, max(5, options.times // 5)) for size in (0, 100, 500)}
        results["installations"] = installations(client, max(5, options.times // 5))
        results["shared"] = {"copies": 100, "mib": shared_memory(server, client, 100, 100)}
        results["many"] = many(build, server, client, options.sessions, options.seconds, options.rounds)
        return results
    finally:
        bare.stop()
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=Path("build-release"), help="folder of the programs")
    parser.add_argument("--sessions", type=int, default=1000, help="live ones at once")
    parser.add_argument("--times", type=int, default=100, help="sessions made and copied")
    parser.add_argument("--rounds", type=int, default=8, help="of what is compared")
    parser.add_argument("--seconds", type=float, default=0.6, help="of each load")
    parser.add_argument("--markdown", type=Path, help="put the table into that page, between its two marks")
    options = parser.parse_args()
    began = time.monotonic()
    try:
        results = run(options.build.absolute(), options)
    except measure.Wrong as wrong:
        print(f"bench: {wrong}", file=sys.stderr)
        return 1
    # A way to measure on a machine where others work; what it shows is not quite what a server has by default.
    policy = "" if os.sched_getscheduler(0) == os.SCHED_OTHER else "everything under a real-time scheduling policy; "
    text = f"{report.table(['what', 'measured', 'beside it', 'wanted'], list(rows_of(results)))}\n\n" \
           f"Medians, {(time.monotonic() - began) / 60:.0f} min in all; {policy}{report.machine()[2:]}\n"
    print(text)
    if options.markdown:
        report.put_into(options.markdown, text, MARKS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
