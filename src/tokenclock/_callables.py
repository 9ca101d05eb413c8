"""Functions that measure every call of another function, and answer every question as it would."""

# Private names of others are ruff's business (SLF001), which wants a reason for each.
# pyright: reportPrivateUsage=false
# What is wrapped is Any, and pyright does not know the type() of that.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import copy
import functools
import inspect
import os
import sys
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import wrapt

from tokenclock import _hooks, _log
from tokenclock._handover import Handover
from tokenclock._proxy import bound, offers
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
        self._self_call = (
            function, options, _HANDOVERS[observed].hand_over, _place_of_model(function),
            _is_lazy(function), _makes_generator(function),
        )  # fmt: skip

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        function, options, hand_over, model_at, is_lazy, makes_generator = self._self_call
        arguments = {**kwargs, "model": args[model_at]} if model_at < len(args) else kwargs
        run = Run(options, arguments)
        before = None
        try:
            if makes_generator:  # nothing of its own runs yet, and no context has to say so
                return hand_over(run, function(*args, **kwargs), run.call_ns)
            before = current_call.get()
            if not is_lazy:
                run.start_ns = run.requested_ns = run.call_ns
                if run.scopes is not None:
                    function = _hooks.stepped(run.scopes, function)
            token = current_call.set(run.number)
            given = function(*args, **kwargs)
            now_ns = run.clock()
            current_call.reset(token)
            return hand_over(run, given, now_ns)
        except BaseException as error:
            if current_call.get() == run.number:  # a signal may strike before the token is there
                current_call.set(before)
            run.raised(error, None)
            raise

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        bind = getattr(type(self.__wrapped__), "__get__", None)
        if bind is None:
            return self
        method = bind(self.__wrapped__, instance, owner)
        if method is self.__wrapped__:
            return self
        if inspect.ismethod(method) and method.__func__ is self.__wrapped__:
            return type(method)(self, method.__self__)
        return stand_in(method, self._self_options, observed=self._self_observed)

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
        module = getattr(self, "__module__", None)
        qualname = getattr(self, "__qualname__", None)
        if not isinstance(module, str) or not isinstance(qualname, str):
            return False
        if by_value and module == "__main__":
            return False
        found: Any = sys.modules.get(module)
        for name in qualname.split("."):
            found = getattr(found, name, None)
        return found is self

    def __copy__(self) -> Any:
        return self._self_copied(copy.copy(self.__wrapped__))

    def __deepcopy__(self, memo: Any) -> Any:
        return self._self_copied(copy.deepcopy(self.__wrapped__, memo))

    def _self_copied(self, function: Any) -> Any:
        """Give the stand-in for a copy; the copy of a function is the function itself."""
        if function is self.__wrapped__:
            return self
        return stand_in(function, self._self_options, observed=self._self_observed)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)


call_steps.add(MeasuredCallable.__call__.__code__)


def _rebuilt(function: Any, options: Options, observed: bool) -> MeasuredCallable:  # noqa: FBT001
    return stand_in(function, options, observed=observed)


def stand_in(function: Any, options: Options, *, observed: bool) -> MeasuredCallable:
    """Give the stand-in for *function*, of a class that claims no protocol it does not have."""
    kind = type(function)
    made = _classes.get(kind)
    if made is None:
        made = _classes[kind] = type("MeasuredCallable", (MeasuredCallable,), _denials(kind))
    return made(function, options, observed=observed)


_classes: WeakKeyDictionary[type, type[MeasuredCallable]] = WeakKeyDictionary()

# wrapt's proxy defines these whatever it wraps. None is how a class says that it has no such
# method; an operator that is not there leaves the answer to the other operand.
_CLAIMED = (  # noqa: SIM905 - as a list it would be thirty lines
    "__aenter__ __aexit__ __aiter__ __anext__ __await__ __bytes__ __complex__ __contains__ "
    "__delitem__ __enter__ __exit__ __float__ __getitem__ __index__ __int__ __iter__ __len__ "
    "__next__ __reversed__ __round__ __setitem__"
).split()
_OPERATORS = (  # noqa: SIM905 - as above
    "add and floordiv lshift matmul mod mul or pow rshift sub truediv xor radd rand rfloordiv "
    "rlshift rmatmul rmod rmul ror rpow rrshift rsub rtruediv rxor"
).split()


def _denials(kind: type) -> dict[str, Any]:
    """Take back what wrapt's proxy claims and functions of type *kind* do not offer."""
    namespace: dict[str, Any] = {"__slots__": (), "__module__": __name__}
    for name in _CLAIMED:
        if not offers(kind, name):
            namespace[name] = None
        elif not offers(MeasuredCallable, name):
            namespace[name] = _forwarded(name)
    for operator in _OPERATORS:
        name = f"__{operator}__"
        if not offers(kind, name):
            namespace[name] = _not_implemented
    return namespace


def _forwarded(name: str) -> Any:
    def forwarded(self: Any, /, *args: Any) -> Any:
        return bound(self.__wrapped__, name)(*args)

    return forwarded


def _not_implemented(self: Any, *_: Any) -> Any:  # noqa: ARG001 - called as a method
    return NotImplemented


def _is_pickled_by_value(frame: Any) -> bool:
    """Whether the pickler that asks is one that takes functions apart, as cloudpickle does."""
    return hasattr(frame.f_locals.get("self"), "reducer_override")


def _is_lazy(function: Any) -> bool:
    """Whether calling this runs none of its own code yet."""
    called = _called(function)
    return _gives_generator(called) or inspect.iscoroutinefunction(called)


def _makes_generator(function: Any) -> bool:
    """
    Whether calling this makes a generator, sync or async, and nothing else happens.

    Only a plain function is known to: what wraps one may answer as it does and do more.
    """
    while type(function) is functools.partial:
        function = function.func
    if type(function) is MethodType:
        function = function.__func__
    return type(function) is FunctionType and _gives_generator(function)


def _called(function: Any) -> Any:
    """Give the function that runs when this is called."""
    if inspect.isroutine(function) or isinstance(function, functools.partial):
        return function
    return type(function).__call__


def _place_of_model(function: Any) -> int:
    """Give the place of the argument *model* among those given by position; past all if none."""
    bound_first = 0
    if inspect.ismethod(function):
        function, bound_first = function.__func__, 1
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return sys.maxsize
    names = code.co_varnames[: code.co_argcount]
    return names.index("model") - bound_first if "model" in names else sys.maxsize


def _gives_generator(function: Any) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def measured(function: Any, options: Options, *, observed: bool) -> Any:
    """Give *function*, measured; a classmethod or staticmethod stays one."""
    _check_measurable(function, options)
    if type(function) in {classmethod, staticmethod}:
        inner = measured(function.__func__, options, observed=observed)
        again = type(function)(inner)
        vars(again).update(vars(function))
        return again
    if observed and is_disabled():
        return function
    return stand_in(function, options.named(name_of(function)), observed=observed)


def is_disabled() -> bool:
    """Whether the environment says that ``observe`` shall measure nothing."""
    return os.environ.get("TOKENCLOCK_DISABLED", "") not in {"", "0"}


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
    module = getattr(function, "__module__", None)
    if not module and getattr(function, "__self__", None) is not None:
        module = type(function.__self__).__module__
    return f"{module}.{qualname}" if module else qualname
