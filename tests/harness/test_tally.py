"""The count at the end of `./dev test` must not call a failure a success."""

import subprocess
import sys
from pathlib import Path

import pytest

TALLY = Path(__file__).with_name("tally.py")
PASSED = '<testcase classname="c" name="good"/>'
FAILED = '<testcase classname="c" name="bad"><failure message="1 != 2"/></testcase>'
BROKEN = '<testcase classname="c" name="broken"><error message="no fixture"/></testcase>'
SKIPPED = '<testcase classname="c" name="left out"><skipped message="needs root"/></testcase>'


def tally(folder, **suites):
    for name, (status, cases) in suites.items():
        (folder / f"{name}.status").write_text(f"{status}\n")
        if cases is not None:
            (folder / f"{name}.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    ended = subprocess.run([sys.executable, TALLY, folder], capture_output=True, text=True)
    return ended.returncode, ended.stdout.splitlines()


def test_sums_all_suites(tmp_path):
    status, lines = tally(tmp_path, unit=(0, PASSED * 3), http=(0, PASSED + SKIPPED))
    assert status == 0
    assert lines[-1] == "4 passed, 0 failed, 1 skipped"
    assert [line for line in lines if "needs root" in line and "left out" in line and "http" in line]


@pytest.mark.parametrize("case", [FAILED, BROKEN])
def test_a_failure_is_told(tmp_path, case):
    status, lines = tally(tmp_path, unit=(1, PASSED + case), http=(0, PASSED))
    assert status == 1
    assert lines[-1] == "2 passed, 1 failed, 0 skipped"


@pytest.mark.parametrize("suite", [
    (124, PASSED),  # killed by its bound
    (139, None),  # crashed before it wrote anything
    (0, ""),  # ran nothing
    (5, ""),
    (1, PASSED + "<"),  # died while it wrote
])
def test_a_suite_that_broke_is_a_failure(tmp_path, suite):
    status, lines = tally(tmp_path, unit=(0, PASSED), http=suite)
    assert status == 1
    assert ", 1 failed, " in lines[-1]


def test_the_reason_is_told_as_meson_writes_it(tmp_path):
    case = '<testcase classname="c" name="2 - left out"><skipped/><system-out>no moon here</system-out></testcase>'
    assert "skipped  unit: c::2 - left out: no moon here" in tally(tmp_path, unit=(0, PASSED + case))[1]


def test_the_complaint_of_a_unit_test_is_told(tmp_path):
    said = "1..2\nok 1 - fine\nnot ok 2 - bad\n# 1 != 2\n# test.c:7: error: Failure!\n# not ok - tests\n"
    case = '<testcase classname="c" name="2 - bad"><failure/></testcase>'
    told = tally(tmp_path, unit=(1, PASSED + case + f"<system-out>{said}</system-out>"))[1]
    assert told[0] == "FAILED   unit: c::2 - bad: 1 != 2; test.c:7: error: Failure!"
    assert told[1] == "1 passed, 1 failed, 0 skipped"


def test_a_program_that_did_not_come_to_its_end_is_a_failure(tmp_path):
    told = tally(tmp_path, unit=(1, PASSED + "<system-out>1..3\nok 1 - good\n</system-out>"))[1]
    assert "ended after 1 of 3 cases" in told[0]
    assert told[1] == "1 passed, 1 failed, 0 skipped"


def test_nothing_at_all_is_no_success(tmp_path):
    assert tally(tmp_path)[0] == 1
