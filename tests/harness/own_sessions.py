"""Sessions that a test makes for another subject than the API itself, and that end with their with-block."""

import itertools
import os

from harness import proc, sessions
from harness.hatchery import eventually

_numbers = itertools.count()


class OwnSession(sessions.Session):
    def __init__(self, server, name=None, **members):
        super().__init__(server, name or f"own-{os.getpid()}-{next(_numbers)}")
        answer = server.post("/v1/sessions", {"id": self.id, **members})
        assert answer.status == 201, answer

    def copy(self):
        """A copy that ends with its with-block, too; skips nothing, fails when there is none."""
        answer = self.post("fork", {"id": f"{self.id}-{next(_numbers)}"})
        assert answer.status == 201, answer
        return _Copy(self.server, answer.json()["id"])

    def put(self, path, content):
        return self.server.request("PUT", f"{self.path}/files/{path}", content)

    def get(self, path):
        return self.server.get(f"{self.path}/files/{path}")

    def pid(self):
        """Of the process that runs its code, as the machine numbers it: the one that takes a name meanwhile."""
        mark = f"s{os.getpid() % 10000}-{next(_numbers)}"
        self.ok(f"import ctypes; _ = ctypes.CDLL(None).prctl(15, {mark.encode()!r})")
        pids = [pid for pid in self.server.children() if proc.status_field(pid, "Name") == mark]
        assert len(pids) == 1, pids
        return pids[0]

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if self.server.is_alive():
            answer = self.end()
            assert answer.status in (204, 404), answer


class _Copy(OwnSession):
    def __init__(self, server, name):
        sessions.Session.__init__(self, server, name)


def all_ended(server):
    eventually(lambda: server.get("/v1/sessions").json()["sessions"] == [], 10, "all sessions have ended")
