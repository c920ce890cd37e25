"""runtime: the life of the interpreter from warm-up to the end of a run, as interp/runtime.h calls it."""

import ast
import atexit
import builtins
import gc
import importlib
import io
import json
import linecache
import os
import posix
import random
import signal
import sys
import tempfile
import threading
import time
from types import BuiltinFunctionType, FunctionType, ModuleType

import hatchery_corpus
import hatchery_displays
from hatchery_displays import begin as begin_displays
from hatchery_displays import encode_value, show_figures
from hatchery_failures import SOURCE, Current, describe, failure_text
from hatchery_reset import make_new, new_stream, note_stdin, take_baseline
from hatchery_session import enter_run, is_session, keep_for_one_run, leave_run, settle
from hatchery_values import NotJson, TooLarge, json_text, plain_text, quote, quoted_repr

AST = ast.PyCF_ONLY_AST
REPR_IN_VARIABLES = 2000
NOT_VARIABLES = (ModuleType, FunctionType, BuiltinFunctionType, type)

# What the template's prelude has defined: bound in each run, and reported only when the run has changed it.
prelude = {}


# Callbacks of libraries for the child of a fork, in order. The zygote forks without CPython's hooks (interp/fork.c). Those
# of the standard library renew locks that no thread can hold here, and reseed `random`, which reseed() does.
at_fork_callbacks = []


# ── In the zygote ──

def watch_at_fork_registrations():
    register = os.register_at_fork

    def register_at_fork(**callbacks):
        register(**callbacks)
        after_in_child = callbacks.get("after_in_child")
        if after_in_child and getattr(after_in_child, "__module__", None) not in sys.stdlib_module_names:
            # What comes before the fork and after it belongs together: a lock is taken, and released.
            if "before" in callbacks:
                at_fork_callbacks.append(callbacks["before"])
            at_fork_callbacks.append(after_in_child)

    os.register_at_fork = posix.register_at_fork = register_at_fork
    return register


original_register_at_fork = watch_at_fork_registrations()


DISTRIBUTIONS_MAX = 12000  # of 16 KiB that a report may have


def distributions():
    """Name → version of what is installed, as far as there is room. importlib.metadata would bring the parser of mails
    into every worker."""
    found, names, size = {}, set(), 0
    for place in filter(None, sys.path):
        try:
            entries = sorted(entry.path for entry in os.scandir(place) if entry.name.endswith((".dist-info", ".egg-info")))
        except OSError:
            continue
        for path in entries:
            name, version = name_and_version(path)
            key = name and name.lower().replace("_", "-").replace(".", "-")
            if not version or key in names:
                continue
            size += len(json.dumps({name: version}))
            if size > DISTRIBUTIONS_MAX:
                return found
            names.add(key)
            found[name] = version
    return found


def name_and_version(path):
    """The first place on the path wins, as with modules. An egg-info may be one file."""
    fields = {}
    for file in (path + "/METADATA", path + "/PKG-INFO", path):
        try:
            with open(file, encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    field, colon, value = line.partition(":")
                    if not colon:
                        break
                    fields.setdefault(field, value.strip())
            break
        except OSError:
            continue
    return fields.get("Name"), fields.get("Version")


def versions(imports):
    """JSON about this interpreter, for capabilities."""
    packages = {}
    for name in imports:
        top = name.partition(".")[0]
        version = getattr(sys.modules.get(top), "__version__", None)
        if isinstance(version, str):
            packages[top] = version
    return json.dumps({"python": ".".join(map(str, sys.version_info[:3])), "packages": packages,
                       "distributions": distributions()})


def run_prelude(path):
    namespace = {"__name__": "__prelude__", "__builtins__": builtins}
    with open(path, encoding="utf-8") as file:
        exec(compile(file.read(), path, "exec", dont_inherit=True), namespace)
    prelude.update({name: value for name, value in namespace.items() if not name.startswith("__")})


def corpus(warm_up, common_only):
    """Sources to practise, the template's own last."""
    sources = hatchery_corpus.sources(common_only)
    if warm_up:
        with open(warm_up, encoding="utf-8") as file:
            sources.append(file.read())
    return [source.encode() for source in sources]


def make_output_streams():
    """Text streams remember whether their file can be sought in. A worker's are pipes, the zygote's own are not."""
    kept = os.dup(1), os.dup(2)
    reader, writer = os.pipe()
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(writer, number)
        stream = new_stream(number, name)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    for number, fd in enumerate(kept, 1):
        os.dup2(fd, number)
    for fd in (*kept, reader, writer):
        os.close(fd)


def before_forking():
    os.register_at_fork = posix.register_at_fork = original_register_at_fork
    hatchery_displays.install()
    sys.argv[:] = [SOURCE]
    # The isolated start leaves it out; a program expects to import the files beside it.
    sys.path.insert(0, "")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    make_output_streams()
    # What libraries have registered belongs to the zygote; a run's own callbacks are run at its end.
    atexit._clear()
    gc.collect()
    # A collection would write to the header of every object and so copy every page. Frozen objects are left alone,
    # and enabling it again is the worker's first act.
    gc.disable()
    gc.freeze()


# ── In a new worker ──

def after_fork(directory):
    """Nothing random and no place may be the same in two workers. The hash seed is: it is fixed at start."""
    environment = os.environ
    # Empty: in a cell (wire/zygote.h).
    environment["HOME"] = f"{directory}/work"
    environment["TMPDIR"] = environment["MPLCONFIGDIR"] = tempfile.tempdir = f"{directory}/tmp"
    threading.main_thread()._set_native_id()
    for callback in at_fork_callbacks:
        callback()
    reseed()


def become_copy(home, temporary, packages):
    """In a copy of a session, after the callbacks of os.register_at_fork()."""
    settle(home, temporary, packages)
    threading.main_thread()._set_native_id()
    reseed()


def reseed():
    loaded = sys.modules.get
    random.seed()
    tempfile._name_sequence = None
    if module := loaded("numpy.random"):
        # Its whole state, which takes a third of the time of seed(): that asks for entropy by way of much Python code.
        words = loaded("numpy").frombuffer(os.urandom(4 * 624), "u4")
        module.set_state(("MT19937", words, 624, 0, 0.0))
    if module := loaded("uuid"):
        module._node = module._last_timestamp = None
    if module := loaded("multiprocessing.process"):
        module.current_process().authkey = os.urandom(32)
    if module := loaded("_ssl"):
        module.RAND_add(os.urandom(32), 32.0)


# ── A run ──

def new_main():
    module = ModuleType("__main__")
    namespace = module.__dict__
    namespace["__builtins__"] = builtins
    namespace.update(prelude)
    sys.modules["__main__"] = module
    return namespace


BIND_ANALYSIS, BIND_PLOT, NEW_PACKAGES, BIND_JSON = 1 << 4, 1 << 5, 1 << 6, 1 << 7  # of RequestFlag


def set_up(namespace, arguments, environment, paths, contents, stdin, data, flags):
    """What a request brings besides its code. An exception here is the run's."""
    if is_session():
        keep_for_one_run(arguments, environment, stdin)
    if flags & NEW_PACKAGES:
        importlib.invalidate_caches()
    if arguments:
        sys.argv[1:] = [os.fsdecode(argument) for argument in arguments]
    for variable in environment:
        name, _, value = os.fsdecode(variable).partition("=")
        os.environ[name] = value
        if name == "TZ":
            time.tzset()
    for path, content in zip(paths, contents):
        _write_file(os.fsdecode(path), content)
    if stdin:
        _set_stdin(stdin)
    if flags & BIND_ANALYSIS:
        _bind(namespace, (("pd", "pandas"), ("np", "numpy")))
    if flags & BIND_PLOT:
        _bind(namespace, (("plt", "matplotlib.pyplot"),))
    if flags & BIND_JSON:
        _bind(namespace, (("json", "json"),))
    if data:
        namespace.update(_load(data))


def _write_file(path, content):
    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "wb") as file:
        file.write(content)


def _set_stdin(content):
    """A file without a name: a program may read it at any pace, and seek in it."""
    with tempfile.TemporaryFile(buffering=0) as file:
        view = memoryview(content)
        while view:
            view = view[file.write(view):]
        file.seek(0)
        os.dup2(file.fileno(), 0, inheritable=True)
    note_stdin()


def _bind(namespace, modules):
    for name, module in modules:
        # What an earlier run of a session has made of the name stays.
        if is_session() and name in namespace:
            continue
        try:
            namespace[name] = importlib.import_module(module)
        except ImportError:
            pass


def _load(data):
    """Full fidelity: also integers of more digits than Python converts by default."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return json.loads(data)
    finally:
        sys.set_int_max_str_digits(limit)


def begin(source, wants_displays, limit):
    """Also lets tracebacks, warnings and inspect show the lines of the snippet."""
    begin_displays(emit_display if wants_displays else None, limit)
    name = Current.source
    linecache.cache[name] = (len(source), None, [line + "\n" for line in source.split("\n")], name)


def _is_suppressed(source, statement):
    """Whether a semicolon follows, by which a notebook's user says that the value is of no interest."""
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    rest = lines[statement.end_lineno - 1].encode()[statement.end_col_offset:]
    return rest.lstrip().startswith(b";")


def compile_in_two(source):
    """Returns code for all but a last expression, and for that; either may be None. See interp/compile.c."""
    name = Current.source
    tree = compile(source, name, "exec", AST, dont_inherit=True)
    body = tree.body
    if not body or type(body[-1]) is not ast.Expr or _is_suppressed(source, body[-1]):
        return compile(tree, name, "exec", dont_inherit=True), None
    last = body.pop()
    head, flags = None, 0
    if body:
        head = compile(tree, name, "exec", dont_inherit=True)
        flags = head.co_flags & FUTURE_FLAGS
    return head, compile(ast.Expression(last.value), name, "eval", flags, dont_inherit=True)


def _future_flags():
    import __future__
    flags = 0
    for name in __future__.all_feature_names:
        flags |= getattr(__future__, name).compiler_flag
    return flags & ~0x10  # nested_scopes shares its bit with CO_NESTED


FUTURE_FLAGS = _future_flags()


# ── What a run leaves ──

def _selected(namespace, names, plain):
    """Yields (name, value) of the variables to report. isinstance() would ask the user's object what its class is."""
    if names is not None:
        for name in names:
            name = name.decode("utf-8", "surrogateescape")
            if name in namespace:
                yield name, namespace[name]
        return
    for name, value in list(namespace.items()):
        if type(name) is not str:
            continue
        if plain:
            if not name.startswith("__") and not issubclass(type(value), ModuleType):
                yield name, value
        elif not name.startswith("_") and not issubclass(type(value), NOT_VARIABLES):
            if name not in prelude or prelude[name] is not value:
                yield name, value


def variables(namespace, names, plain, limit):
    """Returns (JSON object, JSON array of the names that are a repr or None), as bytes of at most limit each."""
    encode = plain_text if plain else json_text
    parts, reprs, left = {}, [], limit - 2
    for name, value in _selected(namespace, names, plain):
        if name in parts:
            continue
        key = quote(name) + ":"
        room = left - len(key) - 1
        if room < 2:
            break
        try:
            text = encode(value, room)
        except (NotJson, TooLarge):
            text = quoted_repr(value, min(room, REPR_IN_VARIABLES))
            if len(text) > room:
                continue
            reprs.append(quote(name))
        parts[name] = key + text
        left -= len(key) + len(text) + 1
    if limit < 2:
        return None, None
    names = ("[" + ",".join(reprs) + "]").encode("ascii") if reprs else None
    return ("{" + ",".join(parts.values()) + "}").encode("ascii"), names


# What every stream of the module io is derived from. Unlike io.IOBase it asks no object what it is, which may raise: a weak
# reference by proxy does, once its object has gone.
STREAM = io.IOBase.__base__


def _flush(stream):
    try:
        stream.flush()
    except BaseException:
        pass


def finish(has_files):
    """What Python does at the end of a program, as far as it can be seen: the process ends by _exit()."""
    if atexit._ncallbacks() and not is_session():
        atexit._run_exitfuncs()
    if has_files:
        # Files that were not closed. What the warm interpreter holds is frozen, so the list is short.
        for thing in gc.get_objects():
            if issubclass(type(thing), STREAM):
                _flush(thing)
    _flush(sys.stdout)
    _flush(sys.stderr)
