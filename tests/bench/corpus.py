"""The snippets that the benchmark runs, and what each must answer. They are fixed: a figure of last year still means the
same. None of them is used to train what the server prepares in advance."""

import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "snippets"


@dataclass(frozen=True)
class Snippet:
    name: str
    about: str
    stdout: str
    status: str = "ok"

    @property
    def path(self):
        return FOLDER / f"{self.name}.py"

    @property
    def code(self):
        return self.path.read_text()

    @property
    def body(self):
        return json.dumps({"code": self.code}).encode()

    def check(self, answer):
        """The whole check, on a parsed answer; the load generator then looks for the same text in every other one."""
        assert answer["stdout"] == self.stdout, (self.name, answer["stdout"][:500])
        assert answer.get("status", self.status) == self.status, (self.name, answer)

    @property
    def expected_bytes(self):
        """The standard output as it stands in a JSON document."""
        return json.dumps(self.stdout).encode()


def _printed(name):
    return (FOLDER / f"{name}.out").read_text()


SNIPPETS = {
    snippet.name: snippet
    for snippet in (
        Snippet("tiny", "print(1 + 1)", _printed("tiny")),
        Snippet("matrix", "numpy: a product of two 100 × 100 matrices", _printed("matrix")),
        Snippet("frames", "pandas: describe and groupby of 1,000 rows", _printed("frames")),
        Snippet("megabyte", "one megabyte of output", "0123456789abcdef" * 65535 + "\n"),
        Snippet("error", "an exception", _printed("error"), "error"),
    )
}
