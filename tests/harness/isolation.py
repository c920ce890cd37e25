"""What a server says that shuts its workers in, as /health tells it; tests read there what to expect."""

import re
from functools import lru_cache

from harness.hatchery import ROOT


NAMESPACES = frozenset(["userns", "pidns", "mountns", "netns", "ipcns", "utsns", "cgroupns"])
# Those that each cell has for itself; the others are shared by all cells of a maker.
OF_CELLS = frozenset(["userns", "pidns", "mountns"])


@lru_cache(maxsize=None)
def all_layers():
    """Every name, in the order of subprojects/wire/wire/layers.c."""
    source = (ROOT / "subprojects/wire/wire/layers.c").read_text()
    return tuple(re.findall(r'\[LAYER_\w+\] = \{"(\w+)"', source))


def isolation(server):
    return server.get("/health").json()["isolation"]


def states(server):
    """{"seccomp": "on", …}"""
    return {name: layer["state"] for name, layer in isolation(server)["layers"].items()}


def layers_on(server):
    return frozenset(name for name, state in states(server).items() if state == "on")


def makes_copies(server):
    """Whether sessions can be copied here: it says by which layers, so that a copy that fails is a failure."""
    return {"landlock", "seccomp"} <= layers_on(server)


def has_cells(server):
    return bool(layers_on(server) & {"pidns", "mountns"})
