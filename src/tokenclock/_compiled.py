"""What the compiled driver reads, and which of its types stand in for it."""

from __future__ import annotations

import inspect
from collections.abc import Generator
from types import AsyncGeneratorType, GeneratorType
from typing import Any
from weakref import WeakKeyDictionary

from tokenclock._driver import driver, speed
from tokenclock._hands import close_failed, closed, step_raised
from tokenclock._proxy import defined, offers

if driver == "compiled":
    speed.connect(step_raised, closed, close_failed)

# Of what the types of the driver offer, what a stand-in inherits from each of them.
_STEPS = {
    "Iterator": ("__next__",),
    "Generator": ("__next__", "send", "throw", "close"),
    "AsyncIterator": ("__anext__",),
    "AsyncGenerator": ("__aiter__", "__anext__", "asend", "athrow", "aclose"),
}


def is_compilable(kind: type) -> bool:
    """
    Whether the compiled driver reads objects of this type as Python's own does.

    It gives awaitables that stand in for those of the original, so it has to know what those are:
    coroutines, and what an async generator gives.
    """
    if kind is GeneratorType or kind is AsyncGeneratorType:
        return True
    known = _compilable.get(kind)
    if known is None:
        known = _compilable[kind] = _gives_coroutines(kind)
    return known


_compilable: WeakKeyDictionary[type, bool] = WeakKeyDictionary()


def _gives_coroutines(kind: type) -> bool:
    """Whether ``__anext__`` is a coroutine function, if there is one."""
    method = defined(kind, "__anext__")
    return method is None or inspect.iscoroutinefunction(method)


def _types(kind: Any) -> list[str]:
    names: list[str] = []
    if offers(kind, "__next__"):
        is_generator: bool = issubclass(kind, Generator)
        names.append("Generator" if is_generator else "Iterator")
    if offers(kind, "__anext__"):
        names.append("AsyncGenerator" if kind is AsyncGeneratorType else "AsyncIterator")
    return names


def compiled_bases(kind: type) -> tuple[type, ...]:
    """Give the driver's types from which a stand-in for a *kind* inherits its steps."""
    return tuple(getattr(speed, name) for name in _types(kind) or ["Body"])


def compiled_names(kind: type) -> list[str]:
    """Give the names of the methods that it inherits from them."""
    names = [name for each in _types(kind) for name in _STEPS[each]]
    return [*names, "__iter__"] if kind is GeneratorType else names
