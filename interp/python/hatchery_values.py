"""values: the user's objects as JSON text (RFC 8259: no NaN; ASCII, so that lone surrogates survive).

Everything here is bounded, and nothing that a user's class does may end it, but for an interrupt of a session: an object is either converted within its
budget, or it is NotJson or TooLarge, and then shown by its repr.
"""

import datetime
import json
import math
import pathlib
import sys
import uuid
from json.encoder import encode_basestring_ascii as quote

# Far below what the reader of the document allows, and below the recursion limit.
DEPTH_MAX = 100
# As IPython does, a longer container is shown by its beginning.
ITEMS_SHOWN = 1000
CUT = "…"


class NotJson(Exception):
    """The object has no counterpart in JSON."""


class TooLarge(Exception):
    """Its text would be longer than allowed."""


class Interrupts:
    """In a session a KeyboardInterrupt ends the run, wherever it comes: who catches it goes on with what the caller wanted
    ended. Elsewhere nobody interrupts, and it is an exception of the user's class like any other."""

    end_the_run = False


def pass_interrupt(error):
    if Interrupts.end_the_run and issubclass(type(error), KeyboardInterrupt):
        raise error


def type_name(kind):
    """A class as Python's own tracebacks name it."""
    try:
        module, name = kind.__module__, kind.__qualname__
    except BaseException:
        return "object"
    return name if module in ("builtins", "__main__") else f"{module}.{name}"


def guarded_str(value):
    """str(value), or a placeholder when the object's own code fails."""
    try:
        return str.__str__(str(value))
    except BaseException as error:
        return f"<{type_name(type(value))}: its str() raised {type_name(type(error))}>"


def _abbreviated(value, kind):
    """The beginning of a long container."""
    if kind is dict:
        items = [f"{key!r}: {item!r}" for key, item in _first(value.items())]
        opening, closing = "{", "}"
    else:
        items = [repr(item) for item in _first(value)]
        opening, closing = {list: ("[", "]"), tuple: ("(", ")")}.get(kind, ("{", "}"))
        if kind is frozenset:
            opening, closing = "frozenset({", "})"
    return f"{opening}{', '.join(items)}, ...{closing}"


def _first(items):
    for item, _ in zip(items, range(ITEMS_SHOWN)):
        yield item


def guarded_repr(value, limit):
    """repr(value), cut to limit characters, or a placeholder when the object's own code fails."""
    try:
        kind = type(value)
        if kind in (str, bytes, bytearray) and len(value) > limit:
            text = repr(value[:limit])
        elif kind in (list, tuple, dict, set, frozenset) and len(value) > ITEMS_SHOWN:
            text = _abbreviated(value, kind)
        else:
            text = str.__str__(repr(value))
    except BaseException as error:
        pass_interrupt(error)
        text = f"<{type_name(type(value))}: its repr() raised {type_name(type(error))}>"
    return text if len(text) <= limit else text[:max(limit - 1, 0)] + CUT


def quoted(text, limit):
    """A str as a JSON string of at most limit bytes; text that does not fit is cut."""
    result = quote(text[:limit])
    if len(result) > limit:
        # An escape has up to 12 bytes for a character. Most often the average will do.
        result = quote(text[:max(limit * min(len(text), limit) // len(result) - 16, 0)] + CUT)
        if len(result) > limit:
            result = quote(text[:max(limit // 12 - 2, 0)] + CUT)
    return result


def quoted_repr(value, limit):
    return quoted(guarded_repr(value, limit), limit)


class _Converter:
    """Turns an object into what json.dumps() takes; spends a budget that is a lower bound of the text's length."""

    def __init__(self, budget, fallback=None):
        self.budget = budget
        self.fallback = fallback
        self.numpy = sys.modules.get("numpy")
        self.pandas = sys.modules.get("pandas")
        if not hasattr(self.pandas, "DataFrame"):
            self.pandas = None

    def spend(self, count):
        self.budget -= count
        if self.budget < 0:
            raise TooLarge

    def convert(self, value, depth=0):
        kind = type(value)
        if kind is str:
            self.spend(len(value) + 2)
            return value
        if value is None or kind is bool:
            self.spend(4)
            return value
        if kind is int:
            self.spend(1 + value.bit_length() // 4)
            return value
        if kind is float:
            self.spend(3)
            return value if math.isfinite(value) else None
        if depth > DEPTH_MAX:
            raise NotJson
        if isinstance(value, dict):
            return self.mapping(value, depth)
        if isinstance(value, (list, tuple)):
            self.spend(2 + 2 * len(value))
            return [self.convert(item, depth + 1) for item in value]
        return self.other(value, depth)

    def mapping(self, value, depth):
        self.spend(2 + 4 * len(value))
        return {self.key(key): self.convert(item, depth + 1) for key, item in value.items()}

    def key(self, key):
        kind = type(key)
        if kind is str:
            pass
        elif key is None or kind is bool:
            key = {None: "null", True: "true", False: "false"}[key]
        elif isinstance(key, (datetime.date, datetime.time)):
            key = key.isoformat()
        else:
            key = str.__str__(str(key))
        self.spend(len(key))
        return key

    def other(self, value, depth):
        if isinstance(value, (bool, int)):
            return self.convert(int(value), depth)
        if isinstance(value, str):
            return self.convert(str.__str__(value), depth)
        if self.fallback is None:
            if isinstance(value, (set, frozenset)):
                self.spend(2 + 2 * len(value))
                return [self.convert(item, depth + 1) for item in value]
            text = self.scalar_text(value)
            if text is not None:
                return self.convert(text, depth)
            if self.pandas is not None:
                found, result = self.of_pandas(value, depth)
                if found:
                    return result
            if self.numpy is not None:
                found, result = self.of_numpy(value, depth)
                if found:
                    return result
        if isinstance(value, float):
            return self.convert(float(value), depth)
        if self.fallback is not None:
            return self.convert(self.fallback(value), depth)
        raise NotJson

    def scalar_text(self, value):
        if isinstance(value, (datetime.date, datetime.time)):
            # pandas' NaT is a datetime as well, and nothing else is unequal to itself.
            return value.isoformat() if value == value else None
        if isinstance(value, datetime.timedelta):
            return _duration(value) if value == value else None
        if isinstance(value, (uuid.UUID, pathlib.PurePath)):
            return str(value)
        return None

    def of_numpy(self, value, depth):
        numpy = self.numpy
        if isinstance(value, numpy.ndarray):
            if value.ndim == 0:
                return True, self.convert(value.item(), depth + 1)
            self.spend(2 + 2 * value.size)
            if value.dtype.kind in "Mm":
                return True, self.convert(self.times_of(value), depth + 1)
            return True, self.convert(value.tolist(), depth + 1)
        if isinstance(value, (numpy.datetime64, numpy.timedelta64)):
            return True, None if numpy.isnat(value) else self.convert(str(value), depth)
        if isinstance(value, numpy.generic):
            item = value.item()
            if isinstance(item, numpy.generic):
                raise NotJson  # long double has no counterpart
            return True, self.convert(item, depth + 1)
        return False, None

    def times_of(self, array):
        """An array of times, as nested lists of text; tolist() would give numbers for nanoseconds."""
        if array.ndim > 1:
            return [self.times_of(row) for row in array]
        return [None if self.numpy.isnat(item) else str(item) for item in array]

    def of_pandas(self, value, depth):
        pandas = self.pandas
        if value is pandas.NaT or value is pandas.NA:
            return True, None
        if isinstance(value, pandas.DataFrame):
            return True, self.records(value, depth)
        if isinstance(value, (pandas.Series, pandas.Index)):
            return True, self.column(value, depth)
        if isinstance(value, pandas.api.extensions.ExtensionArray):
            return True, self.column(pandas.Series(value), depth)
        if isinstance(value, (pandas.Period, pandas.Interval)):
            return True, self.convert(str(value), depth)
        return False, None

    def records(self, frame, depth):
        names = [self.key(name) for name in frame.columns]
        self.spend(len(frame) * sum(len(name) + 5 for name in names))
        columns = [self.column(frame.iloc[:, number], depth + 1) for number in range(len(names))]
        return [dict(zip(names, row)) for row in zip(*columns)]

    def column(self, series, depth):
        self.spend(2 * len(series))
        items = series.tolist()
        kind = series.dtype.kind if isinstance(series.dtype, self.numpy.dtype) else None
        if kind is not None and kind in "iub":
            return items
        if kind == "f":
            finite = math.isfinite
            return [item if finite(item) else None for item in items]
        return [self.convert(item, depth + 1) for item in items]


def _duration(value):
    """ISO 8601, as pandas writes it: P1DT2H3M4.5S"""
    days, seconds = value.days, value.seconds
    fraction = f".{value.microseconds:06}".rstrip("0") if value.microseconds else ""
    return f"P{days}DT{seconds // 3600}H{seconds // 60 % 60}M{seconds % 60}{fraction}S"


def _dump(value, limit):
    try:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJson from error
    if len(text) > limit:
        raise TooLarge
    return text


def json_text(value, limit):
    """JSON of at most limit bytes; raises NotJson or TooLarge, an interrupt of a session, and nothing else."""
    kind = type(value)
    try:
        if kind is int:
            text = int.__repr__(value)
        elif kind is str:
            text = quote(value) if len(value) <= limit else None
        elif value is True:
            text = "true"
        elif value is False:
            text = "false"
        elif value is None:
            text = "null"
        else:
            return _dump(_Converter(limit).convert(value), limit)
    except (NotJson, TooLarge):
        raise
    except BaseException as error:
        pass_interrupt(error)
        # The user's own code, or a limit of Python's: 4300 digits, the depth of recursion, memory.
        raise NotJson from error
    if text is None or len(text) > limit:
        raise TooLarge
    return text


def plain_text(value, limit):
    """As json_text(), by the rules of the code-execution-sandbox API: see REQUEST_PLAIN_VARIABLES."""
    pandas, numpy = sys.modules.get("pandas"), sys.modules.get("numpy")
    try:
        if pandas is not None and isinstance(value, pandas.DataFrame):
            if value.size * 2 > limit:
                raise TooLarge
            text = value.to_json(orient="records")
            if len(text) > limit:
                raise TooLarge
            return text
        if numpy is not None and isinstance(value, numpy.ndarray):
            if value.size * 2 > limit:
                raise TooLarge
            return _dump(_Converter(limit, guarded_str).convert(value.tolist()), limit)
        members = getattr(value, "__dict__", None)
        if members is not None:
            return _dump(_Converter(limit, guarded_str).convert(dict(members)), limit)
        try:
            return _dump(_Converter(limit, _refuse).convert(value), limit)
        except NotJson:
            return _dump(guarded_str(value), limit)
    except (NotJson, TooLarge):
        raise
    except BaseException as error:
        pass_interrupt(error)
        raise NotJson from error


def _refuse(value):
    raise NotJson
