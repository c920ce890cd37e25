"""T021–T029, T071–T091, T213: to files, devices and disks."""

import os
from pathlib import Path

from escapes import Escape


def _touched(scene):
    return bool(scene.touched())


def _left_behind(scene):
    """Files that carry the scene's mark in the folders that all programs of a host share."""
    found = [path for folder in ("/tmp", "/var/tmp", "/dev/shm") for path in Path(folder).glob(scene.mark + "*")]
    for path in found:
        os.unlink(path)
    return bool(found)


# disk_mb is 16 for every run of these tests.
ESCAPES = [
    Escape("T071 make a file in a folder open to all", "open(OPEN + '/x', 'w').close(); escaped()", "mountns landlock",
           seen=_touched),
    Escape("T071 make a file in a folder of the server's user", "open(PRIVATE + '/x', 'w').close(); os.unlink(PRIVATE + '/x')\n"
           "escaped()", "uid mountns landlock", seen=_touched),
    Escape("T071 change a file open to all", "open(SHARED_FILE, 'a').write('x'); escaped()", "mountns landlock", seen=_touched),
    Escape("T071 cut a file open to all", "os.truncate(SHARED_FILE, 1); escaped()", "mountns landlock:3", seen=_touched),
    Escape("T071 remove a folder open to all", "os.mkdir(OPEN + '/d'); os.rmdir(OPEN + '/d'); escaped()", "mountns landlock",
           seen=_touched),
    Escape("T071 read a file of the server's user", "if SECRET in open(SECRET_FILE, 'rb').read(): escaped()",
           "uid mountns landlock"),
    Escape("T071 read a file that all may read", "if SECRET in open(PUBLIC_FILE, 'rb').read(): escaped()", "mountns landlock"),
    Escape("T071 list a folder of the server's user", "os.listdir(PRIVATE); escaped()", "uid mountns landlock"),
    Escape("T071 learn that a file exists", "os.stat(PUBLIC_FILE); escaped()", "mountns"),
    Escape("T071 change a mode", "os.chmod(OWNED_FILE, 0o666)", "seccomp uid mountns", seen=_touched),
    Escape("T071 change an owner", "os.chown(OWNED_FILE, -1, os.getgid()); escaped()", "seccomp uid mountns", seen=_touched),
    Escape("T071 change times", "os.utime(OWNED_FILE, (1, 1)); escaped()", "uid mountns", seen=_touched),
    Escape("T071 set an attribute", """
        try: os.setxattr(OWNED_FILE, "user.hatchery", b"x"); escaped()
        except OSError as problem:
            if problem.errno == errno.EOPNOTSUPP: not_here("attributes")
            else: print(problem)
        """, "seccomp uid mountns", seen=_touched),
    Escape("T077 link a file of the host in", "os.link(PUBLIC_FILE, 'h'); os.unlink('h'); escaped()", "mountns landlock",
           seen=_touched),
    Escape("T082 swap a file of the host", "os.rename(SHARED_FILE, OPEN + '/moved'); escaped()", "uid mountns landlock",
           seen=_touched),
    Escape("T079 make a device and write to it", """
        os.mknod("n", 0o20666, os.makedev(1, 3))
        os.write(os.open("n", os.O_WRONLY), b"x"); escaped()
        """, "seccomp capabilities uid mountns landlock", who="root", capability=27),
    Escape("T079 open a disk", "if BLOCK_DEVICE: os.open(BLOCK_DEVICE, os.O_RDONLY | os.O_NONBLOCK); escaped()\n"
           "else: not_here('a disk')", "uid mountns landlock", who="root"),
    Escape("T079 listen at a name", "import socket\ns = socket.socket(socket.AF_UNIX); s.bind(OPEN + '/s'); escaped()",
           "seccomp mountns landlock", seen=_touched),
    Escape("T085 execute what it has written", """
        with open("run-me", "w") as file: file.write("#!/bin/sh\\necho ESCAPED\\n")
        os.chmod("run-me", 0o755)
        os.execv("./run-me", ["run-me"])
        """, "seccomp"),
    Escape("T087 fill the disk with files that have no name", """
        kept = []
        for i in range(5):
            kept.append(os.open("f", os.O_CREAT | os.O_RDWR)); os.unlink("f")
            os.posix_fallocate(kept[-1], 0, 8 << 20)  # at once: folders are looked at five times a second
        escaped()
        """, "mountns"),
    Escape("T025 fill the host's shared memory", """
        names = ["/dev/shm/%s-%d" % (MARK, i) for i in range(5)]
        try:
            for name in names:
                with open(name, "wb", 0) as file:
                    for _ in range(8): file.write(bytes(1 << 20))
            escaped()
        finally:
            for name in names:
                try: os.unlink(name)
                except OSError: pass
        """, "mountns landlock", seen=_left_behind),
    *[Escape(f"T213 leave something in {folder}", f"open('{folder}/' + MARK, 'w').write('x')", "mountns landlock",
             seen=_left_behind) for folder in ("/tmp", "/var/tmp", "/dev/shm")],
    Escape("T213 read what another program left in /tmp", "open(LEFT_BEHIND).read(); escaped()",
           "mountns landlock"),
    # Of 16 MiB each. Where groups are of version 1, only templates with subprocesses have them.
    Escape("T029 memory in files that no folder holds", """
        for _ in range(14):
            fd = os.memfd_create("x")
            for _ in range(16): os.write(fd, bytes(1 << 20))
        escaped()
        """, "seccomp cgroup", subprocesses=True, limits={"memory_mb": 32}),
    Escape("T071 open by a handle", """
        handle = (ctypes.c_int * 34)(128)
        mount = ctypes.c_int()
        r, error = call("name_to_handle_at", -100, SECRET_FILE.encode(), handle, ctypes.byref(mount), 0)
        if r == 0:
            fd, error = call("open_by_handle_at", os.open(TOP, os.O_RDONLY), handle, 0)
            if fd >= 0 and SECRET in os.read(fd, 100): escaped()
        if error == "EOPNOTSUPP": not_here("handles of files", error)
        else: print(error)
        """, "seccomp capabilities uid mountns landlock", who="root", capability=2),
    Escape("T071 change the kernel's settings", "if KERNEL_SETTING: os.open(KERNEL_SETTING, os.O_WRONLY); escaped()\n"
           "else: not_here('a setting that can be written')", "uid mountns landlock", who="root"),
    Escape("T071 change a control group", "if CGROUP_FILE: os.open(CGROUP_FILE, os.O_WRONLY); escaped()\n"
           "else: not_here('a control group that can be written')", "uid mountns landlock", who="root"),
    Escape("T031 make itself the last one to be killed for memory", "os.write(os.open('/proc/self/oom_score_adj', os.O_WRONLY), b'-1')\n"
           "escaped()", "capabilities uid mountns landlock", who="root", capability=24),
    Escape("T091 watch files", "attempt('inotify_init1', 0)", "seccomp"),
    Escape("T091 watch the whole system", "attempt('fanotify_init', 0, 0)", "seccomp capabilities uid", who="root", capability=21),
    Escape("T219 see the folders of other runs", """
        if sum(len(folders) for _, folders, _ in os.walk(WORK)) > 1: escaped()
        """, "uid mountns landlock"),
    Escape("T219 read the server's state", """
        for name in os.listdir(STATE):
            try: os.read(os.open(os.path.join(STATE, name), os.O_RDONLY), 1); escaped(name)
            except OSError as problem: print(problem)
        """, "uid mountns landlock"),
    Escape("T155 see what is mounted", "if open('/proc/self/mountinfo').read(): escaped()", "mountns landlock"),
    Escape("T155 see its control groups", """
        if [line for line in open("/proc/self/cgroup") if line.rstrip().split(":", 2)[2] != "/"]: escaped()
        else: not_here("a control group of its own")
        """, "cgroupns mountns landlock"),
    Escape("T155 see the kernel's version and command line", "open('/proc/version').read(); open('/proc/cmdline').read(); escaped()",
           "mountns landlock"),
]
