"""What a server and its processes hold, and what runs may have left on the machine, as seen from outside; two looks are
compared. What only root may look into is empty for anybody else."""

import os
import subprocess
from dataclasses import dataclass, fields
from pathlib import Path

from harness import proc
from harness.aftermath import left_on_the_host
from harness.hatchery import eventually
from harness.isolation import layers_on

PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024


@dataclass
class Holdings:
    # Counts and names: equal, or something was left behind.
    fds: int
    threads: int
    mappings: int
    children: int
    descendants: int
    zombies: int
    strays: list
    work_entries: int
    cells: list  # of each: bytes, inodes and names in its folders
    control_groups: list
    server_mounts: list
    host_mounts: list
    objects_of_the_namespace: str  # System V's and message queues, where the workers see them
    on_the_host: list
    # Of memory, in KiB: it may move within a bound.
    server_rss_kb: int
    zygotes_rss_kb: int
    makers_rss_kb: int
    keepers_rss_kb: int
    greatest_keeper_kb: int

    def left_over(self, before):
        """Of what must be equal: {name: (before, now)} of what is not."""
        pairs = {one.name: (getattr(before, one.name), getattr(self, one.name)) for one in fields(self)
                 if not one.name.endswith("_kb")}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def drift(self, before):
        """{name: KiB more than before}"""
        return {one.name: getattr(self, one.name) - getattr(before, one.name) for one in fields(self) if one.name.endswith("_kb")}


def templates(server):
    return server.get("/health").json()["pool"]["templates"]


def rss_kb(pid):
    """Of what is mapped, what is in memory and only its own: what it shares with its parent comes and goes with others."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(("Private_Clean", "Private_Dirty")))


def anonymous_kb(pid):
    """What is in memory and no file's, counted page by page: statm's number is put together from counters of each processor or
    thread, and may lag by hundreds of KiB (Documentation/filesystems/proc.rst). None for those who may not look."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except PermissionError:
        return None
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Anonymous:"))


def contents_of_cell(keeper):
    """(KiB, inodes, names) of the file system that a cell's runs may write to. The /work of a session is another one, on disk."""
    root = Path(f"/proc/{keeper}/root")
    try:
        usage = os.statvfs(root / "tmp")
        names = [str(path.relative_to(root)) for top in ("work", "tmp", "dev/shm") for path in sorted((root / top).iterdir())]
    except (PermissionError, FileNotFoundError):
        return None
    return (usage.f_blocks - usage.f_bfree) * usage.f_frsize >> 10, usage.f_files - usage.f_ffree, tuple(names)


def objects_of_the_namespace(pid):
    """What is in the ipc namespace of a process. Message queues are seen in a mount of their own, made for the look."""
    if os.geteuid() != 0:
        return ""
    look = "for kind in shm msg sem; do tail -n +2 /proc/sysvipc/$kind; done; mount -t mqueue none /tmp && ls /tmp"
    return subprocess.run(["nsenter", "--target", str(pid), "--ipc", "unshare", "--mount", "sh", "-c", look],
                          stdout=subprocess.PIPE, text=True, check=True).stdout


def mounts_of(pid, folder):
    """Those in the server's own folders, or of its make: others come and go on the same machine."""
    rows = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    return sorted(row.split()[4] for row in rows if folder in row)


def processes_of_runs(server, uid_base):
    """Processes of a worker's uid that are nobody's child in the pool."""
    if os.geteuid() != 0:
        return []
    uids = range(uid_base, uid_base + sum(template["workers"] for template in templates(server)))
    known = set(proc.descendants(server.pid))
    return [pid for pid in proc.pids() if pid not in known and
            int((proc.status_field(pid, "Uid") or "-1").split()[0]) in uids]


def control_groups(pid):
    return proc.control_groups(pid)


def look(server, uid_base):
    kin = proc.descendants(server.pid)
    pools = templates(server)
    zygotes = [template["zygote_pid"] for template in pools]
    cells = server.makers_and_keepers()
    # A keeper is the first process of its own pid namespace; a maker is in the server's.
    keepers = [pid for pid in cells if len((proc.status_field(pid, "NSpid") or "").split()) > 1]
    print_ = proc.footprint(server.pid, server.work)
    folder = str(server.work.parent)
    anonymous = anonymous_kb(server.pid)
    return Holdings(
        fds=print_.fds,
        threads=print_.threads,
        mappings=len(Path(f"/proc/{server.pid}/maps").read_text().splitlines()) if os.geteuid() == 0 else 0,
        children=print_.children,
        descendants=len(kin),
        zombies=sum(proc.state(pid) == "Z" for pid in kin),
        strays=processes_of_runs(server, uid_base),
        work_entries=print_.work_entries,
        cells=sorted(map(contents_of_cell, keepers), key=str),
        control_groups=control_groups(server.pid),
        server_mounts=mounts_of(server.pid, folder),
        host_mounts=mounts_of("self", folder),
        objects_of_the_namespace=objects_of_the_namespace(zygotes[0]) if "ipcns" in layers_on(server) else "",
        on_the_host=sorted(left_on_the_host(server, uid_base)),
        server_rss_kb=print_.rss_kb if anonymous is None else anonymous,
        zygotes_rss_kb=sum(map(rss_kb, zygotes)),
        makers_rss_kb=sum(rss_kb(pid) for pid in cells if pid not in keepers),
        keepers_rss_kb=sum(map(rss_kb, keepers)),
        greatest_keeper_kb=max(map(rss_kb, keepers), default=0),
    )


def is_full(server):
    """Every slot has an idle worker, and nobody waits."""
    return all(template["ready"] and template["idle"] == template["workers"] and template["queued"] == 0
               for template in templates(server))


def at_rest(server, uid_base, seconds=60, look=look):
    """What is held once nothing moves any more: two looks one after the other are alike in all but memory."""
    last = []

    def steady():
        if not is_full(server):
            last.clear()
            return False
        try:
            last[:] = [*last[-1:], look(server, uid_base)]
        except (FileNotFoundError, ProcessLookupError):
            last.clear()  # something ended while it was looked at
            return False
        return len(last) == 2 and last[1].zombies == 0 and not last[1].left_over(last[0])

    eventually(steady, seconds, lambda: f"the pool comes to rest; lately: {last}, {templates(server)}")
    return last[1]


def memory_table(looks):
    """As text: a line for each kind of process."""
    names = [one.name for one in fields(Holdings) if one.name.endswith("_kb")]
    return "\n".join(f"{name:20}" + "".join(f"{getattr(look, name):8}" for look in looks) for name in names)
