"""failures: an exception that ended a run, as type, message, traceback and line."""

import sys
import traceback
from types import TracebackType

from hatchery_values import guarded_str, type_name

SOURCE = "<snippet>"
HARNESS = "<hatchery>"
RAISED, EXITED = 2, 3


class Current:
    """What the source of this run is called. Each run of a session has a name of its own (hatchery_session.py)."""

    source = SOURCE


# Frames kept of one traceback: the default recursion limit is shown whole, a million frames are not.
FRAMES_MAX = 1200
FRAMES_KEPT = 100
CHAIN_MAX = 50


def cut_text(text, limit):
    """UTF-8 of at most limit bytes, with the middle left out."""
    if len(text) > limit:
        text = f"{text[:limit // 2]}\n…\n{text[-(limit // 2):]}"
    data = text.encode("utf-8", "backslashreplace")
    if len(data) > limit:
        half = limit // 2 - 16
        data = (data[:half].decode("utf-8", "ignore") + "\n…\n" + data[-half:].decode("utf-8", "ignore")).encode()
    return data


def _trimmed(trace):
    """A traceback without the middle of a very long one."""
    entries = []
    while trace is not None:
        entries.append(trace)
        trace = trace.tb_next
    if len(entries) > FRAMES_MAX:
        entries[FRAMES_KEPT:-FRAMES_KEPT] = []
    result = None
    for entry in reversed(entries):
        result = TracebackType(result, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return result


def _related(error):
    yield error.__cause__
    yield error.__context__
    if isinstance(error, BaseExceptionGroup):
        yield from error.exceptions


def _bound(error):
    """Bounds an exception and those that it came from, in place: it is not going to be raised again."""
    seen, waiting = set(), [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = _trimmed(one.__traceback__)
        if len(seen) >= CHAIN_MAX:
            one.__cause__ = one.__context__ = None
        else:
            waiting.extend(_related(one))


def _drop_harness(report, seen):
    """Takes our own frames out; display() is called by user code and may call it back."""
    if report is None or id(report) in seen:
        return
    seen.add(id(report))
    report.stack[:] = [frame for frame in report.stack if frame.filename != HARNESS]
    for other in (report.__cause__, report.__context__, *(report.exceptions or ())):
        _drop_harness(other, seen)


def _line_of(error, report):
    source = Current.source
    if isinstance(error, SyntaxError) and error.filename == source and type(error.lineno) is int and error.lineno > 0:
        return error.lineno
    lines = [frame.lineno for frame in report.stack if frame.filename == source and frame.lineno]
    return lines[-1] if lines else 0


def _traceback(error):
    """Returns (text, line)."""
    _bound(error)
    report = traceback.TracebackException(type(error), error, error.__traceback__)
    _drop_harness(report, set())
    return "".join(report.format()), _line_of(error, report)


def _exit_code(error):
    """What the status of a process would be."""
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    try:
        print(code, file=sys.stderr)
    except BaseException:
        pass
    return 1


def describe(error, limit):
    """Returns (outcome, exit code, type, message, traceback, line); the texts as bytes."""
    if isinstance(error, SystemExit):
        return EXITED, _exit_code(error), b"", b"", b"", 0
    kind = type_name(type(error))
    message = guarded_str(error)
    try:
        text, line = _traceback(error)
    except BaseException:
        # Out of memory, out of stack, or a class that lies: its name and words are what is left.
        text, line = f"{kind}: {message[:limit]}\n", 0
    return RAISED, 1, cut_text(kind, limit), cut_text(message, limit), cut_text(text, limit), line


def failure_text(what, error):
    """For the zygote's report: what it tried, and the traceback."""
    return f"{what}: " + "".join(traceback.format_exception(type(error), error, error.__traceback__)).strip()
