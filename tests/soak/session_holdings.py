"""What a server with sessions holds beside what it holds for runs: homes, what is on its way out, wheels, uids of homes."""

import os
from dataclasses import dataclass

import holdings
from harness import proc
from harness.hatchery import eventually

SLOTS_MAX, HOMES_MAX = 1024, 4096  # pool/template.h, pool/home.h


@dataclass
class SessionHoldings(holdings.Holdings):
    n_homes: int
    home_names: list  # of what is in each home, without its own name
    trash: list
    staged: list
    state_entries: list
    processes_of_homes: list  # that are nobody's child in the pool
    sessions: int
    installers: int
    wheels_kb: int


def sorted_names(folder):
    return sorted(os.listdir(folder))


def homes(server):
    return [path for path in (server.state / "sessions").iterdir() if path.name != "trash"]


def kb_below(folder):
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) >> 10


def processes_of_homes(server, uid_base):
    """Processes of a home's uid, or of the installer's, that the server does not know."""
    if os.geteuid() != 0:
        return []
    uids = range(uid_base + SLOTS_MAX, uid_base + SLOTS_MAX + HOMES_MAX + 2)
    known = set(proc.descendants(server.pid))
    return [pid for pid in proc.pids() if pid not in known and int((proc.status_field(pid, "Uid") or "-1").split()[0]) in uids]


def look(server, uid_base):
    usual = holdings.look(server, uid_base)
    wheels = server.state / "wheels"
    return SessionHoldings(
        **vars(usual),
        n_homes=len(homes(server)),
        home_names=sorted(str(path.relative_to(home)) for home in homes(server) for path in home.rglob("*")),
        trash=[*sorted_names(server.state / "sessions" / "trash"), *sorted_names(wheels / "trash")],
        staged=sorted_names(wheels / "staging"),
        # The database of uploads comes and goes with its log; the notebooks of users stay, one for each.
        state_entries=[name for name in sorted_names(server.state) if not name.startswith(("store.", "notebooks"))],
        processes_of_homes=processes_of_homes(server, uid_base),
        sessions=server.health()["pool"]["counters"]["sessions"],
        installers=sum("--install" in proc.command_line(pid) for pid in proc.descendants(server.pid)),
        wheels_kb=kb_below(wheels),
    )


def at_rest(server, uid_base, n_spares, seconds=90):
    """Once all sessions have ended, and the spares that wait for the next ones are there."""
    eventually(lambda: len(homes(server)) == n_spares and not sorted_names(server.state / "sessions" / "trash"), seconds,
               lambda: f"homes are removed: {[path.name for path in homes(server)]}, for {n_spares} spares; "
                       f"sessions: {server.get('/v1/sessions').json()}")
    return holdings.at_rest(server, uid_base, seconds, look)
