"""``tokenclock compare``: did it get slower? With an exit code that a build can stop at."""

# No "from __future__ import annotations": typer reads the types.

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tokenclock._comparisons.texts import percent
from tokenclock._metrics import group_name
from tokenclock.cli._inputs import check_choice, check_format, records
from tokenclock.cli._output import fail, show, tell, write
from tokenclock.cli._parameters import By, TextFormat, typer

if TYPE_CHECKING:
    from tokenclock.compare import Comparison, MetricComparison

REGRESSION_FOUND = 1
NOT_ENOUGH = "not enough data"


def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="The records to compare with.")],
    candidate: Annotated[
        Path, typer.Argument(metavar="CANDIDATE", help="The records of what may have changed.")
    ],
    *,
    by: By = None,
    minimum_effect: Annotated[
        float,
        typer.Option(
            "--minimum-effect",
            metavar="FRACTION",
            help="The smallest change that counts: 0.05 is 5 %.",
        ),
    ] = 0.05,
    text_format: TextFormat = "table",
    fail_on: Annotated[
        str | None,
        typer.Option(
            "--fail-on",
            metavar="WHAT",
            help="regression: end with exit code 1 if anything got worse, corrected for asking "
            "several questions at once (Holm); with 2 if no metric had enough data.",
        ),
    ] = None,
) -> None:
    """
    Tell whether the candidate's calls got slower than the base's.

    For example, to stop a build:

    \b
      tokenclock compare before.jsonl after.jsonl --fail-on regression
    """  # noqa: D301 - the backspace keeps typer from wrapping the lines
    from tokenclock.compare import compare as compared  # noqa: PLC0415 - loads SciPy

    check_format(text_format)
    if fail_on is not None:
        check_choice("--fail-on", fail_on, ("regression",))
    comparison = compared(records(base), records(candidate), by=by, minimum_effect=minimum_effect)
    _tell(comparison, text_format)
    if fail_on:
        _judge(comparison)


def _tell(comparison: "Comparison", text_format: str) -> None:
    if text_format == "table":
        show(comparison.to_text())
    else:
        write(comparison.to_markdown() if text_format == "markdown" else comparison.to_json())


def _judge(comparison: "Comparison") -> None:
    """Say why the build is to stop, if it is; a question that was not answered is said, too."""
    asked = [*comparison.metrics.values()]
    asked += [one for group in comparison.groups.values() for one in group.metrics.values()]
    for doubt in _doubts(comparison, asked):
        tell(doubt)
    if all(one.verdict == NOT_ENOUGH for one in asked):
        fail(
            "Cannot tell whether anything got worse: no metric has enough data. Record more calls."
        )
    if regressions := comparison.regressions():
        tell(f"failed: {', '.join(map(_change, regressions))}")
        sys.exit(REGRESSION_FOUND)


def _doubts(comparison: "Comparison", asked: "list[MetricComparison]") -> Iterator[str]:
    """Give what no verdict covers, and a build would pass without a word."""
    before = comparison.baseline.failed_fraction or 0.0
    after = comparison.candidate.failed_fraction or 0.0
    if after > before:
        yield (
            f"{percent(after)} of the candidate's calls failed, against {percent(before)}: "
            "not judged"
        )
    if comparison.only_in_baseline:
        missing = ", ".join(map(group_name, comparison.only_in_baseline))
        yield f"the candidate has no call of {missing}: not judged"
    if unanswered := [one for one in asked if one.verdict == NOT_ENOUGH and _has_values(one)]:
        yield f"not enough data to judge {', '.join(map(_name, unanswered))}"


def _has_values(one: "MetricComparison") -> bool:
    """Whether a side has the number at all: calls that do not stream have no first token."""
    return bool(one.baseline_count or one.candidate_count)


def _name(one: "MetricComparison") -> str:
    return one.metric if one.group is None else f"{one.metric} of {one.group}"


def _change(one: "MetricComparison") -> str:
    return f"{_name(one)} regressed (ratio {one.ratio:.3g})"
