"""Runs a snippet again and again in this warm process, each time in a new namespace with its output captured: what the
snippet itself costs, without isolation and without a server. Arguments: SNIPPET SECONDS. Prints one line of JSON."""

import io
import json
import resource
import sys
import time


def run(source, name):
    out, sys.stdout = sys.stdout, io.StringIO()
    try:
        exec(compile(source, name, "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
    except Exception:
        pass  # the snippet `error` is meant to raise
    finally:
        captured, sys.stdout = sys.stdout, out
    return captured.getvalue()


def main():
    path, seconds = sys.argv[0], float(sys.argv[1])
    with open(path) as file:
        source = file.read()
    expected = run(source, path)
    times = []
    usage = resource.getrusage(resource.RUSAGE_SELF)
    clock = time.perf_counter
    start = before = clock()
    while before - start < seconds:
        if run(source, path) != expected:
            raise SystemExit("the snippet does not do the same twice")
        now = clock()
        times.append(now - before)
        before = now
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime
    times.sort()
    n = len(times)
    print(json.dumps({
        "p50": times[n // 2] * 1e6, "p99": times[n * 99 // 100] * 1e6, "per_second": n / (before - start),
        "cpu_us": cpu / n * 1e6, "minor_faults": (after.ru_minflt - usage.ru_minflt) / n}))


main()
