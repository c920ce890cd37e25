"""The two services without sessions, by their own clients: the data-analysis sandbox and the code execution sandbox. What
else there is to them: ../test_data_analysis.py and ../test_code_sandbox.py."""

import pytest

from harness.services import CodeExecutionSandbox, DataAnalysisSandbox


# ── Data-analysis sandbox ──


def test_analysis(server):
    service = DataAnalysisSandbox(server.url)
    assert service.execute("print('Hello')") == (200, {"status": "Success", "output": "Hello\n"})
    status, answer = service.execute("import pandas as pd\nprint(pd.DataFrame({'a': [1, 2]})['a'].mean())")
    assert (status, answer) == (200, {"status": "Success", "output": "1.5\n"})
    status, answer = service.execute("1 / 0")
    assert (status, answer["status"]) == (200, "Error") and "ZeroDivisionError" in answer["output"]


def test_analysis_with_curl(curl):
    assert curl("""curl -X POST http://localhost:8080/api/execute -H "Content-Type: application/json" \\
        -d '{"code": "print(1 + 1)"}'""") == b'{"status":"Success","output":"2\\n"}'


def test_analysis_starts_afresh(server):
    service = DataAnalysisSandbox(server.url)
    service.execute("x = 1")
    assert service.execute("print('x' in globals())")[1]["output"] == "False\n"


def test_analysis_is_set_by_the_environment(make_server):
    server = make_server(env={"EXECUTION_TIMEOUT": "2", "PREINSTALL_LIBS": "decimal"})
    service = DataAnalysisSandbox(server.url)
    assert service.execute("while True: pass") == (200, {"status": "Error", "output": "Execution timed out after 2 seconds"})
    assert service.execute("import sys; print('decimal' in sys.modules)")[1]["output"] == "True\n"


# ── Code execution sandbox ──


def test_sandbox(make_server):
    service = CodeExecutionSandbox(make_server().url)
    status, answer = service.health()
    assert status == 200 and answer["status"] == "healthy"
    status, answer = service.execute("df = pd.DataFrame(rows)\ntotal = int(df['a'].sum())\nprint(total)",
                                     {"rows": [{"a": 1}, {"a": 2}]})
    assert status == 200 and answer.pop("execution_time") > 0
    assert answer == {"result": {"rows": [{"a": 1}, {"a": 2}], "df": [{"a": 1}, {"a": 2}], "total": 3},
                      "stdout": "3\n", "stderr": ""}
    assert service.upload_data("k", {"a": [1]}) == (200, {"message": "Data for key 'k' uploaded successfully"})
    assert service.get_data("k") == (200, {"a": [1]})
    assert service.clear_data() == (200, {"message": "All data cleared"})
    assert service.get_data("k") == (404, {"detail": "No data found for key 'k'"})


def test_sandbox_error(server):
    status, answer = CodeExecutionSandbox(server.url).execute("raise ValueError('bad')")
    assert status == 200 and (answer["result"], answer["error"]) == (None, "bad") and "ValueError: bad" in answer["stderr"]


@pytest.mark.parametrize("command", [
    "curl http://localhost:8000/health",
    """curl -X POST http://localhost:8000/execute_code -H "Content-Type: application/json" \\
        -d '{"code": "result = 1", "input_data": {}}'"""])
def test_sandbox_with_curl(curl, command):
    answer = curl.json(command)
    assert answer.get("status") == "healthy" or answer["result"] == {"result": 1}
