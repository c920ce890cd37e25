"""Programs as honest people write them: each asserts for itself, and ends well. The first lines may say
    # needs: a module that not every machine has
    # environment: NAME=value …
    # layer: one without which it cannot work
"""

import importlib.util
import re
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


class Program:
    def __init__(self, path):
        self.name = path.stem
        self.code = path.read_text()
        needs = re.search(r"^# needs: (\w+)$", self.code, re.M)
        self.needs = needs and needs[1]
        layer = re.search(r"^# layer: (\w+)$", self.code, re.M)
        self.layer = layer and layer[1]
        environment = re.search(r"^# environment: (.*)$", self.code, re.M)
        self.environment = dict(word.split("=") for word in environment[1].split()) if environment else {}

    @property
    def is_runnable(self):
        return self.needs is None or importlib.util.find_spec(self.needs) is not None


def programs(folder="programs"):
    return [Program(path) for path in sorted((HERE / folder).glob("*.py"))]


def parameters(folder="programs", skips=True):
    """skips: with those that this machine cannot run, to be counted as skipped; once is enough."""
    return [pytest.param(program, id=program.name, marks=() if program.is_runnable else
                         pytest.mark.skip(reason=f"{program.needs} is not installed"))
            for program in programs(folder) if skips or program.is_runnable]
