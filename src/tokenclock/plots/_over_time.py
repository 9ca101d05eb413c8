"""One number of each call over the time at which the call started."""

# matplotlib leaves the types of keyword arguments out.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timezone
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.lines import Line2D

from tokenclock._metrics import GAP, Metric, Result, taken
from tokenclock._statistics import quantile
from tokenclock.plots._style import (
    Unit,
    axes_or_new,
    check_axes,
    checked,
    is_wide,
    label_of,
    legend_on_top,
    metric_named,
    none_has,
    palette_of,
    sample_text,
    say,
    tidy,
    unit_for,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tokenclock._result import MetricsResult

# From here on points are small and pale, and a picture in a file instead of shapes.
MANY = 2000
MANY_FAILED = 50
# Below this a median of neighbours would follow single calls.
LEAST_FOR_MEDIAN = 50
LEAST_NEIGHBOURS = 10
MOST_MEDIANS = 40
LEGEND_COLUMNS = 2
# Of the height: where crosses are, and where the legend begins.
EDGE = 0.985
LEGEND_TOP = 0.97
SECOND = 1 / 86_400  # in days, which matplotlib counts in


class Points(NamedTuple):
    """The calls that have the number: when they started, in days, and the number."""

    moments: list[float]
    values: list[float]


def plot_over_time(
    results: Iterable[MetricsResult[Any]],
    metric: str = "time_to_first_token",
    *,
    ax: Axes | None = None,
) -> Axes:
    """
    Draw one number of each call over the time of day at which the call started.

    Failed calls are crosses on the upper edge, whether or not they have the number. From 50 calls
    on a line shows the median of neighbouring calls. Of a call's gaps the median is drawn. Which
    calls count, and when the axis is logarithmic, is as for ``plot_distribution``.

    Args:
        results: In any order; consumed once.
        metric: As for ``plot_distribution``.
        ax: Where to draw; ``None`` makes a new figure with pyplot.

    Returns:
        The Axes; the horizontal axis is the time in UTC, the vertical one carries the unit. Where
        no call has the number and none failed, a text says so.

    Raises:
        EmptyInputError: If there are no results.
        InvalidOptionError: If *metric* is no such name, *ax* no Axes, or something that is no
            result is among the results.

    .. versionadded:: 0.1.0
    """
    check_axes(ax)
    chosen = metric_named(metric)
    everything = checked(results)
    calls = sorted(taken(everything), key=lambda result: result.started_at)
    ax = axes_or_new(ax)
    points = _points_of(calls, chosen)
    failed = _moments([result for result in calls if result.outcome == "failed"])
    if not points.values and not failed:
        return say(ax, none_has(chosen))
    unit = unit_for(chosen, max(points.values, default=0.0))
    scaled = Points(points.moments, [value * unit.factor for value in points.values])
    handles = _draw_points(ax, scaled, len(everything) - len(points.values))
    handles += _draw_failures(ax, failed)
    _label_moments(ax, sorted([*points.moments, *failed]))
    room = legend_on_top(ax, handles, columns=LEGEND_COLUMNS, below=LEGEND_TOP)
    _label_values(ax, chosen, unit, scaled.values, room)
    tidy(ax)
    return ax


def _points_of(calls: Sequence[Result], metric: Metric) -> Points:
    numbers = [_number_of(result, metric) for result in calls]
    having = [one for one, number in zip(calls, numbers, strict=True) if number is not None]
    return Points(_moments(having), [number for number in numbers if number is not None])


def _number_of(result: Result, metric: Metric) -> float | None:
    if metric is not GAP:
        return metric.of(result)
    gaps = sorted(result.inter_token_latencies) if metric.counts(result) else None
    return quantile(gaps, 0.5) if gaps else None


def _moments(calls: Sequence[Result]) -> list[float]:
    """Give the starts as matplotlib counts days."""
    starts = [result.started_at.astimezone(timezone.utc) for result in calls]
    days: Sequence[float] = date2num(starts)  # type: ignore[no-untyped-call]
    return [float(day) for day in days]


def _draw_points(ax: Axes, points: Points, left_out: int) -> list[Line2D]:
    if not points.values:
        return []
    are_many = len(points.values) > MANY
    color = palette_of(ax).first
    ax.plot(
        *points,
        linestyle="none",
        marker="." if are_many else "o",
        markersize=2 if are_many else 4,
        alpha=0.25 if are_many else 0.8,
        markeredgewidth=0,
        rasterized=are_many,
        color=color,
    )
    label = f"calls ({sample_text(len(points.values), left_out)})"
    handles = [Line2D([], [], linestyle="none", marker="o", markersize=4, color=color, label=label)]
    if len(points.values) >= LEAST_FOR_MEDIAN:
        handles += ax.plot(
            *_medians(points),
            color=palette_of(ax).second,
            linewidth=2,
            label="median of neighbours",
        )
    return handles


def _medians(points: Points) -> Points:
    """Give the median of each run of neighbouring calls; all runs are about equally long."""
    count = len(points.values)
    runs = min(count // LEAST_NEIGHBOURS, MOST_MEDIANS)
    edges = [count * run // runs for run in range(runs + 1)]
    slices = [slice(*edge) for edge in pairwise(edges)]
    return Points(
        [median(points.moments[one]) for one in slices],
        [median(points.values[one]) for one in slices],
    )


def _draw_failures(ax: Axes, failed: Sequence[float]) -> list[Line2D]:
    if not failed:
        return []
    return ax.plot(
        failed,
        [EDGE] * len(failed),
        linestyle="none",
        marker="x",
        markersize=3 if len(failed) > MANY_FAILED else 6,
        color=palette_of(ax).failure,
        transform=ax.get_xaxis_transform(),
        rasterized=len(failed) > MANY,
        label=f"failed ({len(failed):,})",
        zorder=3,
    )


def _label_moments(ax: Axes, moments: Sequence[float]) -> None:
    if moments[-1] - moments[0] < SECOND / 20:  # matplotlib would show years around a single moment
        ax.set_xlim(moments[0] - SECOND, moments[-1] + SECOND)
    locator = AutoDateLocator(tz=timezone.utc)  # type: ignore[no-untyped-call]
    formatter = ConciseDateFormatter(locator, tz=timezone.utc)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(formatter)
    ax.set_xlabel("start of the call (UTC)")


def _label_values(
    ax: Axes, metric: Metric, unit: Unit, values: Sequence[float], room: float
) -> None:
    ax.set_ylabel(
        f"median gap of a call ({unit.name})" if metric is GAP else label_of(metric, unit)
    )
    if not values:
        ax.set_yticks([])
        return
    if is_wide(min(values), max(values)):
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:g}")
        low, high = ax.get_ylim()
        ax.set_ylim(low, low * (high / low) ** (1 / (1 - room)))
    else:
        ax.set_ylim(0, (max(values) or 1.0) / (1 - room))
