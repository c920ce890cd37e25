"""displays: an object as a notebook shows it (a JSON object of MIME types), display(), and figures of matplotlib.

matplotlib is told to use the backend `hatchery_matplotlib`, which is a module that fills itself when it is first
looked at: a run that draws nothing pays nothing.
"""

import base64
import builtins
import io
import sys
from types import ModuleType

from hatchery_values import NotJson, TooLarge, guarded_repr, json_text, pass_interrupt, quote, quoted_repr

# One more than the reader keeps: it tells it that there were too many.
DISPLAYS_MAX = 65
SMALL = 1024
BACKEND = "hatchery_matplotlib"
REPRESENTATIONS = (
    ("text/html", "_repr_html_"),
    ("text/markdown", "_repr_markdown_"),
    ("text/latex", "_repr_latex_"),
    ("image/svg+xml", "_repr_svg_"),
    ("image/png", "_repr_png_"),
    ("image/jpeg", "_repr_jpeg_"),
)
PLAIN_TYPES = frozenset((bool, int, float, str, bytes, list, tuple, dict, set, frozenset, complex))


class _State:
    emit = None  # set while somebody wants displays
    limit = 0
    count = 0
    size = 0


def begin(emit, limit):
    """For each run: where displays go, or None, and how large they may be together."""
    _State.emit = emit
    _State.limit = limit
    _State.count = _State.size = 0


def _call(value, name):
    method = getattr(type(value), name, None)
    if method is None:
        return None
    try:
        result = method(value)
    except BaseException as error:
        pass_interrupt(error)
        return None
    return result[0] if type(result) is tuple and result else result


def _encoded(data, limit):
    """What a representation returned, as JSON text, or None; bytes in base64."""
    if isinstance(data, (bytes, bytearray)):
        return '"%s"' % base64.b64encode(data).decode() if len(data) * 4 // 3 + 6 <= limit else None
    return _content(data, limit)


def _content(data, limit):
    """A value as JSON text, or None."""
    try:
        return json_text(data, limit)
    except (NotJson, TooLarge):
        return None


def _bundle(value, limit):
    """Yields (MIME type, JSON text), richest last."""
    bundle = _call(value, "_repr_mimebundle_")
    if issubclass(type(bundle), dict):
        for mime, data in bundle.items():
            if type(mime) is str and mime != "text/plain":
                yield mime, _encoded(data, limit)
    for mime, name in REPRESENTATIONS:
        data = _call(value, name)
        if data is not None:
            yield mime, _encoded(data, limit)
    figure = _figure_png(value)
    if figure is not None:
        yield "image/png", _encoded(figure, limit)
        return
    yield "application/json", _content(value, limit)


def document(value, limit):
    """The JSON object for a value, of at most limit bytes, or None when not even its repr fits."""
    if limit < 128:
        return None
    if type(value) is int and -(1 << 200) < value < 1 << 200:
        text = int.__repr__(value)
        return '{"text/plain":"%s","application/json":%s}' % (text, text)
    if type(value) is str and len(value) * 24 + 64 < limit:
        return '{"text/plain":%s,"application/json":%s}' % (quote(repr(value)), quote(value))
    plain = '"text/plain":' + quoted_repr(value, limit // 2 - 32)
    parts, left = {"text/plain": plain}, limit - len(plain) - 2
    if type(value) in PLAIN_TYPES:
        found = [("application/json", _content(value, left - 24))]
    else:
        found = _bundle(value, left)
    try:
        for mime, text in found:
            if text is None or mime in parts:
                continue
            part = f"{quote(mime)}:{text}"
            if len(part) + 1 <= left:
                parts[mime] = part
                left -= len(part) + 1
    except BaseException as error:
        pass_interrupt(error)
        # The user's classes; what came before holds.
    return "{" + ",".join(parts.values()) + "}"


def encode_value(value, limit):
    """For the last expression's value. A figure that is shown here is not shown again at the end."""
    try:
        result = document(value, limit)
    except MemoryError:
        # A run without a value would look as if it had none.
        result = document(value, min(limit, SMALL))
    _close_figure(value)
    return None if result is None else result.encode("ascii")


def _flush_streams():
    """What was printed before comes before: a program may have made its streams hold text back."""
    for stream in (sys.stdout, sys.stderr):
        if type(stream) is io.TextIOWrapper:
            try:
                stream.flush()
            except BaseException as error:
                pass_interrupt(error)


def _send(text):
    if text is None or _State.count >= DISPLAYS_MAX or _State.size > _State.limit:
        return
    _State.count += 1
    _State.size += len(text)
    _flush_streams()
    _State.emit(text.encode("ascii"))


def display(*objects, **ignored):
    """Shows objects in the answer, each in its richest form. Where nobody wants displays, prints them."""
    for value in objects:
        if _State.emit is None:
            print(guarded_repr(value, 1 << 20))
        else:
            try:
                _send(document(value, _State.limit))
            finally:
                _close_figure(value)


def install():
    display.__module__ = "builtins"
    builtins.display = display
    module = ModuleType(BACKEND, "Draws figures into the answer of a run.")
    module.__getattr__ = _fill_backend
    sys.modules[BACKEND] = module


# ── Figures ──

def _pyplot_state():
    """The registry of open figures, if matplotlib's pyplot has been used."""
    return sys.modules.get("matplotlib._pylab_helpers")


def _figure_png(value):
    """PNG of a matplotlib Figure; None for anything else."""
    module = sys.modules.get("matplotlib.figure")
    if module is None or not issubclass(type(value), getattr(module, "Figure", ())):
        return None
    stream = io.BytesIO()
    try:
        value.savefig(stream, format="png", bbox_inches="tight")
    except BaseException as error:
        pass_interrupt(error)
        print(f"a figure could not be drawn: {error!r}", file=sys.stderr)
        return None
    return stream.getvalue()


def _close_figure(value):
    helpers = _pyplot_state()
    if helpers is None:
        return
    try:
        for manager in helpers.Gcf.get_all_fig_managers():
            if manager.canvas.figure is value:
                helpers.Gcf.destroy(manager)
    except BaseException:
        pass


def show_figures(*ignored, **also_ignored):
    """Shows all open figures in the order of their numbers, and closes them."""
    helpers = _pyplot_state()
    if helpers is None:
        return
    try:
        managers = sorted(helpers.Gcf.get_all_fig_managers(), key=lambda manager: manager.num)
        for manager in managers:
            try:
                if _State.emit is not None:
                    _send(document(manager.canvas.figure, _State.limit))
            finally:
                helpers.Gcf.destroy(manager)
    except BaseException as error:
        pass_interrupt(error)
        print(f"a figure could not be shown: {error!r}", file=sys.stderr)


def close_figures():
    """Those that show_figures() could not show are not shown by a later run of a session."""
    helpers = _pyplot_state()
    if helpers is not None and helpers.Gcf.figs:
        helpers.Gcf.destroy_all()


def _fill_backend(name):
    """__getattr__ of the backend module: the first look at it makes it whole."""
    module = sys.modules[BACKEND]
    if name.startswith("__") or "FigureCanvas" in module.__dict__:
        raise AttributeError(f"module {BACKEND!r} has no attribute {name!r}")
    from matplotlib.backend_bases import FigureManagerBase
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    class FigureManager(FigureManagerBase):
        @classmethod
        def pyplot_show(cls, *arguments, **keywords):
            show_figures()

        def show(self):
            show_figures()

    class FigureCanvas(FigureCanvasAgg):
        manager_class = FigureManager

    module.FigureManager = FigureManager
    module.FigureCanvas = FigureCanvas
    module.show = show_figures
    return getattr(module, name)
