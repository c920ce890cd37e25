"""Copies of a live session: what they have of their source, what they do not, and what they cannot reach."""

import errno
import os
import select
import signal

import pytest
from confined import IS_ROOT, OF_CELL, UID
from copies import Family
from session_worker import await_go, end, value_of
from supervisor import ALWAYS, LAYERS, RAISED, REHEARSE, RESULT_END, SECONDS, SESSION, Outcome, request
from test_confine_landlock import ABI

pytestmark = pytest.mark.skipif(ABI < 1, reason="this kernel has no Landlock")
TAKEN = ALWAYS | LAYERS["landlock"] | (LAYERS["uid"] if IS_ROOT else 0)


@pytest.fixture
def family(zygote):
    worker = zygote.spawn(REHEARSE | SESSION, taken=TAKEN, uid=UID if IS_ROOT else None)
    one = Family(worker)
    if one.listener is None:
        pytest.skip("this kernel, or this container, cannot ask about attempts to make a process")
    yield one
    for member in one.members:
        member.end()
    os.close(one.listener)


def copy_of(family, source=None, **parts):
    one = family.copy(source, owner=UID if IS_ROOT else None, **parts)
    assert not isinstance(one, int), os.strerror(one)
    return one


def refused(worker, code, kind="PermissionError"):
    outcome = worker.run(code)
    assert outcome.outcome == RAISED and outcome.error["type"] == kind, (outcome.error, outcome.value)


# ── What it has ──

def test_variables_modules_and_functions(family):
    family.first.run("import collections as c\nx = {'a': [1]}\ndef f(): return x['a']\nimport pandas as pd\ndf = pd.DataFrame({'n': [1, 2]})")
    copy = copy_of(family)
    assert value_of(copy, "f().append(2)\n[f(), c.__name__, int(df.n.sum())]") == [[1, 2], "collections", 3]
    assert value_of(family.first, "f()") == [1]
    family.first.run("x = 'source'")
    assert value_of(copy, "x['a']") == [1, 2]


def test_both_run_at_the_same_time(family):
    copy = copy_of(family)
    family.first.send(request("while True: pass"))
    assert value_of(copy, "1 + 1") == 2


def test_output_of_each_goes_its_own_way(family):
    copy = copy_of(family)
    assert copy.run("print('of the copy')").text == "of the copy\n"
    assert family.first.run("print('of the source')").text == "of the source\n"


def test_functions_show_their_lines(family):
    family.first.run("def f():\n    1/0  # here")
    assert "1/0  # here" in copy_of(family).run("f()").error["traceback"]


def test_places(family):
    home = family.first.directory
    family.first.run("import os\nos.mkdir('d'); os.chdir('d')")
    copy = copy_of(family)
    found = value_of(copy, "import os, sys, tempfile\n[os.getcwd(), os.environ['HOME'], tempfile.gettempdir(), sys.path[-1], len(sys.path)]")
    assert found[:4] == [f"{home}/work/1", f"{home}/work/1", f"{home}/work/1+/tmp", f"{home}/packages/1"]
    assert found[4] == value_of(family.first, "import sys\nlen(sys.path)")
    assert value_of(copy, "open('own', 'w').write('x')\nf = tempfile.NamedTemporaryFile()\nos.listdir('.')") == ["own"]
    assert value_of(family.first, "os.chdir('..')\nsorted(os.listdir('.'))") == ["d"]


def test_places_in_an_environment_of_the_codes_own(family):
    home = family.first.directory
    family.first.run("import os\nos.environ = dict(os.environ)")
    assert value_of(copy_of(family), "[os.environ['HOME'], os.environ['TMPDIR'], os.path.expanduser('~')]") == \
        [f"{home}/work/1", f"{home}/work/1+/tmp", f"{home}/work/1"]


def test_the_same_folder_of_its_workspace(family):
    family.first.run("import os\nos.mkdir('d'); os.chdir('d')")
    family.add_folders = lambda *arguments, add=family.add_folders: make_folder(family, add(*arguments))
    assert value_of(copy_of(family), "os.getcwd()").endswith("/work/1/d")


def make_folder(family, folder):
    path = f"{family.first.directory}/work/{folder}/d"
    os.mkdir(path)
    os.chmod(path, 0o777)
    return folder


def test_packages_are_found(family):
    copy = copy_of(family)
    with open(f"{family.first.directory}/packages/1/of_the_copy.py", "w") as file:
        file.write("x = 5")
    assert value_of(copy, "import importlib\nimportlib.invalidate_caches()\nimport of_the_copy\nof_the_copy.x") == 5
    refused(family.first, "import importlib\nimportlib.invalidate_caches()\nimport of_the_copy", "ModuleNotFoundError")


def test_open_files_are_shared_and_counted(family):
    family.first.run("f = open('a', 'w+')\nf.write('0123456789')\nf.flush()\nf.seek(0)")
    copy = copy_of(family)
    assert copy.notes == (0, 0, 1)
    assert value_of(copy, "f.read()") == "0123456789"


# ── What it has not ──

def test_sockets_and_pipes_are_cut_and_counted(family):
    family.first.run("import socket, os\na, b = socket.socketpair()\nr, w = os.pipe()\nos.write(w, b'x')")
    copy = copy_of(family)
    assert copy.notes == (0, 4, 0)
    assert value_of(copy, "[list(a.recv(1)), list(os.read(r, 1))]") == [[], []]
    refused(copy, "b.send(b'x')", "BrokenPipeError")
    # The numbers are still taken: to close them hits no other file.
    assert value_of(copy, "n = a.fileno()\nf = open('x', 'w')\na.close(); b.close()\nf.fileno() not in (n, n + 1), f.write('x')") == [True, 1]
    assert value_of(family.first, "[list(os.read(r, 1)), b.send(b'x'), list(a.recv(1))]") == [[120], 1, [120]]


def test_threads_are_not_copied_and_counted(family):
    family.first.run("import threading, time\nn = 0\ndef count():\n    global n\n    while True:\n        n += 1\n        time.sleep(0.001)\n"
                     "for _ in range(3): threading.Thread(target=count, daemon=True).start()")
    copy = copy_of(family)
    assert copy.notes[0] == 3
    assert value_of(copy, "[threading.active_count(), threading.main_thread() is threading.current_thread()]") == [1, True]
    before = value_of(copy, "n")
    assert value_of(copy, "time.sleep(0.05)\nn") == before
    assert value_of(copy, "t = threading.Thread(target=print, args=('new',))\nt.start()\nt.join()\nt.native_id != threading.main_thread().native_id")
    assert value_of(copy, "import os\nthreading.main_thread().native_id == threading.get_native_id()")


def test_random_state_is_new(family):
    code = ("import random, uuid, secrets, os, tempfile, numpy\n"
            "[random.random(), str(uuid.uuid4()), str(uuid.uuid1()), secrets.token_hex(), os.urandom(8).hex(), numpy.random.random(),\n"
            " next(tempfile._get_candidate_names())]")
    family.first.run(code)
    one, two = copy_of(family), copy_of(family)
    three = copy_of(family, one)
    found = [value_of(worker, code) for worker in (family.first, one, two, three)]
    for values in zip(*found):
        assert len(set(values)) == 4, values


def test_callbacks_of_the_code_run(family):
    family.first.run("import os\nlog = []\nfor when in ('before', 'after_in_parent', 'after_in_child'):\n"
                     "    os.register_at_fork(**{when: lambda when=when: log.append(when)})")
    copy = copy_of(family)
    assert value_of(copy, "log") == ["before", "after_in_child"]
    assert value_of(family.first, "log") == ["before", "after_in_parent"]


def test_callbacks_that_raise_harm_nothing(family):
    family.first.run("import os\ndef fail(): raise KeyboardInterrupt\nos.register_at_fork(before=fail, after_in_child=fail, after_in_parent=fail)")
    assert value_of(copy_of(family), "1") == value_of(family.first, "1") == 1


# ── What it cannot ──

@pytest.fixture
def three(family):
    """The first, a copy with a file of its own, and its sibling."""
    home = family.first.directory
    family.first.run("open('secret', 'w').write('of the first')\nimport os, tempfile\nopen(tempfile.gettempdir() + '/secret', 'w').write('x')")
    sibling, copy = copy_of(family), copy_of(family)
    sibling.run("open('secret', 'w').write('of the sibling')\nopen(tempfile.gettempdir() + '/secret', 'w').write('x')")
    copy.run("open('own', 'w').write('x')\nopen(tempfile.gettempdir() + '/own', 'w').write('x')")
    return home, sibling, copy


@pytest.mark.parametrize("place", ["work/0", "work/1", "tmp", "work/1+/tmp"])
@pytest.mark.parametrize("code", ["open('{}/secret').read()", "open('{}/new', 'w')", "os.listdir('{}')", "os.unlink('{}/secret')",
                                  "os.rename('own', '{}/own')", "os.link('{}/secret', 'linked')", "os.mkdir('{}/folder')",
                                  "os.truncate('{}/secret', 0)"])
def test_it_reaches_no_file_of_the_others(three, place, code):
    home, sibling, copy = three
    if "truncate" in code and ABI < 3:
        pytest.skip("this kernel's Landlock knows nothing of truncation")
    outcome = copy.run(code.format(f"{home}/{place}"))
    assert outcome.outcome == RAISED
    assert outcome.error["type"] == "PermissionError" or "cross-device" in outcome.error["message"], outcome.error
    with open(f"{home}/{place}/secret") as file:
        assert file.read()


def test_the_sibling_reaches_nothing_of_one_that_came_later(three):
    home, sibling, copy = three
    refused(sibling, f"open('{home}/work/2/own').read()")


def test_it_signals_nobody(three, family):
    home, sibling, copy = three
    for pid in (family.first.pid, sibling.pid, copy.pid, 0, -1):
        refused(copy, f"import os, signal\nos.kill({pid}, 0)")
    assert value_of(copy, "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\n"
                          f"[(c.syscall(number, {family.first.pid}, {family.first.pid}, 9), ctypes.get_errno()) for number in (62, 200, 234)]") == \
        [[-1, errno.EPERM]] * 3
    assert family.first.is_alive() and sibling.is_alive()


FORKS = {"fork": "import os\nos.fork()",
         "clone": "import ctypes, os\nc = ctypes.CDLL(None, use_errno=True)\nif c.syscall(56, {}, 0, 0, 0, 0) < 0:\n"
                  "    raise PermissionError(ctypes.get_errno())"}


def attempts(family, worker, code):
    """Runs it while attempts are answered; returns the outcome."""
    worker.send(request(code))
    outcome = Outcome()
    while RESULT_END not in outcome.kinds:
        readable, _, _ = select.select([family.listener, worker.result_fd], [], [], SECONDS)
        assert readable
        if family.listener in readable:
            family.answer()
        if worker.result_fd in readable:
            outcome.add(*worker.next_frame(outcome))
            while worker.buffer:
                outcome.add(*worker.next_frame(outcome))
    return outcome


@pytest.mark.parametrize("flags", ["17", "0x8011", "0x1208011", "0", "0x8000", "0x10"])
def test_nobody_forks_unasked(family, flags):
    copy = copy_of(family)
    for worker in (family.first, copy):
        for code in (FORKS["fork"], FORKS["clone"].format(flags)):
            outcome = attempts(family, worker, code)
            assert outcome.outcome == RAISED and outcome.error["type"] == "PermissionError", (outcome.error, outcome.value)


def test_nobody_forks_unasked_while_a_copy_is_made(family):
    """A thread of the source tries all the time, with the very call that makes a copy."""
    family.first.run("import ctypes, threading\nc = ctypes.CDLL(None, use_errno=True)\nresults, stop = set(), False\ndef attempt():\n"
                     "    while not stop: results.add((c.syscall(56, 0x8011, 0, 0, 0, 0), ctypes.get_errno()))\n"
                     "t = threading.Thread(target=attempt, daemon=True)\nt.start()")
    assert select.select([family.listener], [], [], SECONDS)[0], "it does not try"
    copies = [copy_of(family) for _ in range(3)]
    assert family.refused > 0
    outcome = attempts(family, family.first, "stop = True\nt.join()\nsorted(results)")
    assert outcome.value["application/json"] == [[-1, errno.EPERM]]
    assert value_of(copies[-1], "1") == 1


def test_a_copy_that_is_not_allowed_is_none(family):
    assert family.copy(allow=False, owner=UID if IS_ROOT else None) == errno.EPERM
    assert value_of(family.first, "1") == 1
    assert value_of(copy_of(family), "1") == 1


def test_a_death_signal_stays(family):
    code = "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\n[(c.prctl(1, n), ctypes.get_errno()) for n in (0, 15, 9)]"
    for worker in (family.first, copy_of(family)):
        assert value_of(worker, code) in ([[-1, 1], [-1, 1], [0, 1]], [[-1, 1], [-1, 1], [0, 0]])


@pytest.mark.parametrize("number, folder", [(1, "1"), (4, "1+/4")])
def test_what_is_made_in_a_lost_copys_place_is_shut_in_as_it_was(zygote, three, family, number, folder):
    """It comes from the zygote, and is no copy."""
    home, sibling, copy = three
    owner = UID if IS_ROOT else None
    if number == 4:
        os.mkdir(f"{home}/packages/4")
        for path, mode in ((f"{home}/work/{folder}", 0o700), (f"{home}/work/{folder}+", 0o711),
                           (f"{home}/work/{folder}+/tmp", 0o700)):
            os.mkdir(path, mode)
        if owner:
            os.chown(f"{home}/work/{folder}", owner, owner)
            os.chown(f"{home}/work/{folder}+/tmp", owner, owner)
    worker = zygote.spawn(REHEARSE | SESSION, taken=TAKEN, uid=owner, directory=home, member=number, folder=folder)
    code = "import os, tempfile\n[os.getcwd(), os.environ['HOME'], tempfile.gettempdir(), os.path.exists('secret')]"
    assert value_of(worker, code) == [f"{home}/work/{folder}", f"{home}/work/{folder}", f"{home}/work/{folder}+/tmp", number == 1]
    assert value_of(worker, "open('a', 'w').write('x') + open(tempfile.gettempdir() + '/a', 'w').write('x')") == 2
    for place in ("work/0/secret", "tmp/secret", "work/2/own", *(["work/1/secret"] if number != 1 else [])):
        refused(worker, f"open('{home}/{place}').read()")
    one = Family(worker)
    os.close(one.listener)


# ── Many ──

def test_a_copy_of_a_copy(family):
    family.first.run("x = 1")
    one = copy_of(family)
    one.run("x += 1\nopen('secret', 'w').write('x')")
    two = copy_of(family, one)
    two.run("x += 1\nopen('own', 'w').write('x')")
    three = copy_of(family, two)
    assert [value_of(worker, "x") for worker in (family.first, one, two, three)] == [1, 2, 3, 3]
    home = family.first.directory
    assert value_of(three, "import os\nos.getcwd()") == f"{home}/work/1+/2+/3"
    assert value_of(three, "open('own', 'w').write('x')\nimport tempfile\nopen(tempfile.gettempdir() + '/x', 'w').write('x')") == 1
    for worker in (two, three):
        refused(worker, f"open('{home}/work/1/secret')")
    refused(three, f"open('{home}/work/1+/2/own')")


def test_a_copy_outlives_its_source(family):
    family.first.run("x = 1")
    one = copy_of(family)
    two = copy_of(family, one)
    family.first.end()
    assert value_of(one, "x") == value_of(two, "x") == 1
    assert value_of(copy_of(family, one), "x") == 1


def test_a_hundred_copies(family):
    family.first.run("x = list(range(1000))")
    copies = [copy_of(family) for _ in range(100)]
    for number, copy in enumerate(copies):
        copy.run(f"x.append({number})")
    assert [value_of(copy, "x[-1]") for copy in copies] == list(range(100))
    assert len({copy.pid for copy in copies}) == 100


def test_interrupts_hit_the_copy_they_are_for(family):
    copy = copy_of(family)
    copy.send(request("import os\nos.write(1, b'go')\nwhile True: pass"))
    await_go(copy)
    os.kill(copy.pid, signal.SIGINT)
    assert end(copy).error["type"] == "KeyboardInterrupt"
    assert value_of(copy, "1") == value_of(family.first, "1") == 1


def test_no_descriptor_free_is_no_copy(family):
    family.first.run("files = []\ntry:\n    while True: files.append(open('/dev/null'))\nexcept OSError: pass\nfiles.pop().close()")
    assert family.copy(owner=UID if IS_ROOT else None) == errno.EMFILE
    family.first.run("del files")
    assert value_of(copy_of(family), "1") == 1


def test_closed_standard_streams(family):
    family.first.run("import os\nfor fd in (0, 1, 2): os.close(fd)")
    copy = copy_of(family)
    assert copy.run("print('x')").text == "x\n"
