"""What happened in each call: one row a call, one tick a chunk."""

# matplotlib leaves the types of keyword arguments out.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tokenclock._result import MetricsResult
from tokenclock._texts import is_callers_doing
from tokenclock.plots._spans import KINDS, Kind, Span, held_of, ticks_of
from tokenclock.plots._style import (
    Palette,
    axes_or_new,
    check_axes,
    checked,
    keep_literal,
    legend_on_top,
    palette_of,
    shown,
    tidy,
    time_unit,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tokenclock._metrics import Result

# More rows are no rows any more, and more names do not fit.
MOST_ROWS = 200
MOST_NAMES = 30
LEAST_ROWS = 3  # fewer rows get no higher than this
MOST_LARGE_NAMES = 15
# A screen has no more columns: what is nearer cannot be told apart.
COLUMNS = 1500
# More shapes make a file that is slow to open: they become a picture in it.
MANY = 10_000

BAR_HEIGHT = 0.5
LEGEND_COLUMNS = 3
ENDS = {"failed": "x", "cancelled": "s", "stopped": "d", "running": ">", "unconsumed": "o"}

Point = tuple[float, float]
Shape = list[Point]


class Row(NamedTuple):
    """One call: where it stands, and its start in seconds after the first one's."""

    place: int
    start: float
    result: Result

    @property
    def end(self) -> float:
        """When it ended, in seconds after the first start."""
        return self.start + self.result.generation_latency


def plot_timeline(
    results: Iterable[MetricsResult[Any]] | MetricsResult[Any], *, ax: Axes | None = None
) -> Axes:
    """
    Draw what happened in each call: a bar for the wait, then a tick for each chunk.

    A row is a call, in the order of their starts: a bar until its first token, a tick for each
    chunk in the colour and height of its channel, a hatched band where the stream was in the
    caller's hands, a mark at the end of a call that did not complete. The name of a call with 5 %
    or more of the caller's own time says so; beyond 30 rows there are no names, and the label of
    the vertical axis counts such calls. A value is one bar. Where a result has no timeline, as in
    records written without it, ticks are drawn from the first token and the gaps, the legend says
    so, and the caller's time is not shown. Chunks beyond the first 65,536 of a call have no tick.

    Args:
        results: In any order, or one result; consumed once. The first 200 by their start are
            drawn, and the label of the vertical axis says if there are more.
        ax: Where to draw; ``None`` makes a new figure with pyplot.

    Returns:
        The Axes; the horizontal axis is the time since the first start.

    Raises:
        EmptyInputError: If there are no results.
        InvalidOptionError: If *ax* is no Axes, or something that is no result is among the
            results.

    .. versionadded:: 0.1.0
    """
    check_axes(ax)
    everything = checked([results] if isinstance(results, MetricsResult) else results)
    calls = sorted(everything, key=lambda result: result.started_at)
    rows = [
        Row(place, (result.started_at - calls[0].started_at).total_seconds(), result)
        for place, result in enumerate(calls[:MOST_ROWS])
    ]
    ax = axes_or_new(ax)
    handles = _draw(ax, rows)
    _label_rows(ax, rows, len(calls), room=legend_on_top(ax, handles, columns=LEGEND_COLUMNS))
    return ax


def _draw(ax: Axes, rows: Sequence[Row]) -> list[Any]:
    """Draw everything, and give what the legend shows for it."""
    length = max(row.end for row in rows)
    unit = time_unit(length)
    drawing = _Drawing(ax, unit.factor, length / COLUMNS)
    for row in rows:
        drawing.add(row)
    since = "the start" if len(rows) == 1 else "the first start"
    ax.set_xlabel(f"time since {since} ({unit.name})")
    ax.set_xlim(0, (length * 1.02 or 1.0) * unit.factor)
    return drawing.finish()


class _Drawing:
    """Collects the shapes of all rows: a few large collections draw faster than many artists."""

    def __init__(self, ax: Axes, factor: float, least: float) -> None:
        self._ax = ax
        self._factor = factor
        self._least = least
        self._waits: list[Shape] = []
        self._values: list[Shape] = []
        self._runs: list[Shape] = []
        self._held: list[Shape] = []
        self._ticks: dict[Kind, list[Point]] = {kind: [] for kind in KINDS}
        self._ends: dict[str, list[Point]] = {outcome: [] for outcome in ENDS}
        self._handles: list[Any] = []

    def add(self, row: Row) -> None:
        """Take what is to be seen of a call."""
        if row.result.streamed:
            self._add_stream(row)
        else:
            self._values.append(self._bar(row, Span(0.0, row.result.generation_latency)))
        if row.result.outcome in ENDS:
            self._ends[row.result.outcome].append((row.end * self._factor, row.place))

    def _add_stream(self, row: Row) -> None:
        end, first = row.result.generation_latency, row.result.time_to_first_token
        ready = end if first is None else first
        self._waits.append(self._bar(row, Span(0.0, ready)))
        self._runs.append([(self._x(row, ready), row.place), (self._x(row, end), row.place)])
        self._held += [self._bar(row, span) for span in held_of(row.result, self._least)]
        for tick in ticks_of(row.result, self._least):
            self._ticks[tick.kind].append((self._x(row, tick.arrived), row.place))

    def _x(self, row: Row, seconds: float) -> float:
        return (row.start + seconds) * self._factor

    def _bar(self, row: Row, span: Span) -> Shape:
        left, right = self._x(row, span.begin), self._x(row, span.end)
        top, bottom = row.place - BAR_HEIGHT / 2, row.place + BAR_HEIGHT / 2
        return [(left, top), (right, top), (right, bottom), (left, bottom)]

    def finish(self) -> list[Any]:
        """Draw everything, and give what the legend shows for it."""
        palette = palette_of(self._ax)
        self._draw_bars(self._waits, "wait for the first token", color=palette.quiet, alpha=0.35)
        self._draw_bars(self._values, "value", color=palette.first, alpha=0.35)
        self._ax.add_collection(LineCollection(self._runs, colors=palette.quiet, linewidths=0.8))
        self._draw_bars(
            self._held, "in the caller's hands",
            facecolor=palette.caller, alpha=0.6, hatch="////", linewidth=0,
        )  # fmt: skip
        for kind, places in self._ticks.items():
            self._draw_ticks(places, _look_of(kind, palette))
        for outcome, places in self._ends.items():
            self._draw_ends(places, outcome, palette.failure)
        return self._handles

    def _draw_bars(self, bars: list[Shape], name: str, **look: Any) -> None:
        if not bars:
            return
        self._ax.add_collection(
            PolyCollection(bars, label=name, rasterized=len(bars) > MANY, **look)
        )
        self._handles.append(Patch(label=name, **look))

    def _draw_ticks(self, places: list[Point], look: _Look) -> None:
        if not places:
            return
        half = look.height / 2
        segments = [[(x, row - half), (x, row + half)] for x, row in places]
        self._ax.add_collection(
            LineCollection(
                segments, colors=look.color, linewidths=1.1, label=look.name,
                rasterized=len(segments) > MANY,
            )
        )  # fmt: skip
        self._handles.append(
            Line2D(
                [], [], linestyle="none", marker="|", markersize=13 * look.height,
                markeredgewidth=2, color=look.color, label=look.name,
            )
        )  # fmt: skip

    def _draw_ends(self, places: list[Point], outcome: str, color: str) -> None:
        if not places:
            return
        self._handles += self._ax.plot(
            *zip(*places, strict=True), linestyle="none", marker=ENDS[outcome], color=color,
            label=outcome, zorder=4, clip_on=False,
        )  # fmt: skip


class _Look(NamedTuple):
    """How ticks of a kind look: their colour, how much of a row they take, and their name."""

    color: str
    height: float
    name: str


def _look_of(kind: Kind, palette: Palette) -> _Look:
    """Tell the kinds apart by colour, and by height for those who see none."""
    return {
        "text": _Look(palette.first, 0.7, "text"),
        "reasoning": _Look(palette.second, 0.4, "reasoning"),
        "tool": _Look(palette.third, 0.9, "tool call"),
        "unnamed": _Look(palette.plain, 0.7, "chunk"),
        "rebuilt": _Look(palette.plain, 0.5, "chunk (from the gaps)"),
        "empty": _Look(palette.quiet, 0.2, "chunk without a token"),
    }[kind]


def _label_rows(ax: Axes, rows: Sequence[Row], count: int, *, room: float) -> None:
    """Name the rows, the first on top, and leave room for the legend above them."""
    margin = 0.6 + max(LEAST_ROWS - len(rows), 0) / 2
    low, high = -margin, len(rows) - 1 + margin
    ax.set_ylim(high, low - (high - low) * room / (1 - room))
    names = [_name(row.result) for row in rows] if len(rows) <= MOST_NAMES else []
    size = "medium" if len(names) <= MOST_LARGE_NAMES else "small"
    ax.set_yticks(range(len(names)), names, fontsize=size)
    keep_literal(ax.get_yticklabels())
    if not names:
        ax.set_ylabel(_count([row.result for row in rows], count))
    tidy(ax)
    ax.grid(visible=False, axis="y")


def _name(result: Result) -> str:
    name = shown(result.function)
    if not is_callers_doing(result):
        return name
    return f"{name} (caller {result.consumer_time / result.generation_latency:.0%})"


def _count(drawn: Sequence[Result], count: int) -> str:
    text = f"{count} calls" if len(drawn) == count else f"the first {len(drawn)} of {count:,} calls"
    slowed = sum(map(is_callers_doing, drawn))
    return f"{text}, {slowed} held up by the caller" if slowed else text
