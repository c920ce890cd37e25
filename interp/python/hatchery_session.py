"""session: what one run of a session leaves to the next, and what it does not."""

import collections
import io
import linecache
import os
import sys
import tempfile
import time

from hatchery_displays import close_figures
from hatchery_failures import Current
from hatchery_reset import empty_stdin, new_stream
from hatchery_values import Interrupts

# Sources of earlier runs that tracebacks can show, the latest: so many, of so many characters together.
SOURCES_MAX = 2000
SOURCES_SIZE_MAX = 8 << 20

STREAMS = (("stdin", 0), ("stdout", 1), ("stderr", 2))
# Streams of the code's that write to the standard ones, which are held for as long as the session lives.
OUTPUTS_KEPT_MAX = 1000

environment = os.environ


class _Session:
    is_one = False
    packages = None


class _Run:
    """What the request has changed for this run only."""

    arguments = None  # sys.argv, and what was in it
    environment = None  # os.environ, which the code may have put another mapping in place of
    variables = {}  # name → (value before or None, value that the request gave)
    streams = None  # sys.stdin and sys.__stdin__ before it


class _Outputs:
    latest = {}  # name → the stream that was seen last
    kept = {}  # id → stream


class _Sources:
    names = collections.deque()
    size = 0


def is_session():
    return _Session.is_one


def settle(home, temporary, packages):
    """At the start of a session, and of a copy. packages: folder, the last place where modules are looked for."""
    _Session.is_one = Interrupts.end_the_run = True
    tempfile.tempdir = temporary
    places = {"HOME": home, "TMPDIR": temporary, "MPLCONFIGDIR": temporary}
    environment.update(places)
    if type(os.environ) is dict:
        os.environ.update(places)  # the code's own, with those of the source
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
        _Run.arguments = sys.argv, list(sys.argv)
    if variables:
        given = (os.fsdecode(variable).partition("=") for variable in variables)
        before = _Run.environment = os.environ
        _Run.variables = {name: (before.get(name), value) for name, _, value in given}
    if stdin:
        _Run.streams = sys.stdin, sys.__stdin__
        sys.stdin = sys.__stdin__ = new_stream(0, "stdin")


def leave_run():
    """After each run. May be called again when an exception came in between. What libraries of the code's can make fail for
    good comes last."""
    if _Run.arguments is not None:
        _put_back_arguments()
    _keep_stdin_open()
    if _Run.streams is not None:
        _put_back_stdin()
    if _Run.variables:
        _put_back_variables()
    for name, number in STREAMS:
        try:
            stream = _keep_usable(name, number)
            if number:
                _keep_output(name, number, stream)
        except Exception:
            pass  # a stream over the code's own classes; or the descriptor is closed, and there is nothing to write to
    close_figures()


def _put_back_arguments():
    arguments, before = _Run.arguments
    sys.argv = arguments
    if type(arguments) is list:
        # In place: the code may have a name of its own for it (from sys import argv).
        arguments[:] = before
    _Run.arguments = None


def _keep_usable(name, number):
    """Returns the stream. One that is closed is of use to no later run: exit() closes sys.stdin."""
    stream, standard = getattr(sys, name, None), getattr(sys, f"__{name}__", None)
    if not _is_open(standard):
        standard = new_stream(number, name)
        setattr(sys, f"__{name}__", standard)
    if not _is_open(stream):
        stream = standard
        setattr(sys, name, stream)
    return stream


def _keep_output(name, number, stream):
    """A program may put a stream of its own around the standard one in each run: io.TextIOWrapper(sys.stdout.buffer),
    open(1, "w"). That of the run before would close, as it is let go, what lies below both."""
    if stream is not _Outputs.latest.get(name):
        _Outputs.latest[name] = None
        if type(stream) is io.TextIOWrapper and stream.fileno() == number:
            _Outputs.latest[name] = stream
            if len(_Outputs.kept) < OUTPUTS_KEPT_MAX:
                _Outputs.kept[id(stream)] = stream


def _is_open(stream):
    """Of what is no stream of the module io there is nothing to ask."""
    if type(stream) not in (io.TextIOWrapper, io.StringIO):
        return True
    try:
        return not stream.closed
    except ValueError:
        return False  # detached


def _put_back_variables():
    _put_back_in(_Run.environment)
    if os.environ is not _Run.environment:
        # Most likely a copy that the run has made.
        _put_back_in(os.environ)
    _Run.environment, _Run.variables = None, {}


def _put_back_in(mapping):
    for name, (before, given) in _Run.variables.items():
        # What the code has set itself stays.
        if mapping.get(name) != given:
            continue
        if before is None:
            mapping.pop(name, None)
        else:
            mapping[name] = before
        if name == "TZ":
            time.tzset()


def _keep_stdin_open():
    """Else the next file that is opened would have its number, and a later run's input would take that away."""
    try:
        os.get_inheritable(0)
    except OSError:
        empty_stdin()


def _put_back_stdin():
    empty_stdin()
    stdin, of_old = _Run.streams
    stream = new_stream(0, "stdin")
    sys.stdin = stream if stdin is of_old else stdin
    sys.__stdin__ = stream
    _Run.streams = None
