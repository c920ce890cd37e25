"""A child made by os.fork() that comes out of the code: it ends as it would at the end of a script, and all that is told of the run
is its parent's."""

import pytest

from harness.hatchery import SMALL_POOL, Hatchery
from harness.own_sessions import OwnSession

SOME = {"processes": 8}

# What the child does, and what is to be seen of that: its exit status, as its parent prints it, and a part of standard error.
ENDINGS = {
    "the end of the code": ("pass", "0\n", ""),
    "sys.exit": ("sys.exit(3)", "3\n", ""),
    "sys.exit with words": ("sys.exit('of the child')", "1\n", "of the child\n"),
    "an exception": ("1 / 0", "1\n", "ZeroDivisionError: division by zero\n"),
    "output": ("print('of the child')", "of the child\n0\n", ""),
    "output held back": ("file = open(1, 'w', closefd=False)\n    file.write('of the child\\n')", "of the child\n0\n", ""),
}
FORK = """
import os, sys
pid = os.fork()
if pid == 0:
    {ending}
else:
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
pid > 0
"""


@pytest.fixture(scope="module")
def server():
    with Hatchery(*SMALL_POOL, "--imports", "", "--subprocesses", "--processes", "8", "--max-processes", "16",
                  "--isolation", "best-effort") as server:
        yield server


def check(run, stdout, stderr):
    assert (run["status"], run["exit_code"], run["stdout"], run["error"]) == ("ok", 0, stdout, None), run
    assert run["result"]["text/plain"] == "True" and stderr in run["stderr"], run


@pytest.mark.parametrize("ending, stdout, stderr", ENDINGS.values(), ids=ENDINGS)
def test_a_run(server, ending, stdout, stderr):
    check(server.run(FORK.format(ending=ending), limits=SOME), stdout, stderr)


@pytest.mark.parametrize("ending, stdout, stderr", ENDINGS.values(), ids=ENDINGS)
def test_a_session(server, ending, stdout, stderr):
    with OwnSession(server) as session:
        check(session.run(FORK.format(ending=ending)), stdout, stderr)
        for _ in range(3):
            assert session.value("pid > 0") == "True"


def test_a_child_that_nobody_waits_for(server):
    """It must neither answer the run, nor take the next ones."""
    with OwnSession(server) as session:
        assert session.value("import os\npid = os.fork()\npid > 0") == "True"
        for _ in range(5):
            assert session.value("pid > 0") == "True"
        assert session.inspect()["lost"] is None


def test_a_child_of_what_is_called_last(server):
    """When the code has ended already."""
    with OwnSession(server) as session:
        made = "import os\nclass Forks:\n    def __repr__(self):\n        global pid\n        pid = os.fork()\n" \
               "        if pid > 0: os.waitpid(pid, 0)\n        return 'forks'\n"
        assert session.value(made + "Forks()") == "forks"
        for _ in range(3):
            assert session.value("pid > 0") == "True"
