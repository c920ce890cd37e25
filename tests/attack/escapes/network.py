"""T131–T139: to the network, and to sockets of the host."""

from escapes import Escape


def _arrived(scene):
    return bool(scene.arrivals())


ESCAPES = [
    Escape("T131 connect to a port of the host", """
        import socket
        socket.create_connection(("127.0.0.1", TCP_PORT), 2).sendall(b"x"); escaped()
        """, "seccomp netns", seen=_arrived),
    Escape("T131 connect to the server's own port", """
        import socket
        socket.create_connection(("127.0.0.1", SERVER_PORT), 2); escaped()
        """, "seccomp netns"),
    Escape("T131 send a datagram", """
        import socket
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", UDP_PORT)); escaped()
        """, "seccomp netns", seen=_arrived),
    Escape("T133 listen for the host", """
        import socket, time
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", PORT)); s.listen(); s.settimeout(6)
        s.accept()[0].sendall(b"reached")
        """, "seccomp netns", port=True),
    Escape("T135 connect to an abstract socket", """
        import socket
        s = socket.socket(socket.AF_UNIX); s.connect(ABSTRACT); escaped()
        """, "seccomp netns landlock:6", seen=_arrived),
    Escape("T135 send to an abstract socket from one of a pair", """
        import socket
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        a.sendto(b"x", ABSTRACT + "-dgram"); escaped()
        """, "seccomp netns landlock:6", seen=_arrived),
    Escape("T135 connect to a socket with a name", """
        import socket
        s = socket.socket(socket.AF_UNIX); s.connect(NAMED); escaped()
        """, "seccomp mountns", seen=_arrived),
    Escape("T137 any family of sockets", """
        for family in range(48):
            for kind in (1, 2, 3, 5):
                if call("socket", family, kind, 0)[0] >= 0: escaped(family, kind)
        """, "seccomp"),
    Escape("T137 see every packet", "attempt('socket', 17, 3, 0x300)", "seccomp capabilities uid", who="root", capability=13),
    Escape("T137 talk to the kernel's crypto", "attempt('socket', 38, 5, 0)", "seccomp"),
    Escape("T137 see the devices of the network", """
        import socket
        names = [name for _, name in socket.if_nameindex()]
        if names and names != ["lo"]: escaped(names)
        elif names: not_here("any device but lo")
        """, "seccomp netns"),
    Escape("T139 see the host's connections", """
        if ":%04X" % SERVER_PORT in open("/proc/self/net/tcp").read(): escaped()
        """, "netns mountns landlock"),
    Escape("T155 learn the name of the host", "if os.uname().nodename == HOST: escaped()", "utsns"),
]
