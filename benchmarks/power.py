"""
What ``tokenclock.compare`` finds, and how often it errs: verdicts on log-normal times.

Prints a Markdown table: how many of the comparisons of two sets of *n* calls find a change in one
metric, by how widely the times scatter (sigma, the standard deviation of their logarithms) and by
how much slower the candidate is. Without a change, each one found is a false alarm.

    python benchmarks/power.py [--pairs 2000] [--seed 20260101]

A comparison of logarithms moves and stretches with them, so the same pairs of samples serve for
every sigma and every slow-down: the cells of one n are not independent of each other.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator

import numpy as np

from tokenclock import _tables
from tokenclock._comparisons.rank_ratio import RankRatio, rank_ratio
from tokenclock._metrics import LATENCY
from tokenclock.compare import verdict_on

COUNTS = (20, 50, 100, 200, 500, 1000)
SIGMAS = (0.1, 0.2, 0.4, 0.8)
SLOW_DOWNS = (0.0, 0.05, 0.1, 0.2, 0.5)
MINIMUM_EFFECT = 0.05


def pairs(count: int, number: int, random: np.random.Generator) -> list[RankRatio]:
    """Compare *number* pairs of samples of *count* from one distribution, of sigma 1."""
    return [rank_ratio(*random.lognormal(size=(2, count))) for _ in range(number)]


def moved(ratio: RankRatio, sigma: float, slow_down: float) -> RankRatio:
    """Give what the same pair would come to with another sigma, and a slower candidate."""
    by = math.log1p(slow_down)
    low, shift, high = (sigma * one + by for one in (ratio.low, ratio.shift, ratio.high))
    return RankRatio(shift, low, high, ratio.p_value)


def share(ratios: list[RankRatio], sigma: float, slow_down: float, minimum_effect: float) -> str:
    """Give the part of the comparisons that find a change."""
    verdicts = [
        verdict_on(moved(ratio, sigma, slow_down), minimum_effect, LATENCY) for ratio in ratios
    ]
    return f"{100 - 100 * verdicts.count('no detectable change') / len(verdicts):.1f}%"


def rows(number: int, random: np.random.Generator) -> Iterator[list[str]]:
    """Give the table, the smallest scatter first."""
    ratios = {count: pairs(count, number, random) for count in COUNTS}
    for sigma in SIGMAS:
        for count in COUNTS:
            found = [share(ratios[count], sigma, one, MINIMUM_EFFECT) for one in SLOW_DOWNS]
            pure = share(ratios[count], sigma, 0.0, 0.0)
            yield [f"{sigma}", f"{count}", pure, *found]


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="The power of tokenclock.compare, by simulation.")
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=20260101)
    options = parser.parse_args(arguments)
    header = ["sigma", "n", "no change, effect 0", "no change"]
    header += [f"{one:.0%} slower" for one in SLOW_DOWNS[1:]]
    print(f"{options.pairs} pairs a row; minimum_effect={MINIMUM_EFFECT} (0 in the third column)")
    print()
    print(_tables.markdown(header, list(rows(options.pairs, np.random.default_rng(options.seed)))))


if __name__ == "__main__":
    main()
