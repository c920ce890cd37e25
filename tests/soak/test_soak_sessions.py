"""Ten thousand steps with sessions of all four kinds: every answer is what the session must know by then, and at the end
nothing is left of any of them.

HATCHERY_SOAK_STEPS sets how many (10000; in fewer, small leaks of memory are not found); HATCHERY_SOAK_SEED their order, which is
told at the end.
"""

import os
import random
import time
from collections import Counter

import pytest

from holdings import control_groups, memory_table
from remembered import Account, index
from session_clients import work_off, share_out
from session_holdings import SLOTS_MAX, at_rest
from test_soak import GIVE_BACK, KEEPER_DRIFT_KB, SERVER_DRIFT_KB, counters, has_processes

STEPS = int(os.environ.get("HATCHERY_SOAK_STEPS", 10000))
SEED = int(os.environ.get("HATCHERY_SOAK_SEED", 20240301))
SECONDS = max(600, STEPS * 0.5)
CLIENTS = 4
WORKERS = 3
SPARES = 2
WHEELS_MB = 1
# After so many tenths of the steps, each kind has been done so often that what is kept for the next one is there. What the server
# may have more of at the end than then (SERVER_DRIFT_KB) are gaps of its heap, which jumps by up to 130 KiB when much is under way
# at once, and what has a bound of its own that is not reached yet: installations are remembered for ten minutes, indexes of
# sessions go round. A block of 64 bytes, 80 with its head, left by each of 7000 steps would be 547 KiB.
SETTLED = 3
# Fewer than the clients have together: the one that was used longest ago makes room.
SESSIONS = 28
# Each server has as many ids as there can be homes; the other suites have theirs elsewhere.
UID_BASE = 100_000_000 + os.getpid() % 30000 * 8192

OPTIONS = ("--no-access-log", "--worker-uid-base", UID_BASE, "--workers", WORKERS, "--touched", 1, "--session-spares", SPARES,
           "--sessions", SESSIONS, "--evict-sessions", "--container-idle-ms", 5000, "--interrupt-grace-ms", 20000,
           "--wheel-cache-mb", WHEELS_MB)


@pytest.fixture
def packages():
    with index() as one:
        yield one


def check_account(server, account):
    """Every session that was ever made has ended in a way that somebody knows of."""
    counted = counters(server)
    assert counted["sessions"] == counted["sessions_lost"] == 0, counted
    assert counted["sessions_made"] == account["made"], (counted, account.counts)
    assert counted["sessions_expired"] + counted["sessions_evicted"] == account["gone"], (counted, account.counts)
    assert account["made"] == account["ended"] + account["gone"], account.counts
    blame = [counted["runs"]["lost"], counted["quarantined"], counted["refused"], counted["workers_failed"], counted["queued"], counted["busy"]]
    assert blame == [0] * 6, counted


def check_health(server, account):
    template, = server.health()["pool"]["templates"]
    assert (template["failure"], template["restarts"], template["ready"]) == (None, 0, True), template
    assert template["generation"] == 1 + account["reloads"], template


def told(counts, account):
    lines = [f"{name:28}{number:7}" for name, number in sorted(counts.items())]
    return "\n".join([*lines, f"{'all':28}{sum(counts.values()):7}   {dict(account.counts)}"])


@pytest.mark.soak
@pytest.mark.timeout(SECONDS * 2)
def test_nothing_is_left_of_thousands_of_steps(make_server, packages):
    server = make_server(*OPTIONS, "--package-index", packages.url, env=GIVE_BACK)
    plan, account = share_out(STEPS, random.Random(SEED)), Account()
    began, counts, looks = time.monotonic(), Counter(), [at_rest(server, UID_BASE, SPARES)]
    print(f"\norder {SEED}")
    for tenth in range(10):
        part = plan[tenth * len(plan) // 10:(tenth + 1) * len(plan) // 10]
        counts += work_off(server, part, CLIENTS, account, SECONDS)
        looks.append(at_rest(server, UID_BASE, SPARES))
        check_account(server, account)
    new, early, settled, late = looks[0], looks[1], looks[SETTLED], looks[-1]
    print(f"{told(counts, account)}\n{len(plan)} steps in {time.monotonic() - began:.0f} s, order {SEED}")
    print(f"memory in KiB, at the start and after each tenth:\n{memory_table(looks)}\nat the end: {late}")

    check_health(server, account)
    check_left_over(new, early, late)
    check_drift(settled, late)

    pid = server.pid
    server.stop()  # with no process and no file behind
    assert control_groups(pid) == []
    if os.geteuid() == 0:
        assert not has_processes(range(UID_BASE, UID_BASE + 8192))


def more_than(before, late):
    """What there is fewer of (a connection that was just closing) is not left over."""
    return {name: (old, now) for name, (old, now) in late.left_over(before).items() if not isinstance(now, int) or now > old}


def check_left_over(new, early, late):
    """Wheels are a cache, which is bounded. Descriptors, mappings and threads may come with the first use of something."""
    assert late.wheels_kb <= WHEELS_MB << 10
    assert set(more_than(early, late)) <= {"wheels_kb"}, more_than(early, late)
    assert set(more_than(new, late)) <= {"fds", "mappings", "threads", "wheels_kb"}, more_than(new, late)


def check_drift(settled, late):
    assert late.server_rss_kb - settled.server_rss_kb <= SERVER_DRIFT_KB
    assert late.greatest_keeper_kb - settled.greatest_keeper_kb <= KEEPER_DRIFT_KB
