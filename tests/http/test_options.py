"""Options as an operator meets them; what each of them parses to is tested in tests/unit/server/test-options.c."""

import os
import re
import resource
import socket

import pytest

from command import hatchery
from http_wire import BARE


def refused(done, status, *words):
    """It ended with that status and one line on standard error that has these words."""
    assert done.returncode == status, done
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("hatchery: ")]
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0], done.stderr
    return lines[0]


def test_help():
    done = hatchery("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    for word in ("--listen", "[127.0.0.1:8000]", "--workers", "--max-wall-ms", "EXECUTION_TIMEOUT", "PREINSTALL_LIBS",
                 "HATCHERY_SOME_NAME"):
        assert word in done.stdout
    assert done.stdout == hatchery("serve", "--help").stdout == hatchery("-h").stdout


def test_version():
    done = hatchery("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"hatchery \d+\.\d+\.\d+\n", done.stdout)


def test_unknown_option():
    refused(hatchery("serve", "--lisen", "x"), 2, "--lisen", "--listen", "--help")


def test_no_command():
    refused(hatchery(), 2, "hatchery serve", "--help")


def test_check_config(tmp_path):
    file = tmp_path / "hatchery.ini"
    file.write_text("[server]\nqueue = 10\n\n[template.science]\nimports = numpy\nwall-ms = 1000\n")
    done = hatchery("serve", "--check-config", "--config", file)
    assert (done.returncode, done.stdout, done.stderr) == (0, "the configuration is valid\n", "")
    file.write_text("[server]\nqueue = 10\nqueue-wait = 5\n")
    refused(hatchery("serve", "--check-config", "--config", file), 2, f"{file}:3", "queue-wait", "queue-wait-ms")


def test_file_environment_and_flags_meet(make_server, tmp_path):
    file = tmp_path / "hatchery.ini"
    file.write_text("[template.default]\nimports =\nwall-ms = 1000\ncpu-ms = 1000\nmemory-mb = 100\n"
                    "[template.other]\nimports = json\nworkers = 1\nmax-wall-ms = 500\nsubprocesses = yes\n")
    server = make_server("--workers", "2", "--config", file, "--memory-mb", "300",
                         env={"HATCHERY_CPU_MS": "2000", "HATCHERY_MEMORY_MB": "200"})
    default, other = server.get("/v1/templates").json()["templates"]
    limits = default["limits"]
    assert (limits["wall_ms"]["default"], limits["cpu_ms"]["default"], limits["memory_mb"]["default"]) == (1000, 2000, 300)
    assert (default["name"], default["workers"], default["imports"]) == ("default", 2, [])
    assert (other["name"], other["workers"], other["imports"]) == ("other", 1, ["json"])
    assert other["subprocesses"] and not default["subprocesses"]
    assert other["limits"]["wall_ms"] == {"minimum": 1, "default": 500, "maximum": 500}
    assert other["limits"]["memory_mb"]["default"] == 300


def test_execution_timeout(make_server):
    server = make_server(*BARE, env={"EXECUTION_TIMEOUT": "2"})
    assert server.get("/v1/capabilities").json()["limits"]["wall_ms"]["default"] == 2000


def test_preinstalled_library_is_imported(make_server):
    server = make_server(*BARE, env={"PREINSTALL_LIBS": "python-dateutil"})
    assert server.get("/v1/templates").json()["templates"][0]["imports"] == ["dateutil"]
    assert server.run("import sys; print('dateutil' in sys.modules)")["stdout"] == "True\n"


@pytest.mark.parametrize("arguments, env", [
    (["--imports", "no_such_module"], {}),
    (["--imports", ""], {"PREINSTALL_LIBS": "no-such-module"}),
])
def test_module_that_cannot_be_imported(folders, arguments, env):
    done = hatchery("serve", "--listen", "127.0.0.1:0", "--log-level", "error", *folders, *arguments, env=env)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == ("hatchery: template default cannot start: no_such_module: "
                                            "ModuleNotFoundError: No module named 'no_such_module'")


def test_port_in_use(folders):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        refused(hatchery("serve", "--listen", address, *folders, *BARE), 1, address, "in use")


def test_unix_socket_that_is_answered(make_server, tmp_path, folders):
    path = tmp_path / "socket"
    server = make_server(*BARE, listen=f"unix:{path}")
    refused(hatchery("serve", "--listen", f"unix:{path}", *folders, *BARE), 1, "in use")
    assert server.get("/health").status == 200


def test_unix_socket_that_a_crash_left(make_server, tmp_path):
    path = tmp_path / "socket"
    server = make_server(*BARE, listen=f"unix:{path}")
    server.kill()
    assert path.exists()
    again = make_server(*BARE, listen=f"unix:{path}")
    assert again.get("/health").status == 200


def test_too_few_descriptors(folders):
    def lower():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    line = refused(hatchery("serve", "--listen", "127.0.0.1:0", *folders, *BARE, preexec_fn=lower), 1, "64")
    needed = int(re.search(r"(\d+) descriptors are needed", line).group(1))
    assert needed > 1024


def test_soft_limit_of_descriptors_is_raised(make_server):
    server = make_server(*BARE, wrapper=["prlimit", "--nofile=256:4096"])
    assert resource.prlimit(server.pid, resource.RLIMIT_NOFILE) == (4096, 4096)


def test_missing_program(folders):
    refused(hatchery("serve", "--listen", "127.0.0.1:0", "--python-program", "/no/such/program", *folders), 1,
            "/no/such/program")


@pytest.mark.parametrize("certificate, key", [("/no/such/file", "/no/such/file"), ("/dev/null", "/dev/null")])
def test_bad_certificate(folders, certificate, key):
    done = hatchery("serve", "--listen", "127.0.0.1:0", "--tls-certificate", certificate, "--tls-key", key, *folders,
                    *BARE)
    refused(done, 1, certificate)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's workers run as other users")
def test_work_directory_that_workers_may_not_pass_to(folders):
    work = folders[1]
    work.parent.chmod(0o700)
    done = hatchery("serve", "--listen", "127.0.0.1:0", "--layers-off", "mountns", *folders, *BARE)
    refused(done, 1, f"--work-directory {work}", f"pass through {work.parent};", "chmod o+x")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's workers run as other users")
def test_state_directory_that_workers_may_not_pass_to(folders):
    """The homes of sessions are in there; in a mount namespace nobody has to come that way."""
    state = folders[3]
    state.chmod(0o700)
    done = hatchery("serve", "--listen", "127.0.0.1:0", "--layers-off", "mountns", *folders, *BARE)
    refused(done, 1, f"--state-directory {state}", f"pass through {state};", "chmod o+x")


def test_state_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    done = hatchery("serve", "--listen", "127.0.0.1:0", "--work-directory", tmp_path, "--state-directory",
                    tmp_path / "file" / "state", *BARE)
    refused(done, 1, str(tmp_path / "file"))


def test_default_listen_is_loopback_only():
    assert "[127.0.0.1:8000]" in hatchery("--help").stdout
