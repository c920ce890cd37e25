"""Ten thousand mixed runs: every answer is right, and at the end nothing is left of any of them.

HATCHERY_SOAK_RUNS sets how many (10000); HATCHERY_SOAK_SEED their order, which is told at the end.
"""

import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from clients import table, work_off
from harness import proc
from harness.hatchery import eventually
from holdings import at_rest, control_groups, memory_table, templates
from kinds import share_out

RUNS = int(os.environ.get("HATCHERY_SOAK_RUNS", 10000))
SEED = int(os.environ.get("HATCHERY_SOAK_SEED", 20240229))
SECONDS = max(300, RUNS * 0.3)
CLIENTS = 6
WORKERS = 6
PROGRAM_WORKERS = 3
# Apart from those of the other suites, which may run at the same time.
UID_BASE = 3_000_000 + os.getpid() % 30000 * 16

CONFIGURATION = f"""
[template.default]
workers = {WORKERS}
touched = 2

[template.shell]
subprocesses = yes
workers = {PROGRAM_WORKERS}
touched = 0
max-processes = 16
"""

# Memory in use is to be told from memory kept. The C library gives large blocks back at once, the buffers of opened folders
# (32 KiB) among them, which leave gaps in its heap otherwise; and the end of the heap when that is free. It has one heap instead
# of one for each thread, and no freed blocks at hand for each thread: of glibc 2.36, these are up to seven of each of 64 sizes,
# 234 KiB in each of ten threads, and become more for thousands of runs.
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "32768", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1",
             "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
# What may be more at the end than after a tenth of the runs: the heap's own gaps, after whatever was under way at once.
# Of ten thousand runs, the least block, 32 bytes, left by each would be 280 KiB.
SERVER_DRIFT_KB = 256
# A keeper waits in one call and allocates nothing; the others serve one small order after the other.
KEEPER_DRIFT_KB = 16
MAKERS_DRIFT_KB = 128
ZYGOTES_DRIFT_KB = 1024


def counters(server):
    return server.get("/health").json()["pool"]["counters"]


def check_health(server, before):
    """The same interpreters as at the start, and nothing that the server blames itself for."""
    health = server.health()
    assert health["status"] == "healthy"
    for now, then in zip(health["pool"]["templates"], before, strict=True):
        assert now["failure"] is None
        assert (now["zygote_pid"], now["generation"], now["restarts"]) == (then["zygote_pid"], then["generation"], 0)
    blame = health["pool"]["counters"]
    assert (blame["runs"]["lost"], blame["quarantined"], blame["workers_failed"], blame["refused"]) == (0, 0, 0, 0), blame


def check_account(server, told):
    """The server has counted what the clients were told; who left before any output may have left before the run."""
    by_status = Counter()
    for (_, _, status), n in told.items():
        by_status[status] += n
    gone = by_status.pop("gone", 0)
    at_once = sum(n for (group, name, _), n in told.items() if (group, name) == ("left", "at once"))
    counted = counters(server)["runs"]
    cancelled = counted.pop("cancelled")
    assert {status: n for status, n in counted.items() if n} == dict(by_status)
    assert gone - at_once <= cancelled <= gone


def check_drift(drift, n_keepers):
    assert drift["server_rss_kb"] <= SERVER_DRIFT_KB
    assert drift["zygotes_rss_kb"] <= ZYGOTES_DRIFT_KB
    assert drift["makers_rss_kb"] <= MAKERS_DRIFT_KB
    assert drift["keepers_rss_kb"] <= KEEPER_DRIFT_KB * n_keepers
    assert drift["greatest_keeper_kb"] <= KEEPER_DRIFT_KB


def has_processes(uids):
    return [pid for pid in proc.pids() if int((proc.status_field(pid, "Uid") or "-1").split()[0]) in uids]


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 400)
def test_nothing_is_left_of_ten_thousand_runs(make_server, tmp_path):
    configuration = tmp_path / "hatchery.conf"
    configuration.write_text(CONFIGURATION)
    server = make_server("--config", configuration, "--no-access-log", "--worker-uid-base", UID_BASE,
                         "--workers", WORKERS, env=GIVE_BACK)
    plan = share_out(RUNS)
    random.Random(SEED).shuffle(plan)
    pools, new = templates(server), at_rest(server, UID_BASE)

    began, told, looks = time.monotonic(), Counter(), [new]
    for tenth in range(10):
        part = plan[tenth * len(plan) // 10:(tenth + 1) * len(plan) // 10]
        told += work_off(server, part, CLIENTS, SEED + tenth * CLIENTS, SECONDS)
        looks.append(at_rest(server, UID_BASE))
    early, late = looks[1], looks[-1]
    print(f"\n{table(told)}\n{len(plan)} runs in {time.monotonic() - began:.0f} s, order {SEED}")
    print(f"memory in KiB, at the start and after each tenth:\n{memory_table(looks)}")
    print(f"at the end: {late}")

    assert sum(told.values()) == len(plan)
    check_health(server, pools)
    check_account(server, told)
    assert late.left_over(early) == {}
    # Descriptors, mappings and threads of the server's own may come with the first use of something.
    assert set(late.left_over(new)) <= {"fds", "mappings", "threads"}
    check_drift(late.drift(early), len(late.cells))

    pid = server.pid
    server.stop()  # with no process and no file left behind
    assert control_groups(pid) == []
    if os.geteuid() == 0:
        eventually(lambda: not has_processes(range(UID_BASE, UID_BASE + WORKERS + PROGRAM_WORKERS)), 10,
                   "no process of a run is left")
    assert str(server.work) not in Path("/proc/self/mountinfo").read_text()
