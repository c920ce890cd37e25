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


def many(kind):
    """A function that starts one; all are ended."""
    made = []

    def make(*arguments, **keywords):
        made.append(kind(*arguments, **keywords))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def make_zygote():
    yield from many(Zygote)


@pytest.fixture
def make_maker():
    yield from many(CellMaker)


@pytest.fixture
def maker(make_maker):
    return make_maker()


@pytest.fixture
def cell(maker):
    return maker.cell()


@pytest.fixture(scope="session")
def celled():
    """A zygote and the maker of its cells."""
    maker = CellMaker()
    one = Celled(maker, Zygote(enter=maker.shared))
    assert one.zygote.failure is None, one.zygote.failure
    yield one
    one.zygote.close()
    maker.close()
