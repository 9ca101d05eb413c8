"""
What an SDK gives when the stream itself comes later.

Context managers that send the request when they are entered (``client.messages.stream()``), and
raw responses that give the stream when they are asked to parse (``with_raw_response``). They are
known by name and module; no SDK is imported.
"""

# Private names of others are ruff's business (SLF001), which wants a reason for each.
# pyright: reportPrivateUsage=false
# What is wrapped is Any, and pyright does not know the type() of that.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from tokenclock._awaitables import awaitable_around
from tokenclock._hands import closed, left_with
from tokenclock._hooks import astepped, stepped
from tokenclock._proxy import ClassesByOriginal, StandIn, offers
from tokenclock._runs import call_steps, current_call
from tokenclock._streams import is_stream, measured_stream

if TYPE_CHECKING:
    from tokenclock._runs import Run


class Handover(Protocol):
    """What gives the caller its object, by the shape of what the SDK gave."""

    def __call__(self, run: Run, given: object, /) -> Any:
        """Give what the caller shall have."""

    def unmeasured(self, run: Run, given: object, remedy: str = ..., /) -> None:
        """Say once that this was not measured, and what would be, and end its run."""


def gives_stream_on_entry(kind: type) -> bool:
    """Whether this is the type of a known SDK's context manager that gives a stream on entry."""
    name = kind.__name__
    if name.endswith("StreamManager"):
        return ".lib.streaming." in f"{kind.__module__}."
    return name.endswith("ResponseContextManager") and kind.__module__.endswith("._response")


def is_raw_response(kind: type) -> bool:
    """Whether this is the type of a known SDK's response that has still to be parsed."""
    return kind.__name__.endswith("APIResponse") and kind.__module__.endswith(
        ("._response", "._legacy_response")
    )


# --- context managers -----------------------------------------------------------------------------


class MeasuredManager(StandIn):
    """
    Stands in for a context manager that sends its request when it is entered.

    Attributes:
        _tc_hand_over: Gives the caller what it shall have for what entering gave. ``None`` once
            it was entered: the run then ends with what the caller has.
        _tc_entered: What the caller has.
    """

    __slots__ = ("_tc_entered", "_tc_hand_over")

    _tc_hand_over: Handover | None
    _tc_entered: object

    def __del__(self) -> None:
        if getattr(self, "_tc_hand_over", None) is not None and self._tc_run.end_ns is None:
            self._tc_run.stopped(in_finaliser=True)


def manager_around(original: object, run: Run, hand_over: Handover) -> Any:
    """Give the stand-in for a context manager; the run starts when it is entered."""
    run.put_off()
    manager = _manager_class(type(original))(original, run, observed=True)
    object.__setattr__(manager, "_tc_hand_over", hand_over)
    object.__setattr__(manager, "_tc_entered", None)
    return manager


def _hand_over(self: Any, run: Run, given: object) -> object:
    hand_over = self._tc_hand_over
    object.__setattr__(self, "_tc_hand_over", None)
    entered = hand_over(run, given)
    object.__setattr__(self, "_tc_entered", entered)
    return entered


def _enter(self: Any) -> Any:
    original, run = self._tc_original, self._tc_run
    if self._tc_hand_over is None:  # entered again: another request, which is not this run's
        return type(original).__enter__(original)
    run.asked()
    token = current_call.set(run.number)
    try:
        given = stepped(run.scopes, type(original).__enter__)(original)
    except BaseException as error:
        current_call.reset(token)
        object.__setattr__(self, "_tc_hand_over", None)
        run.raised(error, None)
        raise
    current_call.reset(token)
    return _hand_over(self, run, given)


def _aenter(self: Any) -> Any:
    original = self._tc_original
    entry = stepped(self._tc_run.scopes, type(original).__aenter__)(original)
    if self._tc_hand_over is None:
        return entry

    def hand_over(run: Run, given: object) -> object:
        return _hand_over(self, run, given)

    return awaitable_around(entry, self._tc_run, hand_over)


def _exit(self: Any, /, *args: Any, **kwargs: Any) -> Any:
    original = self._tc_original
    try:
        given = stepped(self._tc_run.scopes, type(original).__exit__)(original, *args, **kwargs)
    except BaseException as error:
        left_with(_ending(self), args[1] if len(args) > 1 else None, error)
        raise
    _left(self)
    return given


async def _aexit(self: Any, /, *args: Any, **kwargs: Any) -> Any:
    original = self._tc_original
    try:
        leave = astepped(self._tc_run.scopes, type(original).__aexit__)
        given = await leave(original, *args, **kwargs)
    except BaseException as error:
        left_with(_ending(self), args[1] if len(args) > 1 else None, error)
        raise
    _left(self)
    return given


def _ending(self: Any) -> Any:
    """Give the object whose run ends when the caller leaves."""
    return self if self._tc_entered is None else self._tc_entered


def _left(self: Any) -> None:
    """Tell the run that the caller left, if it ever entered."""
    if self._tc_hand_over is not None:
        return
    entered = self._tc_entered
    if isinstance(entered, MeasuredResponse):
        entered._tc_finish()  # noqa: SLF001 - our own
    else:
        closed(self)


_MANAGER_HANDS: dict[str, Callable[..., Any]] = {
    "__enter__": _enter,
    "__exit__": _exit,
    "__aenter__": _aenter,
    "__aexit__": _aexit,
}
# As for streams: a coroutine of ours that is never awaited is named as the original's would be.
_aexit.__name__ = _aexit.__qualname__ = "__aexit__"
_manager_class = ClassesByOriginal(lambda _: (MeasuredManager,), lambda _: _MANAGER_HANDS)
call_steps.add(_enter.__code__)


_REMEDY = (
    "Call its parse(), or iterate over tokenclock.measure(response.iter_lines(), "
    "read_chunk=tokenclock.readers.openai_sse)"
)


# --- raw responses --------------------------------------------------------------------------------


class MeasuredResponse(StandIn):
    """
    Stands in for a raw response until it is parsed: into a stream, or into a whole answer.

    Attributes:
        _tc_hand_over: What says that a response was not measured.
        _tc_read_ns: When its body had been read; ``None`` if it has still to be.
        _tc_parsed: What parsing gave, and what the caller has for it.
    """

    __slots__ = ("_tc_hand_over", "_tc_parsed", "_tc_read_ns")

    _tc_hand_over: Handover
    _tc_read_ns: int | None
    _tc_parsed: tuple[object, object]

    def __del__(self) -> None:
        if hasattr(self, "_tc_parsed"):
            self._tc_finish(in_finaliser=True)

    def _tc_finish(self, *, in_finaliser: bool = False) -> None:
        """End the run if the response was not parsed; a stream that it gave ends by itself."""
        run = self._tc_run
        if run.end_ns is not None:
            return
        if run.streamed:
            if not in_finaliser:
                run.stopped()
        elif self._tc_read_ns is not None:
            run.returned(self._tc_original, self._tc_read_ns, in_finaliser=in_finaliser)
        elif in_finaliser:
            run.stopped(in_finaliser=True)
        else:
            self._tc_hand_over.unmeasured(run, self._tc_original, _REMEDY)


def response_around(original: Any, run: Run, hand_over: Handover, now_ns: int) -> Any:
    """Give the stand-in for a raw response."""
    response = _response_class(type(original))(original, run, observed=True)
    put = object.__setattr__
    put(response, "_tc_hand_over", hand_over)
    put(response, "_tc_read_ns", now_ns if original.is_closed else None)
    put(response, "_tc_parsed", (None, None))
    run.handed_over(now_ns)
    return response


def _parse(self: Any, /, *args: Any, **kwargs: Any) -> Any:
    try:
        given = stepped(self._tc_run.scopes, self._tc_original.parse)(*args, **kwargs)
    except BaseException as error:
        _parse_failed(self, error)
        raise
    return _parsed(self, given)


async def _parse_async(self: Any, /, *args: Any, **kwargs: Any) -> Any:
    try:
        given = await astepped(self._tc_run.scopes, self._tc_original.parse)(*args, **kwargs)
    except BaseException as error:
        _parse_failed(self, error)
        raise
    return _parsed(self, given)


def _parse_failed(self: Any, error: BaseException) -> None:
    """End the run if it was the reading that failed: what had been read before was generated."""
    if self._tc_read_ns is None and self._tc_run.end_ns is None and not self._tc_run.streamed:
        self._tc_run.raised(error, None)


def _parsed(self: Any, given: object) -> object:
    """Give the caller a measured stream for a stream; a whole answer ends the run."""
    run = self._tc_run
    before, handed_over = self._tc_parsed
    if before is given:
        return handed_over
    if run.end_ns is not None or run.streamed:
        return given
    handed_over = given
    if is_stream(type(given)):
        handed_over = measured_stream(given, run, observed=True)
    else:
        run.returned(given, run.clock() if self._tc_read_ns is None else self._tc_read_ns)
    object.__setattr__(self, "_tc_parsed", (given, handed_over))
    return handed_over


def _close(self: Any, /, *args: Any, **kwargs: Any) -> Any:
    given = stepped(self._tc_run.scopes, self._tc_original.close)(*args, **kwargs)
    self._tc_finish()
    return given


async def _close_async(self: Any, /, *args: Any, **kwargs: Any) -> Any:
    given = await astepped(self._tc_run.scopes, self._tc_original.close)(*args, **kwargs)
    self._tc_finish()
    return given


_parse_async.__name__ = _parse_async.__qualname__ = "parse"
_close_async.__name__ = _close_async.__qualname__ = "close"


def _response_hands(kind: type) -> dict[str, Callable[..., Any]]:
    hands: dict[str, Callable[..., Any]] = {}
    for name, hand, ahand in (("parse", _parse, _parse_async), ("close", _close, _close_async)):
        if offers(kind, name):
            is_async = inspect.iscoroutinefunction(getattr(kind, name))
            hands[name] = ahand if is_async else hand
    return hands


_response_class = ClassesByOriginal(lambda _: (MeasuredResponse,), _response_hands)
