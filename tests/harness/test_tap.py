"""What the wrapper around cmocka's programs passes on, and what meson makes of it."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import harness.tally

TAP = Path(__file__).with_name("tap.py")


def tap(*command):
    ended = subprocess.run([sys.executable, TAP, *command], capture_output=True, text=True, timeout=60)
    return ended.returncode, ended.stdout.splitlines()


def said(*lines):
    status, out = tap("/usr/bin/printf", "%s\n", *lines)
    assert status == 0
    return out


def test_a_skip_is_no_failure():
    assert said("1..2", "skipped: no cells here: 7%", "not ok 1 # SKIP test_cells", "ok 2 - test_more") == \
        ["1..2", "ok 1 - test_cells # SKIP no cells here: 7%", "ok 2 - test_more"]


def test_a_reason_belongs_to_the_next_result():
    assert said("skipped: a", "ok 1 - one", "not ok 2 # SKIP two", "skipped: b", "not ok 3 # SKIP three",
                "not ok 4 # SKIP four") == \
        ["ok 1 - one", "ok 2 - two # SKIP no reason given", "ok 3 - three # SKIP b", "ok 4 - four # SKIP no reason given"]


def test_all_else_passes():
    lines = ["1..2", "not ok 1 - test_SKIP", "# 1 != 2", "", "  ---", "ok 2 - test_b # SKIP already", "Bail out! # SKIP"]
    assert said(*lines) == lines


def test_no_text_in_its_way():
    status, out = tap("/usr/bin/printf", r"\377\nok 1 - one\nnot ok 2 # SKIP two")
    assert (status, out[1:]) == (0, ["ok 1 - one", "ok 2 - two # SKIP no reason given"])


@pytest.mark.parametrize("script, status", [
    ("exit 0", 0), ("echo ok 1 - one; exit 3", 3), ("kill -SEGV $$", 128 + signal.SIGSEGV), ("exit 77", 77),
])
def test_the_exit_status_is_the_program_s(script, status):
    assert tap("/bin/sh", "-c", script)[0] == status


def test_cmocka_is_told_to_speak_tap():
    assert tap("/bin/sh", "-c", "echo $CMOCKA_MESSAGE_OUTPUT") == (0, ["TAP"])


PROGRAM = """
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "skip.h"
static void test_good(void **state) {}
static void test_absent(void **state) { skip_because("no %s here", "moon"); }
static void test_bad(void **state) { assert_int_equal(BAD, 0); }
int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_absent),
                                           cmocka_unit_test(test_bad)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
"""
PROJECT = """
project('p', 'c')
test('t', find_program('{python}'), protocol: 'tap', args: [files('tap.py'),
        executable('t', 't.c', dependencies: dependency('cmocka'), c_args: '-DBAD={bad}')])
"""


@pytest.mark.parametrize("bad", [0, 1])
def test_meson_and_the_tally_count_it(tmp_path, bad):
    (tmp_path / "t.c").write_text(PROGRAM)
    (tmp_path / "meson.build").write_text(PROJECT.format(python=sys.executable, bad=bad))
    for path in (TAP, TAP.parent.parent / "unit" / "skip.h"):
        shutil.copy(path, tmp_path)
    subprocess.run(["/usr/bin/meson", "setup", "build"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    ended = subprocess.run(["/usr/bin/meson", "test", "-C", "build"], cwd=tmp_path, capture_output=True, timeout=60)
    assert (ended.returncode != 0) == (bad != 0), ended.stdout
    passed, failures, skips = harness.tally.count(tmp_path / "build/meson-logs/testlog.junit.xml")
    assert (passed, [name for name, _ in failures]) == (2 - bad, ["p.t::3 - test_bad"] * bad)
    assert skips == [("p.t::2 - test_absent", "no moon here")]
