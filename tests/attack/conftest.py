"""The servers under attack: one for most cases, looked at after each, and those with some layers off."""

import pytest

from cages import ALL, Cages
from harness.aftermath import at_rest, unharmed
from harness.hatchery import SMALL_POOL, of_a_session
from harness.isolation import layers_on
from hostile import UID_BASE
from scene import Scene


@pytest.fixture(scope="session")
def _fortress():
    with of_a_session(*SMALL_POOL, "--worker-uid-base", UID_BASE, "--log-level", "warning", "--no-access-log", "--isolation",
                      "best-effort", env={"DATABASE_PASSWORD": "canary-4711", "TZ": "UTC"}) as server:
        server.baseline = at_rest(server)
        yield server


@pytest.fixture
def server(_fortress):
    if not _fortress.is_alive():
        # A case before this one ended it and has failed for that; the others get a new one.
        _fortress.start()
        _fortress.baseline = at_rest(_fortress)
    with unharmed(_fortress, UID_BASE, _fortress.baseline):
        yield _fortress


@pytest.fixture(scope="session")
def scene():
    scene = Scene()
    yield scene
    scene.close()


@pytest.fixture(scope="session")
def cages():
    cages = Cages()
    yield cages
    cages.close()


@pytest.fixture
def apart(_fortress):
    """For attacks that would end the test run itself if they worked, since workers might share its uid."""
    if not layers_on(_fortress) & {"uid", "pidns"}:
        pytest.skip("workers have neither ids nor process numbers of their own here")


@pytest.fixture
def own_count(_fortress):
    """For attacks that use up a user's processes."""
    if not layers_on(_fortress) & {"uid", "userns", "cgroup"}:
        pytest.skip("the processes of all workers are counted together here")


@pytest.fixture
def own_files(_fortress):
    if not layers_on(_fortress) & {"uid", "mountns", "landlock"}:
        pytest.skip("workers have the server's rights to files here")


def pytest_collection_modifyitems(items):
    """Tests that want the same server stand together, behind those that want the common one."""

    def wanted(item):
        parameters = getattr(item, "callspec", None) and item.callspec.params or {}
        layers = parameters.get("layers")
        return layers is not None and (1, layers != ALL, len(layers), sorted(layers), bool(parameters.get("subprocesses"))) or (0,)

    items.sort(key=wanted)
