"""The supervisor's side of copies of a session's worker: orders, attempts to make a process, and what comes back."""

import array
import fcntl
import os
import select
import socket
import struct
import time

from supervisor import READY, SECONDS, Worker

LISTENER, FORK, FORKED, HELLO = 1, 2, 3, 4
MESSAGE = struct.Struct("<IIq200s128s")
NOTIFICATION = struct.Struct("<QIIiIQ6Q")
NOTIF_RECV, NOTIF_SEND = 0xC0502100, 0xC0182101
CONTINUE = 1
EPERM = 1


def read_control(control):
    """(kind, value, sender's pid, descriptors) of the next message; a kind of None at the end."""
    control.settimeout(SECONDS)
    data, ancillary, _, _ = control.recvmsg(MESSAGE.size, 256)
    if not data:
        return None, 0, None, []
    assert len(data) == MESSAGE.size, data
    pid, fds = None, array.array("i")
    for level, kind, content in ancillary:
        if kind == socket.SCM_RIGHTS:
            fds.frombytes(content)
        elif kind == socket.SCM_CREDENTIALS:
            pid, _, _ = struct.unpack("iii", content)
    kind, _, value, _, _ = MESSAGE.unpack(data)
    return kind, value, pid, list(fds)


class Copy(Worker):
    notes = None

    def await_copy(self):
        found = self.next_frame()
        assert found is not None, "the copy ended"
        assert found[0] == READY, found
        self.notes = struct.unpack("<IIII", found[1])[:3]
        return self


class Family:
    """A worker of a session and all that come from it."""

    def __init__(self, worker):
        worker.control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        kind, _, _, fds = read_control(worker.control)
        assert kind == LISTENER
        self.listener = fds[0] if fds else None
        self.first = worker
        worker.folder = "0"
        self.members = [worker]
        self.refused = 0
        self.attempts = []
        self.next = 1

    def answer(self, allowed=None):
        """Answers an attempt; allowed: pid that may. Returns whether it was."""
        notification = bytearray(NOTIFICATION.size)
        fcntl.ioctl(self.listener, NOTIF_RECV, notification)
        found = NOTIFICATION.unpack(notification)
        identity, pid = found[0], found[1]
        self.attempts.append((pid, found[3], found[6]))
        may = pid == allowed
        fcntl.ioctl(self.listener, NOTIF_SEND, struct.pack("<QqiI", identity, 0, 0 if may else -EPERM, CONTINUE if may else 0))
        self.refused += not may
        return may

    def add_folders(self, source, member, in_home=None, owner=None):
        folder = str(member) if source.folder == "0" else f"{source.folder}+/{member}"
        home = in_home or self.first.directory
        os.mkdir(f"{home}/work/{folder}", 0o700)
        os.mkdir(f"{home}/work/{folder}+", 0o711)
        os.mkdir(f"{home}/work/{folder}+/tmp", 0o700)
        os.mkdir(f"{home}/packages/{member}", 0o755)
        if owner:
            os.chown(f"{home}/work/{folder}", owner, owner)
            os.chown(f"{home}/work/{folder}+/tmp", owner, owner)
        return folder

    def order(self, source, member, folder, directory):
        pipes = [os.pipe() for _ in range(4)]
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        sent = [pipes[0][0], pipes[1][1], pipes[2][1], pipes[3][1], theirs.fileno()]
        text = MESSAGE.pack(FORK, member, 0, directory.encode(), folder.encode())
        source.control.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", sent))])
        for fd in sent[:-1]:
            os.close(fd)
        theirs.close()
        return Copy(source.zygote, None, [pipes[0][1], pipes[1][0], pipes[2][0], pipes[3][0]], self.first.directory, ours)

    def copy(self, source=None, allow=True, home=None, owner=None, directory=None):
        """Makes a copy and returns it, or the errno that its source has told."""
        source = source or self.first
        member, self.next = self.next, self.next + 1
        folder = self.add_folders(source, member, home, owner)
        copy = self.order(source, member, folder, self.first.directory if directory is None else directory)
        copy.folder = folder
        error, allowed, is_there = None, source.pid if allow else None, True
        deadline = time.monotonic() + SECONDS
        while error is None or (error == 0 and copy.pid is None):
            watched = [self.listener, source.control, *([copy.control] if is_there and copy.pid is None else [])]
            readable, _, _ = select.select(watched, [], [], max(deadline - time.monotonic(), 0))
            assert readable, "nothing comes of it"
            if self.listener in readable and self.answer(allowed):
                allowed = None
            if copy.control in readable:
                kind, _, copy.pid, _ = read_control(copy.control)
                is_there = kind is not None
                assert not is_there or kind == HELLO and copy.pid not in [member.pid for member in self.members]
            if source.control in readable:
                kind, error, pid, _ = read_control(source.control)
                assert kind == FORKED and pid == source.pid
        if error:
            copy.status = 0
            copy.close()
            return error
        self.members.append(copy)
        source.zygote.workers.append(copy)
        return copy.await_copy()
