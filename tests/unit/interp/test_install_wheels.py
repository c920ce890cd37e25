"""The process that runs pip for a session, and wheels that nobody should have made; the byte code that it adds to them."""

import importlib.util
import marshal
import os
import stat
import struct
import sys
from pathlib import Path

import pytest
from harness.wheels import entry, wheel
from installation import BAD_WHEEL, expect_failure, index, install  # noqa: F401


# ── Hostile wheels ──

@pytest.mark.parametrize("path", ["../../outside.py", "/tmp/outside-of-it.py", "tea/../../../outside.py"])
def test_paths_that_lead_out(index, install, path):
    index.add("tea", content=wheel("tea", entries=[(entry(path), b"x = 1\n")]))
    one = install("tea")
    assert one.failure is None or one.failure[0] == BAD_WHEEL, one.failure
    found = [str(found.relative_to(one.staging)) for found in one.staging.rglob("outside*")]
    # What is absolute lands inside, if it is taken at all.
    assert all(where.startswith("work/0/") for where in found), found
    assert not Path("/tmp/outside-of-it.py").exists()


def test_links_and_modes_become_plain_files(index, install):
    index.add("tea", content=wheel("tea", entries=[
        (entry("tea_link", stat.S_IFLNK | 0o777), b"/etc/passwd"),
        (entry("tea_setuid", stat.S_IFREG | 0o6755), b"#!/bin/sh\n"),
        (entry("tea_device", stat.S_IFCHR | 0o666), b""),
    ]))
    one = install("tea")
    assert one.unpacked == [0], (one.failure, one.said)
    for path in (one.staging / "work/0").rglob("*"):
        mode = path.lstat().st_mode
        assert stat.S_ISREG(mode) or stat.S_ISDIR(mode), path
        assert not mode & (stat.S_ISUID | stat.S_ISGID), path


def test_nothing_of_a_wheel_is_run(index, install):
    code = "import os\nos.mkdir(os.path.join(os.environ['TMPDIR'], 'was-run'))\n"
    index.add("tea", files={
        "tea.py": code, "sitecustomize.py": code, "usercustomize.py": code, "_manylinux.py": code, "keyring.py": code,
        "setup.py": code, "zz.pth": "import os; os.mkdir(os.path.join(os.environ['TMPDIR'], 'was-run'))\n"},
        requires=["cup"])
    index.add("cup")
    one = install("tea")
    assert sorted(one.unpacked) == [0, 1], one.failure
    assert not (one.staging / "tmp/was-run").exists()


@pytest.mark.parametrize("paths, why", [
    (["x" * 255 + ".py"], "File name too long"), (["tea_folder", "tea_folder/module.py"], "Not a directory: 'module.py'"),
    (["tea_folder/module.py", "tea_folder"], "Is a directory: 'tea_folder'"), ([("tea" * 60 + "/") * 25 + "deep.py"], "File name too long")])
def test_names_that_no_file_can_have(index, install, paths, why):
    index.add("tea", content=wheel("tea", entries=[(entry(path), b"x = 1\n") for path in paths]))
    expect_failure(install("tea"), BAD_WHEEL, "file that cannot be made", why)


# ── Byte code ──

BAD_SOURCE = "def broken(:\n"


def byte_code(one, number=0):
    """path of the source → bytes, of all byte code that is there."""
    top = one.staging / "work" / str(number)
    return {str(path.parent.parent.relative_to(top) / path.name.partition(".")[0]) + ".py": path.read_bytes()
            for path in top.rglob(f"__pycache__/*.{sys.implementation.cache_tag}.pyc")}


def test_byte_code_for_each_source(index, install):
    files = {"tea.py": "x = 1\n", "pot/__init__.py": "", "pot/deep/er/lid.py": "def f(): return __file__\n", "data.txt": "no source",
             "broken.py": BAD_SOURCE, "nul.py": "x = 1\0", "coded.py": "# coding: nonsense\n", "large.py": "#" * (4 << 20) + "\n"}
    index.add("tea", files=files)
    one, other = install("tea"), install("tea")
    assert one.failure is None, one.said
    found = byte_code(one)
    assert set(found) == {"tea.py", "pot/__init__.py", "pot/deep/er/lid.py"}
    for path, data in found.items():
        # Python's own magic, and that the hash is compared with that of the source (PEP 552).
        assert data[:8] == importlib.util.MAGIC_NUMBER + struct.pack("<I", 3)
        assert data[8:16] == importlib.util.source_hash(files[path].encode())
        assert marshal.loads(data[16:]).co_filename == path
    assert byte_code(other) == found
    record = (one.staging / "work/0/tea-1.0.dist-info/RECORD").read_text()
    assert all(f"{path},,\n" in record for path in one.files(0) if path.endswith(".pyc"))
    assert os.listdir(one.staging / "tmp") == os.listdir(other.staging / "tmp")


def test_a_wheel_s_own_byte_code_is_replaced(index, install):
    name = f"__pycache__/tea.{sys.implementation.cache_tag}.pyc"
    index.add("tea", files={"tea.py": "x = 1\n", name: b"something else", "pot/__pycache__": "a file", "pot/pot.py": "x = 1\n",
                            "y" * 240 + ".py": "x = 1\n"})
    one = install("tea")
    assert one.unpacked == [0], one.failure
    assert set(byte_code(one)) == {"tea.py"}
    assert byte_code(one)["tea.py"] != b"something else"
    assert {"pot/__pycache__", "pot/pot.py"} <= one.files(0)


def test_sources_that_are_hard_to_compile(index, install):
    index.add("tea", files={"nested.py": "(" * 100000 + ")" * 100000, "sum.py": "x = " + "+".join(["1"] * 50000) + "\n",
                            "signs.py": "x = " + "-" * 100000 + "1\n", "power.py": "x = 9 ** 9 ** 9\n" * 100, "tea.py": "x = 1\n"})
    one = install("tea")
    assert one.unpacked == [0], one.failure
    # It has not ended before its time.
    assert "tea.py" in byte_code(one)
    one.close()
    assert one.process.returncode == 0
