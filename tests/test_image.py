"""The container image is built from less than a clone: what .dockerignore leaves must be enough for what the Dockerfile does with it."""

import re
import shutil
import subprocess
from pathlib import Path

from harness.hatchery import ROOT


def context(root, target):
    """Copies what the builder is sent: .dockerignore here shuts everything out, lets top-level names in, and shuts out folders anywhere."""
    rules = [line for line in (root / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = [rule[1:] for rule in rules if rule.startswith("!")]
    shut_out = [rule.removeprefix("**/") for rule in rules[1:] if not rule.startswith("!")]
    assert len(let_in) + len(shut_out) == len(rules) - 1 and not any("/" in rule for rule in let_in + shut_out)
    for name in let_in:
        source = root / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns(*shut_out))
        else:
            shutil.copy2(source, target / name)


def test_what_the_builder_is_sent_can_be_set_up(tmp_path):
    context(Path(ROOT), tmp_path)
    recipe = (Path(ROOT) / "Dockerfile").read_text()
    setup = re.search(r"meson setup [^\\\n]*", recipe)[0].split()
    done = subprocess.run(setup, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    # That all sources are there; nothing is compiled.
    done = subprocess.run(["ninja", "-C", "build", "-n"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
