"""How one number is distributed over calls: the empirical distribution function."""

# matplotlib leaves the types of keyword arguments out.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tokenclock._metrics import GAP, Metric
from tokenclock._statistics import PERCENTILES, is_supported, quantile
from tokenclock._texts import duration, short_number
from tokenclock.plots._style import (
    Unit,
    axes_or_new,
    check_axes,
    checked,
    is_wide,
    label_of,
    metric_named,
    none_has,
    numbers_of,
    palette_of,
    sample_text,
    say,
    tidy,
    unit_for,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from tokenclock._result import MetricsResult

# A curve of more steps than a screen has pixels looks the same and costs more.
MOST_STEPS = 2000
HIGHEST = 1.03  # a curve that ends at 1 is seen to end
MARKERS = ("o", "s", "D", "^")
TOO_FEW = "* too few for this percentile"


def plot_distribution(
    results: Iterable[MetricsResult[Any]],
    metric: str = "time_to_first_token",
    *,
    ax: Axes | None = None,
) -> Axes:
    """
    Draw which fraction of calls lies at or below each value, with the percentiles marked.

    Percentiles interpolate linearly; one that the sample cannot support has a hollow mark and an
    asterisk (see ``tokenclock.summarize``). Gaps are pooled over all calls. First-token times,
    times per output token and gaps are those of streamed calls, generation latency and
    throughput those of completed calls, and of calls inside each other the innermost count; the
    legend says how many calls that leaves out. Values that differ by more than a hundredfold get
    a logarithmic axis.

    Args:
        results: In any order; consumed once.
        metric: ``"time_to_first_token"``, ``"time_to_first_output_token"``,
            ``"time_per_output_token"``, ``"inter_token_latency"``, ``"generation_latency"`` or
            ``"throughput"``.
        ax: Where to draw; ``None`` makes a new figure with pyplot.

    Returns:
        The Axes; the horizontal axis carries the unit, the vertical one goes from 0 to 1. Where
        no call has the number, a text says so.

    Raises:
        EmptyInputError: If there are no results.
        InvalidOptionError: If *metric* is no such name, *ax* no Axes, or something that is no
            result is among the results.

    .. versionadded:: 0.1.0
    """
    check_axes(ax)
    chosen = metric_named(metric)
    ordered, left_out = numbers_of(checked(results), chosen)
    ax = axes_or_new(ax)
    if not ordered:
        return say(ax, none_has(chosen))
    unit = unit_for(chosen, ordered[-1])
    draw_steps(ax, ordered, unit, color=palette_of(ax).first)
    for marker, (name, fraction) in zip(MARKERS, PERCENTILES.items(), strict=True):
        value = with_unit(quantile(ordered, fraction), chosen)
        label = f"{name}  {value}{asterisk(len(ordered), fraction)}"
        mark(ax, ordered, unit, fraction, palette_of(ax).failure, marker=marker, label=label)
    finish(ax, chosen, unit, ordered[0], ordered[-1])
    title = [sample_text(len(ordered), left_out)]
    if not is_supported(len(ordered), max(PERCENTILES.values())):
        title.append(TOO_FEW)
    ax.legend(title="\n".join(title), alignment="left", loc="best", framealpha=0.8)
    return ax


def draw_steps(ax: Axes, ordered: Sequence[float], unit: Unit, **look: Any) -> list[Line2D]:
    """Draw the distribution function of values in ascending order."""
    last = len(ordered) - 1
    steps = min(len(ordered), MOST_STEPS)
    places = sorted({round(step * last / max(steps - 1, 1)) for step in range(steps)})
    heights = [(place + 1) / len(ordered) for place in places]
    values = [ordered[place] * unit.factor for place in places]
    return ax.step([values[0], *values], [0.0, *heights], where="post", **look)


def mark(
    ax: Axes, ordered: Sequence[float], unit: Unit, fraction: float, color: str, **look: Any
) -> None:
    """Mark a quantile; a hollow mark says that the sample cannot support it."""
    ax.plot(
        [quantile(ordered, fraction) * unit.factor],
        [fraction],
        linestyle="none",
        color=color,
        markerfacecolor=color if is_supported(len(ordered), fraction) else "none",
        zorder=3,
        **look,
    )


def asterisk(count: int, fraction: float) -> str:
    """Give what stands behind a quantile that the sample cannot support."""
    return "" if is_supported(count, fraction) else " *"


def finish(
    ax: Axes, metric: Metric, unit: Unit, smallest: float, largest: float, *, room: float = 0.0
) -> None:
    """Label the axes, widen the horizontal one where values differ by orders, leave room above."""
    if is_wide(smallest, largest):
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
    ax.set_ylim(0, HIGHEST / (1 - room))
    ax.set_yticks([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    ax.set_xlabel(label_of(metric, unit))
    ax.set_ylabel("fraction of gaps" if metric is GAP else "fraction of calls")
    tidy(ax)


def with_unit(number: float, metric: Metric) -> str:
    """Give one value as people read it."""
    return duration(number) if metric.unit == "s" else f"{short_number(number)} {metric.unit}"
