"""What the soak sends: honest programs, and every way to misbehave, each with the answers that are right for it.

There are two templates: `default`, and `shell`, where runs may start programs.
"""

from dataclasses import dataclass, field
from typing import Any

from harness.snippets import DAEMON

# How a request is sent, and whether its answer is waited for.
WHOLE, STREAM, LEAVE_AT_ONCE, LEAVE_AFTER_OUTPUT = range(4)


@dataclass
class Kind:
    group: str
    name: str
    weight: int  # of a thousand runs, about
    request: dict
    statuses: set
    # Of standard output: the text, or a set of texts (a run that is cut short may have come less far), or a function of the
    # answer, or None: anything.
    stdout: Any = None
    sent: int = WHOLE
    more: dict = field(default_factory=dict)  # members of the answer that must be equal


def honest(name, weight, stdout, code, sent=WHOLE, more=None, **fields):
    return Kind("honest", name, weight, {"code": code, **fields}, {"ok"}, stdout, sent, more or {})


def bad(group, name, weight, statuses, code, stdout=None, more=None, **fields):
    fields["limits"] = {"wall_ms": 20000, **fields.get("limits", {})}
    statuses = {statuses} if isinstance(statuses, str) else set(statuses)
    return Kind(group, name, weight, {"code": code, **fields}, statuses, stdout, WHOLE, more or {})


def left(name, weight, sent, code, **fields):
    return Kind("left", name, weight, {"code": code, **fields}, {"gone"}, None, sent)


PANDAS = """
import pandas as pd
df = pd.DataFrame({"k": ["a", "b"] * 50, "v": range(100)})
print(int(df.groupby("k")["v"].sum()["b"]))
"""
DESCRIBE = """
import numpy as np, pandas as pd
df = pd.DataFrame({"x": np.arange(1000.0)})
print(df.describe().loc["mean", "x"])
"""
FILES = """
import os
os.makedirs("a/b")
open("a/b/out", "w").write(open("in").read() * 3)
print(sorted(os.listdir()))
"""
TALK = """
import sys
for i in range(200):
    print("line", i)
    print("and", i, file=sys.stderr, flush=True)
"""
# Whatever the run before has left in any folder that it could write to would be seen here.
TOPS = """
import os, tempfile
tops = [top for top in (os.getcwd(), tempfile.gettempdir(), "/dev/shm") if os.access(top, os.W_OK)]
"""
LOOK_ROUND = TOPS + """
import threading
print([os.listdir(top) for top in tops if os.listdir(top)], threading.active_count(), "left_here" in globals())
"""
THREADS = """
import threading
found = []
threads = [threading.Thread(target=lambda i=i: found.append(i * i)) for i in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
print(sum(found))
"""
DATA = "print(sum(numbers)); numbers[0] = {'a': None}; left_here = 1"

HONEST = [
    honest("tiny", 200, "2\n", "print(1 + 1)"),
    honest("pandas", 70, "2500\n", PANDAS),
    honest("describe", 25, "499.5\n", DESCRIBE),
    honest("files", 40, "['a', 'in']\n", FILES, files=[{"path": "in", "content": "y" * 1000}], collect=["a/**"],
           more={"files": lambda files: [(file["path"], file["size"]) for file in files] == [("a/b/out", 3000)]}),
    honest("looks round", 50, "[] 1 False\n", LOOK_ROUND),
    honest("output", 20, "".join(f"line {i}\n" for i in range(200)), TALK,
           more={"stderr": "".join(f"and {i}\n" for i in range(200))}),
    honest("streamed", 30, "".join(f"line {i}\n" for i in range(200)), TALK, sent=STREAM),
    honest("data", 30, "499500\n", DATA, data={"numbers": list(range(1000))}, variables=["left_here"],
           more={"variables": {"left_here": 1}}),
    honest("input", 15, "5000\n", "import sys; print(len(sys.stdin.read()))", stdin="x" * 5000),
    honest("threads", 15, "140\n", THREADS),
    honest("waits", 10, "done\n", "import time; time.sleep(0.05); print('done')"),
    honest("programs", 25, "b'hi\\n' 3\n", "import os, subprocess\n"
           "print(subprocess.run(['/bin/echo', 'hi'], capture_output=True).stdout, os.system('exit 3') >> 8)",
           template="shell", limits={"processes": 8}),
    honest("processes", 10, "[1, 2]\n", "from multiprocessing import Pool\nprint(Pool(2).map(abs, [-1, -2]))",
           template="shell", limits={"processes": 8}),
]

ENDS = [
    bad("ends", "exception", 40, "error", "print('x'); [][1]", "x\n",
        more={"error": lambda error: error["type"] == "IndexError"}),
    bad("ends", "syntax", 10, "error", "def f(:", ""),
    bad("ends", "exit", 20, "exit", "import sys; print('bye'); sys.exit(3)", "bye\n", more={"exit_code": 3}),
    bad("ends", "_exit", 15, "exit", "import os; print('gone', flush=True); os._exit(0)", "gone\n", more={"exit_code": 0}),
    bad("ends", "_exit in a thread", 5, "exit", "import os, threading, time\n"
        "threading.Thread(target=os._exit, args=(7,)).start(); time.sleep(20)", "", more={"exit_code": 7}),
]

SHORT = {"wall_ms": 100}
STARTED = {"", "a\n"}  # a tenth of a second may pass before a busy machine lets it begin
TIMEOUTS = [
    bad("timeouts", "busy", 30, "timeout", "print('a', flush=True)\nwhile True: pass", STARTED, limits=SHORT),
    bad("timeouts", "sleeps", 20, "timeout", "print('a', flush=True)\nimport time; time.sleep(99)", STARTED, limits=SHORT),
    bad("timeouts", "swallows everything", 10, "timeout",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass", "", limits=SHORT),
    bad("timeouts", "holds the lock in C", 10, "timeout", "import re; re.match(r'(a+)+$', 'a' * 64 + 'b')", "", limits=SHORT),
    bad("timeouts", "stops itself", 5, "timeout", "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", "", limits=SHORT),
    bad("timeouts", "blocks every signal", 5, "timeout", "import signal, time\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\nwhile True: time.sleep(1)", "", limits=SHORT),
]

LITTLE = {"cpu_ms": 100}
PROCESSOR = [
    bad("processor", "one thread", 12, "cpu_limit", "print('a', flush=True)\nwhile True: pass", "a\n", limits=LITTLE),
    bad("processor", "in the kernel", 6, "cpu_limit", "import os\nwhile True: os.urandom(1 << 20)", "", limits=LITTLE),
    bad("processor", "threads", 6, "cpu_limit", "import hashlib, threading\ndef spend():\n    block = b'x' * (1 << 20)\n"
        "    while True: hashlib.sha256(block).digest()\nfor _ in range(4): threading.Thread(target=spend).start()\n"
        "import time; time.sleep(30)", "", limits=LITTLE),
]

SMALL = {"memory_mb": 48}
NO_MEMORY = {"error": lambda error: error["type"] in ("MemoryError", "MemoryLimit", "OSError")}
MEMORY = [
    bad("memory", "all at once", 15, "error", "x = bytearray(1 << 36)", "", limits=SMALL, more=NO_MEMORY),
    bad("memory", "step by step", 15, {"memory_limit", "error"},
        "kept = []\nwhile True: kept.append(bytearray(b'x') * (1 << 20))", "", limits=SMALL, more=NO_MEMORY),
    bad("memory", "shared", 8, {"memory_limit", "error"},
        "import mmap\nm = mmap.mmap(-1, 1 << 29)\nfor i in range(0, 1 << 29, 4096): m[i] = 1", "", limits=SMALL, more=NO_MEMORY),
    bad("memory", "text that doubles", 8, {"memory_limit", "error"}, "x = 'a'\nwhile True: x += x", "", limits=SMALL,
        more=NO_MEMORY),
    bad("memory", "of all processes", 8, {"memory_limit", "ok"}, """
import os, time
pids = []
for _ in range(4):
    pid = os.fork()
    if pid == 0:
        try: hoard = bytearray(b"x") * (40 << 20)
        except MemoryError: pass
        time.sleep(0.1)
        os._exit(0)
    pids.append(pid)
for pid in pids: os.waitpid(pid, 0)
""", "", template="shell", limits={"memory_mb": 64, "processes": 8}),
]

THREAD_BOMB = """
import threading
go = threading.Event()
n = 0
try:
    while n < 100000: threading.Thread(target=go.wait, daemon=True).start(); n += 1
except RuntimeError:
    print("refused")
"""
BOMBS = [
    bad("bombs", "fork where none may", 10, "error", "import os\nos.fork()", "",
        more={"error": lambda error: error["type"] == "PermissionError"}),
    bad("bombs", "threads", 8, {"ok", "memory_limit", "cpu_limit", "timeout"}, THREAD_BOMB, {"", "refused\n"},
        limits={"wall_ms": 1000, "memory_mb": 128}),
    bad("bombs", "fork", 8, {"ok", "crashed", "timeout", "cpu_limit"},
        "import os, time\ntry:\n    while True: os.fork()\nexcept OSError: time.sleep(0.1)", "",
        template="shell", limits={"processes": 8, "wall_ms": 200}),
    bad("bombs", "fork for ever", 5, {"ok", "crashed", "timeout", "cpu_limit"},
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", "",
        template="shell", limits={"processes": 8, "wall_ms": 100}),
]

CRASHES = [
    bad("crashes", "null", 20, "crashed", "import ctypes; ctypes.string_at(0)", "", more={"signal": 11}),
    bad("crashes", "abort", 15, "crashed", "import os; os.write(1, b'so far\\n'); os.abort()", "so far\n", more={"signal": 6}),
    bad("crashes", "kills itself", 10, "crashed", "import os; os.kill(os.getpid(), 9)", "", more={"signal": 9}),
    bad("crashes", "stack", 5, {"crashed", "error", "memory_limit"}, "import sys\nsys.setrecursionlimit(1 << 30)\nf = lambda n: f([n])\nf(0)", "",
        limits={"memory_mb": 128}),
    bad("crashes", "overwrites itself", 5, {"crashed", "error", "timeout"},
        "import ctypes\nctypes.memset(id(None), 0x41, 64)\nprint(None)", None, limits={"wall_ms": 500}),
    bad("crashes", "forges a result", 5, "crashed", "import os; os.write(251, b'x' * 100)", ""),
]

LIBC = "import ctypes\nc = ctypes.CDLL(None)\nprint('before', flush=True)\n"
VIOLATIONS = [
    bad("violations", "unshare", 10, "violation", LIBC + "c.unshare(0x10000000)", "before\n"),
    bad("violations", "mount", 8, "violation", LIBC + "c.mount(b'none', b'/tmp', b'tmpfs', 0, None)", "before\n"),
    bad("violations", "ptrace", 8, "violation", LIBC + "c.ptrace(0, 0, 0, 0)", "before\n"),
    bad("violations", "setns in a thread", 5, "violation", LIBC + "import threading, time\n"
        "threading.Thread(target=c.setns, args=(0, 0)).start(); time.sleep(20)", "before\n"),
    bad("violations", "refused calls", 10, "ok", """
import ctypes, os, socket
c = ctypes.CDLL(None, use_errno=True)
print(c.shmget(77, 4096, 0o1666), c.msgget(77, 0o1666), c.semget(77, 1, 0o1666), c.mq_open(b"/hatchery-soak", 0o102, 0o666, None))
for family in (socket.AF_INET, socket.AF_UNIX, socket.AF_NETLINK):
    try: socket.socket(family)
    except OSError: print("none")
""", "-1 -1 -1 -1\nnone\nnone\nnone\n"),
    bad("violations", "in a program's place", 5, {"ok", "violation"}, "import os\npid = os.fork()\nif pid == 0:\n    import ctypes\n"
        "    ctypes.CDLL(None).unshare(0x10000000)\n    print('free', flush=True)\nelse: os.waitpid(pid, 0)", "",
        template="shell", limits={"processes": 8}),
]

FLOODS = [
    bad("floods", "more than is kept", 8, "ok", "print('z' * 2_000_000)", None,
        more={"truncated": {"stdout": True, "stderr": False}}),
    bad("floods", "that ends the run", 10, "output_limit", "while True: print('z' * 65536)", None,
        output_overrun="kill", limits={"output_bytes": 100_000}),
    bad("floods", "for ever", 10, "timeout", "import sys\nwhile True: print('z' * 4096); print('y' * 4096, file=sys.stderr)", None,
        limits=SHORT),
    bad("floods", "of lines", 6, "ok", "import os\nfor _ in range(20000): os.write(1, b'\\n')", None),
    bad("floods", "of displays", 4, "ok", "for i in range(500): display(i)", ""),
]

DISK = {"disk_mb": 8}
FILE_BOMBS = [
    bad("file bombs", "many", 8, "ok", "for i in range(3000): open('f%d' % i, 'w').close()", ""),
    bad("file bombs", "a deep tree", 8, "ok", "import os\nfor _ in range(300):\n    os.mkdir('d'); os.chdir('d')\nopen('f', 'w')", "",
        collect=["**"]),
    bad("file bombs", "closed to everybody", 10, "ok", TOPS + """
for top in tops:
    os.makedirs(os.path.join(top, "a/b/c"))
    open(os.path.join(top, "a/b/c/f"), "w").close()
    os.mkfifo(os.path.join(top, "a/p")); os.symlink("..", os.path.join(top, "a/l"))
    os.chmod(os.path.join(top, "a/b/c"), 0)
    os.chmod(os.path.join(top, "a"), 0)
    os.chmod(top, 0)
""", "", collect=["**"]),
    bad("file bombs", "too much", 6, {"error", "output_limit"},
        "while True:\n    with open('big', 'ab', 0) as f: f.write(b'x' * (1 << 20))", "", limits=DISK),
    bad("file bombs", "shared memory", 6, {"error", "output_limit", "memory_limit"},
        "i = 0\nwhile True:\n    i += 1; open('/dev/shm/%d' % i, 'wb').write(b'x' * (1 << 20))", "", limits=DISK),
    bad("file bombs", "more than there may be", 4, {"error", "output_limit"},
        TOPS + "i = 0\nwhile True:\n    i += 1; open(os.path.join(tops[1], str(i)), 'w').close()", "", limits=DISK),
    bad("file bombs", "odd names", 5, "ok", "import os\nfor name in (b'\\xff', b'a\\nb', b'x' * 255, b'...', b'*'):\n"
        "    os.close(os.open(b'./' + name, os.O_CREAT))", "", collect=["*"]),
]

CLOSE_ALL = "os.closerange(0, 256)"
SHELL = {"template": "shell", "limits": {"processes": 8, "wall_ms": 200}}
DAEMONS = [
    bad("daemons", "with the pipes", 10, {"ok", "timeout"}, DAEMON % "pass", {"parent done\n", ""}, **SHELL),
    bad("daemons", "without", 10, {"ok", "timeout"}, DAEMON % CLOSE_ALL, {"parent done\n", ""}, **SHELL),
    bad("daemons", "stopped", 5, {"ok", "timeout"}, DAEMON % "os.kill(os.getpid(), signal.SIGSTOP)", {"parent done\n", ""}, **SHELL),
    bad("daemons", "zombies", 5, {"ok", "timeout"},
        "import os, time\nfor _ in range(6):\n    if os.fork() == 0: os._exit(0)\ntime.sleep(0.02)", "", **SHELL),
    bad("daemons", "another program", 5, "timeout", "import os\nos.execv('/bin/sh', ['sh', '-c', 'sleep 99 & exec sleep 100'])", "",
        **SHELL),
]

LEAVING = [
    left("at once", 15, LEAVE_AT_ONCE, "import time; time.sleep(20)"),
    left("after output", 12, LEAVE_AFTER_OUTPUT, "print('a', flush=True)\nimport time; time.sleep(20)"),
    left("while it computes", 8, LEAVE_AFTER_OUTPUT, "print('a', flush=True)\nwhile True: pass"),
    left("a daemon behind", 8, LEAVE_AFTER_OUTPUT, DAEMON % "pass" + "time.sleep(20)", template="shell", limits={"processes": 8}),
]

KINDS = [*HONEST, *ENDS, *TIMEOUTS, *PROCESSOR, *MEMORY, *BOMBS, *CRASHES, *VIOLATIONS, *FLOODS, *FILE_BOMBS, *DAEMONS, *LEAVING]


def share_out(n_runs):
    """As many kinds as runs, each as often as its weight says, and at least once."""
    total = sum(kind.weight for kind in KINDS)
    plan = [kind for kind in KINDS for _ in range(max(1, n_runs * kind.weight // total))]
    return (plan + [KINDS[0]] * n_runs)[:max(n_runs, len(KINDS))]


def problem_with(kind, answer):
    """What is wrong with an answer, or None."""
    if answer["status"] not in kind.statuses:
        return f"status {answer['status']}"
    text = answer["stdout"]
    if isinstance(kind.stdout, str) and text != kind.stdout:
        return "its standard output"
    if isinstance(kind.stdout, set) and text not in kind.stdout:
        return "its standard output"
    for name, wanted in kind.more.items():
        if answer["status"] == "ok" and name == "error":
            continue
        if not (wanted(answer[name]) if callable(wanted) else answer[name] == wanted):
            return name
    return None
