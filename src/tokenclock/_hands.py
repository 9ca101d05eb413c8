"""
The hands, Python's own driver: what a measured stream does when it is driven, sync and async.

They stamp and append, nothing more; what a stamp means is the recorder's business. Each hand is
one function in one piece, although some are long: the order of events in it is its meaning, and
an exception may pass through no more than one frame of ours.
"""

# What is wrapped is Any, and pyright does not know the type() of that.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from types import AsyncGeneratorType, GeneratorType
from typing import TYPE_CHECKING, Any

from tokenclock._hooks import astepped, stepped
from tokenclock._recorder import BATCH
from tokenclock._runs import stream_steps

if TYPE_CHECKING:
    from tokenclock._runs import Run


# --- what the hands share: rare moments --------------------------------------------------------


def step_raised(  # noqa: PLR0917 - called from C, which knows no names
    self: Any,
    error: BaseException,
    requested: int,
    under_way: int | None,
    stop: type,
    thrown: bool = False,  # noqa: FBT001, FBT002 - as above
    end_ns: int | None = None,
) -> None:
    """Tell the run that a step raised, unless it was only refused: *under_way* then goes on."""
    run: Run = self._tc_run
    run.tape.requested_ns = under_way
    if run.end_ns is None and not _goes_on(self._tc_original):
        run.raised(error, requested, stop, thrown=thrown, end_ns=end_ns)


def _goes_on(original: object) -> bool:
    """Whether this is a generator whose body has not ended: it refused a request."""
    if isinstance(original, GeneratorType):
        return original.gi_frame is not None
    if isinstance(original, AsyncGeneratorType):
        return original.ag_frame is not None
    return False


def _is_running(original: object) -> bool:
    if isinstance(original, GeneratorType):
        return original.gi_running
    if isinstance(original, AsyncGeneratorType):
        return original.ag_running
    return False


def closed(self: Any) -> None:
    """Tell the run that the caller closed the stream; a view's end is not the stream's."""
    if self._tc_owner is None and self._tc_run.end_ns is None:
        self._tc_run.stopped()


def close_failed(self: Any, error: BaseException) -> None:
    """Tell the run that closing raised, unless it was refused because the body is running."""
    run: Run = self._tc_run
    if self._tc_owner is None and run.end_ns is None and not _is_running(self._tc_original):
        run.raised(error, None)


def left_with(self: Any, passed_in: BaseException | None, error: BaseException) -> None:
    """Tell the run that leaving a ``with`` raised: what was passed in is the caller's own."""
    if error is passed_in:
        closed(self)
    else:
        close_failed(self, error)


# --- sync ----------------------------------------------------------------------------------------


def _next(self: Any) -> Any:
    tape, advance = self._tc_next
    clock = tape.clock
    requested = clock()
    under_way = tape.requested_ns
    if under_way is not None:  # another thread reads this stream too: no stamps side by side
        tape.plain = None
    tape.requested_ns = requested
    try:
        chunk = advance()
    except BaseException as error:
        step_raised(self, error, requested, under_way, StopIteration)
        raise
    arrived = clock()
    if type(chunk) is tape.plain and chunk:
        pending = tape.pending
        pending.append(requested)
        pending.append(arrived)
        if len(pending) >= BATCH:
            self._tc_run.flush()
    else:
        self._tc_run.read(chunk, requested, arrived)
    tape.requested_ns = None
    return chunk


def _sync_step(name: str) -> Callable[..., Any]:
    """Make the hand for ``send`` or ``throw``."""
    throws = name == "throw"

    def step(self: Any, /, *args: Any) -> Any:
        run = self._tc_run
        tape = run.tape
        under_way = tape.requested_ns
        requested = tape.requested_ns = run.clock()
        try:
            advance = getattr(self._tc_original, name)
            if run.scopes is not None:
                advance = stepped(run.scopes, advance)
            chunk = advance(*args)
        except BaseException as error:
            step_raised(self, error, requested, under_way, StopIteration, throws)
            raise
        arrived = run.clock()
        if type(chunk) is tape.plain and chunk:
            tape.pending += (requested, arrived)
            if len(tape.pending) >= BATCH:
                run.flush()
        else:
            run.read(chunk, requested, arrived)
        tape.requested_ns = None
        return chunk

    return step


def _close(self: Any, /, *args: Any, **kwargs: Any) -> Any:
    try:
        given = stepped(self._tc_run.scopes, self._tc_original.close)(*args, **kwargs)
    except BaseException as error:
        close_failed(self, error)
        raise
    closed(self)
    return given


def _enter(self: Any) -> Any:
    original = self._tc_original
    given = stepped(self._tc_run.scopes, type(original).__enter__)(original)
    return self if given is original else given


def _exit(self: Any, /, *args: Any, **kwargs: Any) -> Any:
    original = self._tc_original
    try:
        given = stepped(self._tc_run.scopes, type(original).__exit__)(original, *args, **kwargs)
    except BaseException as error:
        left_with(self, args[1] if len(args) > 1 else None, error)
        raise
    closed(self)
    return given


# --- async, the same with await -------------------------------------------------------------------


async def _anext(self: Any) -> Any:
    tape, advance = self._tc_anext
    clock = tape.clock
    requested = clock()
    under_way = tape.requested_ns
    if under_way is not None:  # another thread reads this stream too: no stamps side by side
        tape.plain = None
    tape.requested_ns = requested
    try:
        chunk = await advance()
    except BaseException as error:
        step_raised(self, error, requested, under_way, StopAsyncIteration)
        raise
    arrived = clock()
    if type(chunk) is tape.plain and chunk:
        pending = tape.pending
        pending.append(requested)
        pending.append(arrived)
        if len(pending) >= BATCH:
            self._tc_run.flush()
    else:
        self._tc_run.read(chunk, requested, arrived)
    tape.requested_ns = None
    return chunk


def _async_step(name: str) -> Callable[..., Any]:
    """Make the hand for ``asend`` or ``athrow``."""
    throws = name == "athrow"

    async def step(self: Any, /, *args: Any) -> Any:
        run = self._tc_run
        tape = run.tape
        under_way = tape.requested_ns
        requested = tape.requested_ns = run.clock()
        try:
            advance = getattr(self._tc_original, name)
            if run.scopes is not None:
                advance = astepped(run.scopes, advance)
            chunk = await advance(*args)
        except BaseException as error:
            step_raised(self, error, requested, under_way, StopAsyncIteration, throws)
            raise
        arrived = run.clock()
        if type(chunk) is tape.plain and chunk:
            tape.pending += (requested, arrived)
            if len(tape.pending) >= BATCH:
                run.flush()
        else:
            run.read(chunk, requested, arrived)
        tape.requested_ns = None
        return chunk

    return step


async def _aclose(self: Any, /, *args: Any, **kwargs: Any) -> Any:
    try:
        given = await astepped(self._tc_run.scopes, self._tc_original.aclose)(*args, **kwargs)
    except BaseException as error:
        close_failed(self, error)
        raise
    closed(self)
    return given


async def _close_async(self: Any, /, *args: Any, **kwargs: Any) -> Any:
    # SDK streams name their coroutine close(), without an a.
    try:
        given = await astepped(self._tc_run.scopes, self._tc_original.close)(*args, **kwargs)
    except BaseException as error:
        close_failed(self, error)
        raise
    closed(self)
    return given


async def _aenter(self: Any) -> Any:
    original = self._tc_original
    given = await astepped(self._tc_run.scopes, type(original).__aenter__)(original)
    return self if given is original else given


async def _aexit(self: Any, /, *args: Any, **kwargs: Any) -> Any:
    original = self._tc_original
    try:
        leave = astepped(self._tc_run.scopes, type(original).__aexit__)
        given = await leave(original, *args, **kwargs)
    except BaseException as error:
        left_with(self, args[1] if len(args) > 1 else None, error)
        raise
    closed(self)
    return given


_ALWAYS: dict[str, Callable[..., Any]] = {
    "__next__": _next,
    "send": _sync_step("send"),
    "throw": _sync_step("throw"),
    "close": _close,
    "__enter__": _enter,
    "__exit__": _exit,
    "__anext__": _anext,
    "asend": _async_step("asend"),
    "athrow": _async_step("athrow"),
    "aclose": _aclose,
    "__aenter__": _aenter,
    "__aexit__": _aexit,
}
for _name, _hand in (*_ALWAYS.items(), ("close", _close_async)):
    # A coroutine of ours that is never awaited is named in a warning as the original's would be.
    _hand.__name__ = _hand.__qualname__ = _name
    stream_steps.add(_hand.__code__)


def hands_for(kind: type) -> dict[str, Callable[..., Any]]:
    """Give the hands that may drive an object of type *kind*, by the names they have on it."""
    hands = dict(_ALWAYS)
    if inspect.iscoroutinefunction(getattr(kind, "close", None)):
        hands["close"] = _close_async
    # The send() of a connection is no step: only that of a generator gives a chunk.
    if not issubclass(kind, Generator):
        del hands["send"], hands["throw"]
    if not issubclass(kind, AsyncGenerator):
        del hands["asend"], hands["athrow"]
    return hands
