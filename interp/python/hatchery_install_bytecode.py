"""install_bytecode: byte code for what a wheel has brought. Sessions cannot write to their packages, so each of them would
compile anew whatever it imports.

The byte code carries the hash of its source, which is compared at each import, so no file's time matters, and none is ever
taken for that of another source: not of another version, nor of a file of the same name from another wheel. A wheel's own is
replaced. Nobody depends on any of it being there: what does not compile is left out, as pip does, and a process that a hostile
source has killed or kept busy has unpacked its wheels already."""

import csv
import importlib.util
import io
import os
import py_compile
import warnings

SOURCE_MAX = 4 << 20  # nobody writes longer ones by hand, and compiling takes a hundred times their size in memory
DEPTH_MAX = 64


def sources(top):
    """Paths of Python sources below a folder, relative to it, in an order of their own."""
    for folder, names, files in os.walk(top):
        names[:] = sorted(name for name in names if name != "__pycache__")
        inside = os.path.relpath(folder, top)
        if inside.count("/") >= DEPTH_MAX:
            names.clear()
        for name in sorted(files):
            if name.endswith(".py"):
                yield os.path.normpath(os.path.join(inside, name))


def row(path):
    """A line of a RECORD, by which a package is removed again; None for a path that a line cannot hold."""
    if not path.isprintable():
        return None
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow((path, "", ""))
    return out.getvalue()


def compile_one(top, path, temporary, record):
    source = os.path.join(top, path)
    target = importlib.util.cache_from_source(source, optimization="")
    line = row(os.path.relpath(target, top))
    if line is None or os.path.getsize(source) > SOURCE_MAX:
        return
    # An import puts the real path in place of this one.
    py_compile.compile(source, cfile=temporary, dfile=path, doraise=True, optimize=0,
                       invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    record.write(line)
    record.flush()
    # Never half of it, whenever this process is killed.
    os.rename(temporary, target)


def compile_all(top, temporary):
    """top: of an unpacked wheel. temporary: a path on the same file system."""
    records = [os.path.join(entry.path, "RECORD") for entry in os.scandir(top) if entry.name.endswith(".dist-info")]
    if len(records) != 1:
        return
    warnings.simplefilter("ignore")
    with open(records[0], "a", encoding="utf-8") as record:
        for path in sources(top):
            try:
                compile_one(top, path, temporary, record)
            except (py_compile.PyCompileError, OSError, ValueError, MemoryError):
                # No proper source, a name that grows too long, a file that is called __pycache__, a full disk.
                continue
