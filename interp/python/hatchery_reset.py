"""reset: makes this interpreter new after a run, from the inside, for the recycle policy `reset`.

This is hygiene between runs that trust each other, and no isolation: code that wants to leave something behind can. Each
of these is compared with what it was before the first run, and put back if it differs:

- the module __main__ and its namespace; sys.modules (what the run imported is removed, but for extension modules of the
  standard library; what it replaced or removed is put back; the attributes of modules are not compared, but those of
  builtins are);
- os.environ, the time zone, the working directory, the umask;
- sys.argv, path, meta_path, path_hooks, path_importer_cache, stdin, stdout, stderr, the hooks, trace and profile
  functions, the recursion limit, the switch interval, the limit of digits;
- the global generators of random and numpy.random (seeded anew);
- the filters of warnings; the root logger and logging.disable(); the locale; the context of decimal; context variables;
- handlers of signals, the signal mask, interval timers; the collector's state, after a collection;
- numpy's print options and error state; pandas' options; matplotlib's rcParams and figures; linecache, tempfile.

Doubt retires the worker instead: a thread or a child process that lives on, an open descriptor, a standard stream that
now leads elsewhere, a limit that was lowered, memory that was not given back, an extension module of others that the run loaded
(many cannot be loaded twice), or anything of the above that cannot be put back.
"""

import _random
import _signal
import builtins
import gc
import importlib.machinery
import io
import linecache
import locale
import os
import random
import signal
import sys
import tempfile
import time
import warnings

from hatchery_libraries import LIBRARIES, Doubt

# By _signal, without the enumerations that the module signal wraps around it: a third of the time of a reset.
SIGNALS = sorted(map(int, signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}))
TIMERS = (_signal.ITIMER_REAL, _signal.ITIMER_VIRTUAL, _signal.ITIMER_PROF)
SYS_OBJECTS = ("argv", "path", "meta_path", "path_hooks", "path_importer_cache", "displayhook", "excepthook",
               "unraisablehook", "breakpointhook", "modules", "warnoptions", "dont_write_bytecode", "ps1", "ps2",
               "tracebacklimit")
STREAMS = (("stdin", 0), ("stdout", 1), ("stderr", 2))
MISSING = object()


class _Steps:
    """What to do after each run, in order; filled by take_baseline() with those that this interpreter needs."""

    restore = []


def _contents(thing):
    """A copy of a list or dict, to compare with and to put back; anything else is only compared by identity."""
    return type(thing)(thing) if type(thing) in (list, dict) else None


def _put_back(thing, copy):
    if type(thing) is list:
        thing[:] = copy
    else:
        thing.clear()
        thing.update(copy)


# ── Modules ──

def _modules():
    modules, before = sys.modules, dict(sys.modules)
    before.pop("__main__", None)

    def restore():
        modules.pop("__main__", None)
        if modules == before:
            return
        for name, module in list(modules.items()):
            if name not in before:
                forget(name, module)
        _put_back(modules, before)

    def forget(name, module):
        spec = getattr(module, "__spec__", None)
        loader = getattr(spec, "loader", None)
        if isinstance(loader, importlib.machinery.ExtensionFileLoader):
            if name.partition(".")[0] not in sys.stdlib_module_names:
                raise Doubt(f"the extension module {name} was loaded")
            # Those of the standard library stay: a Python may have `math` as one.
            before[name] = module
            return
        parent, _, child = name.rpartition(".")
        parent = before.get(parent)
        if parent is not None and parent.__dict__.get(child) is module:
            delattr(parent, child)

    return restore


def _builtins():
    namespace, before = builtins.__dict__, dict(builtins.__dict__)

    def restore():
        namespace.pop("_", None)
        if namespace != before:
            _put_back(namespace, before)

    return restore


def _sys_objects():
    before = []
    for name in SYS_OBJECTS:
        thing = getattr(sys, name, MISSING)
        # sys.modules has a step of its own.
        before.append((name, thing, None if name == "modules" else _contents(thing)))

    namespace, settings = sys.__dict__, (sys.getrecursionlimit(), sys.getswitchinterval(),
                                         sys.get_int_max_str_digits())

    def restore():
        get = namespace.get
        for name, thing, copy in before:
            if get(name, MISSING) is not thing:
                if thing is MISSING:
                    delattr(sys, name)
                else:
                    setattr(sys, name, thing)
            if copy is not None and thing != copy:
                _put_back(thing, copy)
        if sys.gettrace() or sys.getprofile():
            sys.settrace(None)
            sys.setprofile(None)
        if (sys.getrecursionlimit(), sys.getswitchinterval(), sys.get_int_max_str_digits()) != settings:
            sys.setrecursionlimit(settings[0])
            sys.setswitchinterval(settings[1])
            sys.set_int_max_str_digits(settings[2])

    return restore


# ── Streams ──

def new_stream(number, name):
    """As create_stdio() in CPython's pylifecycle.c makes it when streams are not buffered."""
    mode = "w" if number else "r"
    raw = io.FileIO(number, mode + "b", closefd=False)
    raw.name = f"<{name}>"
    stream = io.TextIOWrapper(raw if number else io.BufferedReader(raw), "utf-8",
                              "backslashreplace" if number == 2 else "surrogateescape", "\n", write_through=number > 0)
    stream.mode = mode
    return stream


def _stream_state(stream):
    return stream.closed, stream.encoding, stream.errors, stream.line_buffering, stream.write_through


def empty_stdin():
    """Nothing more can be read from descriptor 0."""
    fd = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    if fd == 0:
        # The code has closed it: open(0).read() does.
        os.set_inheritable(0, True)
        return
    os.dup2(fd, 0, inheritable=True)
    os.close(fd)


class _Stdin:
    was_given = False


def note_stdin():
    """The run's standard input is a file of its own."""
    _Stdin.was_given = True


def _streams():
    states = {name: _stream_state(getattr(sys, name)) for name, _ in STREAMS}
    current = {name: getattr(sys, name) for name, _ in STREAMS}

    def restore():
        if _Stdin.was_given:
            _Stdin.was_given = False
            empty_stdin()
            current["stdin"] = None
        for name, number in STREAMS:
            stream = current[name]
            try:
                whole = stream is not None and _stream_state(stream) == states[name]
            except ValueError:
                whole = False  # detached
            if not whole:
                current[name] = stream = new_stream(number, name)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)

    return restore


# ── The process ──

def _environment():
    environment, before, zone = os.environ, dict(os.environ), os.environ.get("TZ")
    data, raw = environment._data, dict(environment._data)

    def restore():
        if os.environ is not environment:
            os.environ = environment
        if data == raw:
            return
        if environment.get("TZ") != zone:
            environment.update(before)
            for name in list(environment):
                if name not in before:
                    del environment[name]
            time.tzset()
            return
        for name in list(environment):
            if name not in before:
                del environment[name]
        environment.update(before)

    return restore


def _places():
    folder, temporary = os.getcwd(), tempfile.tempdir

    def restore():
        try:
            moved = os.getcwd() != folder
        except OSError:
            moved = True
        if moved:
            os.chdir(folder)
        os.umask(0o077)
        tempfile.tempdir = temporary
        if len(linecache.cache) > 1:
            linecache.cache.clear()

    return restore


def _signals():
    get_handler, get_timer, set_mask = _signal.getsignal, _signal.getitimer, _signal.pthread_sigmask
    handlers = [get_handler(number) for number in SIGNALS]
    stopped = [(0.0, 0.0)] * len(TIMERS)

    def restore():
        now = [get_handler(number) for number in SIGNALS]
        if now != handlers:
            for number, old, new in zip(SIGNALS, handlers, now):
                if old is not new and old != new:
                    if old is None:
                        raise Doubt("a signal handler that is not Python's")
                    _signal.signal(number, old)
        if [get_timer(timer) for timer in TIMERS] != stopped:
            for timer in TIMERS:
                _signal.setitimer(timer, 0)
        set_mask(_signal.SIG_SETMASK, ())

    return restore


# ── Libraries ──

def _collector():
    settings = gc.isenabled(), gc.get_threshold(), gc.get_debug()

    def restore():
        if (gc.isenabled(), gc.get_threshold(), gc.get_debug()) != settings:
            gc.enable()
            gc.set_threshold(*settings[1])
            gc.set_debug(settings[2])
        if gc.callbacks:
            gc.callbacks.clear()
        young, middle, old = gc.get_count()
        gc.collect(2 if middle or old else 0)

    return restore


def _random_module():
    generator, seed, urandom = random._inst, _random.Random.seed, os.urandom

    def restore():
        seed(generator, int.from_bytes(urandom(32), "little"))
        generator.gauss_next = None

    return restore


def _warnings():
    filters, show = list(warnings.filters), warnings.showwarning

    def restore():
        if warnings.filters != filters:
            warnings.filters[:] = filters
            warnings._filters_mutated()
        warnings.showwarning = show
        if warnings.onceregistry:
            warnings.onceregistry.clear()

    return restore


def _locale():
    before = locale.setlocale(locale.LC_ALL)

    def restore():
        if locale.setlocale(locale.LC_ALL) != before:
            locale.setlocale(locale.LC_ALL, before)

    return restore


ALWAYS = (_modules, _builtins, _sys_objects, _streams, _environment, _places, _signals, _random_module, _warnings, _locale)


def take_baseline():
    """Records what "new" is; before the first run."""
    steps = [step() for step in ALWAYS]
    steps += [step() for name, step in LIBRARIES if name in sys.modules]
    steps.append(_collector())
    _Steps.restore = steps


def make_new(namespace):
    """After each run. Raises when in doubt."""
    # Functions hold on to the namespace, and it to them: emptied, most garbage frees itself.
    namespace.clear()
    for restore in _Steps.restore:
        restore()
