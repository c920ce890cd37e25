"""What keeps runs in, as an operator sees it: the modes, what is refused and how, /health, `hatchery check`.

That a layer does what it promises is tested in tests/attack; what is planned in which place, in tests/unit/pool.
"""

import os
import platform
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from command import hatchery
from harness import proc
from harness.hatchery import python_program
from http_wire import BARE

LAYERS = ["rlimits", "no_new_privs", "capabilities", "not_dumpable", "seccomp", "landlock", "uid", "userns", "pidns",
          "mountns", "netns", "ipcns", "utsns", "cgroupns", "cgroup", "oom_score", "core_scheduling"]
# Without these, strict does not start anywhere.
ALWAYS = ["rlimits", "no_new_privs", "capabilities", "not_dumpable", "seccomp"]


def refused(done, *words):
    """Exit 78 before anything is served, and one line that has these words."""
    assert done.returncode == 78, done
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def serve(folders, *arguments, env=None):
    return hatchery("serve", "--listen", "127.0.0.1:0", *folders, *BARE, *arguments, env=env)


# ── Refusals ──


@pytest.mark.parametrize("layer", ALWAYS)
def test_strict_insists(folders, layer):
    refused(serve(folders, "--layers-off", layer), "--isolation strict", f"{layer} is off", platform.release(),
            "--isolation best-effort")


def test_strict_wants_one_of_two_ways(folders):
    refused(serve(folders, "--layers-off", "landlock,netns"), "netns is ", "landlock is off", platform.release())


def test_strict_is_the_default(folders):
    assert "[strict]" in hatchery("--help").stdout
    refused(serve(folders, env={"HATCHERY_LAYERS_OFF": "seccomp"}), "seccomp is off")


def test_required_layer_that_is_not_there(folders):
    """In every mode; both are named."""
    for mode in ("best-effort", "unsafe-off"):
        refused(serve(folders, "--isolation", mode, "--layers-off", "netns seccomp", "--require-layers", "seccomp, netns"),
                "--require-layers", "seccomp is off", "netns is off", "leave them out")


def test_refusal_leaves_nothing(folders):
    refused(serve(folders, "--layers-off", "seccomp"))
    assert list(folders[1].iterdir()) == [] and list(folders[3].iterdir()) == []


@pytest.mark.parametrize("option", ["--layers-off", "--require-layers"])
def test_unknown_layer(folders, option):
    done = serve(folders, option, "seccomp,secomp")
    assert done.returncode == 2
    assert f"{option}: 'secomp' is no layer; there are: " + ", ".join(LAYERS) in done.stderr


def test_unknown_mode(folders):
    done = serve(folders, "--isolation", "off")
    assert done.returncode == 2
    assert "'off' is no mode; allowed: strict, best-effort, unsafe-off" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can open /etc/shadow to its workers")
def test_layers_that_do_not_hold(folders):
    """Workers that are root, and are shown what nobody should see: no layer is missing, and one is not worth a thing."""
    hole = ("--worker-uid-base", "0", "--read-only-paths", "/etc/shadow", "--log-level", "error")
    done = serve(folders, *hole)
    assert (done.returncode, done.stdout) == (78, ""), done
    assert done.stderr.splitlines()[-1] == (
        "hatchery: template default: the layers taken do not hold: a worker was able to read /etc/shadow; "
        "hatchery check says more")
    assert list(folders[1].iterdir()) == []
    done = hatchery("check", *folders, *BARE, *hole)
    assert done.returncode == 78, done
    assert "template default: BROKEN: a worker was able to read /etc/shadow\n" in done.stdout
    assert "looser: runs may read /etc/shadow\n" in done.stdout
    assert "strict: not met, because that was not shown to hold\n" in done.stdout


# A policy of somebody else's, of which the server has not heard: the interpreter's program may not make that system call.
REFUSING = """#!/usr/bin/python3
import ctypes, os, struct, sys
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, {call}), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
program = ctypes.create_string_buffer(struct.pack("HL", len(rules), ctypes.addressof(code)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, program, 0, 0) == 0
os.execv("{python}", ["{python}", *sys.argv[1:]])
"""
CALLS = {"x86_64": {"setsid": 112, "unshare": 272}, "aarch64": {"setsid": 157, "unshare": 97}}[platform.machine()]


@pytest.fixture
def refusing(tmp_path):
    def make(call):
        path = tmp_path / "python-program"
        path.write_text(REFUSING.format(call=CALLS[call], python=python_program()))
        path.chmod(0o755)
        for parent in (tmp_path, *tmp_path.parents[:2]):
            parent.chmod(parent.stat().st_mode | 0o011)
        return ["--python-program", path]
    return make


def test_a_step_that_fails_for_every_worker(folders, refusing):
    """No attempt after it would go better: the server ends, and does not try for ever."""
    started = (*refusing("setsid"), "--log-level", "error")
    done = serve(folders, *started)
    assert (done.returncode, done.stdout) == (78, ""), done
    words = "a session of its own: Operation not permitted"
    assert done.stderr.splitlines()[-1].startswith(f"hatchery: template default: no worker can be shut in: {words}; ")
    assert list(folders[1].iterdir()) == []
    done = hatchery("check", *folders, *BARE, *started)
    assert done.returncode == 78, done
    assert f"\n  template default: no worker can be shut in: {words}\n" in done.stdout
    assert "strict: not met, because that was not shown to hold\n" in done.stdout
    assert done.stdout.endswith("would not start.\n")


def test_a_maker_of_cells_that_fails(folders, refusing):
    done = hatchery("check", *folders, *BARE, *refusing("unshare"), "--log-level", "error")
    if not re.search(r"^  netns +on ", done.stdout, re.M):
        pytest.skip("no namespaces here")
    assert done.returncode == 78, done
    assert re.search(r"^  template default: no worker can be shut in: cell maker: unshare\(CLONE_NEW\w+\): Operation not",
                     done.stdout, re.M), done.stdout
    done = serve(folders, *refusing("unshare"), "--log-level", "error")
    assert (done.returncode, done.stdout) == (78, ""), done
    assert "no worker can be shut in: cell maker: unshare(" in done.stderr.splitlines()[-1]


# ── What /health says ──


def test_health_of_the_standard(server):
    isolation = server.health()["isolation"]
    assert isolation["mode"] == "strict"
    assert isolation["kernel"] == platform.release()
    assert list(isolation["layers"]) == LAYERS
    for name, layer in isolation["layers"].items():
        assert layer["state"] in ("on", "off", "unavailable", "not needed"), name
        assert ("proven" in layer) == (layer["state"] == "on"), name
        assert ("tried" in layer and "error" in layer) == (layer["state"] == "unavailable"), name
    for name in ALWAYS:
        assert isolation["layers"][name]["state"] == "on"
    assert isolation["layers"]["seccomp"]["proven"]
    template = server.health()["pool"]["templates"][0]
    assert template["probes_tried"] == template["probes_stopped"] > 0
    assert isolation["layers"]["core_scheduling"] == {"state": "off"}
    assert set(isolation["degraded"]) == {name for name, layer in isolation["layers"].items()
                                          if layer["state"] in ("off", "unavailable")} - {"core_scheduling"}
    if isolation["layers"]["landlock"]["state"] == "on":
        assert isolation["layers"]["landlock"]["abi"] >= 1


def test_capabilities_say_the_same(server):
    layers = server.health()["isolation"]["layers"]
    enforced = server.get("/v1/capabilities").json()["enforced"]
    for name in LAYERS:
        # What only some templates take, if any, is promised to nobody who does not say which.
        assert enforced[name] == (layers[name]["state"] == "on" and "templates" not in layers[name]), name
    assert enforced["separate_uid"] == enforced["uid"]
    assert enforced["no_new_programs"] and enforced["closed_fds"] and enforced["own_session"]


def test_log_says_the_same(make_server):
    server = make_server(*BARE, "--isolation", "best-effort", "--layers-off", "cgroupns, utsns")
    layers = server.health()["isolation"]["layers"]
    line = next(line for line in server.log().splitlines() if " isolation mode=" in line)
    assert "mode=best-effort" in line and f"kernel={platform.release()}" in line
    for state, key in (("on", "on"), ("off", "off"), ("unavailable", "unavailable")):
        names = [name for name, layer in layers.items() if layer["state"] == state]
        assert f" {key}={','.join(names) or '-'} " in line


def test_layers_switched_off(make_server):
    server = make_server(*BARE, "--isolation", "best-effort", "--layers-off", "seccomp,landlock")
    isolation = server.health()["isolation"]
    assert isolation["mode"] == "best-effort"
    assert isolation["layers"]["seccomp"] == isolation["layers"]["landlock"] == {"state": "off"}
    assert {"seccomp", "landlock"} <= set(isolation["degraded"])
    assert server.get("/v1/capabilities").json()["enforced"]["no_new_programs"] is False
    assert server.run("print(1)")["stdout"] == "1\n"


def test_required_layers_that_are_there(make_server):
    server = make_server(*BARE, "--require-layers", ",".join(ALWAYS))
    assert server.run("print(1)")["stdout"] == "1\n"


# ── Off ──


def test_off_is_said_everywhere(make_server, folders):
    server = make_server(*BARE, "--isolation", "unsafe-off")
    assert re.search(r"warning hatchery: --isolation unsafe-off", server.log())
    for path in ("/health", "/v1/templates", "/nothing", "/"):
        assert server.get(path).headers["X-Hatchery-Isolation"] == "off", path
    answer = server.post("/v1/execute", {"code": "print(1)"})
    assert answer.json()["stdout"] == "1\n"
    assert answer.headers["X-Hatchery-Isolation"] == "off"
    isolation = server.health()["isolation"]
    assert isolation["mode"] == "off"
    assert {name for name, layer in isolation["layers"].items() if layer["state"] == "on"} <= {"rlimits", "oom_score"}


def test_header_is_not_there_otherwise(server):
    assert "X-Hatchery-Isolation" not in server.get("/health").headers
    assert not re.search(r"unsafe-off", server.log())


# ── What templates loosen ──


def test_templates_say_what_they_loosen(make_server, tmp_path):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        (Path(name) / "read").mkdir()
        (Path(name) / "file").write_text("x")
        (Path(name) / "data").mkdir()
        file = tmp_path / "hatchery.ini"
        file.write_text(f"[template.default]\nimports =\n[template.open]\nworkers = 1\nsubprocesses = yes\n"
                        f"read-only-paths = {name}/read,\n  {name}/file\ndata-path = {name}/data\n")
        server = make_server("--config", file)
        plain, loosened = server.get("/v1/templates").json()["templates"]
        health = server.health()["pool"]["templates"]
    for template in (plain, health[0]):
        assert (template["subprocesses"], template["read_only_paths"], template["data_path"]) == (False, [], None)
    for template in (loosened, health[1]):
        assert (template["subprocesses"], template["read_only_paths"], template["data_path"]) == (
            True, [f"{name}/read", f"{name}/file"], f"{name}/data")


@pytest.fixture
def shown():
    """A folder outside of what runs have of their own, with a server's folders in it."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        top = Path(name)
        for part in ("work", "state", "data"):
            (top / part).mkdir()
        (top / "file").write_text("x")
        (top / "link").symlink_to(top / "data")
        (top / "hatchery.ini").write_text("")
        yield top


@pytest.mark.parametrize("option, path, words", [
    ("read-only-paths", "/", "/ would show the whole system"),
    ("read-only-paths", "/etc", "/etc: runs have one of their own"),
    ("read-only-paths", "{top}", "{top} would show {top}/work, the work directory, to runs"),
    ("read-only-paths", "{top}/data,{top}", "{top} would show"),
    ("read-only-paths", "{top}/state", "would show {top}/state, the state directory"),
    ("read-only-paths", "{top}/hatchery.ini", "the configuration file"),
    ("read-only-paths", "{top}/none", "{top}/none: No such file"),
    ("read-only-paths", "{top}/link", "{top}/link leads to {top}/data; name that"),
    ("read-only-paths", "{top}/data/../data", "leads to {top}/data"),
    ("read-only-paths", "/dev/null", "neither a folder nor a file"),
    ("read-only-paths", "/proc/sys", "/proc/sys lies in /proc"),
    ("data-path", "/dev/shm", "/dev/shm lies in /dev"),
    ("data-path", "{top}/file", "{top}/file is not a folder"),
    ("data-path", "{top}", "the work directory"),
    ("data-path", "/tmp", "/tmp lies in /tmp"),
])
def test_paths_that_are_not_shown(shown, option, path, words):
    done = hatchery("serve", "--check-config", "--work-directory", shown / "work", "--state-directory", shown / "state",
                    "--config", shown / "hatchery.ini", f"--{option}", path.format(top=shown))
    assert (done.returncode, done.stdout) == (2, ""), done
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"hatchery: {option}: template default: "), done.stderr
    assert words.format(top=shown) in done.stderr


def test_path_inside_the_state_directory(shown):
    (shown / "state" / "deep").mkdir()
    done = hatchery("serve", "--check-config", "--state-directory", shown / "state", "--data-path", shown / "state/deep")
    assert done.returncode == 2
    assert f"lies in {shown}/state, the state directory" in done.stderr


def test_paths_that_are_shown(shown):
    done = hatchery("serve", "--check-config", "--work-directory", shown / "work", "--state-directory", shown / "state",
                    "--read-only-paths", f"{shown}/data, {shown}/file", "--data-path", shown / "data")
    assert (done.returncode, done.stderr) == (0, "")


# ── The server itself ──


def test_server_is_closed_to_its_own_user(server):
    """Not dumpable: as a plain user, /proc/PID/environ of one's own server cannot be opened; it belongs to root."""
    assert os.stat(f"/proc/{server.pid}/environ").st_uid == 0
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):
            open(f"/proc/{server.pid}/environ", "rb")
    # And it still sees its own children, which strays are found among.
    assert proc.children(server.pid)
    assert "cannot look for stray processes" not in server.log()


# ── hatchery check ──


def test_check(folders):
    done = hatchery("check", *folders, *BARE)
    assert (done.returncode, done.stderr) == (0, ""), done
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith("  ")}
    for name in LAYERS:
        assert name in rows, name
    assert re.search(r"^  template default: (\d+) ways out tried, \1 stopped$", done.stdout, re.M), done.stdout
    assert re.search(r"^    seen to hold: .*seccomp", done.stdout, re.M)
    shown = re.search(r"^    seen to hold: (.*)$", done.stdout, re.M)[1].split(", ")
    # No attempt fails for want of the first and the last.
    assert {"no_new_privs", "capabilities", "seccomp", "oom_score"} <= set(shown)
    assert ("utsns" in shown) == (re.search(r"^  utsns +on ", done.stdout, re.M) is not None)
    assert "\nstrict: met\n" in done.stdout
    assert list(folders[1].iterdir()) == []


def test_check_of_what_is_not_enough(folders):
    done = hatchery("check", *folders, *BARE, "--layers-off", "seccomp")
    assert (done.returncode, done.stderr) == (78, ""), done
    assert re.search(r"^  seccomp +off", done.stdout, re.M)
    assert "strict: not met, because seccomp is off" in done.stdout
    assert "would not start" in done.stdout


def test_check_as_pid_1(folders):
    """As in a container, whose first process it is: of two pid namespaces, each has a number 1."""
    first = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc")
    if subprocess.run([*first, "true"], capture_output=True).returncode != 0:
        pytest.skip("there are no namespaces to be pid 1 in")
    done = hatchery("check", *folders, *BARE, "--worker-uid-base", "0", through=first)
    assert done.returncode == 0, done


# As containers have their root: other namespaces only inside of a user namespace.
NO_ADMINISTRATOR = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")


@pytest.mark.parametrize("through", [
    pytest.param((), id="as-started"),
    pytest.param(NO_ADMINISTRATOR, id="root-without-rights",
                 marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give its rights up"))])
@pytest.mark.parametrize("off", ["", "pidns", "mountns", "pidns,mountns", "uid", "userns", "pidns,mountns,userns"])
def test_check_of_some_namespaces(folders, through, off):
    """Which of them there are is one thing; that workers can be made with them, in any mixture, is another."""
    done = hatchery("check", *folders, *BARE, "--isolation", "best-effort", "--layers-off", off, through=through)
    assert (done.returncode, done.stderr) == (0, ""), done
    shown = re.search(r"^    seen to hold: (.*)$", done.stdout, re.M)[1].split(", ")
    for name in ("userns", "pidns", "mountns", "netns"):
        is_on = re.search(rf"^  {name} +on ", done.stdout, re.M) is not None
        assert is_on == (name in shown), (name, done.stdout)


def test_check_of_less(folders):
    """The configured mode is what counts; whether strict would be met is said too."""
    done = hatchery("check", *folders, *BARE, "--layers-off", "seccomp", "--isolation", "best-effort")
    assert done.returncode == 0, done
    assert "strict: not met, because seccomp is off" in done.stdout
    assert done.stdout.endswith("A server with these options would start.\n")


def test_check_of_off(folders):
    done = hatchery("check", *folders, *BARE, "--isolation", "unsafe-off")
    assert done.returncode == 0, done
    assert "unsafe-off" in done.stdout.splitlines()[0]
    assert "was not asked for" in done.stdout
    assert "unsafe-off: nothing keeps a run in" in done.stdout


@pytest.mark.parametrize("mode", ["best-effort", "unsafe-off"])
def test_check_of_nothing(folders, mode):
    """A server would start with it, and nothing that could be tried would be stopped."""
    done = hatchery("check", *folders, *BARE, "--isolation", mode, "--layers-off", ",".join(LAYERS))
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "  template default: nothing was tried, as nothing is taken that would stop it\n" in done.stdout
    assert ("unsafe-off: nothing keeps a run in" in done.stdout) == (mode == "unsafe-off")
    assert done.stdout.endswith("A server with these options would start.\n")


def test_check_of_a_template_that_cannot_start(folders):
    done = hatchery("check", *folders, "--imports", "no_such_module")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("hatchery: template default cannot start: no_such_module")


def test_check_takes_the_configuration(folders, tmp_path):
    file = tmp_path / "hatchery.ini"
    file.write_text("[server]\nlayers-off = seccomp\n[template.default]\nimports =\n")
    assert hatchery("check", *folders, "--config", file).returncode == 78
    file.write_text("[server]\nlayers-of = seccomp\n")
    assert hatchery("check", *folders, "--config", file).returncode == 2


def test_a_layer_that_not_all_templates_take_names_those_that_do(make_server, tmp_path):
    """Control groups of version 1: only where a run may have several processes."""
    config = tmp_path / "hatchery.ini"
    config.write_text("[template.many]\nsubprocesses = yes\nmax-processes = 4\nworkers = 1\nimports =\n")
    server = make_server(*BARE, "--config", config)
    group = server.get("/health").json()["isolation"]["layers"]["cgroup"]
    if group.get("version") != 1:
        pytest.skip(f"there are no control groups of version 1: {group}")
    assert group["templates"] == ["many"]
    assert server.get("/v1/capabilities").json()["enforced"]["cgroup"] is False
