"""What a driver writes while a stream is read, until the recorder looks at it."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenclock._clock import Clock


class Tape:
    """
    The stamps of one run that nobody has looked at yet, in nanoseconds of one clock.

    The tape of the Python hands; that of the compiled driver has the same interface. The hands
    use ``clock``, ``plain``, ``pending`` and ``requested_ns``, the recorder ``plain``,
    ``requested_ns``, ``waits``, ``take`` and ``end``.

    Attributes:
        plain: The exact type whose chunks, if true, are one token each and need no reading: that
            of the first such chunk. ``None`` until then, where a function of the user's reads
            every chunk, and once the run is over.
        pending: Request and arrival of such chunks in turn.
        requested_ns: When the request that is under way was made, else ``None``.
    """

    __slots__ = ("_last", "clock", "pending", "plain", "requested_ns")

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.pending: list[int] = []
        self.plain: type | None = None
        self.requested_ns: int | None = None
        self._last: list[int] | None = None

    @property
    def waits(self) -> bool:
        """Whether there are stamps to be taken."""
        return bool(self.pending if self._last is None else self._last)

    def take(self) -> array[int]:
        """Give the stamps that wait, request and arrival in turn, and forget them."""
        pending = self.pending if self._last is None else self._last
        count = len(pending) & ~1  # a request whose arrival is about to follow waits
        taken = array("Q", pending[:count])[:]  # exactly as long as it has to be
        del pending[:count]
        return taken

    def end(self) -> int | None:
        """
        Take no chunk from now on: the run is over.

        Gives when the request that was under way was made; it is no longer.
        """
        under_way = self.requested_ns
        self.requested_ns = self.plain = None
        if self._last is None:
            # Another thread may be taking stamps: it goes on with the same list.
            self._last, self.pending = self.pending, []
        return under_way
