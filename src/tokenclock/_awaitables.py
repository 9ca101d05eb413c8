"""
Measured coroutines and other awaitables.

Each hand makes one step of the original and is the only frame of ours on the way. While a step
runs, the context says which call is running; between steps it does not.
"""

# What is wrapped is Any, and pyright does not know the type() of that.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from types import CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

from tokenclock._hooks import stepped
from tokenclock._proxy import ClassesByOriginal, StandIn, bound, offers
from tokenclock._runs import call_steps, current_call

if TYPE_CHECKING:
    from tokenclock._runs import Run

Handover = Callable[["Run", object], object]


class MeasuredAwaitable(StandIn):
    """
    Stands in for a coroutine or another awaitable until it gives its value.

    Attributes:
        _tc_hand_over: Takes the run and the value; gives what the caller shall have. ``None``
            once it has done so: the run then ends with what the caller has.
    """

    __slots__ = ("_tc_given", "_tc_hand_over")

    _tc_hand_over: Handover | None
    # What the original gave and what was handed over for it, for whoever awaits it again.
    _tc_given: tuple[object, object]

    def __del__(self) -> None:
        try:
            run, owner = self._tc_run, self._tc_owner
        except AttributeError:
            return
        if owner is None and run.end_ns is None and not _is_over(self):
            run.stopped(in_finaliser=True)


def awaitable_around(
    original: object, run: Run, hand_over: Handover | None, *, owner: object = None
) -> MeasuredAwaitable:
    """Give the stand-in for *original*, which has an ``__await__`` or is what one gave."""
    made: Any = _class_for(type(original))
    if _is_generator_coroutine(original):
        made = _GENERATOR_COROUTINE
    stand_in: MeasuredAwaitable = made(original, run, observed=False, owner=owner)
    object.__setattr__(stand_in, "_tc_hand_over", hand_over)
    return stand_in


def is_awaitable(value: object) -> bool:
    """Whether ``await value`` works."""
    return offers(type(value), "__await__") or _is_generator_coroutine(value)


def _is_generator_coroutine(value: object) -> bool:
    """Whether this generator came from a function decorated with ``types.coroutine``."""
    return type(value) is GeneratorType and bool(
        value.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE
    )


def _is_over(self: Any) -> bool:
    """Whether the run is over, or has passed on to what was handed over."""
    holder = self if self._tc_owner is None else self._tc_owner
    return self._tc_run.end_ns is not None or holder._tc_hand_over is None  # noqa: SLF001 - our own


def _hand_over(self: Any, value: object) -> object:
    """Give what the caller shall have for *value*, and leave the run to it."""
    holder = self if self._tc_owner is None else self._tc_owner
    hand_over = holder._tc_hand_over  # noqa: SLF001 - our own
    object.__setattr__(holder, "_tc_hand_over", None)
    handed_over = hand_over(self._tc_run, value)
    object.__setattr__(holder, "_tc_given", (value, handed_over))
    return handed_over


def _given_again(self: Any, value: object) -> object:
    """Give what was handed over for this value before."""
    holder = self if self._tc_owner is None else self._tc_owner
    before, handed_over = getattr(holder, "_tc_given", (None, None))
    return handed_over if before is value else value


def _step(name: str) -> Callable[..., Any]:
    """Make the hand for one way to resume: ``__next__``, ``send`` or ``throw``."""

    def step(self: Any, /, *args: Any) -> Any:
        run = self._tc_run
        is_over = _is_over(self)
        if not is_over and name != "throw":
            run.asked()
        token = current_call.set(run.number)
        try:
            resume = getattr(self._tc_original, name)
            if run.scopes is not None:
                resume = stepped(run.scopes, resume)
            given = resume(*args)
        except StopIteration as stop:
            current_call.reset(token)
            hand = _given_again if is_over else _hand_over
            handed_over = hand(self, stop.value)
            if handed_over is stop.value:
                raise
            raise StopIteration(handed_over) from None
        except BaseException as error:
            current_call.reset(token)
            if not is_over and not _is_running(self._tc_original):
                run.raised(error, None)
            raise
        current_call.reset(token)
        run.produced_ns = run.clock()
        return given

    step.__name__ = step.__qualname__ = name
    return step


def _close(self: Any) -> None:
    run = self._tc_run
    token = current_call.set(run.number)
    try:
        stepped(run.scopes, self._tc_original.close)()
    except BaseException as error:
        current_call.reset(token)
        if not _is_over(self) and not _is_running(self._tc_original):
            run.raised(error, None)
        raise
    current_call.reset(token)
    if not _is_over(self):
        run.stopped()


def _await(self: Any) -> Any:
    original = self._tc_original
    if isinstance(original, CoroutineType) and original.cr_await is not None:
        # ``await`` asks this of bare coroutines alone: two awaits would meet in one body.
        raise RuntimeError("coroutine is being awaited already")
    run = self._tc_run
    steps = stepped(run.scopes, type(original).__await__)(original)
    return awaitable_around(steps, run, self._tc_hand_over, owner=self)


def _iter(self: Any) -> Any:
    original = self._tc_original
    given = type(original).__iter__(original)
    return self if given is original else given


def _entered(name: str) -> Callable[..., Any]:
    """Make the hand for another way to use an awaitable, which we do not measure: it says so."""

    def enter(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if not _is_over(self):
            hand_over = self._tc_hand_over
            object.__setattr__(self, "_tc_hand_over", None)
            hand_over.unmeasured(self._tc_run, self._tc_original)
        return bound(self._tc_original, name)(*args, **kwargs)

    return enter


def _is_running(original: object) -> bool:
    if isinstance(original, GeneratorType):
        return original.gi_running
    return isinstance(original, CoroutineType) and original.cr_running


_HANDS: Mapping[str, Callable[..., Any]] = {
    "__await__": _await,
    "__iter__": _iter,
    "__next__": _step("__next__"),
    "send": _step("send"),
    "throw": _step("throw"),
    "close": _close,
}
_OTHER_WAYS = {
    name: _entered(name) for name in ("__aenter__", "__aiter__", "__enter__", "__iter__")
}
call_steps.update(hand.__code__ for hand in _HANDS.values())


def _hands_for(kind: type) -> Mapping[str, Callable[..., Any]]:
    """Give the hands for *kind*; the ``close`` of an awaitable that is no coroutine ends no run."""
    if hasattr(kind, "__next__") or issubclass(kind, Coroutine):
        return _HANDS
    hands: dict[str, Any] = {"__await__": _await, **_OTHER_WAYS}
    if offers(kind, "_asyncio_future_blocking"):
        # asyncio takes the value of what calls itself a future; it shall await this one.
        hands["_asyncio_future_blocking"] = None
        hands["__iter__"] = _await
    return hands


_class_for = ClassesByOriginal(lambda _: (MeasuredAwaitable,), _hands_for)


class _GeneratorCoroutine(_class_for(GeneratorType)):  # type: ignore[misc]  # made at run time
    """What ``types.coroutine`` makes: a generator that can be awaited."""

    __slots__ = ()

    def __await__(self) -> Any:
        return self


_GENERATOR_COROUTINE = _GeneratorCoroutine
