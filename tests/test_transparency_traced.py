"""What is promised of measured streams, functions and awaitables holds with a tracer, too."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from typing import Any

import pytest

import test_awaitables
import test_decorator
import test_streams
import test_transparency
from tokenclock import _hooks

lent: contextvars.ContextVar[str] = contextvars.ContextVar("lent", default="the caller's")


class Lending(_hooks.CallScope):
    """Lends every body a context of its own, as spans do."""

    has_context = True

    def __init__(self) -> None:
        self.reached = "the body's"

    def callers(self) -> list[contextvars.Token[str]]:
        return []

    def enter(self, callers: list[contextvars.Token[str]]) -> None:
        callers.append(lent.set(self.reached))

    def leave(self, callers: list[contextvars.Token[str]]) -> None:
        if callers:
            self.reached = lent.get()
            lent.reset(callers.pop())


@pytest.fixture(autouse=True)
def traced(clean_slate: None) -> Iterator[None]:
    """Trace every call of the test; in the end the caller has its own context back."""
    _hooks.add_hook(lambda _: Lending())
    yield
    assert lent.get() == "the caller's"


# The very tests of those modules, with their fixtures, once more.
_again: dict[str, Any] = {}
for _module in (test_awaitables, test_decorator, test_streams, test_transparency):
    _again.update({name: one for name, one in vars(_module).items() if not name.startswith("__")})
globals().update(_again)
