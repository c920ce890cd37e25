"""What may not be looked at from outside. Processes of the pool are not dumpable, so that their descriptors, folders and memory
are closed in /proc to all but a root with CAP_SYS_PTRACE: to plain users, and to the root of most containers. A test that needs
them is skipped there, and counted."""

import os
import re

import pytest

OF_A_PROCESS = re.compile(r"/proc/(\d+)/")


def is_closed(pid):
    """Whether the kernel refuses us what it asks PTRACE_MODE_READ for: of all of that, this link alone is always there."""
    try:
        os.readlink(f"/proc/{pid}/ns/user")
    except PermissionError:
        return True
    except FileNotFoundError:
        pass
    return False


def closed(name):
    return f"/proc/PID/{name} is closed: the process is not dumpable, and we have no CAP_SYS_PTRACE"


def skip_where_closed(pid):
    if is_closed(pid):
        pytest.skip(closed("mem"))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    try:
        pyfuncitem.obj(**arguments)
    except PermissionError as problem:
        of = OF_A_PROCESS.match(str(problem.filename))
        if not of or not is_closed(of[1]):
            raise
        pytest.skip(closed(problem.filename[of.end():]))
    return True
