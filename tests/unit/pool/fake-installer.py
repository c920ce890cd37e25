#!/usr/bin/python3 -IS
"""Stands in for `hatchery-python --install`: does what the name of the requirement says, good or bad."""

import os
import socket
import struct
import sys
import time

SAYS, WHEEL, RESOLVED, UNPACKED, FINISHED, FAILED = range(1, 7)
connection = socket.socket(fileno=3)


def send(kind, number=0, text=""):
    connection.send(struct.pack("=II", kind, number) + text.encode() + b"\0")


def wheel(number, name, version="1.0", sha256=None):
    send(WHEEL, number, f"{sha256 or (name + version).encode().hex().ljust(64, '0')[:64]} {name} {version}")


def unpack(number, name, version="1.0", size=0):
    top = f"{staging}/work/{number}"
    os.makedirs(f"{top}/{name}")
    os.mkdir(f"{top}/{name}-{version}.dist-info")
    paths = [f"{name}/__init__.py", f"{name}/v{version}.py", f"{name}-{version}.dist-info/METADATA"]
    for path, text in zip(paths, (f"version = {version!r}\n", "#" * size, f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")):
        with open(f"{top}/{path}", "w") as file:
            file.write(text)
    record = f"{name}-{version}.dist-info/RECORD"
    with open(f"{top}/{record}", "w") as file:
        file.write("".join(f"{path},,\n" for path in [*paths, record, "../../outside", "/etc/hosts"]))
    return top


def install(*names, version="1.0"):
    """As it should be done; returns the folders, which are reported by the caller."""
    for number, name in enumerate(names):
        wheel(number, name, version)
    send(RESOLVED, len(names))
    wanted = connection.recv(1000)
    return {number: unpack(number, name, version) for number, name in enumerate(names) if wanted[number]}


def grow():
    with open(f"{staging}/tmp/file", "wb") as file:
        while True:
            file.write(bytes(1 << 20))
            file.flush()
            time.sleep(0.005)


def finish(folders):
    for number in folders:
        send(UNPACKED, number)
    send(FINISHED)
    time.sleep(60)


staging = sys.argv[sys.argv.index("--staging") + 1]
if os.path.exists(f"{staging}/work/installed/unread-1.dist-info"):
    send(FAILED, 4, "It does not even read.")
    sys.exit(1)
order = connection.recv(100000).decode().rstrip("\0").split("\0")
what, _, version = order[0].partition("==")
if what == "good":
    send(SAYS, 0, "has: " + ",".join(sorted(os.listdir(f"{staging}/work/installed"))) + "\n")
    finish(install("good", version=version or "1.0"))
elif what == "pair":
    finish(install("good", "pair"))
elif what == "none":
    send(RESOLVED, 0)
    connection.recv(1000)
    send(FINISHED)
elif what in ("symlink", "fifo", "hardlink", "setuid", "deep", "empty", "missing", "writable"):
    folders = install(what)
    top = folders[0]
    if what == "symlink":
        os.symlink("/etc/passwd", f"{top}/passwd")
    elif what == "fifo":
        os.mkfifo(f"{top}/named-pipe")
    elif what == "hardlink":
        os.link(f"{top}/hardlink/__init__.py", f"{staging}/tmp/kept")
    elif what == "setuid":
        os.chmod(f"{top}/setuid/__init__.py", 0o6777)
        os.chmod(f"{top}/setuid", 0o7777)
    elif what == "deep":
        os.makedirs(top + "/d" * 70)
    elif what == "empty":
        os.rename(top, f"{staging}/tmp/away")
        os.mkdir(top)
    elif what == "missing":
        os.rename(top, f"{staging}/tmp/away")
    elif what == "writable":
        os.chmod(f"{top}/writable/__init__.py", 0o200)
        os.chmod(f"{top}/writable", 0o000)
    finish(folders)
elif what == "big":
    wheel(0, "big")
    send(RESOLVED, 1)
    connection.recv(1000)
    unpack(0, "big", size=3 << 20)
    finish([0])
elif what == "growing":
    grow()
elif what == "fails":
    send(FAILED, 4, "The package index cannot be used: it sleeps.")
elif what == "talks":
    for number in range(2000):
        send(SAYS, 0, f"{number} " + "x" * 100 + "\n")
    finish(install("good"))
elif what == "hangs":
    time.sleep(60)
elif what == "hangs-unpacking":
    install("good")
    time.sleep(60)
elif what in ("dies-compiling", "hangs-compiling", "fails-compiling", "grows-compiling"):
    for number in install(what):
        send(UNPACKED, number)
    if what == "dies-compiling":
        os.kill(os.getpid(), 11)
    elif what == "fails-compiling":
        send(FAILED, 1, "Something is wrong.")
    elif what == "grows-compiling":
        grow()
    time.sleep(60)
elif what == "dies":
    os.kill(os.getpid(), 9)
elif what == "garbage":
    connection.send(b"\1\2\3")
elif what == "no-end":
    connection.send(struct.pack("=II", SAYS, 0) + b"no NUL")
elif what == "kind":
    send(99)
elif what == "bad-sha":
    wheel(0, "good", sha256="../" + "0" * 61)
elif what == "bad-name":
    wheel(0, "../good")
elif what == "bad-version":
    wheel(0, "good", version="../1")
elif what == "number":
    wheel(7, "good")
elif what == "too-many":
    for number in range(300):
        wheel(number, f"w{number}")
elif what == "unasked":
    folders = install("good")
    send(UNPACKED, 5)
elif what == "half":
    install("good", "pair")
    send(UNPACKED, 0)
    send(FINISHED)
elif what == "early":
    send(FINISHED)
elif what == "bad-failure":
    send(FAILED, 77, "?")
time.sleep(60)
