"""Tables of what was measured, in Markdown: the targets with their ratios first, every figure after them."""

import os
import platform
import statistics
import subprocess
from pathlib import Path

FRESH, RESET = "Hatchery fresh", "Hatchery reset"
MARKS = "<!-- measured: written by ./dev bench --markdown -->", "<!-- /measured -->"


def table(head, rows):
    """The first column is text, the others are figures."""
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def figure(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _first_line(path, key):
    for line in Path(path).read_text().splitlines():
        if line.startswith(key):
            return line.partition(":")[2].strip()
    return "unknown"


def _packages(*names):
    asked = subprocess.run(["dpkg-query", "-W", "-f=${Package} ${Version}, ", *names], capture_output=True, text=True)
    return asked.stdout.rstrip(", ")


def _version():
    asked = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True,
                           cwd=Path(__file__).parent)
    return asked.stdout.strip() or "unknown"


def machine():
    return "\n".join([
        f"- {os.cpu_count()} × {_first_line('/proc/cpuinfo', 'model name')}, "
        f"{int(_first_line('/proc/meminfo', 'MemTotal').split()[0]) // 1024} MiB, Linux {platform.release()}",
        f"- {_packages('python3', 'python3-numpy', 'python3-pandas', 'libh2o-evloop0.13')}",
        f"- Hatchery {_version()}, built with `--buildtype=release`, every option at its default; the load generator shares "
        "the machine's cores with what it measures",
    ])


class Medians:
    def __init__(self, bench):
        self.bench = bench

    def __call__(self, key, name):
        return self.bench.median(key, name)

    def best_rate(self, server, snippet):
        return max(self((server, snippet, f"{n} connections"), "per_second") for n in (8, 64))

    def spread(self, key, name):
        """Half the distance between the quartiles, in percent of the median."""
        values = sorted(sample[name] for sample in self.bench.samples[key])
        if len(values) < 3:
            return 0.0
        low, middle, high = statistics.quantiles(values, n=4)
        return 100 * (high - low) / 2 / middle


def targets(median, memory):
    """[what, measured, the floor beside it, ratio, target]"""
    rows = []

    def add(what, measured, unit, floor, floor_name, ratio, target):
        rows.append([what, f"{figure(measured)} {unit}", f"{figure(floor)} ({floor_name})" if floor else "–",
                     f"{ratio:.2f} ×" if ratio else "–", target])

    for pace in ("1 connection", "1 resting 2 ms", "1 resting 20 ms"):
        ours, floor = median((FRESH, "tiny", pace), "p50"), median(("bare h2o", "tiny", pace), "p50")
        add(f"tiny, fresh, {pace}, p50", ours, "µs", floor, "bare h2o", ours / floor, "≤ 150 µs, aim 5 ×")
    warm = median(("exec loop", "frames", "in process"), "p50")
    for server in (FRESH, RESET):
        ours = median((server, "frames", "1 resting 20 ms"), "p50")
        add(f"pandas, {server.split()[1]}, resting 20 ms, p50", ours, "µs", warm, "exec loop", ours / warm, "≤ 1.25 ×")
    for loops in (1, 2):
        ours, floor = median.best_rate(FRESH, "tiny"), median(("fork loop", "none", f"{loops} at once"), "per_second")
        add("tiny, fresh, throughput", ours, "/s", floor, f"fork loop, {loops} at once", ours / floor, "≥ 1 ×")
    ours = median((FRESH, "tiny", "8 connections"), "cpu_us")
    floor = median(("fork loop", "none", "1 at once"), "cpu_us")
    add("tiny, fresh, CPU per run of all processes", ours, "µs", floor, "fork loop", ours / floor, "–")
    ours, floor = median.best_rate(RESET, "tiny"), median(("fork loop", "none", "1 at once"), "per_second")
    add("tiny, reset, throughput", ours, "/s", floor, "fork loop, 1 at once", ours / floor, "–")
    ours, floor = median.best_rate(RESET, "frames"), median(("exec loop", "frames", "in process"), "per_second")
    add("pandas, reset, throughput", ours, "/s", floor, "exec loop, 1 core", ours / floor, "–")
    for kind, target in (("untouched", "≤ 1.4 MB"), ("touched", "≤ 9 MB")):
        add(f"one more idle worker, {kind}", memory[kind]["pss_kb"] / 1024, "MiB",
            memory[kind]["available_kb"] / 1024, "MiB less on the whole machine", None, target)
    for server in (FRESH, RESET):
        key = (server, "tiny", "open loop at 70 %")
        p50, p99 = median(key, "p50"), median(key, "p99")
        add(f"tiny, {server.split()[1]}, open loop at 70 %, p99", p99, "µs", p50, "its p50", p99 / p50, "≤ 5 ×")
    return rows


def comparisons(median):
    rows = []
    for snippet in ("tiny", "frames"):
        ours = median((FRESH, snippet, "1 resting 20 ms"), "p50")
        for name, how in (("python3 -c", "one after the other"), ("FastAPI + subprocess", "1 connection")):
            theirs = median((name, snippet, how), "p50")
            rows.append([f"{snippet}: {name}", f"{figure(theirs)} µs", f"{figure(ours)} µs", f"{theirs / ours:.0f} ×"])
    theirs, ours = median(("FastAPI + subprocess", "tiny", "8 connections"), "per_second"), median.best_rate(FRESH, "tiny")
    rows.append(["tiny, throughput: FastAPI + subprocess", f"{figure(theirs)} /s", f"{figure(ours)} /s",
                 f"{ours / theirs:.0f} ×"])
    return rows


def everything(bench, median):
    rows = []
    for key in sorted(bench.samples, key=lambda key: (key[1], key[0], key[2])):
        have = bench.samples[key][0]
        rows.append([f"{key[1]} · {key[0]} · {key[2]}"] +
                    [figure(median(key, name)) if name in have else "–"
                     for name in ("p50", "p99", "per_second", "cpu_us", "minor_faults")] +
                    [f"{median.spread(key, 'p50'):.0f} %"])
    return rows


def markdown(bench, memory, seconds):
    median = Medians(bench)
    effort = bench.effort
    return f"""{machine()}
- {'quick' if effort.quick else 'full'}: medians of {effort.rounds} rounds, {seconds / 60:.0f} min in all

{table(["target", "measured", "beside it", "ratio", "wanted"], targets(median, memory))}

{table(["against", "theirs", "Hatchery fresh", "ratio"], comparisons(median))}

{table(["snippet · what · how", "p50 µs", "p99 µs", "runs/s", "CPU µs per run", "minor faults per run", "± p50"],
       everything(bench, median))}
"""


def put_into(page, text, marks=MARKS):
    """Replaces what stands between the marks; a page without them becomes the tables alone."""
    old = page.read_text() if page.exists() else "\n".join(marks)
    before, start, rest = old.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    page.write_text(before + start + "\n" + text + end + after if start and end else text)
