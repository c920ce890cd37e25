import tempfile
from pathlib import Path

import pytest

from harness.gate import shut


@pytest.fixture
def folders():
    """Flags that keep a server which is not to start out of the way. pytest's own folders let nobody else pass."""
    with tempfile.TemporaryDirectory(prefix="hatchery-test-") as name:
        top = Path(name)
        top.chmod(0o755)
        for part in ("work", "state"):
            (top / part).mkdir()
        yield ["--work-directory", top / "work", "--state-directory", top / "state"]


@pytest.fixture
def gate():
    with shut() as made:
        yield made


@pytest.fixture
def session(server):
    """The path of a new session; it is ended afterwards."""
    answer = server.post("/v1/sessions", {})
    assert answer.status == 201, answer
    path = "/v1/sessions/" + answer.json()["id"]
    yield path
    server.request("DELETE", path)
