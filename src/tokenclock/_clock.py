"""The only room that reads the time."""

from __future__ import annotations

import time
from collections.abc import Callable

from tokenclock import _log
from tokenclock.errors import InvalidOptionError

Clock = Callable[[], int]

monotonic_ns: Clock = time.perf_counter_ns
wall_ns: Clock = time.time_ns


def checked_clock(clock: Clock | None) -> Clock:
    """Give a clock that can be called on the per-token path, or refuse *clock*."""
    if clock is None or clock is monotonic_ns:
        return monotonic_ns
    if isinstance(clock, _Guarded):  # options that were pickled
        return clock
    if not callable(clock):
        msg = (
            f"Cannot measure with clock={clock!r}: it is not callable. "
            "Pass a function without arguments that gives monotonic nanoseconds, "
            "such as time.perf_counter_ns."
        )
        raise InvalidOptionError(msg, option="clock")
    try:
        reading = clock()
    except Exception as error:
        msg = (
            f"Cannot measure with clock={clock!r}: it raised {type(error).__name__}. "
            "Pass a function without arguments that gives monotonic nanoseconds, "
            "such as time.perf_counter_ns."
        )
        raise InvalidOptionError(msg, option="clock") from error
    if type(reading) is not int:
        msg = (
            f"Cannot measure with clock={clock!r}: it gave a {type(reading).__name__}, not an int. "
            "Pass a function that gives whole monotonic nanoseconds, such as time.perf_counter_ns."
        )
        raise InvalidOptionError(msg, option="clock")
    if reading < 0:
        msg = (
            f"Cannot measure with clock={clock!r}: it gave {reading}, which is negative. "
            "Pass a function that counts nanoseconds up from zero or more."
        )
        raise InvalidOptionError(msg, option="clock")
    return _Guarded(clock, reading)


class _Guarded:
    """
    A user's clock that never raises: where the user's own fails, time stands still.

    It may tell each thread or task a time of its own, so it is not held to one line.
    """

    __slots__ = ("_clock", "_failed", "_latest")

    def __init__(self, clock: Clock, reading: int) -> None:
        self._clock = clock
        self._latest = reading
        self._failed = False

    def __call__(self) -> int:
        try:
            reading = self._clock()
            if type(reading) is not int:
                msg = "a clock gives an int"
                raise TypeError(msg)  # noqa: TRY301 - one handler for both ways to fail
        except Exception as error:  # noqa: BLE001 - whatever it is, the program goes on
            self._log(error)
            return self._latest
        self._latest = max(reading, 0)
        return self._latest

    def _log(self, error: Exception) -> None:
        if not self._failed:
            self._failed = True
            _log.failure(f"The clock {self._clock!r} failed; time stands still for it", error)
