"""Sends hostile programs, and knows what every answer to one must look like."""

import os
import time

from harness.aftermath import strict_json

# Not the standard one, and another one for each test run: a case that kills "everybody I may kill" must find nobody else.
UID_BASE = 200000 + os.getpid() * 512

# Every status that a run may end in by its own doing; `lost`, and any 5xx, would be our failure.
STATUSES = {"ok", "error", "exit", "timeout", "cpu_limit", "memory_limit", "output_limit", "violation", "crashed"}

LIMITS = {"wall_ms": 10000, "cpu_ms": 10000, "memory_mb": 256}


def post(server, code, **fields):
    """The parsed answer, after the checks that hold whatever a program does."""
    fields["limits"] = {**LIMITS, **fields.get("limits", {})}
    begun = time.monotonic()
    answer = server.post("/v1/execute", {"code": code, **fields})
    # Nothing that a program does may hold its answer back; the slack is for a busy machine.
    assert time.monotonic() - begun < fields["limits"]["wall_ms"] / 1000 + 20
    assert answer.status == 200, answer
    assert int(answer.headers["Content-Length"]) == len(answer.body)
    run = strict_json(answer.body)
    assert run["status"] in STATUSES, run
    return run


def attack(server, code, statuses, **fields):
    run = post(server, code, **fields)
    allowed = {statuses} if isinstance(statuses, str) else set(statuses)
    assert run["status"] in allowed, short(run)
    return run


def short(run):
    """An answer without what makes it long, for a message."""
    return {name: value if not isinstance(value, str) else value[:2000]
            for name, value in run.items() if name not in ("limits", "displays", "files")}
