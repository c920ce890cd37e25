"""What honest programs do must work, with everything that shuts a run in switched on."""

import pytest
from harness.hatchery import SMALL_POOL, Hatchery
from harness.isolation import NAMESPACES, layers_on
from programs import parameters


def succeeds(server, program, **fields):
    if program.layer and program.layer not in layers_on(server):
        pytest.skip(f"{program.name} needs {program.layer}, which is not on")
    run = server.run(program.code, env=program.environment, **fields)
    assert run["status"] == "ok", (run["status"], run["error"] and run["error"]["traceback"], run["stderr"])


@pytest.mark.parametrize("program", parameters())
def test_it_works(server, program):
    succeeds(server, program)


@pytest.fixture(scope="module")
def server_with_subprocesses():
    with Hatchery(*SMALL_POOL, "--subprocesses", "--max-processes", "16") as server:
        yield server


@pytest.fixture(scope="module")
def server_without_namespaces():
    """As most containers have it."""
    with Hatchery(*SMALL_POOL, "--subprocesses", "--max-processes", "16", "--isolation", "best-effort",
                  "--layers-off", ",".join(sorted(NAMESPACES))) as server:
        yield server


WITHOUT_SKIPS = parameters(skips=False)


@pytest.mark.parametrize("program", [one for one in WITHOUT_SKIPS if one.id != "no_processes"] + parameters("subprocesses"))
def test_it_works_where_subprocesses_are_allowed(server_with_subprocesses, program):
    succeeds(server_with_subprocesses, program, limits={"processes": 16})


@pytest.mark.parametrize("program", WITHOUT_SKIPS)
def test_one_process_is_one_process_in_any_template(server_with_subprocesses, program):
    succeeds(server_with_subprocesses, program, limits={"processes": 1})


@pytest.mark.parametrize("program", [one for one in WITHOUT_SKIPS if one.id != "no_processes"] + parameters("subprocesses"))
def test_it_works_without_namespaces(server_without_namespaces, program):
    succeeds(server_without_namespaces, program, limits={"processes": 16})
