"""Which system calls of honest programs the filter refuses: those below, known to be harmless, and no other. A library
that begins to need one shows up here before it shows up at somebody's."""

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from programs import HERE, programs

sys.path.insert(0, str(HERE.parent / "unit" / "interp"))
import supervisor  # noqa: E402

GOLDEN = HERE.parent / "unit" / "interp" / "golden" / "system-calls.txt"

# Refused, and the program goes on. What it wanted:
HARMLESS = {
    ("socket", "EAFNOSUPPORT"): "the network; also glibc, which looks for nscd before it reads /etc/passwd",
    ("clone3", "ENOSYS"): "glibc's first choice for a thread; clone is its second",
    ("listxattr", "EOPNOTSUPP"): "shutil.copystat()",
    ("mbind", "EPERM"): "OpenBLAS would like its buffers near the processor",
    ("fchown", "EPERM"): "SQLite, as root: the journal gets the owner of the database",
    ("chown", "EPERM"): "tarfile, as root",
    ("vfork", "EPERM"): "no_processes.py tries; joblib asks lscpu for the number of cores",
    ("clone", "EPERM"): "no_processes.py tries os.fork()",
}


def can_trace():
    return shutil.which("strace") and subprocess.run(["strace", "-D", "-o", "/dev/null", "true"],
                                                     capture_output=True).returncode == 0


pytestmark = [
    pytest.mark.skipif(not can_trace(), reason="strace is not there, or may not trace"),
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="the list of decisions is of the calls of x86-64"),
]


def decisions():
    """What the filter of a worker without subprocesses answers when it does not allow; errno by name of the call."""
    found = {}
    for line in GOLDEN.read_text().splitlines():
        match = re.match(r"(\w+): (\w+)( if)?", line)
        if match and (match[2] != "allow" or match[3]):
            name = "EPERM" if match[3] else match[2]
            found[match[1]] = getattr(errno, name, None)
    return found


def denied_calls(trace):
    """(call, errno's name) of all that a worker got refused by its filter. Before its filter is loaded, what fails is
    between it and the kernel; a thread of it has the filter from its birth."""
    refused, unfiltered, denied = decisions(), set(), set()
    lines = trace.read_text(errors="replace").splitlines()
    # The first one is the zygote, which never has one: what a plain user's may not do is between it and the kernel, too.
    unfiltered.add(int(lines[0].split(None, 1)[0]))
    pids = {}
    for number, line in enumerate(lines):
        pid = int(line.split(None, 1)[0])
        # Of a call during which another process was heard of, strace tells the end on a line of its own.
        if re.search(r" seccomp\(SECCOMP_SET_MODE_FILTER, 0, .*( = 0| <unfinished \.\.\.>)$", line):
            pids.setdefault(pid, number)
    for number, line in enumerate(lines):
        pid, rest = line.split(None, 1)
        pid = int(pid)
        if number < pids.get(pid, 0):
            unfiltered.add(pid)
        match = re.match(r"(?:<\.\.\. )?(\w+)(?:\(| resumed>).* = -1 (E\w+) ", rest)
        if not match or (pid not in pids and pid in unfiltered):
            continue
        name, code = match.groups()
        if pid in pids and number < pids[pid]:
            continue
        if refused.get(name) is not None and getattr(errno, code, None) == refused[name]:
            denied.add((name, code))
    return denied


def test_only_known_calls_are_refused(tmp_path):
    trace = tmp_path / "trace"
    # -D: strace is a grandchild, so that the zygote, and with it the workers, are children of ours.
    words = ("strace", "-D", "-f", "-qq", "-s", "0", "-o", str(trace))
    zygote = supervisor.Zygote(imports=("numpy", "pandas"), wrapper=words)
    try:
        assert zygote.failure is None, zygote.failure
        for program in programs():
            if program.is_runnable:
                outcome = zygote.run(program.code, env=program.environment)
                assert outcome.outcome == supervisor.COMPLETED, (program.name, outcome.error)
    finally:
        zygote.close()
    denied = denied_calls(trace)
    # no_processes.py and no_network.py see to it that this test sees anything at all.
    assert {("socket", "EAFNOSUPPORT"), ("clone", "EPERM")} <= denied
    unknown = denied - set(HARMLESS)
    lines = [line for line in Path(trace).read_text(errors="replace").splitlines()
             if any(f" {name}(" in line and code in line for name, code in unknown)]
    assert not unknown, "\n".join(lines[:20])
