"""What a plain user cannot look at. Processes of the pool are not dumpable, so that their descriptors, folders and memory are
closed in /proc to all but root; a test that needs them is skipped for anybody else, and counted."""

import os
import re

import pytest

OF_A_PROCESS = re.compile(r"/proc/\d+/")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    try:
        pyfuncitem.obj(**arguments)
    except PermissionError as problem:
        if os.geteuid() == 0 or not OF_A_PROCESS.match(str(problem.filename)):
            raise
        pytest.skip(f"{problem.filename} is closed to a plain user: the process is not dumpable")
    return True
