"""Landlock: what a worker reaches with it and with nothing else, without a cell and in one."""

import ctypes
import os
import socket

import pytest
from confined import IS_ROOT, Refused, run_with
from supervisor import FAILED, REHEARSE, SUBPROCESSES, layers

ABI = ctypes.CDLL(None).syscall(444, None, 0, 1)
pytestmark = pytest.mark.skipif(ABI < 1, reason="this kernel has no Landlock")
NAMES = ("no_new_privs", "landlock")


def since(abi):
    return pytest.mark.skipif(ABI < abi, reason=f"this kernel's Landlock is older than ABI {abi}")


def refused(zygote, code, *arguments, **parts):
    """With the layer it fails for want of rights; without it, it works."""
    with pytest.raises(Refused) as found:
        run_with(zygote, NAMES, code, *arguments, **parts)
    assert found.value.type == "PermissionError", found.value
    run_with(zygote, ("no_new_privs",), code, *arguments, **parts)


@pytest.fixture
def outside():
    path = f"/var/tmp/hatchery-test-{os.getpid()}"
    os.mkdir(path)
    with open(f"{path}/file", "w") as file:
        file.write("x")
    yield path
    for name in os.listdir(path):
        os.unlink(f"{path}/{name}")
    os.rmdir(path)


@pytest.mark.parametrize("code", ["open('{}/file').read()", "import os\nos.listdir('{}')", "open('{}/new', 'w').close()",
                                  "import os\nos.rename('{0}/file', '{0}/other')", "import os\nos.mkfifo('{}/fifo')",
                                  "import os\nos.symlink('a', '{}/link')", "import os\nos.unlink('{}/file')"])
def test_no_file_outside(zygote, outside, code):
    refused(zygote, code.format(outside))


@since(3)
def test_no_truncation_outside(zygote, outside):
    refused(zygote, f"import os\nos.truncate('{outside}/file', 0)")


@pytest.mark.parametrize("path", ["/proc/self/status", "/sys/kernel", "/etc/passwd", "/root", "/home"])
def test_nothing_of_the_system_but_what_is_in_view(zygote, path):
    if not os.access(path, os.R_OK):
        pytest.skip("closed anyway")
    refused(zygote, f"import os\nos.close(os.open('{path}', os.O_RDONLY))")


WORK = """
import os, tempfile, sqlite3, json, decimal, _ssl
os.makedirs('a/b')
open('a/x', 'w').write('1')
os.rename('a/x', 'a/y')
os.symlink('y', 'a/link')
os.mkfifo('a/fifo')
sqlite3.connect('base').execute('create table t (x)')
with tempfile.NamedTemporaryFile() as file: file.write(b'x')
open('/dev/null', 'w').write('x')
open('/dev/urandom', 'rb').read(1)
os.listdir('/usr/lib')
os.remove('a/y')
sorted(os.listdir('a'))
"""


def test_work_goes_on_in_its_own_folders(zygote):
    assert run_with(zygote, NAMES, WORK) == ["b", "fifo", "link"]


@since(2)
def test_files_move_between_its_own_folders(zygote):
    code = "import os\nos.mkdir('a')\nopen('x', 'w').close()\nos.rename('x', 'a/x')\n" \
           "os.rename('a/x', os.environ['TMPDIR'] + '/x')\nos.listdir('a')"
    assert run_with(zygote, NAMES, code) == []


@pytest.mark.parametrize("code", ["import socket\nsocket.socket(socket.AF_UNIX).bind('s')"])
def test_no_named_socket(zygote, code):
    refused(zygote, code)


@pytest.mark.skipif(not IS_ROOT, reason="only root may without it")
def test_no_device(zygote):
    refused(zygote, "import os, stat\nos.mknod('d', 0o600 | stat.S_IFCHR, os.makedev(1, 3))")


def test_programs_only_where_they_are_allowed(zygote):
    code = "import os\nos.posix_spawn('/bin/true', ['true'], {})"
    refused(zygote, code)
    run_with(zygote, NAMES, code, REHEARSE | SUBPROCESSES)
    code = "import shutil, subprocess\nshutil.copy('/bin/true', 'mine')\nsubprocess.run(['./mine']).returncode"
    assert run_with(zygote, NAMES, code, REHEARSE | SUBPROCESSES) == 0


@since(4)
def test_no_tcp(zygote):
    server = socket.create_server(("127.0.0.1", 0))
    refused(zygote, f"import socket\nsocket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 5).close()")
    refused(zygote, "import socket\nsocket.socket().bind(('127.0.0.1', 0))")
    server.close()


@since(6)
def test_no_signal_and_no_abstract_socket(zygote):
    refused(zygote, f"import os\nos.kill({os.getpid()}, 0)")
    refused(zygote, f"import os\nos.kill({zygote.process.pid}, 0)")
    name = f"\0hatchery-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        refused(zygote, f"import socket\nsocket.socket(socket.AF_UNIX).connect({name!r})")
    # Its own threads and itself it may signal.
    assert run_with(zygote, NAMES, "import os, signal\nsignal.signal(signal.SIGUSR1, lambda *_: None)\n"
                    "os.kill(os.getpid(), signal.SIGUSR1)\n'alive'") == "alive"


def test_what_an_operator_adds(make_zygote, outside):
    os.mkdir(f"{outside}.data")
    try:
        zygote = make_zygote("--view", outside, "--data", f"{outside}.data")
        code = f"open('{outside}/file').read()"
        assert run_with(zygote, NAMES, code) == "x"
        refused(zygote, f"open('{outside}/file', 'a').close()")
        assert run_with(zygote, NAMES, f"open('{outside}.data/f', 'w').write('yz')") == 2
        os.unlink(f"{outside}.data/f")
    finally:
        os.rmdir(f"{outside}.data")


def test_in_a_cell(celled):
    names = (*NAMES, "capabilities", *(("uid",) if IS_ROOT else ()))
    assert celled.run_with(names, WORK) == ["b", "fifo", "link"]
    assert celled.run_with(names, "import os\nopen('/dev/shm/x', 'w').write('x')\n'usr' in os.listdir('/')") is True
    assert celled.run_with(names, "open('/etc/passwd').read() != ''") is True
    with pytest.raises(Refused):
        celled.run_with(names, "import socket\nsocket.socket(socket.AF_UNIX).bind('s')")
    celled.run_with(names[2:], "import socket\nsocket.socket(socket.AF_UNIX).bind('s')")


def test_it_takes_no_new_privileges_or_there_is_no_worker(zygote):
    if IS_ROOT:
        worker = zygote.spawn(taken=layers("landlock", "capabilities"), ready=False)
    else:
        worker = zygote.spawn(taken=layers("landlock"), ready=False)
    assert worker.next_frame() == (FAILED, b"landlock: Operation not permitted")
    assert worker.wait() == 119
