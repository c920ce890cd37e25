"""What each layer of confinement costs: servers that differ in one layer only, side by side. `./dev bench-layers`.

A layer's price is paid when a spare is made, so it shows in the CPU time of a run with everything around it, and in the
throughput of `fresh`; the latency of a run that finds a spare ready should not show it at all.
"""

import argparse
import random
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import measure  # noqa: E402
import report  # noqa: E402
from contenders import Server  # noqa: E402
from corpus import SNIPPETS  # noqa: E402

MARKS = "<!-- layers: written by ./dev bench-layers --markdown -->", "<!-- /layers -->"
TINY = SNIPPETS["tiny"]

ALL = "every layer"
# What is switched off together: one cannot be there without the other, or they come from one place.
WITHOUT = {
    "seccomp": "seccomp",
    "landlock": "landlock",
    "cells: pidns, mountns": "pidns,mountns",
    "netns, ipcns, utsns, cgroupns": "netns,ipcns,utsns,cgroupns",
    "uid": "uid",
    "cgroup": "cgroup",
    "capabilities": "capabilities",
}
NONE = "no layer but limits"


def servers(build):
    yield ALL, Server(ALL, build)
    for name, layers in WITHOUT.items():
        yield name, Server(name, build, "--isolation", "best-effort", "--layers-off", layers)
    yield NONE, Server(NONE, build, "--isolation", "unsafe-off")


def sample(build, server, seconds):
    busy = measure.load(build, server, TINY, seconds, connections=8)
    rested = measure.load(build, server, TINY, seconds, rest_us=2000)
    return {"per_second": busy["per_second"], "cpu_us": busy["cpu_us"], "minor_faults": busy["minor_faults"],
            "p50": rested["p50"], "p99": rested["p99"]}


def rows_of(samples):
    def median(name, figure):
        return statistics.median(one[figure] for one in samples[name])

    yield [ALL, *(report.figure(median(ALL, figure)) for figure in ("cpu_us", "per_second", "p50", "minor_faults")), "–", "–"]
    for name in [*WITHOUT, NONE]:
        # Round by round, since neighbours in time are what can be compared.
        saved = statistics.median(ours["cpu_us"] - theirs["cpu_us"] for ours, theirs in zip(samples[ALL], samples[name]))
        ratio = statistics.median(ours["per_second"] / theirs["per_second"]
                                  for ours, theirs in zip(samples[ALL], samples[name]))
        yield [f"without {name}" if name != NONE else name,
               *(report.figure(median(name, figure)) for figure in ("cpu_us", "per_second", "p50", "minor_faults")),
               report.figure(saved), f"{ratio:.2f} ×"]


def run(build, rounds, seconds):
    samples = {}
    order = random.Random(1)
    with ExitStack() as stack:
        started = {}
        for name, server in servers(build):
            started[name] = server.start()
            stack.callback(server.stop)
            server.verify(TINY)
        for number in range(rounds):
            names = list(started)
            order.shuffle(names)
            for name in names:
                samples.setdefault(name, []).append(sample(build, started[name], seconds))
                print(f"round {number + 1}: {name}: {samples[name][-1]['cpu_us']:.0f} µs CPU a run", file=sys.stderr)
    return samples


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=Path("build-release"), help="folder of the programs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each load")
    parser.add_argument("--markdown", type=Path, help="put the table into that page, between its two marks")
    options = parser.parse_args()
    began = time.monotonic()
    try:
        samples = run(options.build.absolute(), options.rounds, options.seconds)
    except measure.Wrong as wrong:
        print(f"bench: {wrong}", file=sys.stderr)
        return 1
    head = ["tiny, fresh", "CPU µs per run", "runs/s, 8 connections", "p50 µs, resting 2 ms", "minor faults per run",
            "CPU µs that it costs", "throughput with it / without"]
    text = f"{report.table(head, list(rows_of(samples)))}\n\nMedians of {options.rounds} rounds, " \
           f"{(time.monotonic() - began) / 60:.0f} min in all; {report.machine()[2:]}\n"
    print(text)
    if options.markdown:
        report.put_into(options.markdown, text, MARKS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
