"""
The call hook: how a tracer learns of calls, and lends them a context.

Private, for our own exporters. A hook is told that a call starts and may give a scope for it. On
leaving a step of the function's own code the scope remembers the context that the body has
reached and gives the caller its own back; the next step enters the remembered one. So nothing is
held across a yield, and what the body has set survives. Without a hook nothing of this runs.
"""

# What is awaited is Any, and pyright does not know the type of that.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import gc
import inspect
import sys
import weakref
from _thread import get_ident
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import suppress
from functools import partial
from types import GeneratorType
from typing import TYPE_CHECKING, Any, Protocol

from tokenclock import _log

if TYPE_CHECKING:
    from tokenclock._attributes import AttributeValue
    from tokenclock._options import Options
    from tokenclock._result import MetricsResult


class Call(Protocol):
    """
    What a hook may know of a call when it starts.

    Attributes:
        options: Of the decorated function: ``name``, ``provider``, ``operation``, ``model``.
        called_wall_ns: When it was called, in nanoseconds since the epoch.
        started_wall_ns: When it started, the same; ``None`` if it has not.
        asked_to_stream: Whether it was called with ``stream=True``, as SDKs have it.
    """

    @property
    def call_id(self) -> str: ...
    @property
    def attributes(self) -> Mapping[str, AttributeValue]: ...
    @property
    def request_model(self) -> str | None: ...
    @property
    def options(self) -> Options: ...

    @property
    def asked_to_stream(self) -> bool: ...
    @property
    def called_wall_ns(self) -> int: ...
    @property
    def started_wall_ns(self) -> int | None: ...


class CallScope:
    """
    What a hook does for one call. Every method does nothing unless it is overridden.

    Attributes:
        has_context: Whether the three methods that follow are to be called around each step.
    """

    __slots__ = ()

    has_context: bool = False

    def callers(self) -> Any:
        """Give what ``leave`` needs to give the caller its context back."""

    def enter(self, callers: Any) -> None:
        """Enter the body's context; *callers* may be changed for ``leave``."""

    def leave(self, callers: Any) -> None:
        """
        Remember the context that the body has reached, and restore the caller's.

        Done again where a signal struck in the middle, or before anything was entered.
        """

    def put_off(self) -> None:
        """Take the start back: the call has only prepared what starts later."""

    def finished(self, result: MetricsResult[Any]) -> None:
        """
        Take the result, once, before the sinks have it; never in a finaliser.

        The sinks then run between an ``enter`` and a ``leave``, in the context of the call.
        """


CallHook = Callable[[Call], "CallScope | None"]

call_hooks: tuple[CallHook, ...] = ()


def add_hook(hook: CallHook) -> None:
    """Tell *hook* of every call from now on."""
    global call_hooks  # noqa: PLW0603 - the process-wide list, replaced as a whole
    if _on_collection not in gc.callbacks:
        gc.callbacks.append(_on_collection)
    if hook not in call_hooks:
        call_hooks = (*call_hooks, hook)


def remove_hook(hook: CallHook) -> None:
    """Tell *hook* of no further call; the calls under way keep their scopes."""
    global call_hooks  # noqa: PLW0603 - as above
    call_hooks = tuple(other for other in call_hooks if other != hook)


Callers = list[tuple[CallScope, Any]]


class Scopes:
    """The scopes of one call, behind a guard: a failure of theirs is logged and passes nothing."""

    __slots__ = ("_scopes", "was_entered", "with_context")

    def __init__(self, scopes: tuple[CallScope, ...]) -> None:
        self._scopes = scopes
        self.was_entered = False
        self.with_context = tuple(scope for scope in scopes if scope.has_context)

    def callers(self) -> Callers:
        """Give what the caller has in place of each context."""
        callers: Callers = []
        if _UNSAFE_IN_COLLECTOR and _collector == get_ident():
            return callers
        for scope in self.with_context:
            try:
                callers.append((scope, scope.callers()))
            except Exception as error:  # noqa: BLE001 - our own failure never reaches the program
                _failed(scope, error)
        return callers

    def enter(self, callers: Callers) -> None:
        """Enter every context that can be left again."""
        self.was_entered = True
        for scope, context in callers:
            try:
                scope.enter(context)
            except Exception as error:  # noqa: BLE001 - as above
                _failed(scope, error)

    def leave(self, callers: Callers) -> None:
        """Leave what was entered, the last one first."""
        for scope, context in reversed(callers):
            try:
                scope.leave(context)
            except Exception as error:  # noqa: BLE001 - as above
                _failed(scope, error)

    def put_off(self) -> None:
        """Tell every scope that the call has not started after all."""
        self._tell("put_off")

    def finished(self, result: MetricsResult[Any]) -> None:
        """Tell every scope the result."""
        self._tell("finished", result)

    def _tell(self, name: str, *said: object) -> None:
        for scope in self._scopes:
            try:
                getattr(scope, name)(*said)
            except Exception as error:  # noqa: BLE001 - as above
                _failed(scope, error)


def scopes_of(call: Call) -> Scopes | None:
    """Ask every hook for its scope of this call; ``None`` if none of them cares."""
    scopes: list[CallScope] = []
    if _UNSAFE_IN_COLLECTOR and _collector == get_ident():  # called by a finaliser
        return None
    for hook in call_hooks:
        try:
            scope = hook(call)
        except Exception as error:  # noqa: BLE001 - as above
            _failed(hook, error)
        else:
            if scope is not None:
                scopes.append(scope)
    return Scopes(tuple(scopes)) if scopes else None


_failures: set[tuple[type, type]] = set()


def _failed(part: object, error: Exception) -> None:
    """Log the first failure of each type: the next calls would fail alike."""
    kind = (type(part), type(error))
    if kind not in _failures:
        _failures.add(kind)
        _log.failure(f"A call hook of type {_log.type_name(type(part))} failed", error)


def stepped(scopes: Scopes | None, function: Callable[..., Any]) -> Callable[..., Any]:
    """Give *function*, each call of which is one step of the body; itself without a context."""
    if scopes is None or not scopes.with_context:
        return function

    def step(*args: Any, **kwargs: Any) -> Any:
        callers = scopes.callers()
        try:
            scopes.enter(callers)
            return function(*args, **kwargs)
        except BaseException as error:
            _hide_frames(error)
            raise
        finally:
            try:
                scopes.leave(callers)
            except BaseException:  # what a signal's handler raised meanwhile
                scopes.leave(callers)
                raise

    return step


def _hide_frames(error: BaseException) -> None:
    """
    Take the frames of this room off a traceback: one frame of ours, the hand's, is enough.

    That of the function that catches *error* stays off after a bare ``raise``, from Python 3.11 on.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals is globals():
        trace = trace.tb_next
    error.__traceback__ = trace


def astepped(
    scopes: Scopes | None, function: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    """Do the same for a function that gives an awaitable: each resumption is one step."""
    if scopes is None or not scopes.with_context:
        return function

    def begun(*args: Any, **kwargs: Any) -> Awaitable[Any]:
        awaitable = stepped(scopes, function)(*args, **kwargs)
        # What cannot be awaited is for ``await`` to refuse, in Python's own words.
        can_wait = hasattr(type(awaitable), "__await__") or inspect.isawaitable(awaitable)
        return _Steps(scopes, awaitable) if can_wait else awaitable

    return begun


def _steps_of(awaitable: Any) -> Any:
    """Give the iterator that ``await`` drives; a generator-based coroutine is one itself."""
    return awaitable if isinstance(awaitable, GeneratorType) else awaitable.__await__()


def _ended(steps: Any, errors: list[BaseException]) -> None:
    """Close what waits, and raise what asked for that."""
    if hasattr(steps, "close"):
        steps.close()
    raise errors.pop()


def _raised(errors: list[BaseException]) -> None:
    """Raise in place of what nothing can be thrown into."""
    raise errors.pop()


def _thrown(steps: Any, error: BaseException) -> Callable[[], Any]:
    """Give the step that takes what was thrown while another one waited."""
    if isinstance(error, GeneratorExit):
        return partial(_ended, steps, [error])
    if hasattr(steps, "throw"):
        return partial(steps.throw, error)
    return partial(_raised, [error])


class _Steps:
    """An awaitable, each step of which runs in the call's context."""

    __slots__ = ("_awaitable", "_scopes")

    def __init__(self, scopes: Scopes, awaitable: Any) -> None:
        self._scopes = scopes
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        # What ``yield from`` does (PEP 380), in one piece, with a context around every step.
        scopes = self._scopes
        steps: Any = stepped(scopes, _steps_of)(self._awaitable)
        # A frame that an exception passes must not hold it, or both wait for the collector.
        following: list[Callable[[], Any]] = [partial(next, steps)]
        while True:
            callers = scopes.callers()
            try:
                scopes.enter(callers)
                given = following.pop()()
            except StopIteration as stop:
                return stop.value
            except BaseException as error:
                _hide_frames(error)
                raise
            finally:
                try:
                    scopes.leave(callers)
                except BaseException:  # as above
                    scopes.leave(callers)
                    raise
            try:
                value = yield given
            except BaseException as error:  # noqa: BLE001 - the next step raises it
                _hide_frames(error)
                following.append(_thrown(steps, error))
            else:
                again = partial(next, steps) if value is None else partial(steps.send, value)
                following.append(again)


# --- the end of a body that nobody ended ----------------------------------------------------------

# Until Python 3.12 the collector strikes inside any allocation, in the midst of ContextVar.set()
# for one, which does not bear to be entered again.
_UNSAFE_IN_COLLECTOR = sys.version_info < (3, 12)

# The thread in which the collector is at work, if it is.
_collector: int | None = None


class _Death:
    """What whoever drops a body had, in place of what that body sets when it dies."""

    __slots__ = ("callers", "in_step", "scopes")

    def __init__(self, scopes: Scopes) -> None:
        self.scopes = scopes
        self.in_step = False
        self.callers: Callers = []


class LastHold:
    """
    Holds the original of a stand-in a moment longer than that does, and drops it in a step.

    What a body has set it sets back when it dies: to what it found there, which is the context
    that we lent it. So it must die in a step of its own, or its dropper would be left in that
    context. Where the collector finalises it, what it has spoilt is put back when that is done.
    """

    __slots__ = ("_death", "_key", "_original")

    def __init__(self, scopes: Scopes, original: object) -> None:
        self._death = _Death(scopes)
        self._original = original
        self._key = 0
        with suppress(TypeError):  # it can have no weak references
            # Called when *original* is about to die: before its body does.
            reference = weakref.ref(original, _died)
            self._key = id(reference)
            _watched[self._key] = (reference, self._death)

    def _drop(self) -> None:
        del self._original

    def __del__(self) -> None:
        death = self._death
        if death.scopes.was_entered and _collector != get_ident():
            death.in_step = True
            stepped(death.scopes, self._drop)()
        _watched.pop(self._key, None)


# Held from here, since the collector clears what is only held by what it takes.
_watched: dict[int, tuple[weakref.ref[Any], _Death]] = {}
_spoilt: list[_Death] = []


def _died(reference: weakref.ref[Any]) -> None:
    _, death = _watched.pop(id(reference))
    if not death.in_step and _collector == get_ident():
        scopes = death.scopes
        death.callers = [(scope, scope.callers()) for scope in scopes.with_context]
        _spoilt.append(death)


def _on_collection(phase: str, _: object) -> None:
    """Put back, when the collector is done, what the bodies that it finalised have spoilt."""
    global _collector  # noqa: PLW0603 - of the process
    if phase == "start":
        _collector = get_ident()
        return
    _collector = None
    while _spoilt:
        death = _spoilt.pop()
        death.scopes.leave(death.callers)


def last_hold(scopes: Scopes | None, original: object) -> LastHold | None:
    """Give what has to hold *original* last; ``None`` where no context is lent."""
    return LastHold(scopes, original) if scopes is not None and scopes.with_context else None
