"""Two sets of calls: both distributions in one plot."""

# matplotlib leaves the types of keyword arguments out.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tokenclock._statistics import quantile
from tokenclock.errors import InvalidOptionError
from tokenclock.plots._distribution import TOO_FEW, asterisk, draw_steps, finish, mark, with_unit
from tokenclock.plots._style import (
    Numbers,
    axes_or_new,
    check_axes,
    checked,
    legend_on_top,
    metric_named,
    none_has,
    numbers_of,
    palette_of,
    sample_text,
    say,
    shown,
    unit_for,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from tokenclock._metrics import Metric
    from tokenclock._result import MetricsResult

SIDES = 2
LINES = ("--", "-")
MARKERS = ("s", "o")
MEDIAN = 0.5


def plot_comparison(
    baseline: Iterable[MetricsResult[Any]],
    candidate: Iterable[MetricsResult[Any]],
    metric: str = "time_to_first_token",
    *,
    labels: tuple[str, str] = ("baseline", "candidate"),
    ax: Axes | None = None,
) -> Axes:
    """
    Draw the distributions of two sets of calls, with their medians marked.

    Whether they differ by more than chance is for ``tokenclock.compare`` to say. Which calls
    count is as for ``plot_distribution``.

    Args:
        baseline: Results in any order; consumed once. The dashed line.
        candidate: The same. The solid line.
        metric: As for ``plot_distribution``.
        labels: What the two are called in the legend.
        ax: Where to draw; ``None`` makes a new figure with pyplot.

    Returns:
        The Axes.

    Raises:
        EmptyInputError: If a side has no results.
        InvalidOptionError: If *metric* is no such name, *labels* are not two, *ax* is no Axes, or
            something that is no result is among the results.

    .. versionadded:: 0.1.0
    """
    check_axes(ax)
    _check_labels(labels)
    chosen = metric_named(metric)
    given = {"baseline": baseline, "candidate": candidate}
    sides = [numbers_of(checked(side, option), chosen) for option, side in given.items()]
    ax = axes_or_new(ax)
    if not any(side.ordered for side in sides):
        return say(ax, none_has(chosen))
    curves = _draw_sides(ax, sides, labels, chosen)
    has_too_few = any(side.ordered and asterisk(len(side.ordered), MEDIAN) for side in sides)
    room = legend_on_top(ax, curves, title=TOO_FEW if has_too_few else "")
    ends = [side.ordered[place] for side in sides if side.ordered for place in (0, -1)]
    finish(ax, chosen, unit_for(chosen, max(ends)), min(ends), max(ends), room=room)
    return ax


def _check_labels(labels: object) -> None:
    if not isinstance(labels, tuple | list) or len(labels) != SIDES:  # pyright: ignore[reportUnknownArgumentType] - of anything
        msg = (
            f"Cannot name two sets of calls by labels={labels!r}: it is no pair. "
            "Pass two, such as labels=('before', 'after')."
        )
        raise InvalidOptionError(msg, option="labels")


def _draw_sides(
    ax: Axes, sides: Sequence[Numbers], labels: Sequence[str], metric: Metric
) -> list[Line2D]:
    """Draw both curves with their medians, and give what the legend shows for them."""
    unit = unit_for(metric, max(side.ordered[-1] for side in sides if side.ordered))
    colors = (palette_of(ax).second, palette_of(ax).first)
    curves: list[Line2D] = []
    for side, name, color, line, marker in zip(sides, labels, colors, LINES, MARKERS, strict=True):
        label = _label(name, side, metric)
        look: dict[str, Any] = {"color": color, "linestyle": line, "linewidth": 1.8, "label": label}
        if side.ordered:
            curves += draw_steps(ax, side.ordered, unit, **look)
            mark(ax, side.ordered, unit, MEDIAN, color, marker=marker)
        else:
            curves += ax.plot([], [], **look)
    return curves


def _label(name: str, side: Numbers, metric: Metric) -> str:
    count = len(side.ordered)
    if not count:
        return f"{shown(name)}: {sample_text(count, side.left_out)}"
    median = with_unit(quantile(side.ordered, MEDIAN), metric)
    star = asterisk(count, MEDIAN)
    return f"{shown(name)}: p50 {median}{star}, {sample_text(count, side.left_out)}"
