"""Workers that take chosen layers and no other, in a cell or without: what each layer does is seen by having it alone, and by
being without it."""

import os

from supervisor import LAYERS, RAISED, REHEARSE, layers

IS_ROOT = os.geteuid() == 0
UID = 61007
# Layers that come with a cell: by descriptors of its own, or inherited from a zygote that has entered them.
OF_CELL = ("pidns", "mountns", *(() if IS_ROOT else ("userns",)))
SHARED = ("netns", "ipcns", "utsns", "cgroupns")
# All that a server takes anywhere, but for what this kernel may lack.
USUAL = ("rlimits", "no_new_privs", "capabilities", "not_dumpable", "seccomp", "oom_score")


class Refused(AssertionError):
    """The run raised; .type and .message say what."""

    def __init__(self, outcome):
        super().__init__(outcome.error)
        self.type, self.message = outcome.error["type"], outcome.error["message"]


def value_of(worker, code, **parts):
    outcome = worker.run(code, **parts)
    if outcome.outcome == RAISED:
        raise Refused(outcome)
    return outcome.value and outcome.value.get("application/json", outcome.value.get("text/plain"))


def run_in(worker, code, **parts):
    try:
        return value_of(worker, code, **parts)
    finally:
        worker.end()


def run_with(zygote, names, code, flags=REHEARSE, **parts):
    """The value of the last expression of code, in a worker that has taken just these layers."""
    parts.setdefault("uid", UID if "uid" in names else None)
    return run_in(zygote.spawn(flags, taken=layers(*names), **parts), code)


class Celled:
    def __init__(self, maker, zygote):
        self.maker, self.zygote = maker, zygote

    def spawn(self, names=(), cell=None, flags=REHEARSE, **parts):
        """A worker in that cell, or in a new one, with the cell's layers and these."""
        cell = cell or self.maker.cell()
        taken = layers(*OF_CELL, *names)
        fds = {"pidns": cell.pid_fd, "mountns": cell.mount_fd, "userns": cell.user_fd}
        fds = {name: fd for name, fd in fds.items() if fd is not None and taken & LAYERS[name]}
        parts.setdefault("uid", UID if "uid" in names else None)
        return self.zygote.spawn(flags, taken=taken, fds=fds, directory="", **parts)

    def run_with(self, names, code, **parts):
        return run_in(self.spawn(names, **parts), code)
