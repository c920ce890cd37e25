"""Packages of the two services that install them, from an index on this machine."""

import pytest

from harness.services import CodeInterpreter, JupyterSessions
from harness.wheels import Index

MODULE = "version = '{}'\ndef greet():\n    return 'hello from ' + __name__\n"


@pytest.fixture
def index():
    with Index() as one:
        one.add("greeter", "1.0", files={"greeter.py": MODULE.format("1.0")})
        one.add("greeter", "2.0", files={"greeter.py": MODULE.format("2.0")})
        one.add("other-name", files={"othermodule/__init__.py": MODULE.format("1"), "_private.py": ""}, requires=["greeter<2"])
        one.add("forged", sha256="0" * 64)
        one.add("broken", files={"broken.py": "1 / 0\n"})
        one.add("empty", files={"empty-1.0.data/data/share/nothing": ""})
        yield one


@pytest.fixture
def packages(make_server, index):
    return make_server("--package-index", index.url)


def test_the_interpreter_has_them_until_it_is_terminated(packages):
    service = CodeInterpreter(packages.url, "s")
    assert service.install("greeter==1.0") == (200, {"status": "success", "installed_packages": ["greeter==1.0"]})
    run = "import greeter; print(greeter.greet(), greeter.version)"
    assert service.execute(run) == (200, {"status": "success", "output": "hello from greeter 1.0\n", "errors": ""})
    assert service.install(" other-name ")[1]["installed_packages"] == ["greeter==1.0", "other-name"]
    assert service.execute("import othermodule; print(othermodule.version)")[1]["output"] == "1\n"
    assert service.terminate()[0] == 200
    assert service.install() == (200, {"status": "success", "installed_packages": []})
    assert "ModuleNotFoundError" in service.execute(run)[1]["errors"]
    other = CodeInterpreter(packages.url, "t")
    other.install()
    assert "ModuleNotFoundError" in other.execute(run)[1]["errors"]


def test_what_the_index_does_not_have(packages, index):
    service = CodeInterpreter(packages.url, "s")
    status, answer = service.install("greeter", "no-such-package")
    assert status == 422 and "no-such-package" in answer["detail"]
    status, answer = service.install("forged")
    assert status == 422 and "hash" in answer["detail"]
    assert service.install()[1]["installed_packages"] == []
    index.close()
    status, answer = service.install("greeter")
    assert status == 502 and answer["detail"]


def test_a_kernel_has_them_imported(packages):
    session = JupyterSessions(packages.url, "u")
    session.start_session()
    status, answer = session.install_package("greeter")
    assert status == 200 and answer["message"] == "Successfully installed and imported greeter"
    assert "greeter" in answer["output"]
    assert session.execute("greeter.greet(), greeter.version") == (200, {"output": "('hello from greeter', '2.0')"})
    assert session.reset()[0] == 200
    assert session.execute("import greeter\ngreeter.version") == (200, {"output": "'2.0'"})
    assert session.end_session()[0] == 200


def test_a_kernel_imports_what_has_another_name(packages):
    session = JupyterSessions(packages.url, "u")
    session.start_session()
    session.execute("names = set(globals())")
    assert session.install_package("Other.Name")[1]["message"] == "Successfully installed and imported Other.Name"
    assert session.execute("othermodule.version, sorted(set(globals()) - names - {'names'})") == \
        (200, {"output": "('1', ['othermodule'])"})


def test_a_module_that_fails_and_none_at_all(packages):
    session = JupyterSessions(packages.url, "u")
    session.start_session()
    status, answer = session.install_package("broken")
    assert status == 400 and answer["detail"]["error"] == "Execution error"
    assert answer["detail"]["traceback"][-1] == "ZeroDivisionError: division by zero"
    assert session.install_package("empty")[1]["message"] == "Successfully installed and imported empty"
    status, answer = session.install_package("no-such-package")
    assert status == 422 and answer["detail"].startswith("Failed to install no-such-package: ")


def test_nothing_can_be_installed_where_there_is_no_index(make_server):
    server = make_server("--package-index", "none")
    service, session = CodeInterpreter(server.url, "s"), JupyterSessions(server.url, "u")
    session.start_session()
    assert service.install("numpy") == (200, {"status": "success", "installed_packages": ["numpy"]})
    assert session.install_package("numpy")[0] == 200
    for status, answer in (service.install("greeter"), session.install_package("greeter")):
        assert status == 403 and answer["detail"]
