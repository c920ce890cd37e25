"""T301–T305: to what no limit counts, and to what others of the host use."""

from escapes import Escape


def _plain(name, code, **more):
    return Escape(name, code, "seccomp", **more)


ESCAPES = [
    # A lock is 192 bytes of the kernel's, RLIMIT_LOCKS means nothing, and such a lock outlives its descriptor.
    _plain("T301 keep locks of a file that is only mapped", """
        import mmap, struct
        fd = os.open("locked", os.O_CREAT | os.O_RDWR)
        os.ftruncate(fd, 4096)
        kept = mmap.mmap(fd, 4096)
        lock = struct.pack("hhqqi4x", 1, 0, 0, 1, 0)
        r, error = call("fcntl", fd, 37, ctypes.c_char_p(lock))
        if r == 0: escaped()
        else: print(error)
        """),
    # Measured before it was refused: 2 GB by one run of 256 MiB, where the kernel lets a socket have 4 MiB.
    _plain("T302 a larger buffer of a socket", """
        import socket
        for name in ("SO_SNDBUF", "SO_RCVBUF"):
            for one in socket.socketpair():
                before = one.getsockopt(socket.SOL_SOCKET, getattr(socket, name))
                try: one.setsockopt(socket.SOL_SOCKET, getattr(socket, name), before - 2)
                except OSError as problem: print(problem)
                if one.getsockopt(socket.SOL_SOCKET, getattr(socket, name)) != before: escaped(name)
        """),
    _plain("T303 take a library out of the page cache", """
        fd = os.open(ctypes.__file__, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED); escaped()
        """),
    # Of the memory that all workers share: what earlier runs have touched of it.
    _plain("T305 ask which pages are there", """
        attempt("mincore", id(os) & ~4095, 4096, ctypes.create_string_buffer(1))
        """),
    # In a data path, or where there are no cells, it would lie on a disk of the host.
    *[_plain(f"T304 {what} by {how}", f"""
        import stat
        def make(mode):
            {code}
        make({mode})
        if os.stat("x").st_mode & (stat.S_ISUID | stat.S_ISGID): escaped()
        """) for what, mode in (("a set-user-id file", "0o4755"), ("a set-group-id file", "0o2755")) for how, code in (
            ("its birth", "os.open('x', os.O_CREAT | os.O_WRONLY, mode)"),
            ("creat", "c.creat(b'x', mode)"),
            ("chmod", "open('x', 'w').close(); os.chmod('x', mode)"),
            ("fchmod", "fd = os.open('x', os.O_CREAT | os.O_WRONLY); os.fchmod(fd, mode)"),
            ("fchmodat", "fd = os.open('.', os.O_RDONLY); open('x', 'w').close(); os.chmod('x', mode, dir_fd=fd)"))],
]
