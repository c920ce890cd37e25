"""T159–T167: through kernel interfaces that no data analysis needs."""

import ctypes
import os
import subprocess
from pathlib import Path

from escapes import Escape

# Those that take a capability, which a plain user's process has not.
PRIVILEGED = "seccomp capabilities uid"


def _in_table(kind, flag):
    """Looks for the scene's key among the host's System V objects, and removes it."""

    def seen(scene):
        rows = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]
        if not [row for row in rows if int(row.split()[0]) == scene.key]:
            return False
        subprocess.run(["ipcrm", flag, str(scene.key)], check=True)
        return True

    return seen


def _queue(scene):
    """Whether the host has a message queue of that name now; removes it."""
    library = ctypes.CDLL(None, use_errno=True)
    return library.mq_unlink(b"/" + scene.mark.encode()) == 0


def _plain(name, code, **more):
    return Escape(name, code, "seccomp", **more)


def _privileged(name, code, by=PRIVILEGED, capability=21):
    return Escape(name, code, by, who="root", capability=capability)


ESCAPES = [
    # ── What outlives a run ──
    Escape("T159 shared memory", "call('shmget', KEY, 4096, 0o1666)", "seccomp ipcns", seen=_in_table("shm", "-M")),
    Escape("T159 messages", "call('msgget', KEY, 0o1666)", "seccomp ipcns", seen=_in_table("msg", "-Q")),
    Escape("T159 semaphores", "call('semget', KEY, 1, 0o1666)", "seccomp ipcns", seen=_in_table("sem", "-S")),
    Escape("T159 a message queue", "call('mq_open', MARK.encode(), 0o102, 0o666, None)", "seccomp ipcns rlimits", seen=_queue),
    _plain("T158 keep a key", "attempt('add_key', b'user', b'hatchery', b'x', 1, -2)"),
    _plain("T158 see the session's keys", "attempt('keyctl', 0, -3, 1)"),
    # ── Mounts and namespaces ──
    _privileged("T161 mount", """
        os.mkdir("m")
        if attempt("mount", b"none", b"m", b"tmpfs", 0, b"size=4k") == 0: call("umount2", b"m", 2)
        """, PRIVILEGED + " landlock"),
    _privileged("T161 mount in the new way", "attempt('fsopen', b'tmpfs', 0)"),
    _privileged("T161 copy a mount", "attempt('open_tree', -100, b'/', 1)"),
    *[_privileged(f"T161 {name}", f"reached({name!r}, {arguments})") for name, arguments in (
        ("umount2", "b'.', 0"), ("pivot_root", "b'.', b'.'"), ("fspick", "-100, b'/nothing', 0"), ("fsmount", "-1, 0, 0"),
        ("move_mount", "-1, b'', -1, b'', 0"), ("mount_setattr", "-1, b'/nothing', 0, (ctypes.c_uint64 * 4)(1), 32"))],
    _privileged("T161 change the root", "attempt('chroot', b'.')", capability=18),
    _plain("T161 be root in a namespace of its own", "attempt('unshare', 0x10000000)"),
    _plain("T161 start a process in a namespace of its own", """
        pid = call("clone", 0x10000000 | 17, None, None, None, None)[0]
        if pid == 0: os._exit(0)
        if pid > 0: os.waitpid(pid, 0); escaped()
        """),
    *[_privileged(f"T161 unshare {name}", f"attempt('unshare', {flag:#x})") for name, flag in (
        ("mounts", 0x20000), ("the network", 0x40000000), ("ipc", 0x8000000), ("the names", 0x4000000),
        ("processes", 0x20000000), ("control groups", 0x2000000))],
    # ── Parts of the kernel that have been broken before ──
    _plain("T162 io_uring", "attempt('io_uring_setup', 1, ctypes.create_string_buffer(120))"),
    _privileged("T162 bpf", "attempt('bpf', 0, (ctypes.c_uint32 * 32)(2, 4, 4, 1), 128)"),
    _plain("T162 performance counters", """
        about = (ctypes.c_uint32 * 32)(1, 112); about[10] = 1 << 5 | 1 << 6
        attempt("perf_event_open", about, 0, -1, -1, 0)
        """),
    _plain("T162 page faults by hand", "attempt('userfaultfd', 1)"),
    _plain("T162 anonymous files", "attempt('memfd_create', b'x', 0)"),
    _plain("T162 secret memory", "attempt('memfd_secret', 0)"),
    _plain("T162 pages of a pipe", """
        r, w = os.pipe()
        attempt("vmsplice", w, (ctypes.c_void_p * 2)(id(w), 16), 1, 0)
        """),
    _plain("T162 from pipe to pipe", """
        r, w = os.pipe(); os.write(w, b"x"); r2, w2 = os.pipe()
        attempt("tee", r, w2, 1, 0)
        """),
    _plain("T162 another personality", "attempt('personality', 0xffffffff)"),
    _plain("T162 segments", "attempt('modify_ldt', 0, ctypes.create_string_buffer(16), 16)"),
    _plain("T162 timers of the kernel", "attempt('timer_create', 1, None, (ctypes.c_int * 2)())"),
    _plain("T162 where memory lies", "attempt('set_mempolicy', 0, None, 0)"),
    _plain("T162 rules of its own", "attempt('landlock_create_ruleset', None, 0, 1)"),
    _privileged("T162 ports of the machine", "attempt('ioperm', 0x80, 1, 1)", capability=17),
    # ── The machine itself ──
    _privileged("T167 rename the host", "attempt('sethostname', HOST.encode(), len(HOST))"),
    _privileged("T167 the clock", """
        clock = (ctypes.c_uint32 * 64)()
        if call("adjtimex", clock)[0] >= 0:
            clock[0] = 2  # the frequency, to what it is
            attempt("adjtimex", clock)
        """, capability=25),
    *[_privileged(f"T161 {name}", f"reached({name!r}, {arguments})", capability=capability) for name, arguments, capability in (
        ("reboot", "0, 0, 0, 0", 22), ("init_module", "None, 0, b''", 16), ("finit_module", "-1, b'', 0", 16),
        ("delete_module", "b'hatchery-none', 0o4000", 16), ("swapon", "b'/nothing', 0", 21), ("swapoff", "b'/nothing'", 21),
        ("acct", "b'/nothing'", 20), ("kexec_load", "0, 17, None, 0", 22))],
    _privileged("T161 the kernel's log", "attempt('syslog', 3, ctypes.create_string_buffer(100), 100)", "seccomp", 34),
    # ── Arguments that a filter may compare in 64 bits and the kernel in 32 ──
    _plain("T165 a high bit: socket", "attempt('socket', 1 << 32 | 1, 1, 0)"),
    _plain("T165 a high bit: socketpair", "attempt('socketpair', 1 << 32 | 1, 2, 0, (ctypes.c_int * 2)())"),
    _plain("T165 a high bit: fcntl", "attempt('fcntl', 1, 1 << 32 | 8, 0)"),
    _plain("T165 a high bit: ioctl", "attempt('ioctl', 1, 1 << 32 | 0x5452, ctypes.byref(ctypes.c_int(0)))"),
    _plain("T165 a high bit: prctl", "attempt('prctl', 1 << 32 | 4, 1, 0, 0, 0)"),
    _plain("T165 a sign: prctl", "attempt('prctl', -1 << 32 | 4, 1, 0, 0, 0)"),
]
