"""One zygote for all tests that do not need their own; each run gets a worker of its own from it."""

import sys
from pathlib import Path

import pytest
from cells_supervisor import CellMaker
from confined import Celled
from supervisor import Zygote

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from harness.plain_user import pytest_pyfunc_call  # noqa: E402, F401


@pytest.fixture(scope="session")
def zygote():
    one = Zygote(imports=("numpy", "pandas"))
    assert one.failure is None, one.failure
    yield one
    one.close()


@pytest.fixture
def run(zygote):
    return zygote.run


@pytest.fixture
def make_zygote():
    made = []

    def make(*arguments, **keywords):
        made.append(Zygote(*arguments, **keywords))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def celled():
    """A zygote and the maker of its cells."""
    maker = CellMaker()
    one = Celled(maker, Zygote(enter=maker.shared))
    assert one.zygote.failure is None, one.zygote.failure
    yield one
    one.zygote.close()
    maker.close()
