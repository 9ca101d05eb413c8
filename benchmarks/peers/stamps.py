"""
Look for moments in what a contender recorded, whatever it calls them and however it writes them.

A moment is found when any number or time in the payload, read as seconds, milliseconds,
microseconds or nanoseconds since 1970 or since the start of the call, lies in the window in which
it happened. So nobody loses for using a field that we did not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

UNITS = (1, 1_000, 1_000_000, 1_000_000_000)  # nanoseconds in ns, us, ms and s
FRACTION = re.compile(r"\.([0-9]+)")


class Window(NamedTuple):
    """From when to when something happened, in nanoseconds since 1970."""

    opens: int
    closes: int

    def since(self, start: Window) -> Window:
        """Give the same relative to a start that is known to lie in a window itself."""
        return Window(self.opens - start.closes, self.closes - start.opens)


def leaves(payload: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """
    Give every plain value of a tree, with its place.

    >>> list(leaves({"a": [1, {"b": "2"}], "c": None}))
    [('.a.0', 1), ('.a.1.b', '2'), ('.c', None)]
    """
    if isinstance(payload, Mapping):
        branches: Iterable[tuple[Any, Any]] = payload.items()
    elif isinstance(payload, Sequence) and not isinstance(payload, (str, bytes)):
        branches = enumerate(payload)
    else:
        yield place, payload
        return
    for name, value in branches:
        yield from leaves(value, f"{place}.{name}")


def numbers(payload: Any) -> Iterator[tuple[str, float]]:
    """
    Give every value that can be a time; a date is given in nanoseconds since 1970.

    >>> list(numbers([1, "2", "x", "1970-01-01T00:00:01Z", True, None]))
    [('.0', 1), ('.1', 2), ('.3', 1000000000)]
    """
    for place, leaf in leaves(payload):
        number = number_in(leaf) if isinstance(leaf, str) else leaf
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            yield place, number


def number_in(text: str) -> float | None:
    """Read a text as a number or as a date, if it is one."""
    for read in (int, float, date):
        try:
            return read(text)
        except (ValueError, OverflowError):
            continue
    return None


def date(text: str) -> int:
    """
    Read a date, without a zone as UTC, as nanoseconds since 1970.

    >>> date("1970-01-01T00:00:00.5"), date("1970-01-01T00:00:01.123456789Z")
    (500000000, 1123456000)
    """
    # Python 3.10 reads only fractions of three or six digits, and no "Z".
    text = FRACTION.sub(lambda found: f".{found[1][:6]:0<6}", text.replace("Z", "+00:00"))
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    since = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000


def places(payload: Any, window: Window, start: Window) -> set[str]:
    """Give the places of all values that are a moment in the window, in any unit."""
    spans = [
        (span.opens / unit, span.closes / unit)
        for span in (window, window.since(start))
        for unit in UNITS
    ]
    return {
        place
        for place, number in numbers(payload)
        if any(opens <= number <= closes for opens, closes in spans)
    }
