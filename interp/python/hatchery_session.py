"""session: what one run of a session leaves to the next, and what it does not."""

import collections
import linecache
import os
import sys
import tempfile
import time

from hatchery_displays import close_figures
from hatchery_failures import Current
from hatchery_reset import new_stream

# Sources of earlier runs that tracebacks can show, the latest: so many, of so many characters together.
SOURCES_MAX = 2000
SOURCES_SIZE_MAX = 8 << 20

environment = os.environ


class _Session:
    is_one = False
    packages = None


class _Run:
    """What the request has changed for this run only."""

    arguments = None  # of sys.argv, before it
    variables = {}  # name → (value before or None, value that the request gave)
    streams = None  # sys.stdin and sys.__stdin__ before it


class _Sources:
    names = collections.deque()
    size = 0


def is_session():
    return _Session.is_one


def settle(home, temporary, packages):
    """At the start of a session, and of a copy. packages: folder, the last place where modules are looked for."""
    _Session.is_one = True
    environment["HOME"] = home
    environment["TMPDIR"] = environment["MPLCONFIGDIR"] = tempfile.tempdir = temporary
    if _Session.packages in sys.path:
        sys.path[sys.path.index(_Session.packages)] = packages
    else:
        sys.path.append(packages)
    _Session.packages = packages


def enter_run(namespace, name):
    """Before each run but the first."""
    _forget_sources()
    Current.source = name
    # A warning is shown once for each line; the lines of this run are others.
    namespace.pop("__warningregistry__", None)


def _forget_sources():
    """The source of the run before is the latest in linecache, and the only one that has not been counted."""
    entry = linecache.cache.get(Current.source)
    size = entry[0] if entry and type(entry[0]) is int else 0
    _Sources.names.append((Current.source, size))
    _Sources.size += size
    while len(_Sources.names) > SOURCES_MAX or (_Sources.size > SOURCES_SIZE_MAX and len(_Sources.names) > 1):
        name, size = _Sources.names.popleft()
        _Sources.size -= size
        linecache.cache.pop(name, None)


def keep_for_one_run(arguments, variables, stdin):
    """Remembers what these of a request will replace."""
    if arguments:
        _Run.arguments = list(sys.argv)
    if variables:
        given = (os.fsdecode(variable).partition("=") for variable in variables)
        _Run.variables = {name: (environment.get(name), value) for name, _, value in given}
    if stdin:
        _Run.streams = sys.stdin, sys.__stdin__
        sys.stdin = sys.__stdin__ = new_stream(0, "stdin")


def leave_run():
    """After each run. May be called again when an exception came in between."""
    close_figures()
    if _Run.arguments is not None:
        sys.argv = _Run.arguments
        _Run.arguments = None
    if _Run.variables:
        _put_back_variables()
    if _Run.streams is not None:
        _put_back_stdin()


def _put_back_variables():
    variables = _Run.variables
    for name, (before, given) in variables.items():
        # What the code has set itself stays.
        if environment.get(name) != given:
            continue
        if before is None:
            environment.pop(name, None)
        else:
            environment[name] = before
        if name == "TZ":
            time.tzset()
    _Run.variables = {}


def _put_back_stdin():
    fd = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(fd, 0, inheritable=True)
    os.close(fd)
    stdin, of_old = _Run.streams
    stream = new_stream(0, "stdin")
    sys.stdin = stream if stdin is of_old else stdin
    sys.__stdin__ = stream
    _Run.streams = None
