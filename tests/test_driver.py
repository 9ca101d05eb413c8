"""Which driver reads a stream, and that nobody has to know."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from itertools import chain
from typing import Any

import pytest

from driving import run_python
from tokenclock import _driver, driver, measure, observe
from tokenclock._hooks import CallScope, add_hook
from tokenclock._proxy import StandIn
from tokenclock.testing import FakeClock

IS_BUILT = find_spec("tokenclock._speed") is not None
WANTS_PYTHON = os.environ.get("TOKENCLOCK_PURE_PYTHON", "") not in {"", "0"}
SAY = "import sys, tokenclock; print(tokenclock.driver, 'tokenclock._speed' in sys.modules)"


def tokens() -> Iterator[str]:
    yield "a"


def is_compiled(stream: object) -> bool:
    """Whether the compiled driver reads this measured stream."""
    return not issubclass(type(stream), StandIn)


class Lending(CallScope):
    has_context = True


class Coroutines:
    def __aiter__(self) -> Coroutines:
        return self

    async def __anext__(self) -> str:
        raise StopAsyncIteration


class Awaitables:
    def __aiter__(self) -> Awaitables:
        return self

    def __anext__(self) -> Any:
        return Coroutines().__anext__()


async def agenerator() -> AsyncIterator[str]:
    yield "a"


def test_the_driver_is_the_compiled_one_where_it_was_built() -> None:
    """Without a word from the environment, what was built is what runs."""
    expected = "compiled" if IS_BUILT and not WANTS_PYTHON else "python"
    assert driver == expected
    assert is_compiled(observe(tokens)()) is (driver == "compiled")


@pytest.mark.parametrize("value", ["1", "yes"])
def test_the_environment_chooses_python(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody loads the extension who does not want it."""
    monkeypatch.setenv("TOKENCLOCK_PURE_PYTHON", value)
    assert run_python(SAY) == "python False\n"


@pytest.mark.parametrize("value", ["", "0"])
def test_an_environment_that_does_not_say_no_leaves_it(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 and nothing are no wish for pure Python."""
    monkeypatch.setenv("TOKENCLOCK_PURE_PYTHON", value)
    assert run_python(SAY) == ("compiled True\n" if IS_BUILT else "python False\n")


def test_what_was_not_built_is_done_without() -> None:
    """A platform without the extension measures all the same."""
    printed = run_python(
        """
        import sys
        sys.modules["tokenclock._speed"] = None
        import tokenclock
        stream = tokenclock.measure(iter("abc"))
        print(tokenclock.driver, list(stream), stream.metrics.token_count)
        """
    )
    assert printed == "python ['a', 'b', 'c'] 3\n"


def test_a_clock_of_the_users_is_read_by_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled driver reads the one clock that it knows."""
    monkeypatch.setattr(_driver, "reads_any_clock", False)
    assert not is_compiled(observe(tokens, clock=FakeClock())())
    assert is_compiled(observe(tokens)()) is (driver == "compiled")


def test_where_a_tracer_lends_a_context_python_drives() -> None:
    """The steps of a body that runs in a lent context are Python's."""
    add_hook(lambda _: Lending())
    assert not is_compiled(observe(tokens)())


def test_where_a_tracer_lends_none_nothing_changes() -> None:
    """A hook that only looks costs a stream no driver."""
    add_hook(lambda _: CallScope())
    assert is_compiled(observe(tokens)()) is (driver == "compiled")


def test_awaitables_of_an_unknown_kind_are_pythons() -> None:
    """The compiled driver stands in for coroutines and for what async generators give."""
    assert not is_compiled(measure(Awaitables()))
    for known in (Coroutines(), agenerator()):
        assert is_compiled(measure(known)) is (driver == "compiled")


def test_a_stream_that_is_let_go_amid_its_step_lives_until_the_step_is_over() -> None:
    """Who iterates in C only lends the stream, and the body may make it let go."""

    class Reentrant:
        is_first = True

        def __iter__(self) -> Reentrant:
            return self

        def __next__(self) -> str:
            if self.is_first:
                self.is_first = False
                assert next(chained, None) is None
                return "x"
            raise StopIteration

    chained: Iterator[str] = chain.from_iterable(iter([measure(Reentrant())]))
    assert list(chained) == ["x"]


def test_a_method_that_is_taken_away_is_missed_as_it_is() -> None:
    """Where the class of an async iterator lost its method, its stream does not crash."""

    class Items:
        async def __anext__(self) -> str:
            return "a"

    given: Any = Items()
    stream: Any = measure(given)
    anext_of = type(stream).__anext__
    del Items.__anext__
    # Python's driver holds the method as it was, and gives the chunk.
    missed = TypeError if driver == "compiled" else StopIteration
    with pytest.raises(missed, match=r"requires an object with __anext__|^a$"):
        anext_of(stream).send(None)


def test_a_clock_that_stands_in_for_the_real_one_is_the_users() -> None:
    """What freezes the time replaces our names too; the driver reads the real clock alone."""
    printed = run_python(
        """
        import time
        import tokenclock
        from tokenclock import _clock, _driver

        def frozen():
            return 5

        real, _clock.monotonic_ns = _clock.monotonic_ns, frozen
        time.perf_counter_ns = frozen
        observed = tokenclock.observe(lambda: iter("ab"))
        stream = observed()
        list(stream)
        print(stream.metrics.generation_latency, _driver.takes(frozen), _driver.takes(real))
        """
    )
    assert printed == f"0.0 False {IS_BUILT and not WANTS_PYTHON}\n"
