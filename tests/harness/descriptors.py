"""A process that runs out of descriptors."""

import os
import resource
from contextlib import contextmanager


@contextmanager
def descriptors_left(pid, spare):
    """Only so many more than it has now. The limit is one on numbers, the lowest free one is taken first, and what the start has
    closed has left some, how many is a matter of timing."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    free = [number for number in range(max(taken) + spare + 2) if number not in taken]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free[spare], before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
