"""The zygote: start, failure to start, the prelude, virtual environments, broken commands, its end."""

import array
import os
import socket
import subprocess

import pytest
from supervisor import SECONDS, WANT_ALL_VARIABLES


def test_start(zygote):
    assert zygote.progress[:3] == ["Python", "numpy", "pandas"]
    assert set(zygote.about["packages"]) == {"numpy", "pandas"}
    assert zygote.about["distributions"]["numpy"] == zygote.about["packages"]["numpy"]
    assert zygote.about["python"].startswith("3.")
    with open(f"/proc/{zygote.process.pid}/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    assert status["Threads"] == "1"
    if os.geteuid() == 0:
        assert os.stat(f"/proc/{zygote.process.pid}/mem").st_uid == 0


def test_it_keeps_no_descriptor_of_a_worker(zygote):
    before = len(os.listdir(f"/proc/{zygote.process.pid}/fd"))
    for _ in range(3):
        zygote.run("1")
    assert len(os.listdir(f"/proc/{zygote.process.pid}/fd")) == before


def test_it_ends_with_its_socket(make_zygote):
    assert make_zygote().close() == 0


def test_an_import_that_fails(make_zygote):
    zygote = make_zygote(imports=["json", "no_such_module"])
    assert "no_such_module" in zygote.failure and "ModuleNotFoundError" in zygote.failure
    assert zygote.process.wait(SECONDS) == 1


def test_an_import_that_starts_a_thread(make_zygote, tmp_path):
    prelude = tmp_path / "prelude.py"
    prelude.write_text("import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n")
    zygote = make_zygote("--prelude", str(prelude))
    assert "2 threads" in zygote.failure


def test_prelude(make_zygote, tmp_path):
    prelude = tmp_path / "prelude.py"
    prelude.write_text("import math\nTABLE = [1, 2]\ndef helper(x): return x * 2\n")
    zygote = make_zygote("--prelude", str(prelude))
    outcome = zygote.run("TABLE = TABLE\ny = helper(math.floor(2.5))\ny", flags=1 | WANT_ALL_VARIABLES)
    assert outcome.value["text/plain"] == "4"
    assert outcome.variables == {"y": 4}


def test_the_directory_it_is_started_in_is_no_place_for_modules(make_zygote, tmp_path, monkeypatch):
    (tmp_path / "colorsys.py").write_text("1/0\n")
    (tmp_path / "prelude.py").write_text("import colorsys\nx = 5\n")
    monkeypatch.chdir(tmp_path)
    zygote = make_zygote("--prelude", "prelude.py", "--warm-up", "prelude.py", imports=["colorsys"])
    assert zygote.failure is None
    assert zygote.run("x").value["text/plain"] == "5"
    assert os.readlink(f"/proc/{zygote.process.pid}/cwd") == "/"


def test_a_prelude_that_fails(make_zygote, tmp_path):
    prelude = tmp_path / "prelude.py"
    prelude.write_text("x = 1\n1/0\n")
    assert "ZeroDivisionError" in make_zygote("--prelude", str(prelude)).failure


def test_warm_up_shares_what_it_imports_and_nothing_else(make_zygote, tmp_path):
    warm_up = tmp_path / "warm_up.py"
    warm_up.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nimport colorsys\nx = 1\n")
    zygote = make_zygote("--warm-up", str(warm_up))
    assert (tmp_path / "ran").exists()
    outcome = zygote.run("import sys\n['colorsys' in sys.modules, 'x' in globals()]")
    assert outcome.value["application/json"] == [True, False]


def test_a_warm_up_that_fails_is_no_failure(make_zygote, tmp_path):
    warm_up = tmp_path / "warm_up.py"
    warm_up.write_text("1/0\n")
    zygote = make_zygote("--warm-up", str(warm_up))
    assert zygote.failure is None
    assert zygote.run("1+1").value["text/plain"] == "2"


@pytest.fixture(scope="module")
def venv(tmp_path_factory):
    path = tmp_path_factory.mktemp("venv") / "env"
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", "--system-site-packages", path], check=True)
    packages, = path.glob("lib/python3.*/site-packages")
    (packages / "only_here.py").write_text("x = 5\n")
    (packages / "colorsys_extra.py").write_text("")
    return path


def test_venv(make_zygote, venv):
    zygote = make_zygote("--venv", str(venv), imports=["only_here"])
    if zygote.failure and "embeds Python" in zygote.failure:
        pytest.skip("this build embeds another Python than /usr/bin/python3")
    assert zygote.failure is None, zygote.failure
    outcome = zygote.run("import only_here, sys\n[only_here.x, sys.prefix, sys.executable]")
    assert outcome.value["application/json"] == [5, str(venv), f"{venv}/bin/python"]


def test_a_venv_of_another_version(make_zygote, tmp_path):
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.6.1\n")
    failure = make_zygote("--venv", str(tmp_path)).failure
    assert "is for Python 3.6, and this program embeds Python 3." in failure


@pytest.mark.parametrize("config", [None, "nothing here\n"])
def test_a_folder_that_is_no_venv(make_zygote, tmp_path, config):
    if config:
        (tmp_path / "pyvenv.cfg").write_text(config)
    assert "pyvenv.cfg" in make_zygote("--venv", str(tmp_path)).failure


@pytest.mark.parametrize("data, n_fds", [(b"x", 5), (b"\1" + b"\0" * 247, 4), (b"\1" + b"\0" * 247, 0),
                                         (b"\2" + b"\0" * 247, 5), (b"\1" + b"\0" * 300, 5), (b"\1" + b"\0" * 246 + b"x", 6)], ids=range(6))
def test_a_broken_command_ends_it(make_zygote, data, n_fds):
    zygote = make_zygote()
    fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(n_fds)]
    zygote.socket.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
    for fd in fds:
        os.close(fd)
    assert zygote.process.wait(SECONDS) == 1
    assert "command of" in zygote.log_text()


def test_an_unterminated_directory_ends_it(make_zygote):
    zygote = make_zygote()
    fds = array.array("i", [zygote.socket.fileno()] * 5)
    zygote.socket.sendmsg([b"\1" + b"\0" * 47 + b"x" * 200], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    assert zygote.process.wait(SECONDS) == 1


def test_usage():
    from supervisor import program
    ran = subprocess.run([program()], capture_output=True, text=True)
    assert ran.returncode == 1
    assert "usage" in ran.stderr


def test_the_environment_is_small(make_zygote):
    zygote = make_zygote(env={"SECRET": "x"})
    found = zygote.run("import os\nsorted(os.environ)").value["application/json"]
    assert {"HOME", "TMPDIR", "PATH", "LANG", "MPLBACKEND", "MPLCONFIGDIR", "OMP_NUM_THREADS"} <= set(found)
