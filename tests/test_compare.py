"""Two sets of calls compared: the calls taken, the ratio, its interval and the verdict."""

from __future__ import annotations

import doctest
import math
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenclock import MetricsResult
from tokenclock._timeline import TokenGaps
from tokenclock.errors import EmptyInputError, InvalidOptionError, InvalidRecordError

if TYPE_CHECKING:
    from tokenclock._comparisons.rank_ratio import RankRatio
    from tokenclock.compare import Comparison, MetricComparison

pytestmark = pytest.mark.extras

STARTED = datetime(2026, 1, 2, tzinfo=timezone.utc)
LATENCY = "generation_latency"
TWO: Any = pytest.approx(2.0)  # ratios pass through logarithms, which round
HALF: Any = pytest.approx(0.5)


def compare(baseline: Any, candidate: Any, **options: Any) -> Comparison:
    from tokenclock.compare import compare as run  # noqa: PLC0415 - an extra

    return run(baseline, candidate, **options)


def rank_ratio(baseline: Any, candidate: Any) -> RankRatio:
    from tokenclock._comparisons.rank_ratio import rank_ratio as run  # noqa: PLC0415 - an extra

    return run(baseline, candidate)


def call(latency: float = 1.0, **fields: Any) -> MetricsResult[None]:
    given = {"function": "chat", "call_id": "c", "streamed": False, "outcome": "completed"}
    required = {"started_at": STARTED, "generation_latency": latency}
    return MetricsResult(**{**given, **required, **fields})


def lasting(latencies: Iterable[float], **fields: Any) -> list[MetricsResult[None]]:
    """Give a call of a value for each latency."""
    return [call(latency, **fields) for latency in latencies]


def streaming(**numbers: list[float]) -> list[MetricsResult[None]]:
    """Give a stream for each place of the given lists of numbers."""
    names = list(numbers)
    rows = zip(*numbers.values(), strict=True)
    return [call(streamed=True, **dict(zip(names, row, strict=True))) for row in rows]


def latency_of(baseline: list[float], candidate: list[float], **options: Any) -> MetricComparison:
    return compare(lasting(baseline), lasting(candidate), **options).metrics[LATENCY]


def spread() -> list[float]:
    """Give 20 latencies, each 1 % longer than the one before."""
    return [1.01**place for place in range(20)]


# --- verdicts --------------------------------------------------------------------------------


def test_twice_the_time_is_a_regression() -> None:
    """Where every call takes twice as long, the ratio is 2 and so are both ends."""
    one = latency_of([1.0] * 20, [2.0] * 20)

    assert one.verdict == "regressed"
    assert (one.ratio, one.low, one.high) == (TWO, TWO, TWO)
    assert (one.baseline_median, one.candidate_median, one.unit) == (1.0, 2.0, "s")
    assert (one.baseline_count, one.candidate_count) == (20, 20)
    assert one.p_value is not None
    assert one.p_value < 1e-9
    assert one.adjusted_p_value == one.p_value


def test_half_the_time_is_an_improvement() -> None:
    """A time is better when it is shorter."""
    one = latency_of([2.0] * 20, [1.0] * 20)

    assert (one.verdict, one.ratio) == ("improved", HALF)


def test_a_higher_throughput_is_an_improvement() -> None:
    """A rate is better when it is higher, and it is counted in tokens per second."""
    slow, fast = lasting([1.0] * 20, throughput=10.0), lasting([1.0] * 20, throughput=20.0)
    one = compare(slow, fast).metrics["throughput"]

    assert (one.verdict, one.ratio, one.unit) == ("improved", TWO, "tokens/s")
    assert compare(fast, slow).metrics["throughput"].verdict == "regressed"


def test_equal_calls_are_no_change() -> None:
    """Where all is equal the ratio is 1, surely, and nothing is found."""
    one = latency_of([0.25] * 20, [0.25] * 30)

    assert one.verdict == "no detectable change"
    assert (one.ratio, one.low, one.high, one.p_value) == (1.0, 1.0, 1.0, 1.0)


def test_the_same_calls_are_no_change() -> None:
    """What is compared with itself has the ratio 1, in the middle of the interval."""
    one = latency_of(spread(), spread())

    assert one.verdict == "no detectable change"
    assert (one.ratio, one.p_value) == (1.0, 1.0)
    assert one.low is not None
    assert one.high is not None
    assert one.low < 1 < one.high
    assert one.low * one.high == pytest.approx(1.0)  # logarithms round


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [
        (1.25, "no detectable change"),
        (1.26, "regressed"),
        (0.8, "no detectable change"),
        (0.79, "improved"),
        (1.0, "no detectable change"),
    ],
)
def test_a_change_is_beyond_the_minimal_effect(factor: float, verdict: str) -> None:
    """A fifth less is what a quarter more is, seen from the other side; both are the limit."""
    assert latency_of([1.0] * 20, [factor] * 20, minimum_effect=0.25).verdict == verdict


def test_without_a_minimal_effect_what_is_certain_counts() -> None:
    """With a minimal effect of 0 the interval alone decides."""
    assert latency_of([1.0] * 20, [1.001] * 20, minimum_effect=0).verdict == "regressed"
    assert latency_of([1.0] * 20, [1.001] * 20).verdict == "no detectable change"


def test_an_interval_that_includes_1_is_no_change() -> None:
    """However far the estimate lies from 1: what may be chance is no change."""
    wide = [2.0**place for place in range(20)]
    one = latency_of(wide, [2 * latency for latency in wide])

    assert one.ratio == TWO
    assert one.low is not None
    assert one.low < 1
    assert one.verdict == "no detectable change"


@pytest.mark.parametrize(("before", "after"), [(19, 40), (40, 19), (1, 1), (19, 0)])
def test_fewer_than_20_values_are_not_enough(before: int, after: int) -> None:
    """A side of 19 gets counts and medians, and nothing that could be taken for a finding."""
    slow = [*lasting([2.0] * after), call(outcome="failed")]
    one = compare(lasting([1.0] * before), slow).metrics[LATENCY]

    assert one.verdict == "not enough data"
    assert (one.ratio, one.low, one.high) == (None, None, None)
    assert (one.p_value, one.adjusted_p_value) == (None, None)
    assert (one.baseline_count, one.candidate_count) == (before, after)
    assert one.baseline_median == 1.0
    assert one.candidate_median == (2.0 if after else None)


def test_the_median_lies_between_neighbours() -> None:
    """Medians interpolate linearly."""
    assert latency_of([1.0, 2.0], [4.0]).baseline_median == 1.5


def test_the_page_in_the_docs_shows_what_is_printed() -> None:
    """What docs/comparing.md shows is what its example prints."""
    page = (Path(__file__).parents[1] / "docs" / "comparing.md").read_text(encoding="utf-8")
    session = page.split("```python\n")[1].split("```")[0]
    shown = page.split("```text\n")[1].split("```")[0]

    test = doctest.DocTestParser().get_doctest(session, {}, "comparing", None, 0)
    assert doctest.DocTestRunner().run(test, clear_globs=False).failed == 0
    assert f"{test.globs['comparison']}\n" == shown


# --- zeros -----------------------------------------------------------------------------------


def test_zeros_are_equal_to_zeros() -> None:
    """0 / 0 is 1: a fake clock that stood still on both sides found no change."""
    one = latency_of([0.0] * 20, [0.0] * 20)

    assert (one.ratio, one.low, one.high, one.p_value) == (1.0, 1.0, 1.0, 1.0)
    assert one.verdict == "no detectable change"


def test_zero_is_below_every_positive_number() -> None:
    """The ratio of anything to 0 is infinite, and that of 0 to anything is 0."""
    slower, faster = latency_of([0.0] * 20, [5e-324] * 20), latency_of([1.7e308] * 20, [0.0] * 20)

    assert (slower.ratio, slower.low, slower.verdict) == (math.inf, math.inf, "regressed")
    assert (faster.ratio, faster.high, faster.verdict) == (0.0, 0.0, "improved")


def test_a_few_zeros_count_as_the_fastest() -> None:
    """Zeros move the ends of the interval as far as it goes, and make nonsense of no number."""
    one = latency_of([0.0] * 8 + [1.0] * 12, [2.0] * 20)

    assert (one.ratio, one.low, one.high) == (TWO, TWO, math.inf)
    assert one.verdict == "regressed"


# --- which numbers -----------------------------------------------------------------------------


def test_gaps_are_one_number_a_call() -> None:
    """Gaps within a call depend on each other: a call is one value, the median of its gaps."""
    slow = streaming(inter_token_latencies=[TokenGaps.of([0.25, 0.5, 8.0])] * 20)  # type: ignore[list-item]
    fast = streaming(inter_token_latencies=[TokenGaps.of([0.125, 0.375])] * 20)  # type: ignore[list-item]
    one = compare(slow, [*fast, *streaming(time_to_first_token=[1.0])]).metrics[
        "inter_token_latency"
    ]

    assert (one.baseline_count, one.candidate_count) == (20, 20)
    assert (one.baseline_median, one.candidate_median) == (0.5, 0.25)
    assert (one.ratio, one.verdict) == (HALF, "improved")


def test_first_tokens_of_streams_only() -> None:
    """The first-token time of a value is its whole latency; it is no stream's."""
    values = lasting([1.0] * 20, time_to_first_token=1.0, inter_token_latencies=TokenGaps.of([1.0]))
    streams = streaming(time_to_first_token=[0.5] * 20, time_per_output_token=[0.25] * 20)
    metrics = compare([*values, *streams], streams).metrics

    assert list(metrics) == [
        "time_to_first_token",
        "time_to_first_output_token",
        "time_per_output_token",
        "inter_token_latency",
        "generation_latency",
        "throughput",
    ]
    assert [one.baseline_count for one in metrics.values()] == [20, 0, 20, 0, 40, 0]
    assert [one.candidate_count for one in metrics.values()] == [20, 0, 20, 0, 20, 0]


def test_latencies_of_completed_calls_only() -> None:
    """A call that failed at once is not a fast one."""
    failed = lasting([0.01] * 30, outcome="failed")
    comparison = compare(lasting([1.0] * 20), [*lasting([1.0] * 20), *failed])

    assert comparison.metrics[LATENCY].candidate_count == 20
    assert comparison.metrics[LATENCY].verdict == "no detectable change"
    assert comparison.candidate.call_count == 50
    assert comparison.candidate.outcomes == {"completed": 20, "failed": 30}
    assert "The candidate failed more often: 60%" in str(comparison)


def test_outcomes_are_in_order() -> None:
    """The completed calls come first, then what happened most often."""
    outcomes = ["failed", "failed", "cancelled", "stopped", "stopped", "stopped", "completed"]
    results = [call(outcome=outcome) for outcome in outcomes]

    assert list(compare(results, results).baseline.outcomes.items()) == [
        ("completed", 1),
        ("stopped", 3),
        ("failed", 2),
        ("cancelled", 1),
    ]


def test_the_innermost_calls_are_taken() -> None:
    """A call around others is left out by default, and counted; nested="all" takes it."""
    outer = call(9.0, call_id="outer")
    inner = [call(1.0, call_id=f"inner-{place}", parent_id="outer") for place in range(20)]
    calls = [outer, *inner]

    innermost, everything = compare(calls, calls), compare(calls, calls, nested="all")
    assert innermost.metrics[LATENCY].baseline_count == 20
    assert (innermost.baseline.call_count, innermost.baseline.outer_calls_left_out) == (20, 1)
    assert everything.metrics[LATENCY].candidate_count == 21
    assert everything.candidate.outer_calls_left_out == 0


def test_a_call_counts_once_whatever_was_read_of_it_before() -> None:
    """A snapshot of a stream that runs is no call beside the finished one, and no outer one."""
    snapshot = call(0.5, call_id="a", outcome="running")

    candidate = compare([call()], [snapshot, call(call_id="a")]).candidate
    assert candidate.outcomes == {"completed": 1}
    assert (candidate.call_count, candidate.outer_calls_left_out) == (1, 0)


def test_calls_that_the_caller_slowed_down_are_counted() -> None:
    """Where the reader held the stream up, its times say little about the model."""
    slow = lasting([1.0] * 3, consumer_time=0.5)

    assert compare([call()], [call(), *slow]).candidate.callers_doing_count == 3


# --- groups --------------------------------------------------------------------------------------


def of_model(model: str | None, latency: float, count: int = 20) -> list[MetricsResult[None]]:
    return lasting([latency] * count, model=model)


def test_groups_are_compared_each_by_itself() -> None:
    """A group that got slower is found among others; those of one side only are listed."""
    before = [*of_model("a", 1.0), *of_model("b", 1.0), *of_model("old", 1.0, 1)]
    after = [*of_model("b", 2.0), *of_model("new", 1.0, 1), *of_model("a", 1.0)]
    comparison = compare(before, after, by="model")

    assert list(comparison.groups) == ["a", "b"]
    assert comparison.groups["a"].metrics[LATENCY].verdict == "no detectable change"
    assert comparison.groups["b"].metrics[LATENCY].verdict == "regressed"
    assert comparison.groups["b"].baseline.call_count == 20
    assert (comparison.only_in_baseline, comparison.only_in_candidate) == (("old",), ("new",))
    assert comparison.question_count == 3
    assert [(one.group, one.metric) for one in comparison.regressions()] == [("b", LATENCY)]


def test_groups_by_a_function_and_by_a_label() -> None:
    """Any key will do: a field, a label that even one side has alone, or what a function says."""
    labelled = lasting([1.0] * 20, attributes={"size": 1})

    assert list(compare(labelled, labelled, by="size").groups) == [1]
    assert list(compare(labelled, labelled, by=lambda result: result.streamed).groups) == [False]
    mixed = compare(lasting([1.0]), labelled, by="size")
    assert (mixed.only_in_baseline, mixed.only_in_candidate) == ((None,), (1,))


def test_outer_calls_are_left_out_of_their_own_group() -> None:
    """Which calls are outer is seen in the whole side, though its inner ones be in another."""
    outer = call(9.0, call_id="outer", model="a")
    inner = call(1.0, call_id="inner", parent_id="outer", model="b")
    groups = compare([outer, inner], [outer, inner], by="model").groups

    assert groups["a"].baseline.call_count == 0
    assert groups["a"].baseline.outer_calls_left_out == 1
    assert groups["b"].baseline.call_count == 1


def test_a_label_that_no_call_knows_is_a_slip() -> None:
    """A group by a name that is neither field nor label fails, rather than finding one group."""
    with pytest.raises(InvalidOptionError, match=r"^Cannot group calls by 'modle': ") as caught:
        compare([call()], [call()], by="modle")
    assert caught.value.option == "by"


# --- arguments -----------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["baseline", "candidate"])
def test_an_empty_side_is_named(side: str) -> None:
    """Nothing can be said of no calls; the error tells which side has none."""
    sides: dict[str, Any] = {"baseline": [call()], "candidate": [call()], side: []}

    with pytest.raises(EmptyInputError) as caught:
        compare(**sides)
    assert str(caught.value) == (
        f"Cannot compare with an empty {side}: there is no call in it. Pass at least one result; "
        "20 on each side are the least that gives a verdict. An iterator gives its results once."
    )


class Summary:
    """Stands for what is no iterable."""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Summary(), "of type 'Summary': it is no iterable."),
        (call(), "of type 'MetricsResult': it is no iterable."),
        (None, "of type 'NoneType': it is no iterable."),
        ("runs.jsonl", "that holds a 'str': it may hold MetricsResult objects only."),
        ([call(), {}], "that holds a 'dict': it may hold MetricsResult objects only."),
    ],
)
@pytest.mark.parametrize("side", ["baseline", "candidate"])
def test_what_holds_no_results_is_refused(side: str, given: object, words: str) -> None:
    """Whoever passes a summary, a path or one result is told what to pass."""
    sides: dict[str, Any] = {"baseline": [call()], "candidate": [call()], side: given}

    with pytest.raises(InvalidOptionError) as caught:
        compare(**sides)
    assert str(caught.value) == (
        f"Cannot compare with a {side} {words} Pass the results themselves: a list of them, "
        "the results of a ResultLog, or read_records(path)."
    )
    assert caught.value.option == side


def test_an_error_while_reading_passes() -> None:
    """A TypeError of the caller's own generator is the caller's, not a wrong argument."""

    def reading() -> Iterator[MetricsResult[None]]:
        yield call()
        raise TypeError("mine")

    with pytest.raises(TypeError, match=r"^mine$") as caught:
        compare([call()], reading())
    assert type(caught.value) is TypeError


@pytest.mark.parametrize("effect", [-0.1, 1, 5.0, math.nan, math.inf, True, "0.05", None, 10**400])
def test_a_minimal_effect_is_a_number(effect: object) -> None:
    """What is no fraction is refused before a result is read: 5 is meant as 5 %."""
    results = iter([call()])

    with pytest.raises(InvalidOptionError) as caught:
        compare(results, [call()], minimum_effect=effect)
    assert str(caught.value) == (
        f"Cannot compare with minimum_effect={effect!r}: it is no number from 0 to below 1. "
        "Pass the smallest change that counts as a fraction, such as 0.05 for 5 %."
    )
    assert caught.value.option == "minimum_effect"
    assert len(list(results)) == 1


@pytest.mark.parametrize("option", ["nested", "by"])
def test_other_options_are_checked_before_a_result_is_read(option: str) -> None:
    """A wrong option fails at once."""
    results = iter([call()])

    with pytest.raises(InvalidOptionError) as caught:
        compare(results, [call()], **{option: 5})
    assert caught.value.option == option
    assert len(list(results)) == 1


@pytest.mark.parametrize("number", [-1.0, math.nan, math.inf, "1", 10**400])
def test_numbers_of_a_broken_record_are_refused(number: Any) -> None:
    """Records are not checked when read; a rank of what is no time would be nonsense."""
    with pytest.raises(InvalidRecordError) as caught:
        compare([call()], [call(number, call_id="\x1b[31mred")])
    message = str(caught.value)
    assert message.startswith("Cannot compare generation_latency of the call '\\x1b[31mred': ")
    assert message.endswith(" is no finite number of 0 or more. Leave that call out.")
    assert message.isprintable()


# --- the method ------------------------------------------------------------------------------


def test_the_shift_of_a_published_example() -> None:
    """Hollander and Wolfe (1973), page 69: permeability at term less that before, 0.305."""
    at_term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    before = [1.15, 0.88, 0.90, 0.74, 1.21]
    ratio = rank_ratio(list(map(math.exp, before)), list(map(math.exp, at_term)))

    assert ratio.shift == pytest.approx(0.305)  # logarithms round


def test_of_an_odd_number_of_pairs_the_middle_one_is_the_estimate() -> None:
    """The median of three ratios is one of them, of four it lies between two."""
    assert math.exp(rank_ratio([1.0], [2.0, 4.0, 16.0]).shift) == pytest.approx(4.0)
    assert math.exp(rank_ratio([1.0], [2.0, 4.0, 16.0, 32.0]).shift) == pytest.approx(8.0)


def test_ties_within_a_side_are_corrected_for() -> None:
    """
    Equal values make the test, and with it the interval, surer than it would be without.

    By hand: 4 * 8 + 12 * 20 = 272 pairs of 400 are higher. The variance is 400 / 12 * (41 - 6360 /
    1560), so the standard score is 71.5 / 35.08 = 2.038; without the ties 71.5 / 36.97 = 1.934.
    """
    ratio = rank_ratio([1.0] * 4 + [3.0] * 16, [2.0] * 8 + [4.0] * 12)

    assert ratio.p_value == pytest.approx(0.0415, abs=5e-5)
    assert math.exp(ratio.low) == pytest.approx(4 / 3)


positive = st.floats(min_value=1e-3, max_value=1e3)
samples = st.lists(positive, min_size=20, max_size=40)
# From a few values only: many of them are equal, within a side and between the two.
tied = st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0]), min_size=20, max_size=40)


@given(samples | tied, samples | tied)
def test_swapping_the_sides_inverts_the_ratio(before: list[float], after: list[float]) -> None:
    """Twice as slow one way is twice as fast the other way, interval and verdict included."""
    there, back = rank_ratio(before, after), rank_ratio(after, before)

    assert (back.shift, back.low, back.high) == (-there.shift, -there.high, -there.low)
    assert back.p_value == there.p_value
    opposite = {"regressed": "improved", "improved": "regressed"}
    verdict = latency_of(before, after).verdict
    assert latency_of(after, before).verdict == opposite.get(verdict, verdict)


@given(samples, samples, st.integers(min_value=-20, max_value=20))
def test_scaling_both_sides_changes_nothing(
    before: list[float], after: list[float], power: int
) -> None:
    """Seconds or milliseconds: a ratio has no unit."""
    one = rank_ratio(before, after)
    scaled = rank_ratio([x * 2**power for x in before], [x * 2**power for x in after])

    near: Callable[[float], Any] = lambda x: pytest.approx(x, abs=1e-9)  # noqa: E731 - logarithms round
    assert scaled.shift == near(one.shift)
    assert scaled.low == near(one.low)
    assert scaled.high == near(one.high)


@given(st.data(), samples | tied, samples | tied)
def test_the_order_of_calls_does_not_matter(
    data: st.DataObject, before: list[float], after: list[float]
) -> None:
    """A comparison is of two sets."""
    shuffled = data.draw(st.permutations(before)), data.draw(st.permutations(after))

    assert compare(*map(lasting, shuffled)) == compare(lasting(before), lasting(after))


@given(samples | tied, samples | tied)
def test_the_interval_and_the_p_value_agree(before: list[float], after: list[float]) -> None:
    """An interval without 1 has p < 0.05; p < 0.05 with 1 in it is at its end, by equal values."""
    ratio = rank_ratio(before, after)

    assert ratio.low <= ratio.shift <= ratio.high
    if ratio.low > 0 or ratio.high < 0:
        assert ratio.p_value < 0.05
    elif ratio.p_value < 0.05:
        assert 0 in {ratio.low, ratio.high}
        assert set(before) & set(after)


@given(st.lists(st.integers(1, 10**6), min_size=20, max_size=40, unique=True), st.data())
def test_the_interval_holds_the_shifts_that_the_test_does_not_refuse(
    numbers: list[int], data: st.DataObject
) -> None:
    """SciPy's own test, on a candidate moved back, agrees just inside and just outside."""
    from scipy.stats import mannwhitneyu  # noqa: PLC0415 - an extra

    # Without ties: with them the test's variance changes with the shift, and the interval's not.
    cut = data.draw(st.integers(min_value=5, max_value=len(numbers) - 5))
    before, after = numbers[:cut], numbers[cut:]

    def p_value(shift: float) -> float:
        moved = [math.log(x) - shift for x in after]
        stay = [math.log(x) for x in before]
        return float(mannwhitneyu(moved, stay, method="asymptotic").pvalue)

    ratio = rank_ratio(before, after)
    tiny = 1e-7
    assert p_value(ratio.low - tiny) < 0.05
    assert p_value(ratio.high + tiny) < 0.05
    if ratio.high - ratio.low > 4 * tiny:
        assert p_value(ratio.low + tiny) >= 0.05 - 1e-9
        assert p_value(ratio.high - tiny) >= 0.05 - 1e-9


@given(samples | tied, samples | tied)
def test_large_samples_come_to_the_same(before: list[float], after: list[float]) -> None:
    """Samples whose pairs do not fit into memory are searched, and give the very same numbers."""
    from tokenclock._comparisons import rank_ratio as room  # noqa: PLC0415 - an extra

    ratio = rank_ratio(before, after)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "_FEW", 60)
        assert rank_ratio(before, after) == ratio


def test_a_hundred_thousand_calls_a_side() -> None:
    """Ten thousand million pairs are never formed: of twice the same numbers the ratio is 2."""
    numbers = [1 + (place * 7919 % 100_003) / 100_003 for place in range(100_000)]
    ratio = rank_ratio(numbers, [2 * number for number in numbers])

    assert math.exp(ratio.shift) == TWO
    assert 1.99 < math.exp(ratio.low) < 2 < math.exp(ratio.high) < 2.01
    assert ratio.p_value == 0.0


def test_more_failures_than_chance_explains_are_told_apart() -> None:
    """Fisher's exact test says of 5 failures in 30 calls against none that they are no chance."""
    fine = lasting([1.0] * 30)
    bad = [*lasting([1.0] * 25), *(call(outcome="failed") for _ in range(5))]

    one = compare(fine, bad)
    assert one.failures_p_value == pytest.approx(0.0261, abs=5e-5)  # hypergeometric, by hand
    assert one.has_more_failures
    assert compare(bad, fine).failures_p_value == 1.0
    assert not compare(bad, bad).has_more_failures


def test_a_change_below_the_minimal_effect_is_said() -> None:
    """An interval that excludes 1 is a change, if one too small to count: no verdict hides it."""
    comparison = compare(lasting([1.0] * 30), lasting([1.1] * 30), minimum_effect=0.25)

    assert comparison.metrics["generation_latency"].verdict == "no detectable change"
    text = comparison.to_text()
    assert "1.100-1.100  change below 25%" in text
    assert "change below 25%: the interval excludes 1, but the ratio is within that" in text
