"""display(), and figures of matplotlib."""

import base64

import pytest
from supervisor import COMPLETED, DISPLAY, RESULT_END, VALUE, WANT_VALUE

pytest.importorskip("matplotlib")
PNG = b"\x89PNG\r\n"
PLOT = "import matplotlib.pyplot as plt\n"


def png_of(bundle):
    return base64.b64decode(bundle["image/png"])


def test_display(run):
    outcome = run("display(1, 'two')\ndisplay({'a': 1}, metadata={})\n3")
    assert outcome.kinds == [DISPLAY, DISPLAY, DISPLAY, VALUE, RESULT_END]
    assert [one["text/plain"] for one in outcome.displays] == ["1", "'two'", "{'a': 1}"]


def test_display_prints_where_displays_are_not_wanted(run):
    outcome = run("display('x')", flags=WANT_VALUE)
    assert (outcome.displays, outcome.stdout) == ([], b"'x'\n")


def test_displays_are_sent_at_once(zygote):
    worker = zygote.spawn()
    from supervisor import request
    worker.send(request("display(1)\nimport time\ntime.sleep(600)"))
    assert worker.next_frame()[0] == DISPLAY
    worker.end()


def test_displays_are_bounded(run):
    outcome = run("for i in range(1000): display(i)\n5")
    assert 64 < len(outcome.displays) < 70
    assert outcome.value["text/plain"] == "5"
    outcome = run("for i in range(10): display('x' * 9000)", value_bytes=20000)
    assert sum(len(body) for kind, body in outcome.frames if kind == DISPLAY) < 50000


def test_open_figures_are_shown_at_the_end(run):
    outcome = run(PLOT + "plt.plot([1, 2])\nplt.figure()\nplt.plot([2, 1]);")
    assert outcome.outcome == COMPLETED, outcome.error
    assert len(outcome.displays) == 2
    assert all(png_of(one).startswith(PNG) for one in outcome.displays)
    assert outcome.displays[0]["text/plain"].startswith("<Figure size")


def test_show_shows_once(run):
    outcome = run(PLOT + "plt.plot([1])\nplt.show()\nprint(plt.get_fignums())")
    assert len(outcome.displays) == 1
    assert outcome.text == "[]\n"


def test_show_of_one_figure(run):
    outcome = run(PLOT + "fig, ax = plt.subplots()\nfig.show()\nprint(plt.get_fignums())")
    assert (len(outcome.displays), outcome.text, outcome.stderr) == (1, "[]\n", b"")


def test_a_figure_as_value_is_not_shown_twice(run):
    outcome = run(PLOT + "fig, ax = plt.subplots()\nax.plot([1])\nfig")
    assert png_of(outcome.value).startswith(PNG)
    assert outcome.displays == []


def test_figures_are_kept_after_an_exception(run):
    outcome = run(PLOT + "plt.plot([1])\n1/0")
    assert len(outcome.displays) == 1
    assert outcome.error["type"] == "ZeroDivisionError"


def test_a_figure_that_cannot_be_drawn_is_said_so(run):
    outcome = run(PLOT + "from matplotlib.artist import Artist\nclass Broken(Artist):\n"
                  "    def draw(self, renderer): raise ValueError('why')\nplt.gca().add_artist(Broken());")
    assert outcome.outcome == COMPLETED
    assert [list(one) for one in outcome.displays] == [["text/plain"]]
    assert b"could not be drawn: ValueError('why')" in outcome.stderr


def test_figures_are_dropped_when_displays_are_not_wanted(run):
    outcome = run(PLOT + "plt.plot([1]);", flags=WANT_VALUE)
    assert outcome.kinds == [RESULT_END]


def test_saving_to_a_file(zygote):
    worker = zygote.spawn()
    worker.run(PLOT + "plt.plot([1])\nplt.savefig('a.png')\nplt.close()")
    with open(f"{worker.directory}/work/a.png", "rb") as file:
        assert file.read(6) == PNG
    worker.end()


def test_matplotlib_costs_nothing_unless_used(run):
    assert run("import sys\n'matplotlib' in sys.modules").value["text/plain"] == "False"
