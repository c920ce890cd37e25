"""What the tests of the compatible services share."""

import itertools
import json
import re
import shlex
import subprocess

import pytest

counter = itertools.count()


@pytest.fixture
def fresh_id():
    """An id that no other test uses, in a server that all of them share."""
    return f"test-{next(counter)}"


class Curl:
    """Literal command lines, as they stand in a README, against a server that is somewhere else."""

    def __init__(self, server, folder):
        self.server = server
        self.folder = folder

    def __call__(self, command):
        command = re.sub(r"http://(localhost|127\.0\.0\.1):\d+", self.server.url, command.replace("\\\n", " "))
        words = shlex.split(command)
        assert words[0] == "curl"
        done = subprocess.run([words[0], "-sS", "--max-time", "60", *words[1:]], capture_output=True, cwd=self.folder, check=True)
        return done.stdout

    def json(self, command):
        return json.loads(self(command))


@pytest.fixture
def curl(server, tmp_path):
    return Curl(server, tmp_path)
