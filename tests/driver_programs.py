"""
Random programs that drive streams, and a caller that does what they say.

Where Python's driver is known to differ from a bare stream: its awaitables are plain coroutines of
ours. So, unlike those of a bare async generator, they have no ``__next__``, say in words of their
own that they are used up or running, answer by themselves what is thrown in before their first
step and a GeneratorExit that is thrown in, close what they await when they are dropped, and give
as a value what a body that has not started lets a StopIteration be. *Tame* programs meet none of
it, *free* ones do.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from types import AsyncGeneratorType, GeneratorType
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from driver_sources import CHUNKS, ERRORS, call_method, elsewhere
from programs import outcome

if TYPE_CHECKING:
    from driver_sources import World
    from programs import Operation

_errors = st.sampled_from(sorted(ERRORS))
_places = st.integers(0, 3)
_values = st.one_of(st.none(), st.integers(0, 9))

# --- bodies ---------------------------------------------------------------------------------------

DEEDS = (
    "call", "read another", "look", "wait", "next", "close", "next elsewhere", "close elsewhere",
)  # fmt: skip
_handlers = st.sampled_from(["", "", "", "go on", "yield", "suspend", "ValueError"])
_yields = st.tuples(st.just("yield"), st.integers(0, len(CHUNKS) - 1), _handlers)
_texts = st.tuples(st.just("yield"), st.sampled_from([0, 1, 2]), _handlers)
_deeds = st.one_of(
    st.tuples(st.just("suspend"), st.integers(0, 9), _handlers),
    st.tuples(st.just("raise"), _errors, _handlers),
    st.tuples(st.just("return"), st.one_of(st.none(), st.integers(0, 9)), _handlers),
    st.tuples(st.sampled_from(DEEDS), st.none(), _handlers),
)
bodies = st.lists(st.one_of(_texts, _yields, _texts, _yields, _deeds), max_size=7)

# --- programs -------------------------------------------------------------------------------------

ON_A_STREAM = (
    "close", "iter", "default", "delegate", "look", "drop", "drop in a cycle", "next elsewhere",
    "close elsewhere", "rest",
)  # fmt: skip
_sync_operations = st.one_of(
    *[st.tuples(st.just("next"), _places)] * 4,
    st.tuples(st.just("send"), _places, _values),
    st.tuples(st.just("throw"), _places, _errors),
    st.tuples(st.sampled_from(ON_A_STREAM), _places),
)
sync_programs = st.lists(_sync_operations, max_size=10)

_tame_errors = _errors.filter(lambda name: name not in {"GeneratorExit", "StopIteration"})
_tame_resumptions = st.lists(
    st.one_of(
        *[st.tuples(st.just("send"), st.integers(0, 9))] * 2,
        st.tuples(st.just("throw"), _tame_errors),
        st.just(("close",)),
    ),
    max_size=3,
)
_awaits = st.one_of(
    *[st.tuples(st.sampled_from(["anext", "default"]), _places, _tame_resumptions)] * 3,
    st.tuples(st.just("asend"), _places, _tame_resumptions, _values),
    st.tuples(st.just("athrow"), _places, _tame_resumptions, _tame_errors),
    st.tuples(st.just("aclose"), _places, _tame_resumptions),
)
_deeds_between = st.tuples(st.sampled_from(["look", "drop", "drop in a cycle", "aiter"]), _places)
tame_programs = st.lists(st.one_of(_awaits, _awaits, _deeds_between), max_size=8)

# Out of a body that has not started, a StopIteration is a value to whoever awaits.
_thrown = _errors.filter(lambda name: name != "StopIteration")
_free_operations = st.one_of(
    st.tuples(st.just("begin"), _places, st.sampled_from(["anext", "default"])),
    st.tuples(st.just("begin"), _places, st.just("asend"), _values),
    st.tuples(st.just("close later"), _places),
    st.tuples(st.just("begin"), _places, st.just("athrow"), _thrown),
    st.tuples(st.just("resume"), _places, st.just("send"), _values),
    st.tuples(st.just("resume"), _places, st.just("send"), st.none()),
    st.tuples(st.just("resume"), _places, st.sampled_from(["__next__", "close", "throw"])),
    st.tuples(st.just("resume"), _places, st.just("throw"), _errors),
    st.tuples(st.just("forget"), _places),
)
free_programs = st.lists(
    st.one_of(_free_operations, _free_operations, _free_operations, _awaits, _deeds_between),
    max_size=14,
)


class Caller:
    """Does what the operations of a program say."""

    def __init__(self, world: World) -> None:
        self.world = world

    def do(self, operation: Operation) -> None:
        """Do one thing, and note the states that it leaves streams in."""
        self.perform(*operation)
        self.world.note([_state(stream) for stream in self.world.streams])

    def perform(self, name: str, place: int, *rest: Any) -> None:
        self.world.clock.advance(0.125)
        self.world.note((name, place, *rest))
        if name in {"resume", "forget"}:
            self.with_awaitable(name, place, *rest)
            return
        streams = self.world.streams
        place %= len(streams)
        if streams[place] is not None:
            getattr(self, name.replace(" ", "_"))(place, *rest)

    def tell(self, call: Callable[..., Any], *args: Any, thrown: Any = None) -> bool:
        """Note what a call gives or raises; say whether it gave something."""
        told = outcome(call, *args, thrown=thrown)
        self.world.note((type(told[1]), told))
        is_given: bool = told[0] == "gave"
        return is_given

    def tell_throw(self, owner: Any, *names: str) -> bool:
        thrown = [ERRORS[name]("thrown in") for name in names]
        try:
            return self.tell(
                call_method, owner, "throw", *thrown, thrown=thrown[0] if thrown else None
            )
        finally:
            for error in thrown:
                error.__traceback__ = None

    # --- on any stream -------------------------------------------------------------------------

    def look(self, place: int) -> None:
        self.world.look(self.world.streams[place])

    def drop(self, place: int) -> None:
        self.world.streams[place] = None

    def drop_in_a_cycle(self, place: int) -> None:
        cell = [self.world.streams[place]]
        cell.append(cell)
        del cell
        self.world.streams[place] = None
        gc.collect()

    def view(self, place: int, given: Any) -> None:
        self.world.note(("itself", given is self.world.streams[place]))
        self.world.streams.append(given)

    # --- sync ------------------------------------------------------------------------------------

    def next(self, place: int) -> None:
        self.tell(next, self.world.streams[place])

    def default(self, place: int, resumptions: Any = None) -> None:
        if resumptions is None:
            self.tell(next, self.world.streams[place], "default")
        else:
            self.awaited(anext(self.world.streams[place], "default"), resumptions)

    def rest(self, place: int) -> None:
        given = outcome(list, self.world.streams[place])
        self.world.note(given)

    def send(self, place: int, value: Any) -> None:
        self.tell(call_method, self.world.streams[place], "send", value)

    def throw(self, place: int, name: str) -> None:
        stream = self.world.streams[place]
        self.tell_throw(stream, name)

    def close(self, place: int) -> None:
        stream = self.world.streams[place]
        self.tell(call_method, stream, "close")

    def iter(self, place: int) -> None:
        self.view(place, iter(self.world.streams[place]))

    def delegate(self, place: int) -> None:
        """Have a generator of its own read the stream, with ``yield from``."""
        self.world.streams.append(_delegating(self.world.streams[place]))

    def next_elsewhere(self, place: int) -> None:
        elsewhere(self.next, place)

    def close_elsewhere(self, place: int) -> None:
        elsewhere(self.close, place)

    # --- async -----------------------------------------------------------------------------------

    def aiter(self, place: int) -> None:
        self.view(place, aiter(self.world.streams[place]))

    def anext(self, place: int, resumptions: Any) -> None:
        self.awaited(anext(self.world.streams[place]), resumptions)

    def asend(self, place: int, resumptions: Any, value: Any) -> None:
        self.begin_and_await(place, resumptions, "asend", value)

    def athrow(self, place: int, resumptions: Any, name: str) -> None:
        self.begin_and_await(place, resumptions, "athrow", name)

    def aclose(self, place: int, resumptions: Any) -> None:
        self.begin_and_await(place, resumptions, "aclose")

    def begin_and_await(self, place: int, resumptions: Any, method: str, *args: Any) -> None:
        count = len(self.world.awaitables)
        self.begin(place, method, *args)
        for awaitable in self.world.awaitables[count:]:
            self.awaited(awaitable, resumptions)
        del self.world.awaitables[count:]

    def begin(self, place: int, method: str, *args: Any) -> None:
        """Make an awaitable, and leave it for later."""
        stream = self.world.streams[place]
        if method in {"anext", "default"}:
            given = anext(stream) if method == "anext" else anext(stream, "default")
        elif hasattr(type(stream), method):
            values = [ERRORS[args[0]]("thrown in")] if method == "athrow" else args
            given = getattr(stream, method)(*values)
        else:
            return
        self.world.awaitables.append(given)

    def close_later(self, place: int) -> None:
        """Make the awaitable of ``aclose``; that of a class is a coroutine of ours, as its name."""
        if isinstance(self.world.streams[place], AsyncGeneratorType):
            self.begin(place, "aclose")

    def awaited(self, awaitable: Any, resumptions: Any) -> None:
        """Drive an awaitable to its end by hand."""
        goes_on = self.tell(awaitable.send, None)
        for name, *args in resumptions:
            if not goes_on:
                return
            self.world.clock.advance(0.03125)
            goes_on = self.resumed(awaitable, name, *args) and name != "close"
        while goes_on:
            goes_on = self.tell(awaitable.send, None)

    def resumed(self, awaitable: Any, name: str, *args: Any) -> bool:
        if name == "throw":
            return self.tell_throw(awaitable, *args)
        return self.tell(call_method, awaitable, name, *args)

    def with_awaitable(self, name: str, place: int, *rest: Any) -> None:
        awaitables = self.world.awaitables
        if not awaitables:
            return
        place %= len(awaitables)
        if name == "forget":
            del awaitables[place]
        else:
            self.resumed(awaitables[place], *rest)


def _state(stream: Any) -> Any:
    if isinstance(stream, GeneratorType):
        return stream.gi_frame is None, stream.gi_running
    if isinstance(stream, AsyncGeneratorType):
        return stream.ag_frame is None, stream.ag_running
    return stream is None


def _delegating(stream: Any) -> Any:
    return (yield from stream)
