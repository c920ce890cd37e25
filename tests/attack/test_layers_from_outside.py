"""Each layer that /health calls on is there, as the kernel tells of an idle worker from outside; and it is not there when it
is switched off, so that the first cannot be true by accident."""

import os
from pathlib import Path

import pytest

from cages import ALL
from harness import proc
from harness.aftermath import at_rest
from harness.isolation import all_layers, isolation

NONE = frozenset()
INFINITE = "unlimited"


def _text(pid, name):
    return Path(f"/proc/{pid}/{name}").read_text()


def _namespace(kind):
    return lambda server, pid: os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/{server.pid}/ns/{kind}")


def _limits(server, pid):
    hard = {line[:25].strip(): line[47:68].strip() for line in _text(pid, "limits").splitlines()[1:]}
    return INFINITE not in [hard[name] for name in ("Max cpu time", "Max file size", "Max core file size", "Max address space")]


def _no_capability(server, pid):
    return {int(proc.status_field(pid, name), 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}


def _more_filters(server, pid):
    """Than the server has, to which somebody else may have given some, as containers do."""
    before, now = (int(proc.status_field(one, "Seccomp_filters")) for one in (server.pid, pid))
    return proc.status_field(pid, "Seccomp") == "2" and now > before


# Landlock does not show, and being dumpable not reliably: escapes/ tells of both.
FACTS = {
    "rlimits": _limits,
    "no_new_privs": lambda server, pid: proc.status_field(pid, "NoNewPrivs") == "1",
    "capabilities": _no_capability,
    "seccomp": _more_filters,
    "uid": lambda server, pid: set(proc.status_field(pid, "Uid").split()).isdisjoint({str(os.geteuid())}) and
    proc.status_field(pid, "Groups") == "",
    "userns": _namespace("user"),
    "pidns": lambda server, pid: len(proc.status_field(pid, "NSpid").split()) == 2,
    "mountns": _namespace("mnt"),
    "netns": _namespace("net"),
    "ipcns": _namespace("ipc"),
    "utsns": _namespace("uts"),
    "cgroupns": _namespace("cgroup"),
    "cgroup": lambda server, pid: _text(pid, "cgroup") != _text(server.pid, "cgroup"),
    "oom_score": lambda server, pid: int(_text(pid, "oom_score_adj")) == 1000,
}


def idle_workers(server):
    at_rest(server)
    found = server.workers()
    assert found
    return found


@pytest.mark.parametrize("name", FACTS)
@pytest.mark.parametrize("layers", [ALL, NONE], ids=["all", "none"])
def test_a_layer_is_what_health_says(cages, layers, name):
    # Control groups of version 1 are for templates with subprocesses only.
    server = cages.get(layers, subprocesses=name == "cgroup")
    if layers == ALL and name not in server.layers:
        pytest.skip(f"{name}: {isolation(server)['layers'][name]}")
    if layers == NONE and name == "capabilities" and os.geteuid() != 0:
        pytest.skip("a plain user has no capabilities to begin with")
    if layers == NONE and name == "rlimits" and _limits(server, server.pid):
        pytest.skip("the server itself has finite limits")
    if layers == NONE and name == "no_new_privs" and proc.status_field(server.pid, "NoNewPrivs") == "1":
        pytest.skip("the server itself has been given no_new_privs")
    for pid in idle_workers(server):
        assert FACTS[name](server, pid) == (name in server.layers), name


def test_no_layer_is_left_out():
    assert set(FACTS) | {"landlock", "not_dumpable", "core_scheduling"} == set(all_layers())


def test_workers_differ_where_they_must(cages):
    """No two workers are in one cell, or have one id."""
    server = cages.get(ALL)
    for layer, what in (("uid", lambda pid: proc.status_field(pid, "Uid")), ("pidns", lambda pid: os.readlink(f"/proc/{pid}/ns/pid")),
                        ("mountns", lambda pid: os.readlink(f"/proc/{pid}/ns/mnt"))):
        if layer in server.layers:
            found = [what(pid) for pid in idle_workers(server)]
            assert len(set(found)) == len(found) > 1, (layer, found)
