"""What /proc tells of a process tree, from outside: kinship, states, descriptors, memory, mounts, times."""

import os
from dataclasses import dataclass
from pathlib import Path

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def _stat(pid):
    """The fields of /proc/PID/stat from the third on (state is [0]), or None. The name before them may hold anything,
    so they begin after its last parenthesis."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def state(pid):
    """"R", "S", "Z" …, or None when it is gone."""
    fields = _stat(pid)
    return fields[0] if fields else None


def sleeps(pid):
    """Whether none of its threads runs, or waits for a processor or a disk: then nothing is under way in it."""
    return all(state(f"{pid}/task/{thread}") == "S" for thread in os.listdir(f"/proc/{pid}/task"))


def started(pid):
    """Its start time in clock ticks: with the pid, the identity of a process."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def is_same_alive(pid, start):
    fields = _stat(pid)
    return fields is not None and int(fields[19]) == start and fields[0] not in ("Z", "X")


def children(parent):
    """As the kernel lists them for each thread; where it does not (CONFIG_PROC_CHILDREN), by asking every process."""
    try:
        threads = os.listdir(f"/proc/{parent}/task")
        return [int(pid) for thread in threads for pid in Path(f"/proc/{parent}/task/{thread}/children").read_text().split()]
    except OSError:
        pass
    found = []
    for pid in pids():
        fields = _stat(pid)
        if fields and int(fields[1]) == parent:
            found.append(pid)
    return found


def descendants(parent):
    """{pid: start time} of all of them."""
    parents = {}
    for pid in pids():
        fields = _stat(pid)
        if fields:
            parents.setdefault(int(fields[1]), []).append((pid, int(fields[19])))
    found, todo = {}, [parent]
    while todo:
        for pid, start in parents.get(todo.pop(), []):
            found[pid] = start
            todo.append(pid)
    return found


def status_field(pid, name):
    """A field of /proc/PID/status as text, or None."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key == name:
                return value.strip()
    except (FileNotFoundError, ProcessLookupError):
        pass
    return None


def cpu_seconds(pid):
    """User and system time of a process and of all its children that it has waited for."""
    fields = _stat(pid)
    return sum(int(value) for value in fields[11:15]) / CLOCK_TICKS if fields else 0.0


def minor_faults(pid):
    """Minor faults of a process and of all its children that it has waited for."""
    fields = _stat(pid)
    return int(fields[7]) + int(fields[8]) if fields else 0


def command_line(pid):
    """Its arguments; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


@dataclass
class Footprint:
    # But for those of control groups, which slots of sessions keep for the next one. None where they are closed to us: the
    # process is not dumpable, and we are not root.
    fds: int
    threads: int
    rss_kb: int
    children: int
    zombies: int
    work_entries: int


def descriptors(pid):
    """What they lead to; those that are closed meanwhile are left out."""
    targets = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            targets.append(os.readlink(f"/proc/{pid}/fd/{number}"))
        except FileNotFoundError:
            pass
    return targets


def is_closed_on_exec(pid, number):
    """Also when it has been closed meanwhile."""
    try:
        with open(f"/proc/{pid}/fdinfo/{number}") as file:
            flags = next(line.split()[1] for line in file if line.startswith("flags:"))
    except FileNotFoundError:
        return True
    return bool(int(flags, 8) & os.O_CLOEXEC)


def is_of_a_control_group(target):
    return target.startswith("/sys/fs/cgroup/")


def control_groups(pid):
    """The folders of a server with that number in every hierarchy, and those below. Groups of others go while they are walked
    through: os.walk() passes over them, where Path.glob() fails."""
    own = [os.path.join(top, f"hatchery-{pid}") for top, names, _ in os.walk("/sys/fs/cgroup") if f"hatchery-{pid}" in names]
    return sorted(path for top in own for path, _, _ in os.walk(top))


def footprint(pid, work=None):
    kin = children(pid)
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    try:
        fds = sum(not is_of_a_control_group(target) for target in descriptors(pid))
    except PermissionError:
        fds = None
    return Footprint(
        fds=fds,
        threads=int(status_field(pid, "Threads")),
        rss_kb=pages * os.sysconf("SC_PAGE_SIZE") // 1024,
        children=len(kin),
        zombies=sum(state(one) == "Z" for one in kin),
        work_entries=sum(1 for _ in Path(work).rglob("*")) if work else 0,
    )
