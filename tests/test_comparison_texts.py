"""What a comparison prints; and that without SciPy there is none. Nothing here needs SciPy."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from typing import Any
from unicodedata import east_asian_width

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenclock._comparisons.comparison import (
    ComparedCalls,
    Comparison,
    MetricComparison,
    corrected,
    holm,
)

WITHOUT_SCIPY = """
import sys
sys.modules["scipy"] = None
from tokenclock.errors import MissingExtraError
try:
    import tokenclock.compare
except MissingExtraError as error:
    print(error, error.extra, isinstance(error, ImportError))
"""


def calls(count: int, **fields: Any) -> ComparedCalls:
    given = {"outer_calls_left_out": 0, "outcomes": {"completed": count}, "callers_doing_count": 0}
    return ComparedCalls(call_count=count, **{**given, **fields})


def first_token(**fields: Any) -> MetricComparison:
    given = {
        "metric": "time_to_first_token",
        "unit": "s",
        "baseline_count": 200,
        "candidate_count": 210,
        "baseline_median": 0.384,
        "candidate_median": 0.404,
        "ratio": 1.055,
        "low": 0.976,
        "high": 1.141,
        "p_value": 0.25,
        "verdict": "no detectable change",
    }
    return MetricComparison(**{**given, **fields})


def throughput(**fields: Any) -> MetricComparison:
    given = {
        "metric": "throughput",
        "unit": "tokens/s",
        "baseline_median": 26.94,
        "candidate_median": 20.0,
        "ratio": 0.75,
        "low": 0.71,
        "high": 0.79,
        "p_value": 0.0001,
        "verdict": "regressed",
    }
    return first_token(**{**given, **fields})


def few(**fields: Any) -> MetricComparison:
    given = {
        "metric": "inter_token_latency",
        "baseline_count": 19,
        "candidate_median": None,
        "candidate_count": 0,
        "ratio": None,
        "low": None,
        "high": None,
        "p_value": None,
        "verdict": "not enough data",
    }
    return first_token(**{**given, **fields})


def compared(*found: MetricComparison, **fields: Any) -> Comparison:
    given = {"baseline": calls(200), "candidate": calls(210), "minimum_effect": 0.05}
    metrics = {one.metric: one for one in found}
    return corrected(Comparison(metrics=metrics, **{**given, **fields}))


# --- without the extra -----------------------------------------------------------------------


def test_without_scipy_the_import_says_what_to_install() -> None:
    """Importing the module fails at once, and the message names the extra."""
    run = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", WITHOUT_SCIPY], capture_output=True, text=True, check=True
    )

    assert run.stdout == (
        "Comparisons need SciPy, which is not installed. Install it with: "
        "pip install 'tokenclock[compare]'. compare True\n"
    )


# --- text ----------------------------------------------------------------------------------------


def test_the_text_of_a_comparison() -> None:
    """How the calls ended, the table, and what its words mean."""
    comparison = compared(first_token(), throughput(), few())

    assert str(comparison) == (
        "baseline: 200 calls, 200 completed\n"
        "candidate: 210 calls, 210 completed\n"
        "\n"
        "metric                  calls  baseline  candidate  ratio     interval"
        "               verdict\n"
        "time to first token   200/210    384 ms     404 ms  1.055  0.976-1.141"
        "  no detectable change\n"
        "throughput, tokens/s  200/210      26.9         20  0.750  0.710-0.790"
        "             regressed\n"
        "median gap of a call     19/0    384 ms        n/a    n/a          n/a"
        "       not enough data\n"
        "\n"
        "calls: those with the number; the last two rows take completed calls,"
        " others streams\n"
        "baseline, candidate: medians, whose quotient need not be the ratio\n"
        "ratio: candidate / baseline, the median over all pairs of calls (Hodges-Lehmann)\n"
        "interval: 95%, the Mann-Whitney test inverted (Moses); each call is one value\n"
        "change: the interval excludes 1 and the ratio is above 1.05 or below 0.952\n"
        "not enough data: fewer than 20 calls on a side have the number\n"
        "Every change holds when corrected for 2 questions (Holm)."
    )


def test_a_change_that_does_not_hold_is_starred() -> None:
    """A verdict stands for its metric alone; the star says that it may be chance among many."""
    comparison = compared(first_token(), throughput(p_value=0.03))

    assert comparison.metrics["throughput"].adjusted_p_value == 0.06
    assert "0.710-0.790            regressed*\n" in str(comparison)
    assert str(comparison).endswith("\n*: does not hold when corrected for 2 questions (Holm)")


def test_one_question_is_one_question() -> None:
    """One question needs no correction, and no plural."""
    assert str(compared(throughput(p_value=0.03))).endswith(
        "\nEvery change holds when corrected for 1 question (Holm)."
    )


def test_without_a_change_nothing_is_said_of_correction() -> None:
    """Where nothing changed there is nothing to hold, and where all have data none lacks it."""
    text = str(compared(first_token(), minimum_effect=0))

    assert text.endswith("\nchange: the interval excludes 1")


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"call_count": 1, "outcomes": {"stopped": 1}}, "candidate: 1 call, 1 stopped"),
        (
            {"outcomes": {"completed": 4}, "callers_doing_count": 3},
            "candidate: 8 calls, 4 completed, 3 with 5% or more in the caller's own code",
        ),
        ({"outer_calls_left_out": 2}, "candidate: 8 calls, 8 completed, 2 outer left out"),
        ({"call_count": 0, "outcomes": {}}, "candidate: 0 calls"),
    ],
)
def test_what_is_special_about_the_calls_is_said(fields: dict[str, Any], line: str) -> None:
    """Calls left out, and calls that the caller slowed down, are set apart."""
    text = str(compared(first_token(), candidate=calls(**{"count": 8, **renamed(fields)})))

    assert text.splitlines()[1] == line


def renamed(fields: dict[str, Any]) -> dict[str, Any]:
    return {("count" if name == "call_count" else name): fields[name] for name in fields}


def test_more_failures_are_said_though_not_judged() -> None:
    """Failed calls have no times; that there are more of them must not go unseen."""
    candidate = calls(40, outcomes={"completed": 30, "failed": 10})

    text = str(compared(first_token(), candidate=candidate))
    assert text.splitlines()[1:3] == [
        "candidate: 40 calls, 30 completed, 10 failed",
        ("The candidate failed more often: 25% of its calls, against 0%. Failures get no verdict."),
    ]
    assert "more often" not in str(compared(first_token(), baseline=candidate))
    rare = calls(10_000, outcomes={"completed": 9_999, "failed": 1})
    assert "more often: 0.01% of its calls, against 0%." in str(
        compared(first_token(), candidate=rare)
    )
    assert (candidate.completed_count, candidate.failed_count) == (30, 10)
    assert candidate.failed_fraction == 0.25
    assert calls(0, outcomes={}).failed_fraction is None


def test_the_text_of_groups() -> None:
    """Each group has its table; what one side lacks is listed; notes come once, at the end."""
    group = compared(throughput(group="llama", p_value=0.03), group="llama")
    comparison = compared(
        first_token(),
        groups={"llama": group},
        only_in_baseline=("old", None),
        only_in_candidate=(True,),
    )

    lines = str(comparison).splitlines()
    assert lines[6:8] == ["group: llama", "baseline: 200 calls, 200 completed"]
    assert lines[10].split() == [
        "metric",
        "calls",
        "baseline",
        "candidate",
        "ratio",
        "interval",
        "verdict",
    ]
    assert lines[12:15] == [
        "",
        "only in the baseline: old, (none)",
        "only in the candidate: True",
    ]
    assert lines[-1] == "*: does not hold when corrected for 2 questions (Holm)"
    assert str(group).startswith("group: llama\n")


def test_the_markdown_of_a_comparison() -> None:
    """Lists and tables of GitHub's Markdown, with a heading for each group."""
    group = compared(throughput(group="a|<b>"), group="a|<b>")

    assert compared(first_token(), groups={"a|<b>": group}).to_markdown() == (
        "- baseline: 200 calls, 200 completed\n"
        "- candidate: 210 calls, 210 completed\n"
        "\n"
        "| metric | calls | baseline | candidate | ratio | interval | verdict |\n"
        "| :--- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| time to first token | 200/210 | 384 ms | 404 ms | 1.055 | 0.976-1.141"
        " | no detectable change |\n"
        "\n"
        "### a\\|\\<b\\>\n"
        "\n"
        "- baseline: 200 calls, 200 completed\n"
        "- candidate: 210 calls, 210 completed\n"
        "\n"
        "| metric | calls | baseline | candidate | ratio | interval | verdict |\n"
        "| :--- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| throughput, tokens/s | 200/210 | 26.9 | 20 | 0.750 | 0.710-0.790 | regressed |\n"
        "\n"
        "- calls: those with the number; the last two rows take completed calls,"
        " others streams\n"
        "- baseline, candidate: medians, whose quotient need not be the ratio\n"
        "- ratio: candidate / baseline, the median over all pairs of calls (Hodges-Lehmann)\n"
        "- interval: 95%, the Mann-Whitney test inverted (Moses); each call is one value\n"
        "- change: the interval excludes 1 and the ratio is above 1.05 or below 0.952\n"
        "- Every change holds when corrected for 2 questions (Holm)."
    )


hostile = st.text(max_size=200) | st.sampled_from(
    ["\x1b]0;owned\x07" * 20, "[bold]x[/bold]", "<script>", "| a |", "$x_", "日" * 300, "\n\n# a"]
)


@given(hostile, st.floats(min_value=0, max_value=1e9), st.integers(min_value=0, max_value=10**6))
def test_the_text_fits_a_terminal_whatever_is_in_it(name: str, number: float, count: int) -> None:
    """No name and no number steers the terminal or makes a line wider than 100 columns."""
    row = throughput(ratio=number, low=number, high=number, baseline_count=count, group=name)
    side = calls(count, outcomes={name: count}, callers_doing_count=count)
    group = compared(row, group=name, baseline=side, candidate=side)
    comparison = compared(
        first_token(baseline_count=count, candidate_median=number),
        groups={name: group},
        only_in_baseline=(name, number),
        minimum_effect=number,
    )

    for line in str(comparison).split("\n"):
        assert line.isprintable()
        assert sum(2 if east_asian_width(one) in "WF" else 1 for one in line) <= 100
    for line in comparison.to_markdown().split("\n"):
        assert line.isprintable()
        assert "<" not in line.replace("\\<", "")


# --- data ----------------------------------------------------------------------------------------


def test_a_comparison_is_plain_data() -> None:
    """to_dict has every number and is ready for JSON."""
    group = compared(few(group="(1, 2)"), group="(1, 2)")
    key: Any = (1, 2)
    comparison = compared(
        throughput(), groups={key: group}, only_in_baseline=(True, None, key), minimum_effect=0.1
    )
    record = comparison.to_dict()

    assert json.loads(comparison.to_json()) == record
    assert record["has_regressed"] is True
    assert record["minimum_effect"] == 0.1
    assert record["question_count"] == 1
    assert record["method"].startswith("ratio: candidate / baseline, the median over all pairs")
    assert record["only_in_baseline"] == [True, None, "(1, 2)"]
    assert record["only_in_candidate"] == []
    assert record["baseline"] == {
        "call_count": 200,
        "outer_calls_left_out": 0,
        "outcomes": {"completed": 200},
        "callers_doing_count": 0,
        "failed_fraction": 0.0,
    }
    assert record["metrics"]["throughput"] == {
        "metric": "throughput",
        "group": None,
        "unit": "tokens/s",
        "baseline_count": 200,
        "candidate_count": 210,
        "baseline_median": 26.94,
        "candidate_median": 20.0,
        "ratio": 0.75,
        "low": 0.71,
        "high": 0.79,
        "p_value": 0.0001,
        "adjusted_p_value": 0.0001,
        "verdict": "regressed",
        "holds_corrected": True,
    }
    assert [part["key"] for part in record["groups"]] == ["(1, 2)"]
    assert [part["comparison"]["group"] for part in record["groups"]] == ["(1, 2)"]


def test_an_infinite_ratio_is_valid_json() -> None:
    """JSON has no infinity; a text says it."""
    comparison = compared(throughput(ratio=float("inf"), low=2.0, high=float("inf")))

    assert "Infinity" not in json.loads(comparison.to_json(), parse_constant=str).values()
    assert comparison.to_dict()["metrics"]["throughput"]["high"] == "Infinity"
    assert "  inf  2.000-inf  " in str(comparison)


def test_a_comparison_survives_pickling_and_can_be_hashed() -> None:
    """It goes to another process, and into a set."""
    comparison = compared(throughput(), groups={None: compared(few(), group="(none)")})

    assert pickle.loads(pickle.dumps(comparison)) == comparison  # noqa: S301 - our own
    assert len({comparison, comparison}) == 1
    with pytest.raises(AttributeError):
        comparison.minimum_effect = 0.0  # type: ignore[misc]


# --- many questions --------------------------------------------------------------------------


def test_questions_of_groups_count_too() -> None:
    """The smallest of four p-values is multiplied by four, whichever group it is in."""
    group = compared(throughput(group="a", p_value=0.01), first_token(p_value=0.02), group="a")
    whole = compared(throughput(p_value=0.04), first_token(p_value=1.0), few(), groups={"a": group})

    assert whole.question_count == 4
    assert whole.groups["a"].question_count == 4
    assert [one.adjusted_p_value for one in whole.groups["a"].metrics.values()] == [0.04, 0.06]
    assert [one.adjusted_p_value for one in whole.metrics.values()] == [0.08, 1.0, None]
    assert [one.group for one in whole.regressions()] == ["a"]
    assert [one.group for one in whole.regressions(corrected=False)] == [None, "a"]
    assert whole.has_regressed


def test_improvements_are_no_regressions() -> None:
    """What got better is listed apart."""
    comparison = compared(throughput(verdict="improved"))

    assert not comparison.has_regressed
    assert [one.metric for one in comparison.improvements()] == ["throughput"]


def test_a_verdict_is_no_change_however_small_its_p_value() -> None:
    """A difference that is certain and too small to matter is none of the regressions."""
    one = throughput(ratio=0.99, verdict="no detectable change", adjusted_p_value=0.0)

    assert not one.is_change
    assert not one.holds_corrected


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([], []),
        ([0.5], [0.5]),
        ([0.03125, 0.0625, 0.125], [0.09375, 0.125, 0.125]),
        ([0.125, 0.0625, 0.03125], [0.125, 0.125, 0.09375]),
        ([0.5, 0.5, 1.0], [1.0, 1.0, 1.0]),
        ([0.25, 0.25], [0.5, 0.5]),
    ],
)
def test_holm_multiplies_the_smallest_by_all_the_next_by_one_less(
    p_values: list[float], adjusted: list[float]
) -> None:
    """Holm's step-down method, in whatever order the p-values come."""
    assert holm(p_values) == adjusted
