"""The server under attack: one for all cases, looked at after each."""

import os

import pytest

from harness.aftermath import at_rest, unharmed
from harness.hatchery import SMALL_POOL, Hatchery
from hostile import UID_BASE


@pytest.fixture(scope="session")
def _fortress():
    server = Hatchery(*SMALL_POOL, "--worker-uid-base", UID_BASE, "--log-level", "warning", "--no-access-log",
                      env={"DATABASE_PASSWORD": "canary-4711", "TZ": "UTC"})
    server.baseline = at_rest(server)
    yield server
    try:
        if server.is_alive():
            server.stop()
    finally:
        server.close()


@pytest.fixture
def server(_fortress):
    if not _fortress.is_alive():
        # A case before this one ended it and has failed for that; the others get a new one.
        _fortress.start()
        _fortress.baseline = at_rest(_fortress)
    with unharmed(_fortress, UID_BASE, _fortress.baseline):
        yield _fortress


@pytest.fixture
def own_uids():
    """For attacks that would end the test run itself where workers share its uid."""
    if os.geteuid() != 0:
        pytest.skip("only root can give each worker a uid of its own")
