"""The code interpreter with sessions: /install, /upload, /execute, /download, /terminate."""

import json
import os
import threading

import pytest

from harness.hatchery import eventually
from harness.isolation import has_cells
from harness.services import CodeInterpreter, post_chunked

SUM_CODE = """import os
import numpy as np
numbers = [int(os.getenv(name)) for name in ("VAR_A", "VAR_B", "VAR_C")]
print(f"Sum of {numbers}: {np.sum(np.array(numbers))}")"""
SUM_ENV = {"VAR_A": "10", "VAR_B": "20", "VAR_C": "30"}
NOT_FOUND = (404, {"detail": "Session not found."})
CSV = b"Date,Open,Close\n2022-03-16,157.05,159.59\n2022-03-17,158.61,160.62\n"


@pytest.fixture
def service(server, fresh_id):
    client = CodeInterpreter(server.url, fresh_id)
    yield client
    client.terminate()


@pytest.fixture
def session(service):
    assert service.install()[0] == 200
    return service


# ── The way its documentation goes ──


def test_packages_and_environment(service):
    assert service.execute(SUM_CODE, SUM_ENV) == NOT_FOUND
    assert service.install("numpy") == (200, {"status": "success", "installed_packages": ["numpy"]})
    assert service.execute(SUM_CODE, SUM_ENV) == \
        (200, {"status": "success", "output": "Sum of [10, 20, 30]: 60\n", "errors": ""})
    assert service.terminate() == \
        (200, {"status": "success", "message": f"Session {service.session_id} terminated successfully."})
    assert service.execute(SUM_CODE, SUM_ENV) == NOT_FOUND


def test_files(server, service):
    status, answer = service.upload("AAPL.csv", CSV)
    assert status == 200 and list(answer) == ["filename", "location"]
    assert answer["filename"] == "AAPL.csv"
    if has_cells(server):
        assert answer["location"] == f"/tmp/{service.session_id}/AAPL.csv"
    assert service.install("pandas") == (200, {"status": "success", "installed_packages": ["pandas"]})
    status, answer = service.execute(f"""import pandas as pd
print(pd.read_csv({answer["location"]!r}).iloc[0].to_json())""")
    assert status == 200 and (answer["status"], answer["errors"]) == ("success", "")
    assert json.loads(answer["output"]) == {"Date": "2022-03-16", "Open": 157.05, "Close": 159.59}
    assert service.download("AAPL.csv") == (200, CSV)
    assert service.terminate()[0] == 200
    assert service.download("AAPL.csv") == NOT_FOUND
    assert service.upload("other.csv", b"")[0] == 200
    assert service.execute("import os; print(os.listdir())")[1]["output"] == "['other.csv']\n"


def test_the_same_with_curl(curl, fresh_id):
    curl.folder.joinpath("AAPL.csv").write_bytes(CSV)
    execute = f"""curl -X POST http://localhost:8000/execute -H "Content-Type: application/json" -d '{{
  "session_id": "{fresh_id}",
  "code": "import os\\nprint(int(os.getenv(\\"VAR_A\\")) + 1)",
  "env": {{
    "VAR_A": "10"
  }}
}}'"""
    terminate = f"""curl -X POST http://localhost:8000/terminate -H "Content-Type: application/json" -d '{{
  "session_id": "{fresh_id}"
}}'"""
    assert curl(execute) == b'{"detail":"Session not found."}'
    assert curl(f"""curl -X POST http://localhost:8000/install -H "Content-Type: application/json" -d '{{
  "session_id": "{fresh_id}",
  "packages": ["numpy"]
}}'""") == b'{"status":"success","installed_packages":["numpy"]}'
    assert curl(execute) == b'{"status":"success","output":"11\\n","errors":""}'
    assert curl(f"""curl -X POST "http://localhost:8000/upload" \\
  -H "accept: application/json" \\
  -F "session_id={fresh_id}" \\
  -F "file=@AAPL.csv" """).startswith(b'{"filename":"AAPL.csv","location":"/')
    assert curl(f'curl "http://localhost:8000/download?session_id={fresh_id}&filename=AAPL.csv"') == CSV
    assert curl(terminate) == \
        f'{{"status":"success","message":"Session {fresh_id} terminated successfully."}}'.encode()
    assert curl(execute) == curl(terminate) == b'{"detail":"Session not found."}'


# ── Runs ──


def test_variables_live_on(session):
    assert session.execute("x = 20")[1]["output"] == ""
    assert session.execute("print(x + 1)")[1]["output"] == "21\n"
    assert session.execute("x")[1]["output"] == ""  # a script, not a notebook


def test_the_environment_is_of_one_run(session):
    assert session.execute("import os; print(os.environ['A'])", {"A": "1"})[1]["output"] == "1\n"
    assert session.execute("import os; print('A' in os.environ)")[1]["output"] == "False\n"
    assert session.execute("import os; print(os.environ['A'])", {"A": 2.5})[1]["output"] == "2.5\n"


def test_an_exception_is_a_success_with_errors(session):
    status, answer = session.execute("import sys\nprint('out')\nprint('err', file=sys.stderr)\n1 / 0")
    assert (status, answer["status"], answer["output"]) == (200, "success", "out\n")
    assert answer["errors"].startswith("err\nTraceback (most recent call last):\n")
    assert answer["errors"].endswith("ZeroDivisionError: division by zero\n")


def test_syntax_errors_and_exits(session):
    status, answer = session.execute("print(")
    assert (status, answer["status"], answer["output"]) == (200, "success", "") and "SyntaxError" in answer["errors"]
    assert session.execute("x = 1\nimport sys; print(1); sys.exit(3)") == \
        (200, {"status": "success", "output": "1\n", "errors": ""})
    assert session.execute("print(x)")[1]["output"] == "1\n"


def test_an_end_of_the_process_is_told_and_forgotten_variables_too(session):
    session.upload("kept", b"1")
    status, answer = session.execute("x = 1\nimport os; print('a', flush=True); os._exit(3)")
    assert (status, answer["output"]) == (200, "a\n")
    status, answer = session.execute("print('x' in globals(), open('kept').read())")
    assert (status, answer["status"], answer["output"]) == (200, "success", "False 1\n")
    assert answer["notice"]
    assert "notice" not in session.execute("1")[1]


def test_a_limit_is_an_error(make_server):
    server = make_server("--wall-ms", "2000")
    service = CodeInterpreter(server.url, "limited")
    service.install()
    status, answer = service.execute("print('a', flush=True)\nwhile True: pass")
    assert (status, answer["status"], answer["output"]) == (200, "error", "a\n") and "2000 ms" in answer["errors"]
    assert service.execute("print(1)")[1]["output"] == "1\n"


def test_runs_of_one_session_are_serial(session):
    session.execute("import time\nlog = []")
    code = "for i in range(3):\n    log.append(({n}, i)); time.sleep(0.01)"
    threads = [threading.Thread(target=session.execute, args=(code.replace("{n}", str(n)),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = eval(session.execute("print(log)")[1]["output"])
    assert len(log) == 12 and all(log[i][0] == log[i - i % 3][0] for i in range(12))


def test_terminate_ends_a_run(server, session):
    answers = []
    code = "import time\nopen('interpreter-begun', 'w')\nwhile True: time.sleep(0.01)"
    runner = threading.Thread(target=lambda: answers.append(session.execute(code)))
    runner.start()
    eventually(lambda: session.download("interpreter-begun")[0] == 200, 20, "the run has begun")
    assert session.terminate()[0] == 200
    runner.join(20)
    assert answers == [(200, {"status": "error", "output": "", "errors": "The run was cancelled."})]


# ── Files ──


def test_a_made_file_is_downloaded(session):
    session.execute("import os\nos.mkdir('out')\nopen('out/ä.bin', 'wb').write(bytes(range(256)))")
    assert session.download("out/ä.bin") == (200, bytes(range(256)))
    for name in ("out/none", "out", ".", ""):
        assert session.download(name) == (404, {"detail": "File not found."}), name
    assert session.download("../../etc/passwd")[0] == 404


def test_a_download_is_an_attachment(server, session):
    session.upload("a b.csv", CSV)
    answer = server.get(f"/download?session_id={session.session_id}&filename=a%20b.csv")
    assert (answer.status, answer.body) == (200, CSV)
    assert answer.headers["Content-Disposition"].startswith("attachment") and "csv" in answer.headers["Content-Type"]


def test_links_are_not_followed(session):
    session.execute("import os; os.symlink('/etc/passwd', 'link')")
    assert session.download("link")[0] == 404


@pytest.mark.parametrize("name, kept", [("../../up.txt", "up.txt"), ("a/b.txt", "b.txt"), ("C:\\x\\y.txt", "y.txt"),
                                        ("ü €.txt", "ü €.txt"), (".hidden", ".hidden")])
def test_only_the_last_part_of_a_name_counts(session, name, kept):
    status, answer = session.upload(name.replace("\\", "\\\\"), b"1")
    assert status == 200 and answer["filename"] == kept
    assert session.execute("import os; print(os.listdir())")[1]["output"] == f"{[kept]}\n"


@pytest.mark.parametrize("name", ["..", ".", "a/", "x" * 300])
def test_names_that_cannot_be(session, name):
    status, answer = session.upload(name, b"1")
    assert status == 422 and "detail" in answer


def test_an_upload_replaces(session):
    session.upload("a", b"1" * 100000)
    session.upload("a", b"2")
    assert session.download("a") == (200, b"2")
    session.upload("empty", b"")
    assert session.download("empty") == (200, b"")


# ── Packages ──


def test_packages_add_up(session):
    session.install("numpy")
    assert session.install("pandas", "numpy")[1]["installed_packages"] == ["numpy", "pandas"]
    assert session.install()[1]["installed_packages"] == ["numpy", "pandas"]


def test_packages_that_cannot_be(session):
    for package in ("git+https://example.com/x", "../x", "--index-url=x", ""):
        status, answer = session.install(package)
        assert status == 422 and "detail" in answer, package
    assert session.install()[1]["installed_packages"] == []


# ── Requests that are wrong ──


def detail(answer):
    assert answer.status == 422, answer
    problem, = answer.json()["detail"]
    assert problem["msg"]
    return problem["loc"], problem["type"]


@pytest.mark.parametrize("path, body, loc, kind", [
    ("/execute", b"", ["body"], "value_error.jsondecode"),
    ("/execute", b"{", ["body"], "value_error.jsondecode"),
    ("/execute", b"[]", ["body"], "type_error.dict"),
    ("/execute", b"{}", ["body", "session_id"], "value_error.missing"),
    ("/execute", b'{"session_id": null, "user_id": null, "code": "1"}', ["body", "session_id"], "value_error.missing"),
    ("/execute", b'{"session_id": "a"}', ["body", "code"], "value_error.missing"),
    ("/execute", b'{"session_id": "a", "code": null}', ["body", "code"], "value_error.missing"),
    ("/execute", b'{"session_id": 1, "code": "1"}', ["body", "session_id"], "type_error.str"),
    ("/execute", b'{"session_id": "a", "code": ["1"]}', ["body", "code"], "type_error.str"),
    ("/execute", b'{"session_id": "a", "code": "1", "env": []}', ["body", "env"], "type_error.dict"),
    ("/execute", b'{"session_id": "a", "code": "1", "env": {"A=B": "1"}}', ["body", "env"], "type_error.dict"),
    ("/execute", b'{"session_id": "a", "code": "1", "env": {"A": []}}', ["body", "env"], "type_error.dict"),
    ("/install", b'{"session_id": "a"}', ["body", "packages"], "value_error.missing"),
    ("/install", b'{"session_id": "a", "packages": "numpy"}', ["body", "packages"], "type_error.list"),
    ("/install", b'{"session_id": "a", "packages": [1]}', ["body", "packages"], "type_error.list"),
    ("/install", b'{"packages": []}', ["body", "session_id"], "value_error.missing"),
    ("/terminate", b"{}", ["body", "session_id"], "value_error.missing"),
])
def test_what_is_wrong_with_a_body(server, path, body, loc, kind):
    assert detail(server.post(path, body)) == (loc, kind)


@pytest.mark.parametrize("session_id", ["", ".", "..", "a/b", "a\0b", "a\nb", "x" * 129])
def test_ids_that_cannot_be(server, session_id):
    body = {"session_id": session_id, "code": "1", "packages": []}
    for path in ("/execute", "/install", "/terminate"):
        assert detail(server.post(path, body)) == (["body", "session_id"], "value_error"), path
    status, answer = CodeInterpreter(server.url, session_id).upload("a", b"1")
    assert status == 422


@pytest.mark.parametrize("session_id", ["ü", "日本語", "a b", "'\"\\", "%41", "x" * 128, "-", "..."])
def test_ids_of_all_kinds(server, session_id):
    service = CodeInterpreter(server.url, session_id)
    status, answer = service.upload("a", b"1")
    assert status == 200
    assert service.execute(f"print(open({answer['location']!r}).read())")[1]["output"] == "1\n"
    assert service.terminate()[1]["message"] == f"Session {session_id} terminated successfully."


def test_missing_parts_of_forms_and_queries(server, session):
    sid = session.session_id
    for fields, files in (({}, [("file", "a", b"1")]), ({"session_id": sid}, []), ({"session_id": sid, "file": "a"}, [])):
        status, answer = session.post_form("/upload", fields, files)
        assert status == 422 and answer["detail"][0]["type"] == "value_error.missing"
    assert detail(server.get("/download")) == (["query", "session_id"], "value_error.missing")
    assert detail(server.get(f"/download?session_id={sid}")) == (["query", "filename"], "value_error.missing")
    assert detail(server.get(f"/download?session_id={sid}&filename=%zz"))[0] == ["query", "filename"]
    assert server.get("/download?session_id=unknown&filename=a").json() == {"detail": "Session not found."}


def test_bodies_as_clients_send_them(server, session):
    body = json.dumps({"session_id": session.session_id, "code": "print(1)", "env": None, "unknown": [1]}).encode()
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8", None):
        answer = server.post("/execute", body, {"Content-Type": content_type} if content_type else {})
        assert answer.json() == {"status": "success", "output": "1\n", "errors": ""}
    assert post_chunked(server, "/execute?unknown=1&bare", [body[:10], body[10:]])[1]["output"] == "1\n"


def test_sessions_that_are_too_many(make_server):
    server = make_server("--sessions", "2")
    assert [CodeInterpreter(server.url, str(n)).install()[0] for n in range(2)] == [200, 200]
    answer = server.post("/install", {"session_id": "2", "packages": []})
    assert answer.status == 503 and answer.json()["detail"] and int(answer.headers["Retry-After"]) > 0
    CodeInterpreter(server.url, "0").terminate()
    assert CodeInterpreter(server.url, "2").install()[0] == 200


def test_no_sessions_at_all(make_server):
    server = make_server("--sessions", "0")
    service = CodeInterpreter(server.url, "a")
    for status, answer in (service.install(), service.upload("a", b"1"), service.execute("1"), service.terminate()):
        assert status == 404 and "detail" in answer


def test_sessions_outlive_the_server(make_server):
    server = make_server()
    service = CodeInterpreter(server.url, "a")
    service.upload("kept", b"1")
    service.install("numpy")
    service.execute("x = 1")
    server.kill()
    server.start()
    service.base_url = server.url
    status, answer = service.execute("print('x' in globals(), open('kept').read())")
    assert (status, answer["output"]) == (200, "False 1\n") and answer["notice"]
    assert service.install()[1]["installed_packages"] == ["numpy"]
    assert os.listdir(server.state / "sessions") and service.terminate()[0] == 200


def test_without_a_mount_namespace_the_location_is_true(make_server):
    server = make_server("--isolation", "best-effort", "--layers-off", "userns,pidns,mountns,netns,ipcns,utsns,cgroupns")
    service = CodeInterpreter(server.url, "a")
    location = service.upload("f", b"1")[1]["location"]
    assert location.endswith("/f") and location != "/tmp/a/f"
    assert service.execute(f"print(open({location!r}).read())")[1]["output"] == "1\n"
