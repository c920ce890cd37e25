"""The names that a kernel of the Jupyter-like sessions has from the start: pd, np, plt. They are bound before the first run,
and not in its limits."""

import json
from pathlib import Path

import pytest

from harness.hatchery import SMALL_POOL, eventually, of_a_session
from harness.services import JupyterSessions

# A run may take far less processor time than the import of matplotlib does, however busy the machine is.
SHORT = ("--cpu-ms", "100")


@pytest.fixture(scope="module")
def short():
    with of_a_session(*SMALL_POOL, *SHORT) as server:
        yield server


def output(session, code):
    status, answer = session.execute(code)
    assert status == 200, answer
    return answer["output"]


@pytest.fixture
def session(short, fresh_id):
    client = JupyterSessions(short.url, fresh_id)
    assert client.start_session()[0] == 200
    return client


NAMES = "[name.__name__ for name in (pd, np, plt)]"
BOUND = "['pandas', 'numpy', 'matplotlib.pyplot']"


def test_the_first_run_does_not_pay(session):
    assert output(session, NAMES) == BOUND
    assert output(session, "import sys\nplt is sys.modules['matplotlib.pyplot']") == "True"


def test_nor_the_first_after_a_new_kernel(session):
    assert output(session, NAMES) == BOUND
    assert session.reset()[0] == 200
    assert output(session, NAMES) == BOUND
    assert session.start_session()[0] == 200
    assert output(session, NAMES) == BOUND


def test_nor_the_first_after_a_loss(session):
    assert session.execute("import os\nos._exit(1)")[0] == 400
    status, answer = session.execute(NAMES)
    assert (status, answer["output"]) == (200, BOUND) and "ended its process" in answer["notice"]


def test_nor_the_first_of_another_server(make_server, fresh_id):
    server = make_server(*SHORT)
    session = JupyterSessions(server.url, fresh_id)
    assert session.start_session()[0] == 200
    server.stop()
    server.start()
    session = JupyterSessions(server.url, fresh_id)
    status, answer = session.execute(NAMES)
    assert (status, answer["output"]) == (200, BOUND) and "notice" in answer


def test_it_is_no_run_of_the_user(session, short):
    """Neither in numbers, nor in names, nor in the notebook."""
    status, answer = session.execute("def f():\n    1 / 0\nf()")
    assert status == 400 and 'File "<snippet>", line 3' in "\n".join(answer["detail"]["traceback"])
    path = session.start_session()[1]["notebook_path"]
    output(session, "x = 1")
    cells = eventually(lambda: (lambda found: found if len(found) == 2 else None)(
        [cell for cell in json.loads(Path(path).read_text())["cells"] if cell["cell_type"] == "code"]), 10, "two cells")
    assert [cell["execution_count"] for cell in cells] == [1, 2]


def test_what_the_user_has_made_of_a_name_stays(session):
    output(session, "plt = 5\ndel pd")
    assert output(session, "plt, pd.__name__") == "(5, 'pandas')"


def test_a_kernel_may_end_meanwhile(short, fresh_id):
    before = short.get("/health").json()["pool"]["counters"]["runs"]
    for _ in range(5):
        client = JupyterSessions(short.url, fresh_id)
        assert client.start_session()[0] == client.start_session()[0] == client.reset()[0] == client.end_session()[0] == 200
    assert short.run("1")["status"] == "ok"
    after = short.get("/health").json()["pool"]["counters"]["runs"]
    assert after == {**before, "ok": before["ok"] + 1}


def test_where_it_cannot_be_done(make_server, fresh_id):
    """In too little memory for it, nothing turns in circles: the run is tried, and told what it comes to."""
    server = make_server("--memory-mb", "16")
    client = JupyterSessions(server.url, fresh_id)
    assert client.start_session()[0] == 200
    assert client.execute("1")[0] in (200, 400)
    assert client.execute("1")[0] in (200, 400)
    assert server.run("1", limits={})["status"] == "ok"
