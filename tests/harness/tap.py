"""Runs a test program of cmocka's, so that meson understands what it skips: tap.py PROGRAM [argument...]

cmocka (1.1.5) says "not ok 1 # SKIP name" of a test that is skipped, which every reader of TAP takes for a failure. Here it
becomes "ok 1 - name # SKIP reason"; the reason is what the program printed before it, as "skipped: reason". All else passes,
and the exit status is the program's.
"""

import os
import re
import subprocess
import sys

SKIPPED = re.compile(r"not ok (\d+) # SKIP (.*)")
REASON = re.compile(r"(?:# )?skipped: (.*)")
RESULT = re.compile(r"(?:not )?ok\b")


def rewrite(lines):
    reason = None
    for line in lines:
        if found := REASON.fullmatch(line.rstrip("\n")):
            reason = found[1]
        elif found := SKIPPED.fullmatch(line.rstrip("\n")):
            yield f"ok {found[1]} - {found[2]} # SKIP {reason or 'no reason given'}\n"
            reason = None
        else:
            if RESULT.match(line):
                reason = None
            yield line


def main():
    with subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True, errors="replace",
                          env={**os.environ, "CMOCKA_MESSAGE_OUTPUT": "TAP"}) as program:
        for line in rewrite(program.stdout):
            # At once: of a program that hangs, what it said before is wanted.
            print(line, end="", flush=True)
    # A signal as a shell tells it.
    return program.returncode if program.returncode >= 0 else 128 - program.returncode


if __name__ == "__main__":
    sys.exit(main())
