"""Nothing of one run reaches the next, on any slot: each poison is run on every slot, and then each slot is asked."""

import os
import signal
import threading

import pytest

from harness.aftermath import at_rest, template
from harness.hatchery import eventually
from hostile import attack, post

# Runs that last until all of them are under way have a worker each.
TOGETHER = "\nimport time as _time\n_time.sleep({seconds})\n"


def on_every_slot(server, code, statuses=("ok",)):
    """Runs it on all slots at once; returns the outputs. The code must leave time usable. The witness waits: its runs would be
    counted, and take a slot."""
    with server.witness.between:
        return on_every_idle_slot(server, code, statuses)


def on_every_idle_slot(server, code, statuses):
    slots = template(server)["workers"]
    for attempt in range(10):
        at_rest(server)
        outputs, problems = [], []

        def once():
            try:
                outputs.append(attack(server, TOGETHER.format(seconds=0.2 * (attempt + 1)) + code, statuses)["stdout"])
            except AssertionError as problem:
                problems.append(str(problem))

        threads = [threading.Thread(target=once) for _ in range(slots)]
        busiest = 0
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            busiest = max(busiest, template(server)["busy"])
        for thread in threads:
            thread.join(60)
        assert not problems, problems[0]
        if busiest == slots:
            return outputs
    raise AssertionError(f"at most {busiest} slots were busy at once")


# name: (what a run does, what the next one prints when it is clean)
POISONS = {
    "patched library": (
        "import pandas as pd\npd.set_option('display.max_rows', 1)\npd.DataFrame.sum = None\npd.poison = 1",
        "import pandas as pd\nassert pd.get_option('display.max_rows') != 1 and not hasattr(pd, 'poison')\n"
        "print(pd.DataFrame({'a': [1, 2]}).sum()['a'] == 3)"),
    "replaced modules": (
        "import sys, types\nsys.modules['json'] = types.ModuleType('json')\nsys.modules['math'] = None",
        "import json, math\nprint(json.dumps([math.floor(1.5)]) == '[1]')"),
    "path of modules": (
        "import sys\nsys.path.insert(0, '/tmp')\nsys.meta_path.clear()\nsys.path_hooks.clear()",
        "import sys, colorsys\nprint('/tmp' not in sys.path and len(sys.meta_path) > 1)"),
    "builtins": (
        "import builtins\nbuiltins.len = lambda x: 7\nbuiltins.secret = 'x'\nbuiltins.__import__ = None",
        "import builtins\nprint(len('ab') == 2 and not hasattr(builtins, 'secret'))"),
    "names": (
        "secret = 'x'\nimport __main__\n__main__.secret2 = 'y'\n__name__ = 'z'",
        "print('secret' not in globals() and 'secret2' not in globals() and __name__ == '__main__' and '_' not in globals())"),
    "folder and mask": (
        "import os\nos.umask(0)\nos.chdir('/')",
        "import os\nmask = os.umask(0o77)\nprint(mask == 0o77 and os.path.basename(os.getcwd()) == 'work')"),
    "environment": (
        "import os\nos.environ['SECRET'] = 'x'\nos.putenv('SECRET', 'x')\ndel os.environ['HOME']",
        "import os\nprint('SECRET' not in os.environ and 'HOME' in os.environ)"),
    "arguments": ("import sys\nsys.argv.append('x')\nsys.secret = 1", "import sys\nprint(len(sys.argv) == 1 and not hasattr(sys, 'secret'))"),
    "warnings and logging": (
        "import warnings, logging\nwarnings.simplefilter('error')\nlogging.disable(50)\nlogging.getLogger().addHandler(logging.NullHandler())",
        "import warnings, logging\nwarnings.warn('x')\n"
        "print(logging.root.manager.disable == 0 and not logging.getLogger().handlers)"),
    "signals and timers": (
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nsignal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})\n"
        "signal.signal(signal.SIGALRM, signal.SIG_IGN)\nsignal.setitimer(signal.ITIMER_REAL, 1)",
        "import signal\nprint(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL and signal.getitimer(0) == (0, 0)"
        " and signal.getsignal(signal.SIGALRM) == signal.SIG_DFL and not signal.pthread_sigmask(0, ()))"),
    "small numbers": (
        "import ctypes\nctypes.c_int.from_address(id(7) + 24).value = 8",
        "x = 3\nprint(x + 4 == int('7') and [1] * (x + 4) == [1, 1, 1, 1, 1, 1, 1])"),
    "constants": (
        "import ctypes\nctypes.memset(id('') + 40, 65, 3)\nctypes.memset(id(b'x') + 32, 65, 1)",
        "print(bytes([120]) == b'x' and ord(bytes([120]).decode()) == 120)"),
    "types": (
        "import gc\nfor o in gc.get_referents(int.__dict__):\n    if isinstance(o, dict): o['secret'] = 1",
        "print(not hasattr(1, 'secret'))"),
    "limits": (
        "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))\nresource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))",
        "import resource\nopen('f', 'w').write('x' * 1000)\nprint(resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 4)"),
    "hooks": (
        "import sys, threading, atexit\nsys.settrace(lambda *a: None)\nsys.addaudithook(lambda *a: None)\nsys.excepthook = None\n"
        "sys.displayhook = None\nsys.setrecursionlimit(100)\nthreading.excepthook = None",
        "import sys\nprint(sys.gettrace() is None and sys.excepthook is not None and sys.displayhook is not None"
        " and sys.getrecursionlimit() >= 1000)"),
    "time zone and locale": (
        "import os, time, locale, decimal\nos.environ['TZ'] = 'Asia/Tokyo'\ntime.tzset()\ndecimal.getcontext().prec = 2",
        "import time, decimal\nprint(time.timezone == 0 and decimal.getcontext().prec == 28)"),
    "kept in types": (
        "import numpy as np\nnp.set_printoptions(threshold=1)\nnp.seterr(all='raise')\nnp.array = None",
        "import numpy as np\nprint(np.geterr()['over'] == 'warn' and np.array([1]).sum() == 1)"),
    "a thread that goes on": (
        "import threading, builtins\ndef go():\n    while True: builtins.secret = 1\nthreading.Thread(target=go, daemon=True).start()",
        "import threading, builtins\nprint(threading.active_count() == 1 and not hasattr(builtins, 'secret'))"),
    "times of folders": (
        "import os\nfor folder in ('/work', '/tmp', '/dev/shm'):\n"
        "    try: os.utime(folder, (47114711, 47114711))\n"
        "    except OSError: pass\n",
        "import os\nprint(not any(47114711 in (int(os.stat(folder).st_mtime), int(os.stat(folder).st_atime))\n"
        "              for folder in ('/work', '/tmp', '/dev/shm') if os.path.exists(folder)))"),
    "every folder that can be written": (
        "import os\nfor top in ('/', '/tmp', '/var/tmp', '/dev/shm', '/run', '/work', os.path.expanduser('~'), os.getcwd()):\n"
        "    for name in ('left', '.config/matplotlib/matplotlibrc', '.local/lib/python3.11/site-packages/usercustomize.py'):\n"
        "        try:\n"
        "            os.makedirs(os.path.dirname(os.path.join(top, name)), exist_ok=True)\n"
        "            open(os.path.join(top, name), 'w').write('1/0')\n"
        "        except OSError: pass\n",
        "import os\nprint(not [top for top in ('/', '/tmp', '/var/tmp', '/dev/shm', '/run', '/work', os.path.expanduser('~'), os.getcwd())"
        " for name in ('left', '.config', '.local') if os.path.lexists(os.path.join(top, name))])"),
    "links and locked folders": (
        "import os\nos.makedirs('a/b'); os.symlink('/', 'a/b/root'); os.symlink('/etc/passwd', 'link'); os.chmod('a/b', 0); os.chmod('a', 0)",
        "import os\nprint(os.listdir('.') == [])"),
    "files": (
        "import os, tempfile\nfor top in (os.getcwd(), tempfile.gettempdir(), os.path.expanduser('~')):\n"
        "    for name in ('pandas.py', 'sitecustomize.py', 'usercustomize.py', '.hidden', 'x.pth', 'sub/x'):\n"
        "        path = os.path.join(top, name); os.makedirs(os.path.dirname(path), exist_ok=True); open(path, 'w').write('1/0')\n",
        "import os, tempfile, pandas\nprint(not [n for top in (os.getcwd(), tempfile.gettempdir(), os.path.expanduser('~'))"
        " for n in os.listdir(top)] and pandas.DataFrame is not None)"),
}


@pytest.mark.parametrize("poison, check", POISONS.values(), ids=POISONS.keys())
def test_the_next_run_is_clean(server, poison, check):
    on_every_slot(server, poison)
    outputs = on_every_slot(server, check)
    assert set(outputs) == {"True\n"}, outputs


@pytest.mark.parametrize("poison, check", [POISONS[name] for name in ("patched library", "small numbers", "files", "names")])
def test_the_poison_is_one(server, poison, check):
    """The control: within one run the check sees it."""
    run = post(server, poison + "\n" + check)
    assert run["stdout"] != "True\n"


RANDOM = {
    "random": "import random\nprint(random.random())",
    "numpy": "import numpy as np\nprint(np.random.rand())",
    "numpy's generator": "import numpy as np\nprint(np.random.default_rng().random())",
    "uuid1": "import uuid\nprint(uuid.uuid1().hex)",
    "uuid4": "import uuid\nprint(uuid.uuid4().hex)",
    "tempfile": "import tempfile\nprint(next(tempfile._get_candidate_names()))",
    "secrets": "import secrets\nprint(secrets.token_hex())",
    "authkey": "import multiprocessing\nprint(bytes(multiprocessing.current_process().authkey).hex())",
}


@pytest.mark.parametrize("code", RANDOM.values(), ids=RANDOM.keys())
def test_random_numbers_differ(server, code):
    """Also when the run before has set the seed: a fork must not repeat its neighbour."""
    on_every_slot(server, "import random, numpy as np\nrandom.seed(1); np.random.seed(1)")
    outputs = on_every_slot(server, code) + on_every_slot(server, code)
    assert len(set(outputs)) == len(outputs)


def test_no_memory_is_shared_for_writing(server):
    """What several processes map for writing, one of them could change for all, the image of the interpreter first."""
    workers, shared = server.workers(), []
    # Those that were still coming up have done so.
    at_rest(server)
    for pid in workers:
        try:
            with open(f"/proc/{pid}/maps") as file:
                shared += [line for line in file if line.split()[1][3] == "s"]
        except (FileNotFoundError, ProcessLookupError):  # the neighbour has just used it
            pass
    assert not shared, shared


def test_the_interpreters_own_pages_are_its_own(server):
    """Writes over every object that it can find; the others' are as they were."""
    attack(server, """
import ctypes, gc
addresses = [id(o) for o in gc.get_objects()]
for address in addresses: ctypes.memset(address, 0xee, 4096)
""", {"crashed", "timeout"}, limits={"wall_ms": 3000})
    outputs = on_every_slot(server, "import numpy as np, pandas as pd\nprint(pd.Series(np.arange(5)).sum() == 10)")
    assert set(outputs) == {"True\n"}


def test_addresses_and_hashes_differ_between_servers_and_not_between_runs(make_server):
    """Within a generation they are the same, as docs/THREAT_MODEL.md says; a new interpreter has new ones."""
    server = make_server("--imports", "")
    code = "print(hash('a'), id(len))"
    before = {server.run(code)["stdout"] for _ in range(8)}
    assert len(before) == 1
    zygote = template(server)["zygote_pid"]
    os.kill(server.pid, signal.SIGHUP)
    eventually(lambda: template(server)["zygote_pid"] not in (zygote, None, 0), 20, "a new generation serves")
    at_rest(server)
    assert server.run(code)["stdout"] not in before
