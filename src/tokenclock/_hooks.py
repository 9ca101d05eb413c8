"""
The call hook: how a tracer learns of calls, and lends them a context.

Private, for our own exporters. A hook is told that a call starts and may give a scope for it. On
leaving a step of the function's own code the scope remembers the context that the body has
reached and gives the caller its own back; the next step enters the remembered one. So nothing is
held across a yield, and what the body has set survives. Without a hook nothing of this runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from functools import partial
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
        started_wall_ns: When it started, the same; ``None`` if it has not. What only prepares a
            stream (a known SDK's context manager) has started for the length of the call, and
            then again when it is entered.
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
    def called_wall_ns(self) -> int: ...
    @property
    def started_wall_ns(self) -> int | None: ...


class CallScope:
    """
    What a hook does for one call. Every method does nothing unless it is overridden.

    Attributes:
        has_context: Whether ``enter`` and ``leave`` are to be called around each step.
    """

    __slots__ = ()

    has_context: bool = False

    def enter(self) -> Any:
        """Enter the body's context; give what ``leave`` needs to leave it."""

    def leave(self, token: Any) -> None:
        """Remember the context that the body has reached, and restore the caller's."""

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
    if hook not in call_hooks:
        call_hooks = (*call_hooks, hook)


def remove_hook(hook: CallHook) -> None:
    """Tell *hook* of no further call; the calls under way keep their scopes."""
    global call_hooks  # noqa: PLW0603 - as above
    call_hooks = tuple(other for other in call_hooks if other != hook)


class Scopes:
    """The scopes of one call, behind a guard: a failure of theirs is logged and passes nothing."""

    __slots__ = ("_scopes", "with_context")

    def __init__(self, scopes: tuple[CallScope, ...]) -> None:
        self._scopes = scopes
        self.with_context = tuple(scope for scope in scopes if scope.has_context)

    def enter(self) -> list[tuple[CallScope, Any]]:
        """Enter every context; one that fails is left out."""
        entered: list[tuple[CallScope, Any]] = []
        for scope in self.with_context:
            try:
                entered.append((scope, scope.enter()))
            except Exception as error:  # noqa: BLE001 - our own failure never reaches the program
                _failed(scope, error)
        return entered

    def leave(self, entered: list[tuple[CallScope, Any]]) -> None:
        """Leave what was entered, the last one first."""
        for scope, token in reversed(entered):
            try:
                scope.leave(token)
            except Exception as error:  # noqa: BLE001 - as above
                _failed(scope, error)

    def finished(self, result: MetricsResult[Any]) -> None:
        """Tell every scope the result."""
        for scope in self._scopes:
            try:
                scope.finished(result)
            except Exception as error:  # noqa: BLE001 - as above
                _failed(scope, error)


def scopes_of(call: Call) -> Scopes | None:
    """Ask every hook for its scope of this call; ``None`` if none of them cares."""
    scopes: list[CallScope] = []
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
        entered = scopes.enter()
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            _hide_frame(error)
            raise
        finally:
            scopes.leave(entered)

    return step


def _hide_frame(error: BaseException) -> None:
    """
    Take the frame that catches *error* out of its traceback: the hand's is the one that is ours.

    A bare ``raise`` leaves it out from Python 3.11 on.
    """
    trace = error.__traceback__
    if trace is not None:
        error.__traceback__ = trace.tb_next


def astepped(
    scopes: Scopes | None, function: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    """Do the same for a function that gives an awaitable: each resumption is one step."""
    if scopes is None or not scopes.with_context:
        return function

    def begun(*args: Any, **kwargs: Any) -> Awaitable[Any]:
        return _Steps(scopes, stepped(scopes, function)(*args, **kwargs))

    return begun


class _Steps:
    """An awaitable, each step of which runs in the call's context."""

    __slots__ = ("_awaitable", "_scopes")

    def __init__(self, scopes: Scopes, awaitable: Any) -> None:
        self._scopes = scopes
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        # What ``yield from`` does (PEP 380), in one piece, with a context around every step.
        scopes, awaitable = self._scopes, self._awaitable
        steps: Any = awaitable.__await__() if hasattr(awaitable, "__await__") else awaitable
        resume: Callable[[], Any] = partial(next, steps)
        while True:
            entered = scopes.enter()
            try:
                given = resume()
            except StopIteration as stop:
                return stop.value
            except BaseException as error:
                _hide_frame(error)
                raise
            finally:
                scopes.leave(entered)
            try:
                value = yield given
            except GeneratorExit:
                if hasattr(steps, "close"):
                    stepped(scopes, steps.close)()
                raise
            except BaseException as error:
                _hide_frame(error)
                if not hasattr(steps, "throw"):
                    raise
                resume = partial(steps.throw, error)
            else:
                resume = partial(next, steps) if value is None else partial(steps.send, value)
