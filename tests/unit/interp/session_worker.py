"""A worker of a session, what its runs say, and the moment to interrupt one."""

import os

import pytest
from supervisor import COMPLETED, REHEARSE, RESULT_END, SESSION, Outcome, request


@pytest.fixture
def worker(zygote):
    one = zygote.spawn(REHEARSE | SESSION)
    yield one
    one.end()


def value_of(worker, code, **parts):
    outcome = worker.run(code, **parts)
    assert outcome.outcome == COMPLETED, outcome.error
    return outcome.value and outcome.value.get("application/json", outcome.value["text/plain"])


def begin(worker, code, **parts):
    """Starts it, and returns when its first line has been executed."""
    worker.send(request("import os\nos.write(1, b'go')\n" + code, **parts))
    await_go(worker)


def await_go(worker):
    os.set_blocking(worker.stdout_fd, True)
    assert os.read(worker.stdout_fd, 2) == b"go"


def end(worker):
    outcome = Outcome()
    while found := worker.next_frame(outcome):
        outcome.add(*found)
        if found[0] == RESULT_END:
            return outcome
    raise AssertionError("the worker ended")
