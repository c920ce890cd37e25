"""Runs that end when a test says so, and not after some time that a busy machine may take for something else."""

import json
import tempfile
from contextlib import contextmanager
from pathlib import Path


def waits_for(path):
    """Code that goes on when there is such a file."""
    return f"import os, time\nwhile not os.path.exists({str(path)!r}): time.sleep(0.01)\n"


class Gate:
    """A folder that runs of a server with these options see, and a run that waits for a file in it."""

    def __init__(self, folder):
        self._opened = Path(folder) / "open"
        self.options = ("--read-only-paths", folder)
        self.code = waits_for(self._opened) + "print(7)"
        self.run = json.dumps({"code": self.code}).encode()

    def open(self):
        self._opened.touch()


@contextmanager
def shut():
    # /tmp is each run's own.
    with tempfile.TemporaryDirectory(prefix="hatchery-gate-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Gate(folder)
