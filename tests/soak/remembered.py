"""What a session must know, as the test keeps account of it, and the program that says what it does know."""

import json
import random
import re
import threading
import zlib
from collections import Counter

from harness.wheels import Index

# Printed at the end of a run: everything that the model has a word about.
PROBE = """
def _raise(problem): raise problem
def _probe():
    import importlib.metadata, json, os, zlib
    importlib.invalidate_caches()
    files, packages = {}, {}
    for top, _, names in os.walk(".", onerror=_raise):
        for name in names:
            path = os.path.relpath(os.path.join(top, name))
            with open(path, "rb") as file:
                files[path] = zlib.crc32(file.read())
    for name in %r:
        try:
            packages[name] = importlib.metadata.version(name)
            __import__(name)
        except ImportError:
            pass
    kept = {name: value for name, value in globals().items() if name.startswith("kept_")}
    print("\\nPROBE" + json.dumps([kept, files, packages]), flush=True)
_probe(); del _probe, _raise
"""

# Of each: a quarter of a mebibyte, so that they are more than a small cache of wheels can hold.
FILLERS = [f"filler{number}" for number in range(8)]
PACKAGES = ["cup", "tea", *FILLERS]
PROBE = PROBE % (PACKAGES,)


def index():
    """What sessions install from; close it."""
    one = Index()
    one.add("cup", "1.0")
    one.add("cup", "2.0")
    one.add("tea", requires=["cup>=1"])
    noise = random.Random(1)
    for name in FILLERS:
        one.add(name, files={f"{name}.py": "version = '1.0'\n", f"{name}_data/bulk.bin": noise.randbytes(256 << 10)})
    return one


def said_by_probe(text):
    """[variables, files, packages], or None when the run has not come so far."""
    found = re.search(r"^PROBE(\[.*\])$", text, re.MULTILINE)
    return json.loads(found[1]) if found else None


class Gone(Exception):
    """The server has no such session any more: it may have expired, or made room. What was not accounted for so shows at the end."""


class Account:
    """Of all clients together, against the server's own counters at the end."""

    def __init__(self):
        self.lock = threading.Lock()
        self.counts = Counter()

    def add(self, what, number=1):
        with self.lock:
            self.counts[what] += number

    def __getitem__(self, what):
        return self.counts[what]


class Model:
    """What one session must know."""

    def __init__(self, account, forgets=False):
        self.account, self.forgets = account, forgets
        self.variables, self.files, self.packages = {}, {}, {}
        self.lost = False
        self.threads = 0
        self.serial = 0
        self.history = []  # the names of steps, for whoever reads of a failure
        account.add("made")

    # ── What happens to it ──

    def lose(self):
        self.variables, self.threads = {}, 0
        self.lost = not self.forgets

    def new_interpreter(self):
        self.variables, self.threads, self.lost = {}, 0, False

    def empty(self):
        self.files, self.packages = {}, {}

    def begins(self):
        """A run begins: returns whether it must be told that it begins anew."""
        anew = self.lost
        self.lost = False
        return anew

    def copied(self):
        copy = Model(self.account, self.forgets)
        copy.variables, copy.files, copy.packages = dict(self.variables), dict(self.files), dict(self.packages)
        copy.history = [*self.history[-6:], "copied"]
        return copy

    # ── Names and contents ──

    def fresh(self, kind):
        self.serial += 1
        return f"{kind}{self.serial}"

    def content(self, random_):
        return b"%d\n" % random_.randrange(1 << 30) * random_.choice([0, 1, 100, 2000])

    # ── What it must say ──

    def expect(self, said):
        """said: what the probe has printed."""
        assert said is not None, "the run has not come to its end"
        variables, files, packages = said
        assert variables == self.variables, f"variables {variables}, not {self.variables}"
        wanted = {path: zlib.crc32(content) for path, content in self.files.items()}
        assert files == wanted, f"files {differences(files, wanted)}"
        assert packages == self.packages, f"packages {packages}, not {self.packages}"

    def after(self):
        """A run has ended and its process lives."""
        if self.forgets:
            self.variables, self.threads = {}, 0


def install_into(model, wanted):
    """What pip makes of it: ({name: version} that is new, {name: version} that was asked for and there)."""
    before = dict(model.packages)
    for requirement in wanted:
        name, _, version = requirement.partition("==")
        if version or name not in before:
            model.packages[name] = version or ("2.0" if name == "cup" else "1.0")
        if name == "tea":
            model.packages.setdefault("cup", "2.0")
    names = [requirement.partition("==")[0] for requirement in wanted]
    return {name: version for name, version in model.packages.items() if before.get(name) != version}, \
        {name: before[name] for name in names if before.get(name) == model.packages[name]}


def differences(have, want):
    return {name: (have.get(name), want.get(name)) for name in have.keys() | want.keys() if have.get(name) != want.get(name)}


# ── Ways to end ──

SLEEP = "import time\ntime.sleep(60)"
DEAF = """
import signal, time
signal.signal(signal.SIGINT, lambda *_: None)
print("deaf", flush=True)
while True: time.sleep(0.01)
"""
HOARD = """
def hoard():
    kept = []
    while True: kept.append(bytearray(b"x") * (1 << 20))
hoard()
"""
EXIT = "import os; os._exit(3)"
SEGFAULT = "import ctypes; ctypes.string_at(0)"
VIOLATION = "import ctypes; ctypes.CDLL(None).unshare(0x10000000)"
