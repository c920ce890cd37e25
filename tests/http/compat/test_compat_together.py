"""All five services on one port: ids that are the same, a path that two of them have, and everything at once."""

import json
import threading

from harness.services import CodeExecutionSandbox, CodeInterpreter, DataAnalysisSandbox, JupyterSessions, UserContainer


def test_one_id_in_three_services(server, fresh_id):
    interpreter, container = CodeInterpreter(server.url, fresh_id), UserContainer(server.url, fresh_id)
    jupyter = JupyterSessions(server.url, fresh_id)
    interpreter.upload("of-interpreter", b"")
    container.run("open('of-container', 'w')\nresult = 1")
    jupyter.start_session()
    jupyter.execute("open('of-jupyter', 'w')\nx = 'jupyter'")
    interpreter.execute("x = 'interpreter'")
    assert interpreter.execute("import os; print(x, os.listdir())")[1]["output"] == "interpreter ['of-interpreter']\n"
    assert jupyter.execute("import os; print(x, os.listdir())")[1]["output"] == "jupyter ['of-jupyter']\n"
    assert container.run("import os; result = os.listdir()")[1]["result"] == ["of-container"]
    assert interpreter.terminate()[0] == 200
    assert jupyter.execute("x") == (200, {"output": "'jupyter'"})
    assert jupyter.end_session()[0] == 200
    assert container.run("import os; result = os.listdir()")[1]["result"] == ["of-container"]
    assert server.get(f"/v1/sessions/{fresh_id}").status == 404


def test_a_form_where_json_is_due(server, fresh_id):
    session = JupyterSessions(server.url, fresh_id)
    session.start_session()
    fields = {"user_id": fresh_id, "package_name": "numpy"}
    for path in ("/install_package", f"/upload_data/{fresh_id}", "/execute", "/install", "/execute_code"):
        answers = [session.post_form(path, fields)]
        answers.append(session.send("POST", path, b"user_id=x&package_name=numpy", "application/x-www-form-urlencoded"))
        for status, answer in answers:
            assert status == 422 and "looks like a form" in json.dumps(answer), (path, status, answer)
    assert server.get(f"/get_data/{fresh_id}").status == 404
    # What curl -d sends is called a form, and is none.
    status, answer = session.send("POST", "/install_package", json.dumps(fields).encode(), "application/x-www-form-urlencoded")
    assert status == 200, answer
    session.end_session()


def test_the_key_tells_whose_execute_it_is(server, fresh_id):
    one, other = fresh_id + "a", fresh_id + "b"
    CodeInterpreter(server.url, one).install()
    JupyterSessions(server.url, other).start_session()
    run = {"code": "print(1)"}
    assert server.post("/execute", {"session_id": one, **run}).json() == {"status": "success", "output": "1\n", "errors": ""}
    assert server.post("/execute", {"user_id": other, **run}).json() == {"output": "1\n"}
    # A session_id decides, whatever stands in user_id; null is absent.
    for user_id in (other, 5, [], {}):
        answer = server.post("/execute", {"user_id": user_id, "session_id": one, **run})
        assert answer.json()["status"] == "success", user_id
    assert server.post("/execute", {"user_id": other, "session_id": None, **run}).json() == {"output": "1\n"}
    assert server.post("/execute", {"session_id": other, **run}).json() == {"detail": "Session not found."}
    assert server.post("/execute", {"user_id": one, **run}).json()["detail"].startswith("Session not found. Please")
    answer = server.post("/execute", run)
    assert answer.status == 422 and answer.json()["detail"][0]["type"] == "value_error.missing"
    answer = server.post("/execute", b'{"session_id": "a", "session_id": "b", "code": "1"}')
    assert answer.status == 422


def interpreter_works(url, n):
    service = CodeInterpreter(url, f"together-{n}")
    service.upload("f", str(n).encode())
    service.execute(f"x = {n}")
    for _ in range(5):
        yield service.execute("print(x, open('f').read())")[1]["output"], f"{n} {n}\n"
    yield service.terminate()[0], 200


def container_works(url, n):
    service = UserContainer(url, f"together-{n}")
    for i in range(4):
        yield service.run("open(str(n), 'w')\nresult = n * n", n=n)[1]["result"], n * n


def jupyter_works(url, n):
    service = JupyterSessions(url, f"together-{n}")
    yield service.start_session()[0], 200
    service.execute(f"x = {n}")
    for _ in range(5):
        yield service.execute("x * 2"), (200, {"output": str(2 * n)})
    yield service.end_session()[0], 200


def analysis_works(url, n):
    for i in range(8):
        yield DataAnalysisSandbox(url).execute(f"print({n} + {i})")[1], {"status": "Success", "output": f"{n + i}\n"}


def sandbox_works(url, n):
    for i in range(8):
        yield CodeExecutionSandbox(url).execute("y = x + 1", {"x": n + i})[1]["result"], {"x": n + i, "y": n + i + 1}


def test_all_at_once(server):
    problems = []

    def work(service, n):
        try:
            problems.extend((service.__name__, n, got, want) for got, want in service(server.url, n) if got != want)
        except Exception as problem:
            problems.append((service.__name__, n, repr(problem)))

    threads = [threading.Thread(target=work, args=(service, n)) for n in range(3)
               for service in (interpreter_works, container_works, jupyter_works, analysis_works, sandbox_works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems[:5]
