"""Plots: what stands where, in which colour, with which words, and what is left out."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta, timezone
from html import unescape
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from tokenclock import MetricsResult, Reading, capture, metrics_of, observe
from tokenclock._timeline import Timeline, TokenGaps
from tokenclock.errors import EmptyInputError, InvalidOptionError
from tokenclock.testing import FakeClock, Script

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import Collection
    from matplotlib.lines import Line2D

pytestmark = pytest.mark.extras

STARTED = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)
WAIT, CALLER, VALUE = "wait for the first token", "in the caller's hands", "value"
BLUE, ORANGE, GREEN, VERMILION = "#0072b2", "#e69f00", "#009e73", "#d55e00"
GREY, BLACK, PINK = "#767676", "#333333", "#cc79a7"
PALE_BLUE, YELLOW, WHITE = "#56b4e9", "#f0e442", "#dddddd"

Result = MetricsResult[Any]


def result(number: int = 0, **fields: Any) -> Result:
    """Make a streamed call without a timeline; call *number* starts so many seconds later."""
    values = {
        "function": "demo.chat",
        "call_id": f"c-{number}",
        "started_at": STARTED + timedelta(seconds=number),
        "streamed": True,
        "outcome": "completed",
        "generation_latency": 1.0,
    }
    return MetricsResult(**{**values, **fields})


def first_tokens(*seconds: float, **fields: Any) -> list[Result]:
    return [result(number, time_to_first_token=one, **fields) for number, one in enumerate(seconds)]


def timeline(*chunks: tuple[float, float, int, str | None]) -> Timeline:
    """Make a timeline of chunks: when asked for, when there, its tokens and its channel."""
    names = ("requested", "arrived", "tokens", "channel")
    return Timeline.from_dict(dict(zip(names, zip(*chunks, strict=True), strict=True)))


# --- drawing, and looking at what was drawn ------------------------------------------------------


@pytest.fixture
def ax() -> Axes:
    """An Axes of a figure that pyplot does not know."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    return Figure().subplots()


@pytest.fixture
def dark() -> Axes:
    """An Axes on black."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    ax = Figure().subplots()
    ax.set_facecolor("black")
    return ax


def plot_timeline(results: Any, **options: Any) -> Axes:
    from tokenclock.plots import plot_timeline as run  # noqa: PLC0415 - an extra

    return run(results, **options)


def plot_distribution(results: Any, *metric: str, **options: Any) -> Axes:
    from tokenclock.plots import plot_distribution as run  # noqa: PLC0415 - an extra

    return run(results, *metric, **options)


def plot_over_time(results: Any, *metric: str, **options: Any) -> Axes:
    from tokenclock.plots import plot_over_time as run  # noqa: PLC0415 - an extra

    return run(results, *metric, **options)


def plot_comparison(baseline: Any, candidate: Any, *metric: str, **options: Any) -> Axes:
    from tokenclock.plots import plot_comparison as run  # noqa: PLC0415 - an extra

    return run(baseline, candidate, *metric, **options)


def compared_with_itself(results: Any, *metric: str, **options: Any) -> Axes:
    """Draw a comparison as the other plots are drawn."""
    results = list(results) if isinstance(results, Iterable) else results
    return plot_comparison(results, results, *metric, **options)


ALL = [plot_timeline, plot_distribution, plot_over_time, compared_with_itself]
WITH_METRIC = ALL[1:]
every_plot = pytest.mark.parametrize("draw", ALL)
every_plot_of_a_metric = pytest.mark.parametrize("draw", WITH_METRIC)
Draw = Callable[..., "Axes"]


def color(artist: Any) -> str:
    from matplotlib.colors import to_hex  # noqa: PLC0415 - an extra

    return to_hex(artist)


def collection(ax: Axes, name: str) -> Collection:
    (found,) = [one for one in ax.collections if one.get_label() == name]
    return found


def bars(ax: Axes, name: str) -> list[tuple[int, float, float]]:
    """Give the bars of that name: row, left and right end."""
    found: list[tuple[int, float, float]] = []
    for path in collection(ax, name).get_paths():
        (left, top), (right, bottom) = path.get_extents().get_points().tolist()
        found.append((round((top + bottom) / 2), left, right))
        assert bottom - top == 0.5
    return found


def ticks(ax: Axes, name: str) -> list[tuple[int, float]]:
    """Give the ticks of that name: row and place."""
    found: list[tuple[int, float]] = []
    for path in collection(ax, name).get_paths():
        (x, top), (same, bottom) = path.vertices.tolist()  # type: ignore[union-attr]
        assert x == same
        found.append((round((top + bottom) / 2), x))
    return found


def names(ax: Axes) -> set[str]:
    """Give what kinds of bars, ticks and lines were drawn."""
    artists: list[Any] = [*ax.collections, *ax.lines]
    return {str(one.get_label()) for one in artists if not str(one.get_label()).startswith("_")}


def line(ax: Axes, name: str) -> Line2D:
    """Give the line whose name begins so."""
    (found,) = [one for one in ax.lines if str(one.get_label()).startswith(name)]
    return found


def points(artist: Line2D) -> list[tuple[float, float]]:
    xs: Any = artist.get_xdata()
    ys: Any = artist.get_ydata()
    return [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]


def legend(ax: Axes) -> list[str]:
    found = ax.get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


def legend_title(ax: Axes) -> str:
    found = ax.get_legend()
    assert found is not None
    return found.get_title().get_text()


def row_names(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.get_yticklabels()]


def picture(ax: Axes, suffix: str = "png") -> bytes:
    content = io.BytesIO()
    figure: Any = ax.figure
    figure.savefig(content, format=suffix)
    return content.getvalue()


# --- the timeline: streams -----------------------------------------------------------------------

RICH = timeline(
    (0.0, 0.25, 0, None),
    (0.25, 0.5, 1, "reasoning"),
    (0.5, 0.75, 1, "text"),
    (0.75, 1.0, 1, "tool"),
    (1.0, 1.5, 1, None),
)
rich = result(time_to_first_token=0.5, generation_latency=2.0, timeline=RICH)


def test_a_call_is_a_bar_for_the_wait_and_a_tick_per_chunk(ax: Axes) -> None:
    """The wait lasts until the first token; each chunk stands where it arrived, by channel."""
    assert plot_timeline([rich], ax=ax) is ax

    assert bars(ax, WAIT) == [(0, 0.0, 0.5)]
    assert ticks(ax, "chunk without a token") == [(0, 0.25)]
    assert ticks(ax, "reasoning") == [(0, 0.5)]
    assert ticks(ax, "text") == [(0, 0.75)]
    assert ticks(ax, "tool call") == [(0, 1.0)]
    assert ticks(ax, "chunk") == [(0, 1.5)]
    (run,) = [one for one in ax.collections if str(one.get_label()).startswith("_")]
    assert [path.vertices.tolist() for path in run.get_paths()] == [[[0.5, 0.0], [2.0, 0.0]]]  # type: ignore[union-attr]
    assert row_names(ax) == ["demo.chat"]
    assert ax.get_xlabel() == "time since the start (s)"
    assert legend(ax) == [
        WAIT, "text", "reasoning", "tool call", "chunk", "chunk without a token",
    ]  # fmt: skip


def test_channels_differ_in_colour_and_in_height(ax: Axes) -> None:
    """Colours can be told apart by the colour-blind, and heights by everybody."""
    plot_timeline([rich], ax=ax)

    looks = {
        name: (
            color(collection(ax, name).get_edgecolor()[0]),
            round(collection(ax, name).get_paths()[0].get_extents().height, 6),
        )
        for name in ("text", "reasoning", "tool call", "chunk", "chunk without a token")
    }
    assert looks == {
        "text": (BLUE, 0.7),
        "reasoning": (ORANGE, 0.4),
        "tool call": (GREEN, 0.9),
        "chunk": (BLACK, 0.7),
        "chunk without a token": (GREY, 0.2),
    }


def test_on_a_dark_ground_the_colours_are_lighter(dark: Axes) -> None:
    """Each colour has a sister that is read on black."""
    plot_timeline([rich], ax=dark)

    assert color(collection(dark, "text").get_edgecolor()[0]) == PALE_BLUE
    assert color(collection(dark, "reasoning").get_edgecolor()[0]) == YELLOW
    assert color(collection(dark, "chunk").get_edgecolor()[0]) == WHITE


@pytest.mark.parametrize(("labels", "expected"), [("white", WHITE), ("black", BLACK)])
def test_on_a_clear_ground_the_labels_tell(ax: Axes, labels: str, expected: str) -> None:
    """Where the Axes have no colour of their own, light labels mean a dark ground."""
    ax.set_facecolor("none")
    ax.xaxis.label.set_color(labels)
    plot_timeline([rich], ax=ax)

    assert color(collection(ax, "chunk").get_edgecolor()[0]) == expected


def test_the_style_of_the_user_is_followed() -> None:
    """In matplotlib's dark style a new figure is dark, and so are the colours."""
    import matplotlib.pyplot as plt  # noqa: PLC0415 - an extra

    with plt.style.context("dark_background"):
        ax = plot_timeline([rich])
    assert color(collection(ax, "text").get_edgecolor()[0]) == PALE_BLUE
    plt.close(ax.figure)  # type: ignore[arg-type]


def test_calls_stand_below_each_other_by_their_start(ax: Axes) -> None:
    """The earliest is on top; the axis begins with it, so that one sees what ran at once."""
    late, early = result(2, function="late"), result(0, function="early", time_to_first_token=0.5)
    plot_timeline([late, early], ax=ax)

    assert bars(ax, WAIT) == [(0, 0.0, 0.5), (1, 2.0, 3.0)]
    assert row_names(ax) == ["early", "late"]
    assert ax.yaxis.get_inverted()
    assert ax.get_xlabel() == "time since the first start (s)"
    assert ax.get_xlim() == (0.0, 3.0 * 1.02)


@pytest.mark.parametrize(
    ("latency", "label", "right"),
    [
        (2.0, "time since the start (s)", 2.0),
        (0.5, "time since the start (ms)", 500.0),
        (2**-12, "time since the start (µs)", 244.140625),
        (0.0, "time since the start (s)", 0.0),
    ],
)
def test_the_unit_fits_the_times(ax: Axes, latency: float, label: str, right: float) -> None:
    """Seconds, milliseconds or microseconds: one unit for the whole axis."""
    plot_timeline([result(generation_latency=latency)], ax=ax)

    assert bars(ax, WAIT) == [(0, 0.0, right)]
    assert ax.get_xlabel() == label


def test_a_result_of_its_own_is_a_plot_of_one(ax: Axes) -> None:
    """The call just made can be given as it is."""
    plot_timeline(rich, ax=ax)
    assert row_names(ax) == ["demo.chat"]


def test_few_calls_are_not_blown_up(ax: Axes) -> None:
    """One row is as high as one of three."""
    plot_timeline([rich], ax=ax)
    bottom, top = ax.get_ylim()
    assert bottom == 1.6
    assert top < -1.6


# --- the timeline: the caller's time -------------------------------------------------------------


def measured(function: Callable[..., Any], clock: FakeClock, *, hold: float = 0.0) -> Result:
    """Read a stream to its end, *hold* seconds after each chunk, and give its result."""
    with capture() as results:
        for _ in observe(clock=clock, name="chat")(function)():
            clock.advance(hold)
    return results[0]


def test_the_time_in_the_callers_hands_is_a_band(ax: Axes, clock: FakeClock) -> None:
    """From a chunk until the next is asked for, after the last one too, the caller had it."""
    script = Script([(0.5, "a"), (0.25, "b")], clock=clock, end=0.25)
    plot_timeline([measured(script.generator, clock, hold=0.5)], ax=ax)

    assert ticks(ax, "chunk") == [(0, 0.5), (0, 1.25)]
    assert bars(ax, CALLER) == [(0, 0.5, 1.0), (0, 1.25, 1.75)]
    assert row_names(ax) == ["chat (caller 50%)"]
    look = collection(ax, CALLER)
    assert look.get_hatch() == "////"
    assert color(look.get_facecolor()[0]) == PINK


def test_a_stream_that_was_not_asked_for_was_in_the_callers_hands(
    ax: Axes, clock: FakeClock
) -> None:
    """A function gave its stream at 0.25 and was asked at 1.0: between, the caller had it."""

    def stream() -> Iterable[str]:
        clock.advance(0.25)
        return Script([(0.5, "a")], clock=clock, end=0.5).stream()

    with capture() as results:
        given = observe(clock=clock)(stream)()
        clock.advance(0.75)
        list(given)
    plot_timeline(results, ax=ax)

    assert bars(ax, WAIT) == [(0, 0.0, 1.5)]
    assert bars(ax, CALLER) == [(0, 0.25, 1.0)]


def test_a_stream_without_a_token_shows_the_callers_time(ax: Axes, clock: FakeClock) -> None:
    """Where no token divides the caller's time, it is taken to come first."""

    def stream() -> Iterable[str]:
        return Script([(0.5, "")], clock=clock, end=0.5).stream()

    with capture() as results:
        given = observe(clock=clock)(stream)()
        clock.advance(1.0)
        list(given)
    plot_timeline(results, ax=ax)

    assert bars(ax, CALLER) == [(0, 0.0, 1.0)]
    assert bars(ax, WAIT) == [(0, 0.0, 2.0)]


def test_short_times_in_the_callers_hands_are_drawn_as_one(ax: Axes) -> None:
    """What no screen could show becomes visible when it adds up; its sum is true."""
    # A column of the picture is 1500 s / 1500 = 1 s; three times half a second was held.
    held = timeline(
        (0.0, 0.0, 1, None), (0.5, 10.0, 1, None), (10.5, 20.0, 1, None), (20.5, 1500.0, 1, None)
    )  # fmt: skip
    call = result(
        generation_latency=1500.0, time_to_first_token=0.0, consumer_time=1.5,
        consumer_time_before_first_token=0.0, timeline=held,
    )  # fmt: skip
    plot_timeline([call], ax=ax)

    assert bars(ax, CALLER) == [(0, 9.5, 10.5)]


def test_less_than_five_percent_is_no_reason_to_say_so(ax: Axes) -> None:
    """The caller's share stands beside a name where it is worth reading."""
    calls = [result(0, consumer_time=0.04), result(1, consumer_time=0.05)]
    plot_timeline(calls, ax=ax)
    assert row_names(ax) == ["demo.chat", "demo.chat (caller 5%)"]


def test_beyond_what_the_timeline_keeps_nothing_is_made_up(ax: Axes) -> None:
    """Where chunks were not kept, the time after the last one kept is nobody's."""
    call = result(
        time_to_first_token=0.25, generation_latency=1.0, consumer_time=0.5,
        consumer_time_before_first_token=0.0, timeline_complete=False,
        timeline=timeline((0.0, 0.25, 1, "text"), (0.375, 0.5, 1, "text")),
    )  # fmt: skip
    plot_timeline([call], ax=ax)
    assert bars(ax, CALLER) == [(0, 0.25, 0.375)]


# --- the timeline: other calls -------------------------------------------------------------------


def test_without_a_timeline_the_gaps_tell_when_chunks_came(ax: Axes) -> None:
    """Records hold the gaps: ticks are rebuilt from them, and the legend says so."""
    call = result(
        time_to_first_token=0.5, inter_token_latencies=TokenGaps.of([0.25, 0.5]), consumer_time=0.5
    )
    plot_timeline([call], ax=ax)

    assert ticks(ax, "chunk (from the gaps)") == [(0, 0.5), (0, 0.75), (0, 1.25)]
    assert names(ax) == {WAIT, "chunk (from the gaps)"}
    assert row_names(ax) == ["demo.chat (caller 50%)"]


def test_a_call_without_a_token_is_all_wait(ax: Axes) -> None:
    """What never gave a token waited to its end."""
    plot_timeline([result(outcome="failed", generation_latency=2.0)], ax=ax)

    assert bars(ax, WAIT) == [(0, 0.0, 2.0)]
    assert names(ax) == {WAIT, "failed"}
    assert points(line(ax, "failed")) == [(2.0, 0.0)]


def test_a_value_is_one_bar(ax: Axes) -> None:
    """A value came at once: there is no first token to wait for."""
    plot_timeline([result(streamed=False, time_to_first_token=1.0)], ax=ax)

    assert bars(ax, VALUE) == [(0, 0.0, 1.0)]
    assert names(ax) == {VALUE}


@pytest.mark.parametrize(
    ("outcome", "marker"),
    [("failed", "x"), ("cancelled", "s"), ("stopped", "d"), ("running", ">"), ("unconsumed", "o")],
)
def test_an_end_that_is_no_completion_is_marked(ax: Axes, outcome: str, marker: str) -> None:
    """Each outcome has a mark of its own at the end of the row; the colour is one."""
    plot_timeline([result(0), result(1, outcome=outcome)], ax=ax)

    mark = line(ax, outcome)
    assert points(mark) == [(2.0, 1.0)]
    assert mark.get_marker() == marker
    assert color(mark.get_color()) == VERMILION
    assert outcome in legend(ax)


def test_a_stream_that_was_never_asked_has_a_mark_and_no_length(ax: Axes) -> None:
    """Unconsumed: latency 0."""
    plot_timeline([result(outcome="unconsumed", generation_latency=0.0)], ax=ax)

    assert points(line(ax, "unconsumed")) == [(0.0, 0.0)]
    assert ax.get_xlim() == (0.0, 1.0)


def test_a_snapshot_is_drawn_as_far_as_it_goes(ax: Axes, clock: FakeClock) -> None:
    """A running stream ends at the moment at which it was looked at."""
    stream: Any = observe(clock=clock)(Script([(1.0, "a"), (1.0, "b")], clock=clock).generator)()
    next(stream)
    clock.advance(0.5)
    found = metrics_of(stream)
    assert found is not None
    plot_timeline([found], ax=ax)
    stream.close()

    assert ticks(ax, "chunk") == [(0, 1.0)]
    assert names(ax) >= {WAIT, "chunk", "running"}


def test_an_outcome_of_a_later_version_has_no_mark(ax: Axes) -> None:
    """What this version does not know is drawn as any other call."""
    plot_timeline([result(outcome="paused")], ax=ax)
    assert names(ax) == {WAIT}


# --- the timeline: many calls --------------------------------------------------------------------


def test_thirty_calls_have_names_and_more_have_none(ax: Axes, dark: Axes) -> None:
    """Names that would lie on each other give way to the number of calls."""
    plot_timeline([result(number) for number in range(30)], ax=ax)
    assert len(row_names(ax)) == 30
    assert ax.get_ylabel() == ""

    plot_timeline([result(number) for number in range(31)], ax=dark)
    assert row_names(dark) == []
    assert dark.get_ylabel() == "31 calls"


def test_calls_that_the_caller_held_up_are_counted_where_there_are_no_names(ax: Axes) -> None:
    """5 % of the caller's own time is said in any case."""
    held = [result(number, consumer_time=0.5) for number in range(2)]
    plot_timeline([result(number) for number in range(2, 50)] + held, ax=ax)
    assert ax.get_ylabel() == "50 calls, 2 held up by the caller"


def test_of_a_hundred_thousand_calls_the_first_are_drawn(ax: Axes) -> None:
    """200 rows are all that a picture can hold; the label says what is left out."""
    calls = [result(number) for number in range(100_000)]
    plot_timeline(reversed(calls), ax=ax)

    assert len(bars(ax, WAIT)) == 200
    assert bars(ax, WAIT)[-1] == (199, 199.0, 200.0)
    assert ax.get_ylabel() == "the first 200 of 100,000 calls"
    assert len(ax.get_children()) < 20
    assert len(picture(ax, "svg")) < 300_000


def test_a_long_call_has_no_more_ticks_than_a_screen_has_columns(
    ax: Axes, clock: FakeClock
) -> None:
    """65,536 chunks become at most 1500 ticks, which look the same."""
    script = Script([(2**-9, "a")] * 65_536, clock=clock)
    plot_timeline([measured(script.generator, clock)], ax=ax)

    places = [x for _, x in ticks(ax, "chunk")]
    assert 1000 < len(places) <= 1500
    assert places[0] == 2**-9
    assert max(after - before for before, after in pairwise(places)) < 128 / 1000


def test_very_many_shapes_are_a_picture_in_an_svg(ax: Axes) -> None:
    """A file with more than 10,000 ticks would open slowly."""
    chunks = timeline(*[(place / 1024, place / 1024, 1, "text") for place in range(1024)])
    calls = [
        result(0, call_id=f"{number}", time_to_first_token=0.0, timeline=chunks)
        for number in range(11)
    ]
    plot_timeline(calls[:9], ax=ax)
    assert not collection(ax, "text").get_rasterized()
    ax.clear()
    plot_timeline(calls, ax=ax)
    assert collection(ax, "text").get_rasterized()
    assert b"<image" in picture(ax, "svg")


# --- distributions -------------------------------------------------------------------------------


def test_the_curve_climbs_one_step_per_call(ax: Axes) -> None:
    """At each value the curve rises by one call's share; equal values rise at once."""
    assert plot_distribution(first_tokens(0.5, 0.25, 0.5, 0.75), ax=ax) is ax

    curve = ax.lines[0]
    assert points(curve) == [(250.0, 0.0), (250.0, 0.25), (500.0, 0.5), (500.0, 0.75), (750.0, 1.0)]
    assert curve.get_drawstyle() == "steps-post"
    assert color(curve.get_color()) == BLUE
    assert ax.get_xlabel() == "time to first token (ms)"
    assert ax.get_ylabel() == "fraction of calls"
    assert ax.get_xscale() == "linear"


def test_percentiles_are_marked_with_value_and_unit(ax: Axes) -> None:
    """p50 to p99 stand on their heights; linear interpolation; a sound mark is filled."""
    plot_distribution(first_tokens(*[number / 512 for number in range(1, 514)]), ax=ax)

    # Of 513 values at 1/512, 2/512 ... the fraction f lies at (1 + 512 f) / 512.
    assert legend_title(ax) == "n = 513"
    assert legend(ax) == ["p50  502 ms", "p90  902 ms", "p95  952 ms", "p99  992 ms"]
    assert points(line(ax, "p50")) == [(0.501953125, 0.5)]
    assert [line(ax, name).get_marker() for name in ("p50", "p90", "p95", "p99")] == list("osD^")
    assert color(line(ax, "p99").get_markerfacecolor()) == VERMILION
    assert ax.get_xlabel() == "time to first token (s)"


@pytest.mark.parametrize(
    ("count", "hollow"),
    [
        (5, ["p50", "p90", "p95", "p99"]),
        (6, ["p90", "p95", "p99"]),
        (36, ["p95", "p99"]),
        (72, ["p99"]),
        (368, []),
    ],
)
def test_a_percentile_that_the_sample_cannot_support_is_hollow(
    ax: Axes, count: int, hollow: list[str]
) -> None:
    """It is marked, not hidden: a hollow mark, an asterisk and what the asterisk means."""
    plot_distribution(first_tokens(*[0.5] * count), ax=ax)

    marks = [line(ax, name) for name in ("p50", "p90", "p95", "p99")]
    assert [one.get_label()[:3] for one in marks if one.get_markerfacecolor() == "none"] == hollow  # type: ignore[index]
    assert [text[:3] for text in legend(ax) if text.endswith(" *")] == hollow
    note = "\n* too few for this percentile" if hollow else ""
    assert legend_title(ax) == f"n = {count}{note}"


def test_what_is_left_out_is_counted(ax: Axes) -> None:
    """A call without the number is no point of the curve, and is said to be missing."""
    calls = [*first_tokens(0.5, 0.25), result(2), result(3, streamed=False, time_to_first_token=1)]
    plot_distribution(calls, ax=ax)
    assert legend_title(ax).splitlines()[0] == "n = 2, 2 calls left out"


def test_latencies_are_those_of_completed_calls(ax: Axes) -> None:
    """A failure that came fast is no fast call."""
    calls = [result(0), result(1, outcome="failed", generation_latency=0.25)]
    plot_distribution(calls, "generation_latency", ax=ax)

    assert points(ax.lines[0]) == [(1.0, 0.0), (1.0, 1.0)]
    assert legend_title(ax).splitlines()[0] == "n = 1, 1 call left out"


def test_of_calls_inside_each_other_the_innermost_count(ax: Axes) -> None:
    """The outer call's time is the inner one's once more; the timeline shows both."""
    outer, inner = first_tokens(1.0, 0.5)
    calls = [outer, MetricsResult(**{**inner.__dict__, "parent_id": "c-0"})]
    plot_distribution(calls, ax=ax)
    assert points(ax.lines[0]) == [(500.0, 0.0), (500.0, 1.0)]
    assert legend_title(ax).splitlines()[0] == "n = 1, 1 call left out"

    ax.clear()
    assert points(plot_over_time(calls, ax=ax).lines[0])[0][1] == 500.0
    ax.clear()
    assert len(bars(plot_timeline(calls, ax=ax), WAIT)) == 2


def test_gaps_are_pooled(ax: Axes) -> None:
    """The gaps of all streamed calls make one curve; calls without a gap are left out."""
    calls = [
        result(0, inter_token_latencies=TokenGaps.of([0.25, 0.125])),
        result(1, inter_token_latencies=TokenGaps.of([0.5, 0.25])),
        result(2),
        result(3, streamed=False),
    ]
    plot_distribution(calls, "inter_token_latency", ax=ax)

    assert [x for x, _ in points(ax.lines[0])] == [125.0, 125.0, 250.0, 250.0, 500.0]
    assert ax.get_xlabel() == "gaps between chunks (ms)"
    assert ax.get_ylabel() == "fraction of gaps"
    assert legend_title(ax).splitlines()[0] == "n = 4, 2 calls left out"


def test_throughput_has_its_own_unit(ax: Axes) -> None:
    """Rates are tokens per second, on the axis and in the legend."""
    plot_distribution([result(throughput=40.0)], "throughput", ax=ax)

    assert ax.get_xlabel() == "throughput (tokens/s)"
    assert legend(ax)[0] == "p50  40 tokens/s *"


@pytest.mark.parametrize(
    ("seconds", "scale"),
    [([0.01, 1.0], "linear"), ([0.0078125, 1.0], "log"), ([0.0, 1.0], "linear")],
)
def test_values_of_different_orders_get_a_logarithmic_axis(
    ax: Axes, seconds: list[float], scale: str
) -> None:
    """Beyond a hundredfold a linear axis shows the largest alone; a zero has no logarithm."""
    plot_distribution(first_tokens(*seconds), ax=ax)
    assert ax.get_xscale() == scale
    ax.clear()
    plot_comparison(first_tokens(seconds[0]), first_tokens(seconds[1]), ax=ax)
    assert ax.get_xscale() == scale
    ax.clear()
    plot_over_time(first_tokens(*seconds), ax=ax)
    assert ax.get_yscale() == scale


def test_a_logarithmic_axis_has_plain_numbers(ax: Axes) -> None:
    """A reader of milliseconds need not know powers of ten."""
    plot_distribution(first_tokens(0.0078125, 1.0), ax=ax)
    formatter: Any = ax.xaxis.get_major_formatter()
    assert [formatter(number) for number in (0.01, 1.0, 1000.0)] == ["0.01", "1", "1000"]


def test_a_hundred_thousand_values_make_a_curve_of_two_thousand_steps(ax: Axes) -> None:
    """What a screen cannot show is not drawn; the ends and the percentiles are exact."""
    values = [number / 65_536 for number in range(100_001)]
    plot_distribution(first_tokens(*values), ax=ax)

    curve = points(ax.lines[0])
    assert len(curve) == 2001
    assert curve[0] == (0.0, 0.0)
    assert curve[-1] == (100_000 / 65_536, 1.0)
    assert points(line(ax, "p50")) == [(50_000 / 65_536, 0.5)]
    assert legend_title(ax) == "n = 100,001"
    assert len(picture(ax, "svg")) < 300_000


# --- over time -----------------------------------------------------------------------------------


def moment(seconds: float) -> float:
    """Give the days since 1970 of a moment after the first start, as matplotlib counts."""
    return 20_455.5 + seconds / 86_400


def test_each_call_is_a_point_at_its_start(ax: Axes) -> None:
    """The number over the moment of the start, in UTC."""
    assert plot_over_time(first_tokens(0.25, 0.5), ax=ax) is ax

    assert points(ax.lines[0]) == [(moment(0), 250.0), (moment(1), 500.0)]
    assert legend(ax) == ["calls (n = 2)"]
    assert ax.get_xlabel() == "start of the call (UTC)"
    assert ax.get_ylabel() == "time to first token (ms)"
    assert ax.get_ylim()[0] == 0.0
    assert color(ax.lines[0].get_color()) == BLUE


def test_other_time_zones_are_brought_to_utc(ax: Axes) -> None:
    """A record from elsewhere stands at its moment; matplotlib's own time zone is not asked."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra

    elsewhere = STARTED.astimezone(timezone(timedelta(hours=5)))
    with mpl.rc_context({"timezone": "Asia/Tokyo"}):
        plot_over_time(first_tokens(0.25, started_at=elsewhere), ax=ax)
        picture(ax)
        offset = ax.xaxis.get_offset_text().get_text()

    assert points(ax.lines[0]) == [(moment(0), 250.0)]
    assert offset.startswith("2026-Jan-02 ")
    assert "12:00" in offset + "".join(text.get_text() for text in ax.get_xticklabels())


def test_failed_calls_are_crosses_on_the_edge(ax: Axes) -> None:
    """Whether or not a failed call had a first token, one sees when calls failed."""
    calls = [result(0, time_to_first_token=0.5), result(1, outcome="failed"),
             result(2, outcome="failed", time_to_first_token=0.25)]  # fmt: skip
    plot_over_time(calls, ax=ax)

    crosses = line(ax, "failed (2)")
    assert points(crosses) == [(moment(1), 0.985), (moment(2), 0.985)]
    assert crosses.get_transform() == ax.get_xaxis_transform()
    assert (crosses.get_marker(), color(crosses.get_color())) == ("x", VERMILION)
    assert points(ax.lines[0]) == [(moment(0), 500.0), (moment(2), 250.0)]
    assert legend(ax) == ["calls (n = 2, 1 call left out)", "failed (2)"]


def test_where_all_failed_there_are_only_crosses(ax: Axes) -> None:
    """No number, no scale."""
    plot_over_time([result(outcome="failed")], ax=ax)

    assert legend(ax) == ["failed (1)"]
    assert ax.get_yticks().tolist() == []
    assert picture(ax).startswith(b"\x89PNG")


def test_points_keep_clear_of_the_legend(ax: Axes) -> None:
    """The largest number stands below the crosses and the legend, on either scale."""
    plot_over_time(first_tokens(0.25, 1.0), ax=ax)
    assert 0.85 < 1.0 / ax.get_ylim()[1] < 0.9
    ax.clear()
    plot_over_time(first_tokens(2**-10, 1.0), ax=ax)
    _, top = ax.transAxes.inverted().transform(ax.transData.transform((moment(1), 1.0)))
    assert 0.8 < top < 0.9
    ax.clear()
    plot_over_time(first_tokens(0.0), ax=ax)
    assert ax.get_ylim()[1] > 1.0


def test_from_fifty_calls_on_a_line_shows_the_median(ax: Axes, dark: Axes) -> None:
    """Each ten neighbours give one point: the medians of their starts and of their numbers."""
    plot_over_time(first_tokens(*[0.25] * 49), ax=ax)
    assert len(ax.lines) == 1

    calls = first_tokens(*[1.0] * 10, *[2.0] * 10, *[3.0] * 10, *[4.0] * 10, *[5.0] * 9, 50.0)
    plot_over_time(calls, ax=dark)
    medians = line(dark, "median of neighbours")
    middles = [moment(4.5), moment(14.5), moment(24.5), moment(34.5), moment(44.5)]
    assert [x for x, _ in points(medians)] == pytest.approx(middles, abs=1e-9)
    assert [y for _, y in points(medians)] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert legend(dark) == ["calls (n = 50)", "median of neighbours"]
    assert color(medians.get_color()) == YELLOW


def test_of_a_calls_gaps_the_median_is_drawn(ax: Axes) -> None:
    """A call is one point."""
    calls = [result(0, inter_token_latencies=TokenGaps.of([0.25, 0.5, 4.0])), result(1)]
    plot_over_time(calls, "inter_token_latency", ax=ax)

    assert points(ax.lines[0]) == [(moment(0), 500.0)]
    assert ax.get_ylabel() == "median gap of a call (ms)"
    assert legend(ax) == ["calls (n = 1, 1 call left out)"]


def test_calls_of_one_moment_do_not_get_an_axis_of_years(ax: Axes) -> None:
    """Around a single call there is a second on either side."""
    plot_over_time(first_tokens(0.5), ax=ax)
    assert ax.get_xlim() == (moment(-1), moment(1))


def test_a_hundred_thousand_points_stay_small(ax: Axes) -> None:
    """They are one artist, pale and small, and a picture in an SVG; the line has 40 points."""
    calls = [
        result(number, time_to_first_token=0.5, outcome="failed" if number % 10 else "completed")
        for number in range(100_000)
    ]
    plot_over_time(calls, ax=ax)

    cloud, medians, crosses = ax.lines
    assert len(points(cloud)) == 100_000
    assert (cloud.get_rasterized(), cloud.get_alpha(), cloud.get_markersize()) == (True, 0.25, 2)
    assert len(points(medians)) == 40
    assert (crosses.get_rasterized(), crosses.get_markersize()) == (True, 3)
    assert len(picture(ax, "svg")) < 300_000


# --- comparisons ---------------------------------------------------------------------------------


def test_two_sets_are_two_curves(ax: Axes) -> None:
    """The baseline is dashed, the candidate solid, each with its median and its calls."""
    before = first_tokens(*[0.25] * 5, 0.5)
    after = [*first_tokens(*[0.5] * 6), result(9)]
    assert plot_comparison(before, after, ax=ax) is ax

    baseline, middle, candidate, other = ax.lines
    assert points(baseline)[-1] == (500.0, 1.0)
    assert points(candidate)[0] == (500.0, 0.0)
    assert (baseline.get_linestyle(), candidate.get_linestyle()) == ("--", "-")
    assert (color(baseline.get_color()), color(candidate.get_color())) == (ORANGE, BLUE)
    assert (points(middle), points(other)) == ([(250.0, 0.5)], [(500.0, 0.5)])
    assert (middle.get_marker(), other.get_marker()) == ("s", "o")
    assert legend(ax) == [
        "baseline: p50 250 ms, n = 6",
        "candidate: p50 500 ms, n = 6, 1 call left out",
    ]
    assert legend_title(ax) == ""
    assert ax.get_ylim()[1] == pytest.approx(1.2262, abs=1e-4)  # room for the legend
    assert ax.get_yticks().tolist() == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ax.get_xlabel() == "time to first token (ms)"
    assert ax.get_ylabel() == "fraction of calls"


def test_a_median_that_few_calls_cannot_support_is_hollow(ax: Axes) -> None:
    """Below six calls a median has an asterisk, as in a distribution."""
    plot_comparison(first_tokens(0.25), first_tokens(*[0.5] * 6), ax=ax)

    assert ax.lines[1].get_markerfacecolor() == "none"
    assert color(ax.lines[3].get_markerfacecolor()) == BLUE
    assert legend(ax) == ["baseline: p50 250 ms *, n = 1", "candidate: p50 500 ms, n = 6"]
    assert legend_title(ax) == "* too few for this percentile"


def test_a_side_without_numbers_is_named(ax: Axes) -> None:
    """The other side is drawn, and the legend tells what is missing."""
    plot_comparison([result()], first_tokens(*[0.5] * 6), labels=("old", "new"), ax=ax)

    assert legend(ax) == ["old: n = 0, 1 call left out", "new: p50 500 ms, n = 6"]
    assert points(ax.lines[0]) == []


def test_the_sides_have_the_names_that_they_are_given(ax: Axes) -> None:
    """A name with a dollar is a name."""
    plot_comparison(first_tokens(0.5), first_tokens(0.5), labels=("$x_$", "v2"), ax=ax)
    picture(ax)
    assert [text.split(":")[0] for text in legend(ax)] == [r"\$x_\$", "v2"]


# --- nothing to draw, and wrong things -----------------------------------------------------------


@every_plot
def test_no_results_are_an_error(draw: Draw, ax: Axes) -> None:
    """Nothing at all is most likely a slip."""
    with pytest.raises(
        EmptyInputError,
        match=(
            r"^Cannot draw a plot of no results: there is nothing to show\. Pass at least one\.$"
        ),
    ):
        draw([], ax=ax)


@every_plot_of_a_metric
def test_results_without_the_number_give_a_plot_that_says_so(draw: Draw, ax: Axes) -> None:
    """A program that draws what it has need not look first."""
    assert draw([result()], "time_per_output_token", ax=ax) is ax

    assert [text.get_text() for text in ax.texts] == [
        "no call has a number for: time per output token"
    ]
    assert len(ax.lines) == 0
    assert (ax.get_xticks().tolist(), ax.get_yticks().tolist()) == ([], [])


@every_plot
def test_one_call_is_enough(draw: Draw, ax: Axes) -> None:
    """A single call is drawn, into either kind of file."""
    draw(first_tokens(0.5), ax=ax)
    assert picture(ax).startswith(b"\x89PNG")
    assert b"<svg" in picture(ax, "svg")


@every_plot
def test_any_iterable_will_do(draw: Draw, ax: Axes) -> None:
    """Records come one at a time."""
    assert draw(iter(first_tokens(0.5, 0.25)), ax=ax) is ax


@every_plot_of_a_metric
@pytest.mark.parametrize("name", ["speed", None, "", ["time_to_first_token"]])
def test_a_wrong_metric_is_an_error_that_lists_the_right_ones(
    draw: Draw, ax: Axes, name: Any
) -> None:
    """It is seen before any result is read."""
    with pytest.raises(InvalidOptionError) as caught:
        draw([], name, ax=ax)
    assert str(caught.value) == (
        f"Cannot draw metric={name!r}: there is no such number. Pass one of time_to_first_token, "
        "time_to_first_output_token, time_per_output_token, inter_token_latency, "
        "generation_latency, throughput."
    )
    assert caught.value.option == "metric"


@every_plot
@pytest.mark.parametrize(("given", "kind"), [("runs.jsonl", "str"), ([result().to_dict()], "dict")])
def test_what_is_no_result_is_an_error(draw: Draw, ax: Axes, given: Any, kind: str) -> None:
    """A path or a record as it is in the file is refused by its type."""
    with pytest.raises(InvalidOptionError) as caught:
        draw(given, ax=ax)
    assert str(caught.value) == (
        f"Cannot draw an object that holds a '{kind}': it may hold MetricsResult objects only. "
        "Pass the results themselves: a list of them, the results of a ResultLog, or "
        "read_records(path)."
    )
    assert caught.value.option == ("baseline" if draw is compared_with_itself else "results")


@every_plot
def test_a_summary_is_no_set_of_results(draw: Draw, ax: Axes) -> None:
    """A summary has forgotten the single calls."""
    from tokenclock.summary import summarize  # noqa: PLC0415 - beside its only use

    with pytest.raises(InvalidOptionError) as caught:
        draw(summarize([result()]), ax=ax)
    assert str(caught.value) == (
        "Cannot draw an object of type 'Summary': it is no iterable. Pass the results "
        "themselves: a list of them, the results of a ResultLog, or read_records(path)."
    )


@every_plot
def test_what_is_no_axes_is_an_error(draw: Draw) -> None:
    """``subplots(2)`` gives several Axes: one of them is to be chosen."""
    with pytest.raises(InvalidOptionError) as caught:
        draw([], ax=[1, 2])
    assert str(caught.value) == (
        "Cannot draw into an object of type 'list': it is no Axes. Pass one, such as axes[0] of "
        "several from pyplot.subplots(), or leave ax out for a new figure."
    )
    assert caught.value.option == "ax"


@pytest.mark.parametrize("labels", ["ab", ("one",), ("a", "b", "c"), None])
def test_labels_are_two(ax: Axes, labels: Any) -> None:
    """Two sets have two names."""
    with pytest.raises(InvalidOptionError) as caught:
        plot_comparison([], [], labels=labels, ax=ax)
    assert str(caught.value) == (
        f"Cannot name two sets of calls by labels={labels!r}: it is no pair. "
        "Pass two, such as labels=('before', 'after')."
    )


# --- manners -------------------------------------------------------------------------------------


@every_plot
def test_nothing_but_the_axes_is_touched(draw: Draw, ax: Axes) -> None:
    """The user's settings stay, and pyplot hears nothing of it."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra
    import matplotlib.pyplot as plt  # noqa: PLC0415 - an extra

    settings, figures = dict(mpl.rcParams), plt.get_fignums()
    draw(first_tokens(0.5, 0.25), ax=ax)
    assert (dict(mpl.rcParams), plt.get_fignums()) == (settings, figures)


@every_plot
def test_without_axes_there_is_a_new_figure(draw: Draw) -> None:
    """It is one of pyplot's, which a notebook shows; where an error is raised there is none."""
    import matplotlib.pyplot as plt  # noqa: PLC0415 - an extra

    plt.switch_backend("agg")
    before = plt.get_fignums()
    with pytest.raises(EmptyInputError):
        draw([])
    assert plt.get_fignums() == before
    ax = draw(first_tokens(0.5))
    (new,) = set(plt.get_fignums()) - set(before)
    assert plt.figure(new) is ax.figure
    plt.close(new)


HOSTILE = {
    "$x_": "$x_",
    "$x$ $y_{": "$x$ $y_{",
    "a\\$b\\frac{": "a\\$b\\frac{",
    "<script>alert(1)</script>": "<script>alert(1)</script>",
    "[bold]x[/bold]": "[bold]x[/bold]",
    "\x1b[31mred\x07": "[31mred",
    "a|b & c": "a|b & c",
    "two\nlines": "twolines",
    "\u202egnorw\u2066": "gnorw",
    "x" * 100: "x" * 37 + "...",
}


def drawn_texts(svg: bytes) -> set[str]:
    """Give the texts of an SVG: matplotlib draws glyphs, and notes in a comment what they say."""
    comments = ET.iterparse(io.BytesIO(svg), events=["comment"])  # noqa: S314 - ours
    return {unescape(element.text or "").strip() for _, element in comments}


def missing(expected: Sequence[str], texts: Iterable[str]) -> list[str]:
    return [one for one in expected if one not in texts]


def test_names_are_drawn_as_they_are(ax: Axes) -> None:
    """No name starts a formula, steers a terminal or makes an element: it is only text."""
    calls = [result(number, function=name) for number, name in enumerate(HOSTILE)]
    plot_timeline(calls, ax=ax)
    svg = picture(ax, "svg")

    assert missing(list(HOSTILE.values()), drawn_texts(svg)) == []
    elements = {one.tag.rpartition("}")[2] for one in ET.fromstring(svg).iter()}  # noqa: S314 - ours
    assert elements & {"script", "a", "foreignObject", "image"} == set()
    assert re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", svg.decode()) is None
    assert picture(ax).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", HOSTILE)
def test_labels_are_drawn_as_they_are(ax: Axes, name: str) -> None:
    """The same holds for the names of two sets, which may be names of files."""
    plot_comparison(first_tokens(0.5), [result()], labels=(name, name), ax=ax)

    found = drawn_texts(picture(ax, "svg"))
    assert f"{HOSTILE[name]}: p50 500 ms *, n = 1" in found
    assert f"{HOSTILE[name]}: n = 0, 1 call left out" in found
    assert picture(ax).startswith(b"\x89PNG")


def test_names_are_not_given_to_tex(ax: Axes) -> None:
    r"""Whoever has TeX write the labels does not let a record write ``\input``."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra

    with mpl.rc_context({"text.usetex": True}):
        ax = mpl.figure.Figure().subplots()
        plot_timeline([result(function=r"\input{secret}")], ax=ax)
        assert {text.get_usetex() for text in ax.get_yticklabels()} == {False}
        ax.clear()
        plot_comparison(first_tokens(0.5), first_tokens(0.5), ax=ax)
        found = ax.get_legend()
        assert found is not None
        assert {text.get_usetex() for text in found.get_texts()} == {False}


def test_channels_of_a_measured_stream(ax: Axes, clock: FakeClock) -> None:
    """From the decorator to the picture: each chunk stands in the place of its channel."""
    script = Script(
        [
            (0.5, Reading(tokens=1, channel="reasoning")),
            (0.5, Reading(tokens=1, channel="text")),
            (0.5, Reading(tokens=1, channel="tool")),
        ],
        clock=clock,
    )
    with capture() as results:
        list(observe(clock=clock, read_chunk=lambda chunk: chunk)(script.generator)())
    plot_timeline(results, ax=ax)

    assert ticks(ax, "reasoning") == [(0, 0.5)]
    assert ticks(ax, "text") == [(0, 1.0)]
    assert ticks(ax, "tool call") == [(0, 1.5)]
    assert CALLER not in names(ax)


def test_without_matplotlib_it_says_what_to_install() -> None:
    """The import fails with the command that mends it."""
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "try:\n"
        "    import tokenclock.plots\n"
        "except ImportError as error:\n"
        "    print(type(error).__name__, error.extra, error)\n"
    )
    ran = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert ran.stdout == (
        "MissingExtraError plot Plots need matplotlib, which is not installed. "
        "Install it with: pip install 'tokenclock[plot]'.\n"
    )
