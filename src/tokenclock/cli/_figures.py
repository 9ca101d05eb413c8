"""Figures of several plots: which to draw, how they share a page, and how they become a file."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

from tokenclock._metrics import FIRST_TOKEN, GAP, LATENCY, METRICS, PER_OUTPUT_TOKEN, Metric
from tokenclock._result import MetricsResult
from tokenclock.errors import MissingExtraError

try:
    from matplotlib import style
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec
    from matplotlib.layout_engine import ConstrainedLayoutEngine
except ImportError as error:
    raise MissingExtraError("Plots need", "matplotlib", "plot") from error

from tokenclock import plots

Result = MetricsResult[Any]
Kind = Literal["timeline", "distribution", "over-time"]
KINDS: tuple[Kind, ...] = ("timeline", "distribution", "over-time")
DISTRIBUTIONS = (FIRST_TOKEN, PER_OUTPUT_TOKEN, GAP, LATENCY)

COLUMNS = 2
COLUMN_WIDTH = 6.5  # inches
HEIGHT = 4.2
ROW_HEIGHT = 0.22
PADDING = 0.15
MOST_ROWS = 40
RESOLUTION = 120  # dots per inch


class Calls(NamedTuple):
    """A set of calls and its name."""

    name: str
    results: Sequence[Result]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """
    One plot of a figure.

    Attributes:
        title: What it shows.
        draw: Draws it into the Axes given as ``ax``.
        columns: How many of the two columns it takes.
        height: In inches.
    """

    title: str
    draw: Callable[..., object]
    columns: int = 1
    height: float = HEIGHT


def panels_of(results: Sequence[Result], kind: Kind | None, metric: Metric | None) -> list[Panel]:
    """Give the plots of one set of calls: of one kind, or all that have something to show."""
    chosen = [metric] if metric else _useful(DISTRIBUTIONS, results)
    found = {
        "timeline": [_timeline(results)],
        "distribution": [_distribution(results, one) for one in chosen],
        "over-time": [_over_time(results, one) for one in chosen[:1]],
    }
    return [panel for one in KINDS if kind in {None, one} for panel in found[one]]


def comparisons(baseline: Calls, candidate: Calls, metric: Metric | None) -> list[Panel]:
    """Give the plots of two sets of calls."""
    labels = (baseline.name, candidate.name)
    draw = partial(plots.plot_comparison, baseline.results, candidate.results, labels=labels)
    chosen = [metric] if metric else _useful(METRICS, baseline.results, candidate.results)
    return [Panel(title=one.label, draw=partial(draw, metric=one.name)) for one in chosen]


def _useful(metrics: Sequence[Metric], *sets: Sequence[Result]) -> list[Metric]:
    """Give the numbers that calls of every set have; if there is none, one that can say so."""
    found = [metric for metric in metrics if all(_has(results, metric) for results in sets)]
    return found or [FIRST_TOKEN]


def _has(results: Sequence[Result], metric: Metric) -> bool:
    if metric is GAP:
        return any(metric.counts(result) and result.inter_token_latencies for result in results)
    return any(metric.of(result) is not None for result in results)


def _timeline(results: Sequence[Result]) -> Panel:
    return Panel(
        title="timeline",
        draw=partial(plots.plot_timeline, results),
        columns=COLUMNS,
        height=max(HEIGHT, ROW_HEIGHT * min(len(results), MOST_ROWS)),
    )


def _distribution(results: Sequence[Result], metric: Metric) -> Panel:
    return Panel(
        title=metric.label,
        draw=partial(plots.plot_distribution, results, metric.name),
    )


def _over_time(results: Sequence[Result], metric: Metric) -> Panel:
    return Panel(
        title=f"{metric.label} over time",
        draw=partial(plots.plot_over_time, results, metric.name),
        columns=COLUMNS,
    )


# --- drawing -------------------------------------------------------------------------------------


def drawn(wanted: Sequence[Panel], suffix: Literal["png", "svg"], *, dark: bool) -> bytes:
    """Draw one figure with all panels, and give it as the content of a file."""
    rows = _rows(wanted)
    with _look(dark=dark):
        figure = Figure(
            figsize=(COLUMNS * COLUMN_WIDTH, sum(row[0].height for row in rows)),
            layout=ConstrainedLayoutEngine(h_pad=PADDING, w_pad=PADDING),
        )
        heights = [row[0].height for row in rows]
        grid = GridSpec(len(rows), COLUMNS, figure=figure, height_ratios=heights)
        for place, row in enumerate(rows):
            for column, panel in enumerate(row):
                is_wide = panel.columns == COLUMNS or len(row) == 1
                panel.draw(
                    ax=figure.add_subplot(grid[place, :] if is_wide else grid[place, column])
                )
        return _saved(figure, suffix)


def _rows(wanted: Sequence[Panel]) -> list[list[Panel]]:
    """Put neighbours of one column side by side."""
    rows: list[list[Panel]] = []
    for panel in wanted:
        if panel.columns == 1 and rows and len(rows[-1]) == 1 and rows[-1][0].columns == 1:
            rows[-1].append(panel)
        else:
            rows.append([panel])
    return rows


@contextmanager
def _look(*, dark: bool) -> Generator[None]:
    """Draw light or dark whatever the user's own settings are, and say nothing of fonts."""
    names = ["default", "dark_background"] if dark else ["default"]
    settings = {"svg.hashsalt": "tokenclock"}  # the same calls give the same file
    with style.context([*names, settings]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def _saved(figure: Figure, suffix: str) -> bytes:
    content = io.BytesIO()
    metadata = {"Date": None} if suffix == "svg" else None
    figure.savefig(  # pyright: ignore[reportUnknownMemberType] - matplotlib leaves types out
        content, format=suffix, dpi=RESOLUTION, metadata=metadata
    )
    return content.getvalue()
