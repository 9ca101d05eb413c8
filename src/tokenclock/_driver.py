"""Which driver reads measured streams: the compiled one where it is there, else Python's own."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from typing import Any, Literal

from tokenclock._clock import Clock  # noqa: TC001 - typing.get_type_hints needs it

PURE_PYTHON = "TOKENCLOCK_PURE_PYTHON"


def _compiled() -> Any:
    """Give the extension module, unless it was not built or the environment says no."""
    if os.environ.get(PURE_PYTHON, "") not in {"", "0"}:
        return None
    try:
        from tokenclock import _speed  # noqa: PLC0415 - may be missing
    except ImportError:
        return None
    return _speed


speed: Any = _compiled()

#: Which driver reads measured streams in this process. Both measure the same; that of Python costs
#: a token some hundred nanoseconds more.
driver: Literal["compiled", "python"] = "python" if speed is None else "compiled"

# A clock of the user's is read by Python's driver. Our tests hold the compiled one to exact times
# as well, and let it read any clock.
reads_any_clock = False


def _held_between(stamps: array[int], begin: int, end: int) -> int:
    """Give the sum of the requests less that of the arrivals, both in turn, of these chunks."""
    return sum(stamps[2 * begin : 2 * end : 2]) - sum(stamps[2 * begin + 1 : 2 * end : 2])


held_between: Callable[[array[int], int, int], int] = (
    _held_between if speed is None else speed.held_between
)


def takes(clock: Clock) -> bool:
    """Whether the compiled driver is there and reads the time from this clock."""
    return speed is not None and (reads_any_clock or speed.reads(clock))
