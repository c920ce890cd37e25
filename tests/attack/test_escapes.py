"""Each way out of escapes/ is tried three times over: with all layers it fails; without those that keep it in it works, or it
would prove nothing; with each of them alone it fails again."""

import os

import pytest

from cages import ALL, IS_ROOT
from escapes import all_escapes, program
from harness import proc
from harness.aftermath import unharmed
from harness.hatchery import free_port
from harness.isolation import isolation
from hostile import attack, short
from scene import Knocking


def cases():
    found = []
    for escape in all_escapes():
        given = frozenset(escape.given.split())
        found.append(("all", ALL, escape, None))
        found.append(("none", given, escape, None))
        found += [(f"only {one}", given | one.layers, escape, one) for one in escape.defenders(IS_ROOT)]
    # One server after the other.
    found.sort(key=lambda case: (case[1] != ALL, len(case[1]), sorted(case[1]), case[2].subprocesses))
    return [pytest.param(*case, id=f"{case[0]}: {case[2].name}") for case in found]


def landlock_abi(server):
    return isolation(server)["layers"]["landlock"].get("abi", 0)


def is_there(defender, server):
    return defender.layers <= server.layers and (not defender.abi or landlock_abi(server) >= defender.abi)


def skip_where_it_cannot_be_told(setting, escape, defender, server):
    if setting == "all":
        if not any(is_there(one, server) for one in escape.defenders(IS_ROOT)):
            pytest.skip(f"none of {escape.by} is to be had here")
        return
    if escape.who == "root" and not IS_ROOT:
        pytest.skip("a plain user's process may not do this anyway")
    if escape.capability is not None and not int(proc.status_field(server.pid, "CapEff"), 16) >> escape.capability & 1:
        pytest.skip(f"the server itself has no capability number {escape.capability}")
    if defender and not is_there(defender, server):
        states = {name: isolation(server)["layers"][name]["state"] for name in defender.layers}
        pytest.skip(f"it is not to be had alone here: {states}")


def succeeds(escape, server, scene, setting):
    """Returns whether it got out, and the answer."""
    knocking = Knocking(free_port()) if escape.port else None
    # A call that the filter answers with the process's end is one that did not work.
    ends = {"ok", "exit", "violation"} if "seccomp" in server.layers else {"ok", "exit"}
    if setting != "none":
        # The pool's own look at memory and disk may be faster.
        ends |= {"memory_limit", "output_limit"}
    run = attack(server, program(escape, server, scene, knocking and knocking.port), ends, limits=escape.limits)
    # What must arrive is waited for: it would be taken for the next case's.
    scene.patience = 5 if setting == "none" else 0.05
    outside = escape.seen is not None and escape.seen(scene)
    answered = knocking is not None and knocking.end()
    return outside or answered or "ESCAPED" in run["stdout"], run


@pytest.mark.parametrize("setting, layers, escape, defender", cases())
def test_escape(cages, scene, setting, layers, escape, defender):
    server = cages.get(layers, escape.subprocesses)
    skip_where_it_cannot_be_told(setting, escape, defender, server)
    if setting == "all":
        with unharmed(server, baseline=server.baseline):
            out, run = succeeds(escape, server, scene, setting)
        assert not out, short(run)
        return
    assert server.layers <= layers, "a layer is on that was switched off"
    out, run = succeeds(escape, server, scene, setting)
    if setting == "none":
        if not out and "NOT HERE" in run["stdout"]:
            pytest.skip(f"this machine has no such thing: {run['stdout'].strip()}")
        if not out and proc.status_field(os.getpid(), "Seccomp") != "0":
            pytest.skip("the tests run behind a filter of somebody else's, which may be what stops it")
        assert out, f"with {sorted(server.layers)} it must work, or it proves nothing: {short(run)}"
    else:
        assert not out, f"with {sorted(server.layers)} alone: {short(run)}"
