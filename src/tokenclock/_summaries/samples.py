"""Columns of numbers: what is known of a distribution, in little more room than the numbers."""

from __future__ import annotations

import math
import struct
from array import array
from bisect import bisect_right

from tokenclock._statistics import PERCENTILES, is_supported, quantile
from tokenclock._summaries.summary import Statistics

# Sorting takes a float object for each number of a run: 32 MB for a million.
RUN_LENGTH = 1 << 20
HUGE = 1e150  # squares beyond are infinite


def statistics_of(numbers: array[float], *, left_out: int) -> Statistics:
    """Give the statistics of *numbers*, which are sorted on the way; none is nan."""
    count = len(numbers)
    if not count:
        return Statistics(count=0, left_out=left_out, unsupported=tuple(PERCENTILES))
    ordered = SortedRuns(numbers)
    minimum, maximum = ordered[0], ordered[count - 1]
    mean = _mean(numbers, minimum, maximum)
    return Statistics(
        count=count,
        left_out=left_out,
        mean=mean,
        standard_deviation=_standard_deviation(numbers, mean, maximum),
        minimum=minimum,
        maximum=maximum,
        **{name: quantile(ordered, fraction) for name, fraction in PERCENTILES.items()},
        unsupported=tuple(
            name for name, fraction in PERCENTILES.items() if not is_supported(count, fraction)
        ),
    )


def _mean(numbers: array[float], minimum: float, maximum: float) -> float:
    """Give the arithmetic mean; the sum is exact, so that the order does not matter."""
    if maximum == math.inf:
        return math.inf
    scale = _scale(maximum)
    scaled = numbers if scale == 1.0 else (number / scale for number in numbers)
    mean = math.fsum(scaled) / len(numbers) * scale
    return min(max(mean, minimum), maximum)  # rounding must not leave the range


def _standard_deviation(numbers: array[float], mean: float, maximum: float) -> float | None:
    """Give that of the sample: divided by ``n - 1``; ``None`` with one value or infinite ones."""
    if len(numbers) == 1 or mean == math.inf:
        return None
    scale = _scale(maximum)
    squares = math.fsum(((number - mean) / scale) ** 2 for number in numbers)
    return math.sqrt(squares / (len(numbers) - 1)) * scale


def _scale(maximum: float) -> float:
    return maximum if maximum > HUGE else 1.0


class SortedRuns:
    """
    The numbers of an array in ascending order, without a sorted copy.

    The array is sorted in place in runs; the number at a place is found by bisection over all of
    them: exact, since it is the bits of the number that are bisected.
    """

    def __init__(self, numbers: array[float]) -> None:
        self._numbers = numbers
        self._runs = [
            (start, min(start + RUN_LENGTH, len(numbers)))
            for start in range(0, len(numbers), RUN_LENGTH)
        ]
        for start, end in self._runs:
            numbers[start:end] = array("d", sorted(numbers[start:end]))

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, place: int) -> float:
        if len(self._runs) == 1:
            return self._numbers[place]
        low = min(_rank_of(self._numbers[start]) for start, _ in self._runs)
        high = max(_rank_of(self._numbers[end - 1]) for _, end in self._runs)
        while low < high:
            middle = (low + high) // 2
            if self._count_up_to(_number_of(middle)) > place:
                high = middle
            else:
                low = middle + 1
        return _number_of(low)

    def _count_up_to(self, number: float) -> int:
        return sum(
            bisect_right(self._numbers, number, start, end) - start for start, end in self._runs
        )


def _rank_of(number: float) -> int:
    """Give an integer that orders as the number does: neighbours in one are so in the other."""
    rank: int = struct.unpack("<q", struct.pack("<d", number))[0]
    return rank if rank >= 0 else -(rank & _WITHOUT_SIGN)


def _number_of(rank: int) -> float:
    number: float = struct.unpack("<d", struct.pack("<q", abs(rank)))[0]
    return number if rank >= 0 else -number


_WITHOUT_SIGN = (1 << 63) - 1
