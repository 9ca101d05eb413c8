"""Functions that measure every call of another function, and answer every question as it would."""

# Private names of others are ruff's business (SLF001), which wants a reason for each.
# pyright: reportPrivateUsage=false
# What is wrapped is Any, and pyright does not know the type() of that.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import functools
import inspect
import os
import sys
from typing import TYPE_CHECKING, Any

import wrapt

from tokenclock import _log
from tokenclock._handover import Handover
from tokenclock._runs import Run, call_steps, current_call
from tokenclock.errors import InvalidOptionError, NotMeasurableError

if TYPE_CHECKING:
    from tokenclock._options import Options

# wrapt 2 split iteration off its proxy, so that a wrapped function is no iterable.
_ObjectProxy: Any = getattr(wrapt, "BaseObjectProxy", wrapt.ObjectProxy)

_HANDOVERS = {True: Handover(observed=True), False: Handover(observed=False)}


class MeasuredCallable(_ObjectProxy):  # type: ignore[misc]  # wrapt is not typed for subclasses
    """
    Stands in for a function: every call of it is measured, every question answered by it.

    As a class attribute it binds as a function does, to a built-in bound method.
    """

    def __init__(self, function: Any, options: Options, *, observed: bool) -> None:
        super().__init__(function)
        self._self_options = options
        self._self_observed = observed
        # All that a call needs, in one look: attributes of a wrapt proxy are slow to read.
        self._self_call = (function, options, _is_lazy(function), _HANDOVERS[observed])

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        function, options, is_lazy, hand_over = self._self_call
        run = Run(options, kwargs)
        if not is_lazy:
            run.begin()
        token = current_call.set(run.call_id)
        try:
            given = function(*args, **kwargs)
        except BaseException as error:
            current_call.reset(token)
            run.raised(error, None)
            raise
        current_call.reset(token)
        return hand_over(run, given)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        bind = getattr(type(self.__wrapped__), "__get__", None)
        if bind is None:
            return self
        bound = bind(self.__wrapped__, instance, owner)
        if bound is self.__wrapped__:
            return self
        if inspect.ismethod(bound) and bound.__func__ is self.__wrapped__:
            return type(bound)(self, bound.__self__)
        return MeasuredCallable(bound, self._self_options, observed=self._self_observed)

    @property  # type: ignore[misc]  # isinstance() asks here, and the function answers
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]  # as above
        # cloudpickle takes whatever claims to be a function apart and would build the bare one
        # again; to its question alone we answer what we are, so that it asks __reduce_ex__.
        if sys._getframe(1).f_code.co_name == "reducer_override":  # noqa: SLF001 - see above
            return MeasuredCallable
        kind: type = self.__wrapped__.__class__
        return kind

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self._self_is_found(by_value=_is_pickled_by_value(sys._getframe(1))):  # noqa: SLF001
            return self.__qualname__
        return (_rebuilt, (self.__wrapped__, self._self_options, self._self_observed))

    def _self_is_found(self, *, by_value: bool) -> bool:
        """Whether a pickle by reference will find this very object again."""
        if by_value and self.__module__ == "__main__":
            return False
        found: Any = sys.modules.get(self.__module__)
        for name in self.__qualname__.split("."):
            found = getattr(found, name, None)
        return found is self

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __repr__(self) -> str:
        return repr(self.__wrapped__)


call_steps.add(MeasuredCallable.__call__.__code__)


def _rebuilt(function: Any, options: Options, observed: bool) -> MeasuredCallable:  # noqa: FBT001
    return MeasuredCallable(function, options, observed=observed)


def _is_pickled_by_value(frame: Any) -> bool:
    """Whether the pickler that asks is one that takes functions apart, as cloudpickle does."""
    return hasattr(frame.f_locals.get("self"), "reducer_override")


def _is_lazy(function: Any) -> bool:
    """Whether calling this runs none of its own code yet."""
    asked = function
    if not inspect.isroutine(function) and not isinstance(function, functools.partial):
        asked = type(function).__call__
    return (
        inspect.isgeneratorfunction(asked)
        or inspect.isasyncgenfunction(asked)
        or inspect.iscoroutinefunction(asked)
    )


def _gives_generator(function: Any) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def measured(function: Any, options: Options, *, observed: bool) -> Any:
    """Give *function*, measured; a classmethod or staticmethod stays one."""
    _check_measurable(function, options)
    if isinstance(function, classmethod | staticmethod):
        inner = measured(function.__func__, options, observed=observed)
        return type(function)(inner)
    if observed and os.environ.get("TOKENCLOCK_DISABLED", "") not in {"", "0"}:
        return function
    return MeasuredCallable(function, options.named(name_of(function)), observed=observed)


def _check_measurable(function: Any, options: Options) -> None:
    """Refuse what no call can be measured of, before anything is changed."""
    if inspect.isclass(function):
        msg = (
            f"Cannot measure the class {function.__qualname__!r}: its calls make objects, "
            "not tokens. Decorate the method that produces tokens."
        )
        raise NotMeasurableError(msg)
    if not callable(function) and not isinstance(function, classmethod | staticmethod):
        kind = type(function).__name__
        hint = (
            "Decorate the function that it was made from."
            if isinstance(function, property | functools.cached_property)
            else "Pass a function, a method or a callable object; a stream goes to measure()."
        )
        msg = f"Cannot measure {function!r}: a {kind!r} is not callable. {hint}"
        raise NotMeasurableError(msg)
    if options.streams is False and _gives_generator(function):
        msg = (
            f"Cannot use streams=False on {name_of(function)!r}: a generator function gives a "
            "stream whenever it is called. Leave streams out."
        )
        raise InvalidOptionError(msg, option="streams")


def name_of(function: Any) -> str:
    """Give ``module.qualname`` of a function, or of the type of a callable object."""
    while isinstance(function, functools.partial):
        function = function.func
    qualname = getattr(function, "__qualname__", None)
    if not isinstance(qualname, str):
        return _log.type_name(type(function))
    module = getattr(function, "__module__", None) or getattr(
        type(getattr(function, "__self__", None)), "__module__", None
    )
    return f"{module}.{qualname}" if module else qualname
