"""The benchmark: the server and the floors under it, side by side in one run. `./dev bench [--quick] [--help]`.

Every measurement is repeated in rounds, in a different order each time, and the median is told: a machine that slows down
for a while slows all of them. Every answer is checked; a wrong one ends the benchmark. Ratios mean something on a
noisy machine, times do only beside each other.
"""

import argparse
import json
import random
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import measure  # noqa: E402
import report  # noqa: E402
from contenders import BareHttp, Server, SubprocessService  # noqa: E402
from corpus import SNIPPETS  # noqa: E402

TINY, FRAMES = SNIPPETS["tiny"], SNIPPETS["frames"]


class Effort:
    """How long and how often."""

    def __init__(self, quick):
        self.quick = quick
        self.rounds = 3 if quick else 9
        self.seconds = 0.4 if quick else 3.0
        self.rest_20_seconds = 0.8 if quick else 4.0
        self.workers = (8, 58) if quick else (8, 108)
        self.others = not quick


class Bench:
    def __init__(self, build, effort):
        self.build = build
        self.effort = effort
        self.samples = {}
        self.cells = []

    def add(self, key, run):
        """key is (what, snippet, how); run() returns the figures of one round."""
        self.cells.append((key, run))

    def add_load(self, contender, snippet, how, seconds=None, **pace):
        seconds = seconds or self.effort.seconds
        self.add((contender.name, snippet.name, how),
                 lambda: measure.load(self.build, contender, snippet, seconds, **pace))

    def median(self, key, figure):
        return statistics.median(sample[figure] for sample in self.samples[key])

    def add_floors(self):
        seconds = self.effort.seconds
        for snippet in (TINY, FRAMES):
            self.add(("exec loop", snippet.name, "in process"),
                     lambda snippet=snippet: measure.warm_exec(self.build, snippet, seconds))
            self.add(("python3 -c", snippet.name, "one after the other"),
                     lambda snippet=snippet: measure.cold(snippet, 3))
        for loops in (1, 2):
            self.add(("fork loop", "none", f"{loops} at once"),
                     lambda loops=loops: measure.fork_loop(self.build, seconds, loops))

    def add_paces(self, contender, snippet):
        self.add_load(contender, snippet, "1 connection")
        self.add_load(contender, snippet, "1 resting 2 ms", rest_us=2000)
        self.add_load(contender, snippet, "1 resting 20 ms", self.effort.rest_20_seconds, rest_us=20000)

    def add_http(self, bare, fastapi, fresh, reset):
        self.add_paces(bare, TINY)
        for server in (fresh, reset):
            self.add_paces(server, TINY)
            self.add_load(server, FRAMES, "1 connection")
            self.add_load(server, FRAMES, "1 resting 20 ms", self.effort.rest_20_seconds, rest_us=20000)
            for snippet in (TINY, FRAMES):
                for connections in (8, 64):
                    self.add_load(server, snippet, f"{connections} connections", connections=connections)
            if self.effort.others:
                for name in ("matrix", "megabyte", "error"):
                    self.add_load(server, SNIPPETS[name], "1 resting 20 ms", rest_us=20000)
        for snippet in (TINY, FRAMES):
            # A run takes it up to half a second: a shorter time would hold too few.
            self.add_load(fastapi, snippet, "1 connection", 2 * self.effort.seconds)
        self.add_load(fastapi, TINY, "8 connections", 2 * self.effort.seconds, connections=8)

    def open_loop(self, server):
        """Last, since it needs the capacity: the best closed loop that was measured."""
        capacity = max(self.median((server.name, "tiny", f"{n} connections"), "per_second") for n in (8, 64))
        key = (server.name, "tiny", "open loop at 70 %")
        seconds = 2 * self.effort.seconds
        for _ in range(self.effort.rounds):
            self.note(key, measure.load(self.build, server, TINY, seconds, connections=64, rate=0.7 * capacity))

    def note(self, key, figures):
        self.samples.setdefault(key, []).append(figures)
        print(f"{' · '.join(key)}: p50 {figures['p50']:.0f} µs, {figures['per_second']:.0f}/s", file=sys.stderr)

    def run_rounds(self):
        order = random.Random(1)
        for number in range(self.effort.rounds):
            print(f"round {number + 1} of {self.effort.rounds}", file=sys.stderr)
            cells = list(self.cells)
            order.shuffle(cells)
            for key, run in cells:
                self.note(key, run())

    def memory(self):
        return {
            "touched" if touched else "untouched": measure.idle_memory(self.build, *self.effort.workers, touched)
            for touched in (False, True)
        }


def run(build, effort):
    bench = Bench(build, effort)
    # First, while nothing else runs: it looks at what the whole machine has left.
    memory = bench.memory()
    with ExitStack() as stack:
        started = []
        for contender in (BareHttp(build), SubprocessService(), Server("Hatchery fresh", build),
                          Server("Hatchery reset", build, "--recycle", "reset")):
            started.append(contender.start())
            stack.callback(contender.stop)
            for snippet in SNIPPETS.values():
                if contender.checks_status or snippet is TINY:
                    contender.verify(snippet)
        bench.add_floors()
        bench.add_http(*started)
        bench.run_rounds()
        for server in started[2:]:
            bench.open_loop(server)
    return bench, memory


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=Path("build-release"), help="folder of the programs")
    parser.add_argument("--quick", action="store_true", help="about two minutes instead of half an hour")
    parser.add_argument("--markdown", type=Path, help="put the tables into that page, between its two marks")
    parser.add_argument("--json", type=Path, help="write every sample there")
    options = parser.parse_args()
    began = time.monotonic()
    try:
        bench, memory = run(options.build.absolute(), Effort(options.quick))
    except measure.Wrong as wrong:
        print(f"bench: {wrong}", file=sys.stderr)
        return 1
    text = report.markdown(bench, memory, time.monotonic() - began)
    print(text)
    if options.markdown:
        report.put_into(options.markdown, text)
    if options.json:
        options.json.write_text(json.dumps(
            {"memory": memory, "samples": {" · ".join(key): value for key, value in bench.samples.items()}}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
