"""Every way out that we know of, as data: what to run, how to see that it worked, and which layers keep it in.

Each is tried (test_escapes.py) against a server with all its layers, where it must fail; with none of those that keep it in,
where it must work, since an attack that never works proves nothing; and with each of them alone, where it must fail again.
The numbers (T071) group what belongs together.
"""

import os
import platform
import socket
import textwrap
from dataclasses import dataclass, field

from escapes.numbers import NUMBERS
from harness.isolation import NAMESPACES

PRELUDE = """
import ctypes, errno, os
c = ctypes.CDLL(None, use_errno=True)
c.syscall.restype = ctypes.c_long
NUMBERS = {numbers}
def call(name, *arguments):
    if name not in NUMBERS: return -1, "ENOSYS"
    ctypes.set_errno(0)
    r = c.syscall(ctypes.c_long(NUMBERS[name]), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return r, errno.errorcode.get(ctypes.get_errno())
def escaped(*what): print("ESCAPED", *what, flush=True)
def not_here(*what): print("NOT HERE", *what, flush=True)
def attempt(name, *arguments):  # must be refused
    r, error = call(name, *arguments)
    if r >= 0: escaped(name, r)
    elif error in ("ENOSYS", "EOPNOTSUPP", "EAFNOSUPPORT"): not_here(name, error)
    else: print(name, error)
    return r
def reached(name, *arguments):  # must not even look at its arguments, which make no sense
    r, error = call(name, *arguments)
    if r >= 0 or error not in ("EPERM", "EACCES", "ENOSYS"): escaped(name, error)
    elif error == "ENOSYS": not_here(name)
    else: print(name, error)
"""


@dataclass(frozen=True)
class Escape:
    name: str
    code: str  # escaped(…) says that it worked; an OSError, that it did not
    by: str  # layers of which any suffices: "seccomp uid landlock:6 rlimits+uid@root"; see Defender
    given: str = ""  # layers that are on in the control, too
    who: str = "anybody"  # "root": what a plain user's process may not do anyway
    capability: int = None  # that it takes, by number; a server in a container may not have it
    subprocesses: bool = False  # of a template that allows them
    seen: object = None  # or it shows outside: seen(scene) tells, and puts it right
    port: bool = False  # PORT is one that nobody listens at, and that somebody tries to reach
    limits: dict = field(default_factory=dict)

    def defenders(self, is_root):
        return [one for one in map(Defender.parse, self.by.split()) if one.who in ("", "root" if is_root else "user")]


@dataclass(frozen=True)
class Defender:
    """"landlock:6": of that ABI at least; "rlimits+uid": both together; "uid@root", "rlimits@user": only where the server
    runs as that."""

    layers: frozenset
    abi: int = 0
    who: str = ""

    @staticmethod
    def parse(text):
        text, _, who = text.partition("@")
        text, _, abi = text.partition(":")
        layers = frozenset(text.split("+"))
        # Neither is to be had without: a filter could fool a set-uid program.
        if layers & {"seccomp", "landlock"}:
            layers |= {"no_new_privs"}
        # A plain user makes namespaces in a user namespace only.
        if layers & NAMESPACES and os.geteuid() != 0:
            layers |= {"userns"}
        return Defender(layers, int(abi or 0), who)

    def __str__(self):
        return "+".join(sorted(self.layers))


def program(escape, server, scene, port=None):
    names = {
        "SERVER": server.pid, "ZYGOTE": server.zygote_pid(), "NEIGHBOURS": server.workers(), "SERVER_PORT": server.port,
        "VICTIM": scene.victim.pid, "VICTIM_ADDRESS": scene.victim_address, "SECRET": scene.secret.encode(),
        "TOP": str(scene.top), "OPEN": str(scene.open), "PRIVATE": str(scene.private), "PUBLIC_FILE": str(scene.public_file),
        "SHARED_FILE": str(scene.shared_file), "SECRET_FILE": str(scene.secret_file), "OWNED_FILE": str(scene.owned_file),
        "SET_UID_PROGRAM": str(scene.set_uid_program), "LEFT_BEHIND": str(scene.left_behind), "BLOCK_DEVICE": scene.block_device, "MARK": scene.mark,
        "KEY": scene.key, "TCP_PORT": scene.tcp.getsockname()[1], "UDP_PORT": scene.udp.getsockname()[1],
        "ABSTRACT": "\0" + scene.abstract_name, "NAMED": str(scene.path_socket), "HOST": socket.gethostname(),
        "WORK": str(server.work), "STATE": str(server.state), "CGROUP_FILE": scene.cgroup_file, "PORT": port,
        "KERNEL_SETTING": scene.kernel_setting, "REAL_TIME": scene.real_time,
    }
    lines = [PRELUDE.format(numbers=NUMBERS[platform.machine()])]
    lines += [f"{name} = {value!r}" for name, value in names.items()]
    lines += ["try:", textwrap.indent(textwrap.dedent(escape.code).strip("\n"), "    "),
              "except OSError as problem: print('stopped:', problem)"]
    return "\n".join(lines)


def all_escapes():
    from escapes import files, kernel, network, processes, resources

    every = [*files.ESCAPES, *processes.ESCAPES, *network.ESCAPES, *kernel.ESCAPES, *resources.ESCAPES]
    assert len({one.name for one in every}) == len(every)
    return every
