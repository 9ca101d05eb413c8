"""
Measured coroutines and other awaitables.

Each hand makes one step of the original and is the only frame of ours on the way. While a step
runs, the context says which call is running; between steps it does not.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

from tokenclock._proxy import ClassesByOriginal, Proxy
from tokenclock._runs import call_steps, current_call
from tokenclock._sinks import reset

if TYPE_CHECKING:
    from tokenclock._runs import Run

Handover = Callable[["Run", object], object]


class MeasuredAwaitable(Proxy):
    """
    Stands in for a coroutine or another awaitable until it gives its value.

    Attributes:
        _tc_hand_over: Takes the run and the value; gives what the caller shall have.
    """

    __slots__ = ("_tc_hand_over",)

    _tc_hand_over: Handover

    def __del__(self) -> None:
        try:
            run, owner = self._tc_run, self._tc_owner
        except AttributeError:
            return
        # A run that has become a stream's ends with the stream.
        if owner is None and run.end_ns is None and not run.streamed:
            run.stopped(in_finaliser=True)


def awaitable_around(
    original: object, run: Run, hand_over: Handover, *, owner: object = None
) -> MeasuredAwaitable:
    """Give the stand-in for *original*, which has an ``__await__`` or is what one gave."""
    made = _class_for(type(original))
    if _is_generator_coroutine(original):
        made = _GENERATOR_COROUTINE
    stand_in = made(original, run, observed=False, owner=owner)
    object.__setattr__(stand_in, "_tc_hand_over", hand_over)
    return stand_in  # type: ignore[return-value]  # made from bases that say so


def is_awaitable(value: object) -> bool:
    """Whether ``await value`` works."""
    return hasattr(type(value), "__await__") or _is_generator_coroutine(value)


def _is_generator_coroutine(value: object) -> bool:
    """Whether this generator came from a function decorated with ``types.coroutine``."""
    return type(value) is GeneratorType and bool(
        value.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE
    )


def _step(name: str) -> Callable[..., Any]:
    """Make the hand for one way to resume: ``__next__``, ``send`` or ``throw``."""

    def step(self: Any, /, *args: Any) -> Any:
        run = self._tc_run
        is_over = run.end_ns is not None or run.streamed
        if not is_over and name != "throw":
            run.asked()
        token = current_call.set(run.call_id)
        try:
            given = getattr(self._tc_original, name)(*args)
        except StopIteration as stop:
            reset(current_call, token)
            if is_over:
                raise
            handed_over = self._tc_hand_over(run, stop.value)
            if handed_over is stop.value:
                raise
            raise StopIteration(handed_over) from None
        except BaseException as error:
            reset(current_call, token)
            if not is_over and not _is_running(self._tc_original):
                run.raised(error, None)
            raise
        reset(current_call, token)
        run.produced_ns = run.clock()
        return given

    step.__name__ = step.__qualname__ = name
    return step


def _close(self: Any) -> None:
    run = self._tc_run
    token = current_call.set(run.call_id)
    try:
        self._tc_original.close()
    except BaseException as error:
        reset(current_call, token)
        if run.end_ns is None and not run.streamed and not _is_running(self._tc_original):
            run.raised(error, None)
        raise
    reset(current_call, token)
    if run.end_ns is None and not run.streamed:
        run.stopped()


def _await(self: Any) -> Any:
    original = self._tc_original
    return awaitable_around(
        type(original).__await__(original), self._tc_run, self._tc_hand_over, owner=self
    )


def _iter(self: Any) -> Any:
    original = self._tc_original
    given = type(original).__iter__(original)
    return self if given is original else given


def _is_running(original: object) -> bool:
    return isinstance(original, CoroutineType) and original.cr_running


_HANDS: Mapping[str, Callable[..., Any]] = {
    "__await__": _await,
    "__iter__": _iter,
    "__next__": _step("__next__"),
    "send": _step("send"),
    "throw": _step("throw"),
    "close": _close,
}
call_steps.update(hand.__code__ for hand in _HANDS.values())

_class_for = ClassesByOriginal(lambda _: (MeasuredAwaitable,), lambda _: _HANDS)


class _GeneratorCoroutine(_class_for(GeneratorType)):  # type: ignore[misc]  # made at run time
    """What ``types.coroutine`` makes: a generator that can be awaited."""

    __slots__ = ()

    def __await__(self) -> Any:
        return self


_GENERATOR_COROUTINE = _GeneratorCoroutine
