"""
Draw results: what happened in each call, and how numbers are distributed.

Each function takes results, draws into an ``Axes`` of matplotlib and returns it. The extra
``plot`` installs what this needs. Colours can be told apart by the colour-blind, on a light and
on a dark background; labels carry their units. Names from results are drawn as they are, whatever
they hold; for characters that the font lacks matplotlib draws boxes and gives a warning, and
``rcParams["font.family"]`` may name a font that has them.

.. versionadded:: 0.1.0
"""

from __future__ import annotations

from tokenclock.plots._comparison import plot_comparison
from tokenclock.plots._distribution import plot_distribution
from tokenclock.plots._over_time import plot_over_time
from tokenclock.plots._timeline import plot_timeline

__all__ = ["plot_comparison", "plot_distribution", "plot_over_time", "plot_timeline"]
