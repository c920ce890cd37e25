"""Fixtures of every black-box suite: `server`, shared by the whole session, and `make_server`, for servers of one test.

After each test that used the shared server it must still be the same process, run code, and have no zombie: a test
that breaks it fails itself, not its neighbour.
"""

import signal

import pytest

from harness.plain_user import pytest_pyfunc_call  # noqa: F401
from harness.hatchery import SMALL_POOL, Hatchery, eventually, of_a_session, program


def pytest_configure():
    # A suite that takes too long gets SIGTERM: it must still stop its servers.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_report_header():
    return f"hatchery: {program()}"


@pytest.fixture(scope="session")
def _shared_server():
    with of_a_session(*SMALL_POOL) as server:
        yield server


@pytest.fixture
def server(_shared_server):
    pid = _shared_server.pid if _shared_server.is_alive() else None
    if pid is None:
        # A test before this one killed it and has been told so; the others get a new one.
        pid = _shared_server.start().pid
    yield _shared_server
    assert _shared_server.is_alive(), f"the server ended during this test; its log:\n{_shared_server.log_tail()}"
    assert _shared_server.pid == pid
    assert _shared_server.run("print(1)")["stdout"] == "1\n"
    eventually(lambda: not _shared_server.zombies(), 30, "the server reaps its children")


@pytest.fixture
def make_server(request):
    """make_server("--workers", "2", env={…}) starts one; it is stopped, and that checked, at the end of the test. A test
    that ends it by itself calls stop(), kill() or wait()."""
    servers = []
    request.node.servers = servers

    def make(*arguments, **keywords):
        if not any(str(argument).split("=")[0] == "--workers" for argument in arguments):
            arguments = (*SMALL_POOL, *arguments)
        server = Hatchery(*arguments, **keywords, start=False)
        servers.append(server)
        server.start()
        return server

    yield make
    problems = []
    for server in servers:
        try:
            if server.is_alive():
                server.stop()
            elif server.process is not None:
                problems.append(f"the server ended by itself with {server.wait()}; its log:\n{server.log_tail()}")
        except AssertionError as problem:
            problems.append(str(problem))
        finally:
            server.close()
    assert not problems, "\n".join(problems)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the end of the servers' logs with a failure."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    servers = [*getattr(item, "servers", []), getattr(item, "funcargs", {}).get("server")]
    for server in filter(None, servers):
        report.sections.append(("log of the server", server.log_tail()))
