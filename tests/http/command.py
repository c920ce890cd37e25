"""The program as an operator types it, when it is not to serve for long."""

import subprocess

from harness.hatchery import PASSED_ON, program


def hatchery(*arguments, env=None, through=(), preexec_fn=None):
    return subprocess.run([*through, program(), *map(str, arguments)], capture_output=True, text=True, timeout=60,
                          env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **PASSED_ON, **(env or {})},
                          preexec_fn=preexec_fn)
