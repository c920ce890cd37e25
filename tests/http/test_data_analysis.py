"""The data-analysis sandbox: POST /api/execute {code} → {status, output}."""

import pytest


def execute(server, code, **extra):
    answer = server.post("/api/execute", {"code": code, **extra})
    assert answer.status == 200, answer
    body = answer.json()
    assert set(body) == {"status", "output"}
    return body["status"], body["output"]


def test_what_is_printed(server):
    assert execute(server, "import pandas as pd\nprint(pd.DataFrame({'a': [1, 2]})['a'].sum())") == ("Success", "3\n")


def test_both_streams(server):
    code = "import sys\nprint('out')\nprint('err', file=sys.stderr)"
    assert execute(server, code) == ("Success", "out\nerr\n")


def test_nothing(server):
    assert execute(server, "x = 1") == ("Success", "")


def test_the_last_value_ends_the_output(server):
    assert execute(server, "print('a', end='')\n1 + 1") == ("Success", "a\n2\n")
    assert execute(server, "'é\\n\"'") == ("Success", "'é\\n\"'\n")


def test_an_exception(server):
    status, output = execute(server, "print('before')\n1/0")
    assert status == "Error"
    assert output.startswith("before\n") and "Traceback" in output and "ZeroDivisionError: division by zero" in output


def test_exits(server):
    assert execute(server, "import sys; print('x'); sys.exit(0)") == ("Success", "x\n")
    status, output = execute(server, "import sys; print('x'); sys.exit(3)")
    assert (status, output) == ("Error", "x\nThe program ended with exit code 3.")


def test_a_crash(server):
    status, output = execute(server, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert status == "Error" and "SIGSEGV" in output


@pytest.mark.parametrize("name", ["EXECUTION_TIMEOUT"])
def test_the_timeout_of_the_environment(make_server, name):
    server = make_server(env={name: "2"})
    status, output = execute(server, "print('x', flush=True)\nwhile True: pass")
    assert (status, output) == ("Error", "x\nExecution timed out after 2 seconds")


def test_runs_know_nothing_of_one_another(server):
    assert execute(server, "secret = 1")[0] == "Success"
    assert "NameError" in execute(server, "secret")[1]


def test_unknown_members_are_ignored(server):
    assert execute(server, "print(1)", language="python", timeout=None) == ("Success", "1\n")


@pytest.mark.parametrize("body, status", [(b"", 400), (b"{", 400), (b"{}", 422), (b'{"code": 1}', 422), (b"[]", 422),
                                          (b'{"code": null}', 422)])
def test_errors_have_the_same_shape(server, body, status):
    answer = server.post("/api/execute", body)
    assert answer.status == status
    assert set(answer.json()) == {"status", "output"} and answer.json()["status"] == "Error"


def test_errors_name_the_member(server):
    assert server.post("/api/execute", {"code": 1}).json()["output"] == "code: This must be a string, not a number."
    assert server.post("/api/execute", {}).json()["output"] == 'The member "code" is required: the Python source to run.'
