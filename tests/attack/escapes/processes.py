"""T041–T061, T151, T153, T157, T163, T169: to other processes, to more of them, and to more rights."""

from escapes import Escape


def _arrived(scene):
    return bool(scene.arrivals())


# What keeps a process from being looked into: other ids; another pid namespace, where it has no number; Landlock, which lets
# nobody look out of a domain; another user namespace; fewer capabilities than the one that is looked at.
NO_LOOKING = "seccomp uid landlock pidns userns@user capabilities@root"
NO_LOOKING_IN_PROC = "mountns uid landlock userns@user capabilities@root"
NO_SIGNALS = "seccomp uid landlock:6 pidns"
QUEUED = "info = (ctypes.c_int * 32)(10, 0, -1)\n"

ESCAPES = [
    # ── Signals ──
    Escape("T055 signal a process", "os.kill(VICTIM, 10); escaped()", NO_SIGNALS, seen=_arrived),
    Escape("T055 queue a signal to a process", QUEUED + "attempt('rt_sigqueueinfo', VICTIM, 10, info)", NO_SIGNALS, seen=_arrived),
    Escape("T055 queue a signal to a thread", QUEUED + "attempt('rt_tgsigqueueinfo', VICTIM, VICTIM, 10, info)", NO_SIGNALS,
           seen=_arrived),
    Escape("T055 signal a thread", "attempt('tgkill', VICTIM, VICTIM, 10)", NO_SIGNALS, seen=_arrived),
    Escape("T055 signal through a descriptor of the process", """
        fd = call("pidfd_open", VICTIM, 0)[0]
        if fd >= 0: attempt("pidfd_send_signal", fd, 10, None, 0)
        """, NO_SIGNALS, seen=_arrived),
    Escape("T055 signal the server, the zygote and the neighbours", """
        for pid in (SERVER, ZYGOTE, *NEIGHBOURS):
            try:
                if pid != os.getpid(): os.kill(pid, 0); escaped(pid)
            except OSError as problem: print(problem)
        """, NO_SIGNALS),
    # Not everybody: kill(-1) in a control would be what it says. test_processes_and_signals.py tries it where it must fail.
    Escape("T057 signal a group of processes", "os.killpg(VICTIM, 10); escaped()", NO_SIGNALS, seen=_arrived),
    Escape("T061 have the kernel signal for a pipe", """
        import fcntl
        for op, argument in ((8, VICTIM), (10, 10), (fcntl.F_SETFL, 0o20000 | os.O_RDWR)):
            try: fcntl.fcntl(1, op, argument)
            except OSError as problem: print(problem)
        for _ in range(30): os.write(1, b"x" * 10000)
        """, NO_SIGNALS, seen=_arrived),
    Escape("T059 fill the kernel with signals", """
        import signal
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGRTMIN + 1})
        n = 0
        while n < 1000 and c.sigqueue(os.getpid(), signal.SIGRTMIN + 1, ctypes.c_void_p(n)) == 0: n += 1
        if n == 1000: escaped()
        """, "seccomp rlimits"),
    # ── Looking into others ──
    Escape("T169 trace a process", "attempt('ptrace', 0x4206, VICTIM, None, None)", NO_LOOKING),
    Escape("T169 read a process's memory", """
        into = ctypes.create_string_buffer(1000)
        mine = (ctypes.c_void_p * 2)(ctypes.addressof(into), 1000)
        theirs = (ctypes.c_void_p * 2)(VICTIM_ADDRESS, 200)
        call("process_vm_readv", VICTIM, mine, 1, theirs, 1, 0)
        if any(into.raw): escaped()
        """, NO_LOOKING),
    Escape("T169 take a process's descriptor", """
        fd = call("pidfd_open", VICTIM, 0)[0]
        if fd >= 0: attempt("pidfd_getfd", fd, 1, 0)
        """, NO_LOOKING),
    Escape("T169 compare a process with itself", "attempt('kcmp', VICTIM, VICTIM, 0, 0, 1)", NO_LOOKING),
    Escape("T169 see where a process keeps its locks", """
        head, size = ctypes.c_void_p(), ctypes.c_size_t()
        attempt("get_robust_list", VICTIM, ctypes.byref(head), ctypes.byref(size))
        """, "uid landlock pidns userns@user capabilities@root"),
    Escape("T155 learn that a process exists", "os.getpgid(VICTIM); escaped()", "pidns"),
    Escape("T153 open a process's memory in /proc", "open(f'/proc/{VICTIM}/mem', 'rb').close(); escaped()", NO_LOOKING_IN_PROC),
    Escape("T151 read a process's environment", "if SECRET in open(f'/proc/{VICTIM}/environ', 'rb').read(): escaped()",
           NO_LOOKING_IN_PROC),
    Escape("T139 see a process's descriptors", "escaped(os.readlink(f'/proc/{VICTIM}/fd/1'))", NO_LOOKING_IN_PROC),
    Escape("T155 go through a process to its root", "if os.listdir(f'/proc/{VICTIM}/root'): escaped()", NO_LOOKING_IN_PROC),
    Escape("T151 read the server's environment", "if b'canary' in open(f'/proc/{SERVER}/environ', 'rb').read(): escaped()",
           NO_LOOKING_IN_PROC, who="root"),
    Escape("T155 look at all of the server in /proc", """
        for name in ("environ", "maps", "io", "stack", "syscall", "auxv", "pagemap", "personality"):
            try:
                if open(f"/proc/{SERVER}/{name}", "rb").read(8): escaped(name)
            except OSError as problem: print(name, problem)
        for name in ("cwd", "root", "exe", "fd/1", "ns/net"):
            try: escaped(name, os.readlink(f"/proc/{SERVER}/{name}"))
            except OSError as problem: print(name, problem)
        """, NO_LOOKING_IN_PROC, who="root"),
    Escape("T153 open the server's memory", "open(f'/proc/{SERVER}/mem', 'rb').close(); escaped()", NO_LOOKING_IN_PROC, who="root"),
    Escape("T155 list the processes", "if str(SERVER) in os.listdir('/proc'): escaped()", "mountns landlock"),
    Escape("T155 read the server's command line", "if b'serve' in open(f'/proc/{SERVER}/cmdline', 'rb').read(): escaped()",
           "mountns landlock"),
    Escape("T169 read a neighbour's memory", """
        into = ctypes.create_string_buffer(64)
        mine = (ctypes.c_void_p * 2)(ctypes.addressof(into), 64)
        theirs = (ctypes.c_void_p * 2)(ctypes.cast(c.getpid, ctypes.c_void_p).value, 64)  # forks share addresses
        for pid in NEIGHBOURS:
            if pid != os.getpid() and call("process_vm_readv", pid, mine, 1, theirs, 1, 0)[0] > 0: escaped(pid)
        """, "not_dumpable seccomp uid landlock pidns userns@user", given="capabilities"),
    Escape("T169 open a neighbour's memory in /proc", """
        for pid in NEIGHBOURS:
            try:
                if pid != os.getpid(): open(f"/proc/{pid}/mem", "rb").close(); escaped(pid)
            except OSError as problem: print(problem)
        """, "not_dumpable mountns uid landlock userns@user", given="capabilities"),
    Escape("T163 change another process's limits", """
        old = (ctypes.c_uint64 * 2)()
        attempt("prlimit64", VICTIM, 7, None, old)
        """, "seccomp uid pidns"),
    Escape("T015 move another process to other processors", """
        attempt("sched_setaffinity", VICTIM, 128, ctypes.create_string_buffer(b"\\xff" * 128, 128))
        """, "seccomp uid pidns"),
    # ── More processes ──
    Escape("T040 fork", """
        pid = os.fork()
        if pid == 0: os._exit(0)
        os.waitpid(pid, 0); escaped()
        """, "seccomp"),
    Escape("T047 start a program", "os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0); escaped()", "seccomp"),
    Escape("T047 become a program", "os.execv('/bin/echo', ['echo', 'ESCAPED'])", "seccomp"),
    Escape("T047 become a program without a name", """
        fd = os.memfd_create("x", 0)
        os.write(fd, b"#!/bin/sh\\necho ESCAPED\\n")
        os.execve(fd, ["x"], {})
        """, "seccomp"),
    # The quota is the template's: 16 processes, and 64 threads that a run always may have.
    Escape("T052 more processes and threads than the quota", """
        import signal, threading
        pids, over = [], threading.Event()
        try:
            for _ in range(50): threading.Thread(target=over.wait, daemon=True).start()
            while len(pids) < 45:
                pid = os.fork()
                if pid == 0:
                    signal.pause(); os._exit(0)
                pids.append(pid)
            escaped()
        except RuntimeError as problem: print(problem)
        finally:
            over.set()
            for pid in pids: os.kill(pid, 9); os.waitpid(pid, 0)
        """, "cgroup rlimits+uid@root rlimits+userns@user", subprocesses=True, limits={"processes": 8}),
    # ── More rights ──
    Escape("T163 become root by a set-uid program", """
        import subprocess
        done = subprocess.run([SET_UID_PROGRAM, "-u"], capture_output=True, text=True)
        if done.stdout == "0\\n": escaped()
        """, "no_new_privs mountns", given="uid", who="root", subprocesses=True),
    Escape("T163 be root", "os.setresuid(0, 0, 0)\nif os.geteuid() == 0: escaped()", "uid", who="root"),
    Escape("T163 have a capability", """
        version = (ctypes.c_uint32 * 2)(0x20080522, 0)
        attempt("capset", version, (ctypes.c_uint32 * 6)(1 << 21, 1 << 21, 0))
        """, "seccomp capabilities uid", who="root", capability=21),
    Escape("T163 be looked into again", "attempt('prctl', 4, 1, 0, 0, 0)", "seccomp"),
    Escape("T163 outlive the supervisor", "attempt('prctl', 1, 0, 0, 0, 0)", "seccomp"),
    Escape("T009 raise its own limits", """
        import resource
        for name in ("AS", "CORE", "CPU", "FSIZE"):
            try:
                resource.setrlimit(getattr(resource, "RLIMIT_" + name), (-1, -1)); escaped(name)
            except (OSError, ValueError) as problem: print(problem)
        """, "rlimits+capabilities rlimits+uid@root"),
    Escape("T015 take priority", "os.setpriority(os.PRIO_PROCESS, 0, -20); escaped()", "seccomp capabilities uid", who="root", capability=23),
    Escape("T015 run before all others", "if not REAL_TIME: not_here('time for such processes')\n"
           "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)); escaped()",
           "seccomp capabilities uid", who="root", capability=23),
    Escape("T023 lock memory", "attempt('mlock', ctypes.create_string_buffer(1 << 16), 1 << 16)", "seccomp"),
    Escape("T157 leave a core file", """
        import resource
        if resource.getrlimit(resource.RLIMIT_CORE) != (0, 0): escaped()
        """, "rlimits"),
]
