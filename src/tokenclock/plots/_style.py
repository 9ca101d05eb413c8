"""How plots look: colours, units, and names that are text whatever they hold."""

# matplotlib leaves the types of keyword arguments out.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tokenclock._metrics import GAP, METRICS, Metric, Result, results_in, taken
from tokenclock._texts import cut
from tokenclock.errors import EmptyInputError, InvalidOptionError, MissingExtraError

try:
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes
    from matplotlib.colors import to_rgba
except ImportError as error:
    raise MissingExtraError("Plots need", "matplotlib", "plot") from error

if TYPE_CHECKING:
    from matplotlib.text import Text

NAME_WIDTH = 40
MIDDLE_GREY = 0.5
# From here on a linear axis would press most values against its edge.
WIDE_RANGE = 100
# What a line of a legend takes of the height of a plot of the usual size, and its edge.
LEGEND_LINE = 0.07
LEGEND_EDGE = 0.02


class Palette(NamedTuple):
    """Colours of Okabe and Ito, chosen for one kind of background."""

    first: str
    second: str
    third: str
    failure: str
    caller: str
    plain: str
    quiet: str


LIGHT = Palette("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#333333", "#767676")
DARK = Palette("#56B4E9", "#F0E442", "#2FBF95", "#FF7F3F", "#E3A5C7", "#DDDDDD", "#A6A6A6")


class Unit(NamedTuple):
    """What an axis counts in: its name, and how many of it make one second or one token/s."""

    name: str
    factor: float


def palette_of(ax: Axes) -> Palette:
    """Give the colours for the background of *ax*; where that is clear its labels tell."""
    background = to_rgba(ax.get_facecolor())
    if background[3]:
        return LIGHT if _brightness(background) > MIDDLE_GREY else DARK
    return DARK if _brightness(to_rgba(ax.xaxis.label.get_color())) > MIDDLE_GREY else LIGHT


def _brightness(color: tuple[float, ...]) -> float:
    return 0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2]


def axes_or_new(ax: Axes | None) -> Axes:
    """Give *ax*, or that of a new figure of pyplot, which a notebook shows."""
    if ax is not None:
        return ax
    new: Axes = plt.subplots(layout="constrained")[1]
    return new


def check_axes(ax: object) -> None:
    """
    Refuse what cannot be drawn into.

    Raises:
        InvalidOptionError: If *ax* is neither an ``Axes`` nor ``None``.
    """
    if ax is not None and not isinstance(ax, Axes):
        msg = (
            f"Cannot draw into an object of type {type(ax).__name__!r}: it is no Axes. Pass one, "
            "such as axes[0] of several from pyplot.subplots(), or leave ax out for a new figure."
        )
        raise InvalidOptionError(msg, option="ax")


def checked(results: Iterable[Result], option: str = "results") -> list[Result]:
    """
    Read the results.

    Raises:
        EmptyInputError: If there are none.
        InvalidOptionError: If there is anything else among them, or they are no iterable.
    """
    everything = list(results_in(results, cannot="Cannot draw an object", option=option))
    if not everything:
        msg = "Cannot draw a plot of no results: there is nothing to show. Pass at least one."
        raise EmptyInputError(msg)
    return everything


def metric_named(name: str) -> Metric:
    """
    Give the metric of that name.

    Raises:
        InvalidOptionError: If there is none.
    """
    for metric in METRICS:
        if metric.name == name:
            return metric
    msg = (
        f"Cannot draw metric={name!r}: there is no such number. "
        f"Pass one of {', '.join(metric.name for metric in METRICS)}."
    )
    raise InvalidOptionError(msg, option="metric")


class Numbers(NamedTuple):
    """The numbers of calls in ascending order, and how many calls have none."""

    ordered: list[float]
    left_out: int


def numbers_of(results: Sequence[Result], metric: Metric) -> Numbers:
    """Give the numbers of all calls that count; gaps are pooled."""
    calls = taken(results)
    if metric is not GAP:
        found = [number for one in calls if (number := metric.of(one)) is not None]
        return Numbers(sorted(found), len(results) - len(found))
    having = [one for one in calls if metric.counts(one) and one.inter_token_latencies]
    gaps = [gap for one in having for gap in one.inter_token_latencies]
    return Numbers(sorted(gaps), len(results) - len(having))


def sample_text(count: int, left_out: int) -> str:
    """
    Say how many numbers there are, and how many calls gave none.

    >>> sample_text(1200, 1), sample_text(3, 0)
    ('n = 1,200, 1 call left out', 'n = 3')
    """
    calls = "call" if left_out == 1 else "calls"
    return f"n = {count:,}" + (f", {left_out:,} {calls} left out" if left_out else "")


def unit_for(metric: Metric, largest: float) -> Unit:
    """
    Choose the unit in which the largest number of an axis reads well.

    >>> from tokenclock._metrics import LATENCY
    >>> unit_for(LATENCY, 0.25), unit_for(LATENCY, 2.0)
    (Unit(name='ms', factor=1000.0), Unit(name='s', factor=1.0))
    """
    if metric.unit != "s":
        return Unit(metric.unit, 1.0)
    return time_unit(largest)


def time_unit(largest: float) -> Unit:
    """Choose seconds, milliseconds or microseconds."""
    for unit in (Unit("s", 1.0), Unit("ms", 1e3)):
        if largest * unit.factor >= 1:
            return unit
    return Unit("µs", 1e6) if largest else Unit("s", 1.0)


def label_of(metric: Metric, unit: Unit) -> str:
    """
    Give the label of an axis.

    >>> from tokenclock._metrics import FIRST_TOKEN
    >>> label_of(FIRST_TOKEN, Unit("ms", 1e3))
    'time to first token (ms)'
    """
    return f"{metric.label} ({unit.name})"


def is_wide(smallest: float, largest: float) -> bool:
    """Whether numbers differ so much that only a logarithmic axis shows them all."""
    return smallest > 0 and largest / smallest > WIDE_RANGE


def shown(name: Any) -> str:
    r"""
    Give a stranger's name as matplotlib shows it literally: a dollar starts no formula.

    >>> shown("$x_$ <b>")
    '\\$x_\\$ <b>'
    """
    return cut(str(name), NAME_WIDTH).replace("$", r"\$")


def keep_literal(texts: Iterable[Text]) -> None:
    """Keep texts with strangers' names from TeX, which whoever sets ``text.usetex`` asks for."""
    for text in texts:
        text.set_usetex(False)


def legend_on_top(
    ax: Axes, handles: Sequence[Any], *, columns: int = 1, below: float = 1.0, title: str = ""
) -> float:
    """
    Put the legend at the upper edge, or at *below* of the height, with so many *columns*.

    Returns:
        The upper part of the height in which there should be no data. Above the Axes, where there
        is none anyway, the legend would lie on a title.
    """
    legend = ax.legend(
        handles=handles, title=title or None, alignment="left", loc="upper left",
        bbox_to_anchor=(0, below), ncols=columns, frameon=False, fontsize="small",
        title_fontsize="small", columnspacing=1.4, handlelength=1.4, borderaxespad=0.3,
    )  # fmt: skip
    keep_literal(legend.get_texts())
    lines = -(-len(handles) // columns) + bool(title)
    return 1 - below + LEGEND_LINE * lines + LEGEND_EDGE


def say(ax: Axes, text: str) -> Axes:
    """Write in the middle of an empty plot why it is empty."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center")
    ax.set_xticks([])
    ax.set_yticks([])
    return ax


def none_has(metric: Metric) -> str:
    """Say that there is nothing to draw."""
    return f"no call has a number for: {metric.label}"


def tidy(ax: Axes) -> None:
    """Take away what is no information, and lay a quiet grid below the data."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(visible=True, alpha=0.25, linewidth=0.6)
    ax.set_axisbelow(True)
