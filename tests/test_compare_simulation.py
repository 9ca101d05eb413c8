"""What comparisons find among calls of which we know the truth: errors, power, coverage."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tokenclock._metrics import LATENCY
from tokenclock._result import MetricsResult, result_of
from tokenclock._timeline import TokenGaps

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tokenclock._comparisons.rank_ratio import RankRatio

    Random = np.random.Generator
    Draw = Callable[[Random, int], NDArray[np.float64]]

pytestmark = [pytest.mark.extras, pytest.mark.heavy]

STARTED = datetime(2026, 1, 2, tzinfo=timezone.utc)
PAIRS = 1000
# At most 5 % find a change, and the sampling error of 1,000 pairs: three standard errors.
AT_MOST = 0.05 * PAIRS + 3 * math.sqrt(PAIRS * 0.05 * 0.95)
# At least 95 % of intervals hold the truth, less three standard errors. The upper side likewise:
# an interval that is too wide finds too little.
HOLDING = (0.95 * PAIRS - 3 * math.sqrt(PAIRS * 0.05 * 0.95), 970.7)
TOKENS = 9


def random_numbers(seed: int) -> Random:
    from numpy.random import default_rng  # noqa: PLC0415 - an extra

    return default_rng(seed)


def log_normal(sigma: float) -> Draw:
    return lambda random, count: random.lognormal(-1.0, sigma, count)


def exponential(random: Random, count: int) -> NDArray[np.float64]:
    return random.exponential(0.5, count)


def two_humps(random: Random, count: int) -> NDArray[np.float64]:
    """Give times of which a third wait for a cold start."""
    return random.lognormal(-1.0, 0.2, count) * (1 + 3 * (random.random(count) < 1 / 3))


def of_a_coarse_clock(random: Random, count: int) -> NDArray[np.float64]:
    """Give times that a clock of 10 ms has rounded: many are equal."""
    times: NDArray[np.float64] = random.lognormal(-0.5, 0.4, count).round(2)
    return times


def ratios(
    draw: Draw, before: int, after: int, *, slower: float = 1.0, seed: int = 1
) -> list[RankRatio]:
    """Compare 1,000 pairs of samples; the candidate's times are longer by a factor."""
    from tokenclock._comparisons.rank_ratio import rank_ratio  # noqa: PLC0415 - an extra

    random = random_numbers(seed)
    return [
        rank_ratio(draw(random, before), draw(random, after) * slower)  # type: ignore[arg-type]
        for _ in range(PAIRS)
    ]


def verdicts(found: list[RankRatio], minimum_effect: float) -> Counter[str]:
    from tokenclock.compare import verdict_on  # noqa: PLC0415 - an extra

    return Counter(verdict_on(ratio, minimum_effect, LATENCY) for ratio in found)


# --- one metric ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "before", "after"),
    [
        (log_normal(0.4), 200, 200),
        (log_normal(0.1), 200, 200),
        (log_normal(0.8), 20, 20),
        (log_normal(0.4), 20, 400),
        (exponential, 50, 50),
        (two_humps, 50, 50),
        (of_a_coarse_clock, 100, 100),
    ],
    ids=["0.4", "0.1", "smallest", "unequal", "exponential", "two humps", "coarse clock"],
)
def test_without_a_change_at_most_one_in_twenty_finds_one(
    draw: Draw, before: int, after: int
) -> None:
    """Over 1,000 pairs from one distribution at most 5 % find a change, minimal effect or none."""
    found = ratios(draw, before, after)

    pure, practical = verdicts(found, 0.0), verdicts(found, 0.05)
    assert PAIRS - practical["no detectable change"] <= PAIRS - pure["no detectable change"]
    assert PAIRS - pure["no detectable change"] <= AT_MOST
    assert sum(ratio.p_value < 0.05 for ratio in found) <= AT_MOST


@pytest.mark.parametrize("sigma", [0.1, 0.2, 0.4])
@pytest.mark.parametrize(("slower", "verdict"), [(1.2, "regressed"), (1 / 1.2, "improved")])
def test_a_change_of_a_fifth_is_found_in_200_calls(
    sigma: float, slower: float, verdict: str
) -> None:
    """With a true 20 % shift, n=200 and sigma up to 0.4, at least 95 % are found."""
    found = verdicts(ratios(log_normal(sigma), 200, 200, slower=slower, seed=2), 0.05)

    assert found[verdict] >= 0.95 * PAIRS


@pytest.mark.parametrize(
    ("draw", "before", "after"),
    [
        (log_normal(0.4), 200, 200),
        (log_normal(0.8), 20, 20),
        (log_normal(0.2), 30, 300),
        (exponential, 100, 100),
        (two_humps, 100, 100),
    ],
    ids=["log-normal", "smallest", "unequal", "exponential", "two humps"],
)
def test_the_interval_holds_the_true_ratio_in_95_of_100(
    draw: Draw, before: int, after: int
) -> None:
    """Of 1,000 intervals about 950 hold the true ratio, whatever the distribution."""
    truth = math.log(1.2)
    found = ratios(draw, before, after, slower=1.2, seed=3)

    holding = sum(ratio.low <= truth <= ratio.high for ratio in found)
    assert HOLDING[0] <= holding <= HOLDING[1]
    middle = sum(ratio.shift for ratio in found) / PAIRS
    assert middle == pytest.approx(truth, abs=0.03)  # a mean of 1,000 estimates


# --- whole calls ---------------------------------------------------------------------------------


def calls(random: Random, count: int, slower: float = 1.0) -> list[MetricsResult[Any]]:
    """Give calls whose six numbers hang together: a slow first token makes a slow call."""
    load = random.lognormal(0.0, 0.2, count) * slower
    firsts = random.lognormal(-1.0, 0.35, count) * load
    gaps = random.lognormal(-3.0, 0.35, (count, TOKENS - 1)) * load[:, None]
    rows = zip(firsts.tolist(), gaps.sum(axis=1).tolist(), gaps.tolist(), strict=True)
    return [streamed(first, rest, between) for first, rest, between in rows]


TEMPLATE: MetricsResult[None] = MetricsResult(
    function="chat",
    call_id="c",
    started_at=STARTED,
    streamed=True,
    outcome="completed",
    generation_latency=1.0,
    token_count=TOKENS,
)


def streamed(first: float, rest: float, gaps: list[float]) -> MetricsResult[Any]:
    return result_of(
        {
            **vars(TEMPLATE),
            "generation_latency": first + rest,
            "time_to_first_token": first,
            "time_to_first_output_token": first,
            "time_per_output_token": rest / (TOKENS - 1),
            "inter_token_latencies": TokenGaps.of(gaps),
            "throughput": TOKENS / (first + rest),
        }
    )


def test_whole_calls_without_a_change_raise_no_alarm() -> None:
    """
    Over 1,000 pairs of 200 calls at most 5 % find a change: in any one metric, and corrected.

    The correction is for asking of six metrics at once; without it more comparisons would find
    something in one of them, and that is why a gate must not go by single verdicts.
    """
    from tokenclock.compare import compare  # noqa: PLC0415 - an extra

    random = random_numbers(4)
    found: Counter[str] = Counter()
    gates = single = 0
    for _ in range(PAIRS):
        comparison = compare(calls(random, 200), calls(random, 200))
        changed = [name for name, one in comparison.metrics.items() if one.is_change]
        found.update(changed)
        single += bool(changed)
        gates += comparison.has_regressed or bool(comparison.improvements())

    assert comparison.question_count == 6
    for name in comparison.metrics:
        assert found[name] <= AT_MOST
    assert gates <= AT_MOST
    assert gates < single


@pytest.mark.parametrize("slower", [1.2, 1 / 1.2])
def test_whole_calls_that_changed_by_a_fifth_are_found(slower: float) -> None:
    """A gate sees calls that are a fifth slower, and all that is about time has got worse."""
    from tokenclock.compare import compare  # noqa: PLC0415 - an extra

    random = random_numbers(5)
    comparisons = [compare(calls(random, 200), calls(random, 200, slower)) for _ in range(100)]

    verdict, other = ("regressed", "improved") if slower > 1 else ("improved", "regressed")
    everything = Counter(one.verdict for each in comparisons for one in each.metrics.values())
    assert everything[verdict] >= 0.95 * 600  # type: ignore[index]
    assert everything[other] == 0  # type: ignore[index]
    gates = sum(each.has_regressed for each in comparisons)
    assert gates >= 95 if slower > 1 else gates == 0


def test_the_benchmark_prints_the_table_of_the_docs(capsys: pytest.CaptureFixture[str]) -> None:
    """The table in docs/comparing.md comes from benchmarks/power.py: same columns, same rows."""
    import power  # noqa: PLC0415 - needs an extra

    power.main(["--pairs", "2"])
    page = (Path(__file__).parents[1] / "docs" / "comparing.md").read_text(encoding="utf-8")

    def frame(text: str) -> list[str]:
        rows = [line.split("|") for line in text.splitlines() if line.startswith("| ")]
        return [f"{row[1]}|{row[2]}" if row[1].strip()[0] == "0" else "|".join(row) for row in rows]

    assert frame(capsys.readouterr().out) == frame(page)
    assert len(frame(page)) == 2 + 4 * 6
