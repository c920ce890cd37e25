"""Servers with all their layers, with none, or with some: started when a test wants one, and kept while neighbouring tests
want the same."""

import os
from collections import OrderedDict

import pytest

from harness.aftermath import at_rest, unharmed
from harness.hatchery import SMALL_POOL, Hatchery
from harness.isolation import all_layers, layers_on
from hostile import UID_BASE

ALIVE_MAX = 2  # a small machine
ALL = frozenset(["all"])

# They import nothing, so that they start at once; and give little disk, so that it is quickly full.
ARGUMENTS = (*SMALL_POOL, "--imports", "", "--log-level", "warning", "--no-access-log", "--disk-mb", "16", "--max-disk-mb", "16",
             "--isolation", "best-effort")


class Cages:
    def __init__(self):
        self.servers = OrderedDict()  # the one used last at the end
        self.failures = {}  # what could not be started, and why: once is enough
        self.started = 0

    def get(self, layers, subprocesses=False):
        """A server whose workers take these layers, as far as there are such here; ALL: whatever there is."""
        key = (layers, subprocesses)
        server = self.servers.get(key)
        if server and not server.is_alive():
            self._end(key)
            server = None
        if key in self.failures:
            pytest.fail(f"there is no such server, as the first test that wanted it has shown: {self.failures[key]}")
        if not server:
            while len(self.servers) >= ALIVE_MAX:
                self._end(next(iter(self.servers)))
            try:
                server = self.servers[key] = self._start(layers, subprocesses)
            except AssertionError as problem:
                self.failures[key] = str(problem)[:1000]
                raise
        self.servers.move_to_end(key)
        return server

    def _start(self, layers, subprocesses):
        self.started += 1
        # None shares its workers' ids with another one that may be alive.
        arguments = [*ARGUMENTS, "--worker-uid-base", UID_BASE + 64 + 16 * (self.started % 16)]
        if layers != ALL:
            off = [name for name in all_layers() if name not in layers and name != "core_scheduling"]
            arguments += ["--layers-off", ",".join(off)]
        if subprocesses:
            arguments += ["--subprocesses", "--max-processes", "16"]
        server = Hatchery(*arguments, env={"DATABASE_PASSWORD": "canary-4711"})
        try:
            server.layers = layers_on(server)
            server.baseline = at_rest(server)
        except AssertionError:
            server.close()
            raise
        return server

    def _end(self, key):
        server = self.servers.pop(key)
        try:
            assert server.is_alive(), f"it ended by itself; its log:\n{server.log_tail()}"
            # Whatever its runs have done, they have left nothing behind.
            with unharmed(server, baseline=server.baseline, witness=False):
                pass
            server.stop()
        finally:
            server.close()

    def close(self):
        problems = []
        while self.servers:
            try:
                self._end(next(iter(self.servers)))
            except AssertionError as problem:
                problems.append(str(problem))
        assert not problems, "\n".join(problems)


IS_ROOT = os.geteuid() == 0
