"""What a checker makes of plots. Never run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from typing_extensions import assert_type

from tokenclock.plots import plot_comparison, plot_distribution, plot_over_time, plot_timeline
from tokenclock.records import read_records

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tokenclock import MetricsResult


def drawn(results: list[MetricsResult[str]], more: Iterator[MetricsResult[Any]], ax: Axes) -> None:
    assert_type(plot_timeline(results), "Axes")
    assert_type(plot_timeline(results[0], ax=ax), "Axes")
    assert_type(plot_distribution(more, "throughput", ax=ax), "Axes")
    assert_type(plot_over_time(read_records("runs.jsonl"), metric="generation_latency"), "Axes")
    assert_type(plot_comparison(results, more, labels=("before", "after")), "Axes")


def wrong(results: list[MetricsResult[str]], ax: Axes) -> None:
    plot_timeline("runs.jsonl")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    plot_timeline(results, ax)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    plot_distribution(results, 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    plot_distribution(results, ax=[ax])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    plot_comparison(results)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    plot_comparison(results, results, labels="ab")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
