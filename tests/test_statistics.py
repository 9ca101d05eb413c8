"""Quantiles, the sizes that support them, and columns that are sorted in runs."""

from __future__ import annotations

import math
import struct
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenclock._statistics import is_supported, least_count, quantile
from tokenclock._summaries import samples
from tokenclock._summaries.samples import SortedRuns, statistics_of

times = st.floats(min_value=0, max_value=1e9)


def test_quantiles_interpolate_linearly() -> None:
    """The rule is NumPy's linear: position fraction * (n - 1) between neighbours."""
    ordered = [1.0, 2.0, 4.0, 8.0, 16.0]

    assert quantile(ordered, 0.5) == 4.0
    assert quantile(ordered, 0.25) == 2.0
    assert quantile(ordered, 0.875) == 12.0
    assert quantile(ordered, 0.0) == 1.0
    assert quantile(ordered, 1.0) == 16.0
    assert quantile([3.0], 0.99) == 3.0


@pytest.mark.extras
@given(st.lists(times, min_size=1), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_quantiles_are_those_of_numpy(numbers: list[float], fraction: float) -> None:
    """NumPy's default rule gives the same number, but for the last bits."""
    import numpy as np  # noqa: PLC0415 - the bare run has none

    theirs = float(np.quantile(numbers, fraction))
    assert quantile(sorted(numbers), fraction) == pytest.approx(theirs, rel=1e-12, abs=1e-300)


@given(st.lists(times | st.just(math.inf), min_size=1), st.floats(min_value=0, max_value=1))
def test_a_quantile_lies_between_minimum_and_maximum(numbers: list[float], fraction: float) -> None:
    """Rounding never leaves the range, and infinity gives no nan."""
    assert min(numbers) <= quantile(sorted(numbers), fraction) <= max(numbers)


@pytest.mark.parametrize(
    ("fraction", "count"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.1, 36)]
)
def test_a_percentile_is_supported_from_a_size_on(fraction: float, count: int) -> None:
    """The exact, equal-tailed binomial interval exists from the known sizes on."""
    assert not is_supported(count - 1, fraction)
    assert is_supported(count, fraction)
    assert least_count(fraction) == count


@pytest.mark.extras
@pytest.mark.parametrize("fraction", [0.5, 0.9, 0.95, 0.99])
def test_the_sizes_are_those_of_the_binomial_distribution(fraction: float) -> None:
    """The interval from extreme to extreme misses the quantile on either side by 2.5 % at most."""
    from scipy.stats import binom  # noqa: PLC0415 - the bare run has none

    for count in (least_count(fraction) - 1, least_count(fraction)):
        all_below = binom.pmf(count, count, fraction)  # every value is below the quantile
        none_below = binom.cdf(0, count, fraction)
        assert (max(all_below, none_below) <= 0.025) == is_supported(count, fraction)


# --- columns -------------------------------------------------------------------------------------


@given(numbers=st.lists(st.floats(allow_nan=False), min_size=1), run=st.integers(1, 7))
def test_runs_give_the_order_of_all_numbers(numbers: list[float], run: int) -> None:
    """A column sorted in short runs has at every place what one sorted at once has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "RUN_LENGTH", run)
        ordered = SortedRuns(array("d", numbers))

        assert len(ordered) == len(numbers)
        assert [ordered[place] for place in range(len(numbers))] == sorted(numbers)


def test_neighbouring_numbers_are_told_apart() -> None:
    """The bisection ends at the very number, not near it."""
    numbers = [1.0]
    for _ in range(9):
        bits = struct.unpack("<q", struct.pack("<d", numbers[-1]))[0]
        numbers.append(struct.unpack("<d", struct.pack("<q", bits + 1))[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "RUN_LENGTH", 3)
        ordered = SortedRuns(array("d", reversed(numbers)))

        assert [ordered[place] for place in range(10)] == numbers


def test_statistics_of_few_numbers() -> None:
    """Each statistic is what a person works out by hand; the deviation is the sample's."""
    statistics = statistics_of(array("d", [4.0, 1.0, 3.0, 8.0]), left_out=2)

    assert (statistics.count, statistics.left_out) == (4, 2)
    assert statistics.mean == 4.0
    assert statistics.standard_deviation == math.sqrt(26 / 3)
    assert (statistics.minimum, statistics.maximum) == (1.0, 8.0)
    assert statistics.p50 == 3.5
    assert statistics.p90 == pytest.approx(6.8)  # 0.9 is no exact number
    assert statistics.unsupported == ("p50", "p90", "p95", "p99")


def test_statistics_of_one_number() -> None:
    """One value is its own mean and percentiles, and says nothing of deviation."""
    statistics = statistics_of(array("d", [0.1]), left_out=0)

    assert statistics.mean == statistics.p50 == statistics.p99 == statistics.maximum == 0.1
    assert statistics.standard_deviation is None


def test_statistics_of_no_number() -> None:
    """Without values nothing is known: None, not 0."""
    statistics = statistics_of(array("d"), left_out=3)

    assert (statistics.count, statistics.left_out) == (0, 3)
    assert statistics.mean is None
    assert statistics.p50 is None
    assert statistics.maximum is None
    assert statistics.unsupported == ("p50", "p90", "p95", "p99")


def test_statistics_with_infinity() -> None:
    """An infinite value makes the mean infinite and the deviation unknown; there is no nan."""
    statistics = statistics_of(array("d", [1.0, math.inf, 1.0, 1.0]), left_out=0)

    assert statistics.mean == math.inf
    assert statistics.standard_deviation is None
    assert statistics.p50 == 1.0
    assert statistics.p90 == math.inf


@given(st.lists(times, min_size=2))
def test_a_mean_lies_between_minimum_and_maximum(numbers: list[float]) -> None:
    """Rounding leaves the range neither in the mean, nor below 0 in the deviation."""
    statistics = statistics_of(array("d", numbers), left_out=0)

    assert statistics.mean is not None
    assert statistics.standard_deviation is not None
    assert min(numbers) <= statistics.mean <= max(numbers)
    assert 0 <= statistics.standard_deviation <= max(numbers)


def test_absurd_numbers_do_not_overflow() -> None:
    """A record can hold any number; the largest there are still have a mean and a deviation."""
    statistics = statistics_of(array("d", [1.5e308] * 3 + [0.5e308]), left_out=0)

    assert statistics.mean == pytest.approx(1.25e308)
    assert statistics.standard_deviation == pytest.approx(0.5e308)
