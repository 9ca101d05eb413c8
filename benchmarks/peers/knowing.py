"""
What a contender knows after a stream, found out by running streams whose truth is known.

Every answer is computed from what it recorded or sent; none is typed in.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from peers.contender import Contender, Record, Request
from peers.stamps import Window, places

FAILURE = "the line went dead at nine"
TOKENS = ("alpaca", "bobolink", "chamois", "dormouse")
COMPLETED, STOPPED, FAILED = "completed", "stopped", "failed"
LONG = 1_000
WAIT_SECONDS = 0.02


class Clock:
    """The time that scripts go by."""

    def now(self) -> int:
        """Give the nanoseconds since 1970."""
        return time.time_ns()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        """Wait, letting the event loop go on."""
        await asyncio.sleep(seconds)


class LineDeadError(Exception):
    """What breaks a stream off."""


@dataclass
class Script:
    """
    One stream: a blank chunk, then tokens, with a wait before and after each of the first ones.

    Attributes:
        clock: What tells the time and waits.
        wait: Seconds; what happens at two moments must be told apart by clocks of milliseconds.
        tokens: How many come after the blank chunk.
        ending: How it ends.
    """

    clock: Clock
    wait: float
    tokens: int = len(TOKENS)
    ending: str = COMPLETED
    called: int = 0
    began: int = 0
    produced: list[int] = field(default_factory=list)
    received: list[int] = field(default_factory=list)

    def chunks(self) -> list[str]:
        """Give what the stream yields."""
        return ["", *(TOKENS[number % len(TOKENS)] for number in range(self.tokens))]

    def pause(self) -> float:
        """Give the wait that is due: a long stream is not waited for all along."""
        return self.wait if len(self.produced) <= len(TOKENS) else 0.0

    def last(self) -> None:
        """End the stream as the script says."""
        if self.ending == FAILED:
            raise LineDeadError(FAILURE)

    def got(self) -> bool:
        """Note that a chunk arrived, and tell whether the reader stops here."""
        self.received.append(self.clock.now())
        return self.ending == STOPPED and len(self.received) == len(TOKENS) - 1

    def start(self) -> Window:
        """Give the window in which the call started."""
        return Window(self.called, self.began + self.slack())

    def window(self, number: int) -> Window:
        """Give the window in which a chunk came; the wait around it is longer than the slack."""
        slack = self.slack()
        return Window(self.produced[number] - slack, self.received[number] + slack)

    def slack(self) -> int:
        """Give what a clock may be off, in nanoseconds."""
        return int(self.wait * 1e9 / 8)


def play(contender: Contender, script: Script) -> None:
    """Let a contender watch a generator of the script, and read it."""

    def stream(_prompt: int) -> Iterator[str]:
        script.began = script.clock.now()
        for chunk in script.chunks():
            script.clock.sleep(script.pause())
            script.produced.append(script.clock.now())
            yield chunk
        script.clock.sleep(script.wait)
        script.last()

    def read() -> None:
        script.called = script.clock.now()
        for _chunk in decorated(1):
            if script.got():
                break
            script.clock.sleep(script.pause())

    decorated = contender.decorate(stream)
    ignoring(read)


def aplay(contender: Contender, script: Script) -> None:
    """Do the same with an async generator."""

    async def stream(_prompt: int) -> AsyncIterator[str]:
        script.began = script.clock.now()
        for chunk in script.chunks():
            await script.clock.asleep(script.pause())
            script.produced.append(script.clock.now())
            yield chunk
        await script.clock.asleep(script.wait)
        script.last()

    async def read() -> None:
        script.called = script.clock.now()
        async for _chunk in decorated(1):
            if script.got():
                break
            await script.clock.asleep(script.pause())

    decorated = contender.decorate(stream)
    ignoring(lambda: asyncio.run(read()))


def ignoring(read: Callable[[], Any]) -> None:
    """Read a stream that may break off."""
    with contextlib.suppress(LineDeadError):
        read()


Player = Callable[[Contender, Script], None]
Heard = list[tuple[Script, list[Record]]]


@dataclass
class Watcher:
    """Plays scripts to a contender and asks it what it knows."""

    contender: Contender
    taken: Callable[[], Sequence[Request]]
    clock: Clock = field(default_factory=Clock)
    wait: float = WAIT_SECONDS
    long: int = LONG

    def records(self, player: Player, script: Script) -> list[Record]:
        """Give what is known of one call, and nothing of those before it."""
        self.contender.flush()
        self.contender.records(self.taken())
        with self.contender.listening():
            player(self.contender, script)
            gc.collect()
            self.contender.flush()
            return self.contender.records(self.taken())

    def answers(self, player: Player) -> dict[str, Any]:
        """Ask everything."""
        short = self.twice(player, len(TOKENS))
        failed = self.records(player, Script(self.clock, self.wait, ending=FAILED))
        stopped = self.records(player, Script(self.clock, self.wait, ending=STOPPED))
        words = {COMPLETED: short[0][1], STOPPED: stopped, FAILED: failed}
        return {
            "first": first(short),
            "first_of_long": first(self.twice(player, self.long)),
            "gaps": all(places_of(short, number) for number in range(1, len(TOKENS) + 1)),
            "outcomes": {ending: outcome(records) for ending, records in words.items()},
            "failure_named": mentions(failed, FAILURE),
            "texts": mentions(short[0][1], TOKENS[1]),
            "seen_at": {"blank chunk": places_of(short, 0), "token": places_of(short, 1)},
        }

    def twice(self, player: Player, tokens: int) -> Heard:
        """Play a stream in two tempos."""
        scripts = [Script(self.clock, wait, tokens) for wait in (self.wait, self.wait * 1.7)]
        return [(script, self.records(player, script)) for script in scripts]


def first(heard: Heard) -> str:
    """Tell which chunk the first moment that a contender knows inside the stream belongs to."""
    if places_of(heard, 0, claimed):
        return "blank chunk"
    return "token" if places_of(heard, 1, claimed) else "no"


def claimed(record: Record) -> Any:
    """Give what a contender calls the first token's time, or all that it knows."""
    return record.payload if record.first_token is None else record.first_token


def everything(record: Record) -> Any:
    """Give all that a contender knows."""
    return record.payload


def places_of(heard: Heard, number: int, part: Callable[[Record], Any] = everything) -> list[str]:
    """
    Give the places at which the moment of a chunk is found in both tempos.

    A number that is there for another reason does not move with the tempo.
    """
    found = [
        places([part(record) for record in records], script.window(number), script.start())
        for script, records in heard
    ]
    return sorted(set.intersection(*found))


def outcome(records: list[Record]) -> str | None:
    """Give the contender's own word for an ending; "" if it has none, None if the call is lost."""
    return records[-1].outcome if records else None


def mentions(records: list[Record], text: str) -> bool:
    """Tell whether a text is anywhere in what is known."""
    return any(
        text in json.dumps(record.payload, ensure_ascii=False, default=str) for record in records
    )


class Token(str):
    """A token that can be watched."""

    __slots__ = ("__weakref__",)


def keeps_tokens(decorate: Callable[[Any], Any]) -> bool:
    """Tell whether the tokens that were read are still in memory before the stream is over."""
    seen: list[weakref.ref[Token]] = []

    def stream(_prompt: int) -> Iterator[str]:
        for number in range(LONG):
            token = Token(number)
            seen.append(weakref.ref(token))
            yield token

    tokens = iter(decorate(stream)(1))
    for _ in range(LONG):
        next(tokens)
    return sum(token() is not None for token in seen) > LONG / 2
