"""Adds up the JUnit files that the suites of `./dev test` have left: tally.py DIRECTORY

For each suite NAME the directory holds NAME.status (the exit status of its runner) and, when the runner came that far,
NAME.xml. Prints every skip with its reason and every failure, then the one line that continuous integration reads.
"""

import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

PLAN = re.compile(r"^1\.\.(\d+)$", re.MULTILINE)


def complaint(said, case):
    """What a TAP program has said of a case, in comments below its result: cmocka tells the values, then the line."""
    _, found, after = said.partition(f"not ok {case}\n")
    comments = []
    for line in after.splitlines():
        # The last one is of the program as a whole.
        if not line.startswith("#") or line.startswith("# not ok"):
            break
        comments.append(line.lstrip("# "))
    return "; ".join(comments) if found else ""


def count(path):
    """Returns (passed, failures, skips) of one JUnit file; the latter two as lists of (name, reason)."""
    passed, failures, skips = 0, [], []
    for suite in ElementTree.parse(path).iter("testsuite"):
        cases = suite.findall("testcase")
        said = suite.findtext("system-out") or ""
        for case in cases:
            name = "::".join(part for part in (case.get("classname"), case.get("name")) if part)
            found = {child.tag: child for child in case}
            bad = found.get("failure", found.get("error"))
            if bad is not None:
                failures.append((name, bad.get("message") or complaint(said, case.get("name"))))
            elif "skipped" in found:
                # pytest has the reason in an attribute, meson in what the case has said.
                skips.append((name, found["skipped"].get("message") or case.findtext("system-out") or "no reason given"))
            else:
                passed += 1
        # Of a program that hung or died amid its cases, meson's file says only what came before.
        plan = PLAN.search(said)
        if plan and len(cases) < int(plan[1]):
            failures.append((suite.get("name"), f"ended after {len(cases)} of {plan[1]} cases"))
    return passed, failures, skips


def tally(directory):
    passed, failures, skips = 0, [], []
    for status_file in sorted(directory.glob("*.status")):
        suite = status_file.stem
        status = int(status_file.read_text())
        junit = directory / f"{suite}.xml"
        some = (0, [], [])
        if junit.exists():
            try:
                some = count(junit)
            except ElementTree.ParseError:
                pass
        ran, bad, left_out = some
        # A runner that was killed, crashed, or found no test at all must not look like a success.
        if not bad and (status != 0 or ran == 0):
            bad = [("the suite itself", f"ended with status {status} after {ran} passed tests")]
        passed += ran
        failures += [(suite, *one) for one in bad]
        skips += [(suite, *one) for one in left_out]
    return passed, failures, skips


def main():
    passed, failures, skips = tally(Path(sys.argv[1]))
    for suite, name, reason in skips:
        print(f"skipped  {suite}: {name}: {reason}")
    for suite, name, reason in failures:
        print(f"FAILED   {suite}: {name}: {reason.splitlines()[0] if reason else ''}")
    print(f"{passed} passed, {len(failures)} failed, {len(skips)} skipped")
    return 1 if failures or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
