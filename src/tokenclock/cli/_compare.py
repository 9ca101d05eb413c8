"""``tokenclock compare``: did it get slower? With an exit code that a build can stop at."""

# No "from __future__ import annotations": typer reads the types.

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from tokenclock._comparisons.texts import percent
from tokenclock._metrics import group_name
from tokenclock.cli._inputs import check_choice, check_format, records
from tokenclock.cli._output import fail, show, tell, write
from tokenclock.cli._parameters import By, NestedCalls, TextFormat, typer

if TYPE_CHECKING:
    from tokenclock._metrics import Nested
    from tokenclock.compare import Comparison, MetricComparison

REGRESSION_FOUND = 1
NOT_ENOUGH = "not enough data"
REGRESSION, FAILURES = "regression", "failures"


def compare(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="The records to compare with.")],
    candidate: Annotated[
        Path, typer.Argument(metavar="CANDIDATE", help="The records of what may have changed.")
    ],
    *,
    by: By = None,
    minimum_effect: Annotated[
        str,
        typer.Option(
            "--minimum-effect",
            metavar="FRACTION",
            help="The smallest change that counts: 0.05, or 5%.",
        ),
    ] = "5%",
    nested: NestedCalls = "innermost",
    text_format: TextFormat = "table",
    fail_on: Annotated[
        str | None,
        typer.Option(
            "--fail-on",
            metavar="WHAT",
            help="regression: end with exit code 1 if anything got worse, corrected for asking "
            "several questions at once (Holm); with 2 if no metric had enough data. failures: "
            "with 1 if calls fail more often by more than chance (Fisher's exact test). Both: "
            "regression,failures.",
        ),
    ] = None,
) -> None:
    """
    Tell whether the candidate's calls got slower than the base's.

    For example, to stop a build:

    \b
      tokenclock compare before.jsonl after.jsonl --fail-on regression,failures
    """  # noqa: D301 - the backspace keeps typer from wrapping the lines
    from tokenclock.compare import compare as compared  # noqa: PLC0415 - loads SciPy

    check_format(text_format)
    check_choice("--nested", nested, ("innermost", "all"))
    reasons = [] if fail_on is None else fail_on.split(",")
    for reason in reasons:
        check_choice("--fail-on", reason, (REGRESSION, FAILURES))
    comparison = compared(
        records(base),
        records(candidate),
        by=by,
        minimum_effect=_fraction(minimum_effect),
        nested=cast("Nested", nested),
    )
    _tell(comparison, text_format)
    if reasons:
        _judge(comparison, reasons)


def _fraction(text: str) -> float:
    """
    Read a fraction, or a percentage.

    >>> _fraction("0.05"), _fraction("5%")
    (0.05, 0.05)
    """
    number = text.removesuffix("%")
    try:
        return float(number) / (100 if number != text else 1)
    except ValueError:
        fail(f"Cannot use --minimum-effect {text!r}: it is no number. Pass 0.05, or 5%.")


def _tell(comparison: "Comparison", text_format: str) -> None:
    if text_format == "table":
        show(comparison.to_text())
    else:
        write(comparison.to_markdown() if text_format == "markdown" else comparison.to_json())


def _judge(comparison: "Comparison", reasons: list[str]) -> None:
    """Say why the build is to stop, if it is; a question that was not answered is said, too."""
    asked = [*comparison.metrics.values()]
    asked += [one for group in comparison.groups.values() for one in group.metrics.values()]
    for doubt in _doubts(comparison, asked, judges_failures=FAILURES in reasons):
        tell(doubt)
    found: list[str] = []
    if FAILURES in reasons and comparison.has_more_failures:
        found.append(_failures(comparison))
    if REGRESSION in reasons:
        found += map(_change, comparison.regressions())
    if found:
        tell(f"failed: {', '.join(found)}")
        sys.exit(REGRESSION_FOUND)
    if REGRESSION in reasons and all(one.verdict == NOT_ENOUGH for one in asked):
        fail(
            "Cannot tell whether anything got worse: no metric has enough data. Record more calls."
        )


def _failures(comparison: "Comparison") -> str:
    before = comparison.baseline.failed_fraction or 0.0
    after = comparison.candidate.failed_fraction or 0.0
    return f"{percent(after)} of the candidate's calls failed, against {percent(before)}"


def _doubts(
    comparison: "Comparison", asked: "list[MetricComparison]", *, judges_failures: bool
) -> Iterator[str]:
    """Give what no verdict covers, and a build would pass without a word."""
    before = comparison.baseline.failed_fraction or 0.0
    after = comparison.candidate.failed_fraction or 0.0
    if after > before and not judges_failures:
        yield f"{_failures(comparison)}: not judged (--fail-on failures judges it)"
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
