"""What can be decorated, and that a decorated function answers every question as before."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
import inspect
import pickle
import types
import typing
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import wrapt

import tokenclock
from programs import check_frames
from stepping import read
from tokenclock import (
    MeasuredGenerator,
    MetricsResult,
    TokenclockError,
    TokenclockWarning,
    capture,
    metrics_decorator,
    metrics_of,
    observe,
)
from tokenclock._runs import current_call, live_runs
from tokenclock.errors import InvalidOptionError, NotMeasurableError
from tokenclock.testing import FakeClock

Decorator = Callable[..., Any]
decorators = pytest.mark.parametrize("decorator", [observe, metrics_decorator])


def plain(text: str, *, count: int = 2) -> list[str]:
    """Give the text in a list."""
    return [text] * count


def stream(text: str, *, count: int = 2) -> Iterator[str]:
    """Give the text again and again."""
    for _ in range(count):
        yield text


async def coroutine(text: str, *, count: int = 2) -> list[str]:
    """Give the text in a list, later."""
    await asyncio.sleep(0)
    return [text] * count


async def astream(text: str, *, count: int = 2) -> AsyncIterator[str]:
    """Give the text again and again, later."""
    for _ in range(count):
        yield text


FUNCTIONS: list[Any] = [plain, stream, coroutine, astream]
every_function = pytest.mark.parametrize("function", FUNCTIONS)

# Found by name: pickled by reference.
observed_plain = observe(plain)


@observe
def observed(text: str) -> list[str]:
    return [text]


@metrics_decorator
def decorated(text: str) -> list[str]:
    return [text]


def chunks(given: Any) -> Any:
    """Give the chunks of whatever a call gave."""
    if isinstance(given, MetricsResult):
        return given.value
    if inspect.iscoroutine(given):
        return chunks(asyncio.run(given))
    return given if isinstance(given, list) else read(given)


class Model:
    """A class with every kind of decorated method."""

    def __init__(self, name: str = "m") -> None:
        self.name = name

    @observe
    def method(self, text: str) -> list[str]:
        """Give name and text."""
        return [self.name, text]

    @observe
    def stream(self, text: str) -> Iterator[str]:
        yield self.name
        yield text

    @observe
    async def coroutine(self, text: str) -> list[str]:
        await asyncio.sleep(0)
        return [self.name, text]

    @observe
    async def astream(self, text: str) -> AsyncIterator[str]:
        yield self.name
        yield text

    @observe
    @classmethod
    def class_outside(cls, text: str) -> list[str]:
        return [cls.__name__, text]

    @classmethod
    @observe
    def class_inside(cls, text: str) -> list[str]:
        return [cls.__name__, text]

    @observe
    @staticmethod
    def static_outside(text: str) -> list[str]:
        return [text]

    @staticmethod
    @observe
    def static_inside(text: str) -> list[str]:
        return [text]

    @metrics_decorator
    def decorated(self, text: str) -> list[str]:
        return [self.name, text]


class Derived(Model):
    @observe
    def method(self, text: str) -> list[str]:
        return ["derived", *super().method(text)]

    @observe
    def stream(self, text: str) -> Iterator[str]:
        yield "derived"
        yield from super().stream(text)

    @observe
    async def coroutine(self, text: str) -> list[str]:
        return ["derived", *await super().coroutine(text)]

    @observe
    async def astream(self, text: str) -> AsyncIterator[str]:
        yield "derived"
        async for chunk in super().astream(text):
            yield chunk


# --- questions to a decorated function -----------------------------------------------------------


@decorators
@every_function
def test_inspect_answers_as_for_the_bare_function(decorator: Decorator, function: Any) -> None:
    """Every predicate of inspect, and the signature, are those of the bare function."""
    measured = decorator(function)

    for name in (
        "isfunction", "isroutine", "ismethod", "isbuiltin", "isclass", "ismethoddescriptor",
        "isgeneratorfunction", "isasyncgenfunction", "iscoroutinefunction", "isawaitable",
    ):  # fmt: skip
        ask = getattr(inspect, name)
        assert ask(measured) == ask(function), name
    assert inspect.signature(measured) == inspect.signature(function)
    assert inspect.getsource(measured) == inspect.getsource(function)
    assert inspect.getfile(measured) == inspect.getfile(function)
    assert inspect.getdoc(measured) == inspect.getdoc(function)
    assert inspect.unwrap(measured) is function
    assert typing.get_type_hints(measured) == typing.get_type_hints(function)
    assert asyncio.iscoroutinefunction(measured) == asyncio.iscoroutinefunction(function)
    assert callable(measured)


@decorators
@every_function
def test_the_names_are_those_of_the_bare_function(decorator: Decorator, function: Any) -> None:
    """Names, module, defaults, annotations and code are the function's."""
    measured = decorator(function)

    for name in (
        "__name__", "__qualname__", "__module__", "__doc__", "__defaults__", "__kwdefaults__",
        "__annotations__", "__code__", "__globals__", "__closure__", "__dict__",
    ):  # fmt: skip
        assert getattr(measured, name) == getattr(function, name), name
    assert measured.__wrapped__ is function
    assert isinstance(measured, types.FunctionType)
    assert repr(measured) == repr(function)


def test_attributes_of_a_decorated_function_are_the_functions() -> None:
    """What is set on the decorated function is set on the function."""

    def function() -> None: ...

    measured: Any = observe(function)
    measured.tag = "x"

    assert function.tag == "x"  # type: ignore[attr-defined]  # it has just been set
    del measured.tag
    assert not hasattr(function, "tag")


@decorators
def test_decorated_functions_can_be_keys(decorator: Decorator) -> None:
    """A decorated function is hashable, equal to itself, and can be wrapped by functools."""
    measured = decorator(plain)

    assert {measured: 1}[measured] == 1
    assert measured == measured  # noqa: PLR0124 - that is the point
    wrapped = functools.wraps(measured)(lambda text: text)
    assert wrapped.__name__ == "plain"


@pytest.mark.parametrize("name", ["method", "stream", "coroutine", "astream", "decorated"])
def test_a_decorated_method_is_a_method(name: str) -> None:
    """On the class it is a function, on an instance a bound method, and equal to itself."""
    model = Model()
    method, function = getattr(model, name), getattr(Model, name)

    assert inspect.isfunction(function)
    assert inspect.ismethod(method)
    assert type(method) is types.MethodType
    assert method.__self__ is model
    assert method.__func__ is function
    assert method == getattr(model, name)
    assert method != getattr(Model(), name)
    assert hash(method) == hash(getattr(model, name))
    assert method.__name__ == name
    assert method.__qualname__ == f"Model.{name}"
    assert list(inspect.signature(method).parameters) == ["text"]
    assert list(inspect.signature(function).parameters) == ["self", "text"]
    for ask in (inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        assert ask(method) == ask(inspect.unwrap(function))
    assert inspect.iscoroutinefunction(method) == (name == "coroutine")


# --- what can be decorated -----------------------------------------------------------------------


@decorators
@every_function
def test_functions_of_every_kind_give_their_chunks(decorator: Decorator, function: Any) -> None:
    """Bare and configured, positional and keyword arguments pass through."""
    with capture() as results:
        assert chunks(decorator(function)("a")) == ["a", "a"]
        assert chunks(decorator(clock=FakeClock())(function)(text="b", count=1)) == ["b"]
        assert chunks(decorator(function, clock=FakeClock())("c", count=3)) == ["c", "c", "c"]

    assert [result.token_count for result in results] == [2, 1, 3]
    assert {result.function for result in results} == {f"test_decorator.{function.__name__}"}


@pytest.mark.parametrize("name", ["method", "stream", "coroutine", "astream"])
def test_methods_are_measured(name: str) -> None:
    """A method gets its instance, through it and through the class."""
    model = Model("gpt")

    with capture() as results:
        assert chunks(getattr(model, name)("a")) == ["gpt", "a"]
        assert chunks(getattr(Model, name)(model, text="b")) == ["gpt", "b"]

    assert [result.function for result in results] == [f"test_decorator.Model.{name}"] * 2
    assert [result.token_count for result in results] == [2, 2]


@pytest.mark.parametrize("owner", [Model, Model()])
@pytest.mark.parametrize("order", ["outside", "inside"])
def test_classmethods_and_staticmethods_are_measured_in_either_order(
    owner: Any, order: str
) -> None:
    """Classmethod and staticmethod work above and below the decorator, and stay what they are."""
    with capture() as results:
        assert getattr(owner, f"class_{order}")("a") == ["Model", "a"]
        assert getattr(owner, f"static_{order}")("a") == ["a"]
        assert getattr(Derived, f"class_{order}")("a") == ["Derived", "a"]

    assert len(results) == 3
    assert isinstance(vars(Model)[f"class_{order}"], classmethod)
    assert isinstance(vars(Model)[f"static_{order}"], staticmethod)
    assert inspect.ismethod(getattr(Model, f"class_{order}"))
    assert inspect.isfunction(getattr(Model, f"static_{order}"))


@pytest.mark.parametrize(
    ("name", "calls"), [("method", 2), ("stream", 2), ("coroutine", 2), ("astream", 2)]
)
def test_super_works_in_decorated_methods(name: str, calls: int) -> None:
    """A subclass may override and call super(); each level is measured, the inner inside."""
    with capture() as results:
        assert chunks(getattr(Derived("m"), name)("a")) == ["derived", "m", "a"]

    assert len(results) == calls
    inner, outer = results
    assert inner.function == f"test_decorator.Model.{name}"
    assert outer.function == f"test_decorator.Derived.{name}"
    assert inner.parent_id == outer.call_id
    assert (inner.token_count, outer.token_count) == (2, 3)


@decorators
def test_the_remaining_kinds_of_callables_are_measured(decorator: Decorator) -> None:
    """Callable objects, lambdas, partials, bound methods and built-in functions work."""

    class Callable_:  # noqa: N801 - a callable object
        def __call__(self, text: str) -> Iterator[str]:
            yield text

        def bound(self, text: str) -> list[str]:
            return [text]

    with capture() as results:
        assert chunks(decorator(Callable_())("a")) == ["a"]
        assert chunks(decorator(lambda text: [text])("a")) == ["a"]
        assert chunks(decorator(functools.partial(plain, count=1))("a")) == ["a"]
        assert chunks(decorator(functools.partial(functools.partial(stream), "a", count=1))()) == [
            "a"
        ]
        assert chunks(decorator(Callable_().bound)("a")) == ["a"]
        assert chunks(decorator(sorted)("a")) == ["a"]

    kind = "test_the_remaining_kinds_of_callables_are_measured.<locals>"
    assert [result.function for result in results] == [
        f"test_decorator.{kind}.Callable_",
        f"test_decorator.{kind}.<lambda>",
        "test_decorator.plain",
        "test_decorator.stream",
        f"test_decorator.{kind}.Callable_.bound",
        "builtins.sorted",
    ]


def test_a_bound_method_of_an_sdk_stays_bound() -> None:
    """A bound method that is observed keeps its self and its function, wherever it is put."""
    model = Model("sdk")
    bound = types.MethodType(inspect.unwrap(Model.decorated), model)

    class Client:
        create = observe(bound)

    for create in (Client.create, Client().create):
        assert create("a") == ["sdk", "a"]
        assert inspect.ismethod(create)
        assert create.__self__ is model


def test_a_partialmethod_over_a_decorated_method_works() -> None:
    """functools.partialmethod binds a decorated function as a bare one."""

    class Partial:
        @observe
        def method(self, text: str, count: int) -> list[str]:
            return [text] * count

        twice = functools.partialmethod(method, count=2)

    with capture() as results:
        assert Partial().twice("a") == ["a", "a"]

    assert len(results) == 1


def test_a_property_may_be_put_over_a_decorated_function() -> None:
    """Property and functools.cached_property go above the decorator."""

    class Lazy:
        @property
        @observe
        def tokens(self) -> list[str]:
            return ["a"]

        @functools.cached_property
        @observe
        def cached(self) -> list[str]:
            return ["a"]

    lazy = Lazy()
    with capture() as results:
        assert lazy.tokens == ["a"]
        assert lazy.cached is lazy.cached

    assert len(results) == 2


def _digits(number: int) -> list[str]:
    return [str(number)]


def test_caches_and_dispatchers_take_decorated_functions() -> None:
    """functools.lru_cache and singledispatch work over a decorated function."""
    cached = functools.lru_cache(observe(lambda text: [text]))
    dispatch: Any = functools.singledispatch(observe(plain))
    dispatch.register(int, observe(_digits))

    with capture() as results:
        assert cached("a") is cached("a")
        assert dispatch("b") == ["b", "b"]
        assert dispatch(5) == ["5"]

    assert len(results) == 3


@decorators
def test_recursion_is_measured_call_by_call(decorator: Decorator) -> None:
    """Each call of a recursive function has its own run, inside its caller's."""

    def countdown(number: int) -> Iterator[str]:
        yield str(number)
        if number:
            yield from measured(number - 1)

    measured = decorator(countdown)
    with capture() as results:
        assert list(measured(2)) == ["2", "1", "0"]

    assert [result.token_count for result in results] == [1, 2, 3]
    assert [result.parent_id for result in results] == [
        results[1].call_id,
        results[2].call_id,
        None,
    ]


@every_function
def test_decorating_twice_measures_twice(function: Any) -> None:
    """Two decorators make two results, one each, without interference."""
    twice = observe(observe(function, name="inner", clock=FakeClock()), name="outer")

    assert inspect.unwrap(twice) is function
    assert inspect.signature(twice) == inspect.signature(function)
    with capture() as results:
        assert chunks(twice("a")) == ["a", "a"]

    assert sorted(result.function for result in results) == ["inner", "outer"]
    assert [result.token_count for result in results] == [2, 2]


def test_metrics_decorator_twice_gives_a_result_of_a_result() -> None:
    """The outer decorator's value is what the inner one gave: its result, whose tokens it takes."""
    result = metrics_decorator(metrics_decorator(plain))("a")

    assert isinstance(result.value, MetricsResult)
    assert result.value.value == ["a", "a"]
    assert isinstance(metrics_decorator(observe(stream))("a"), MeasuredGenerator)


def test_other_decorators_go_above_and_below() -> None:
    """A wrapper of others above or below is called as before."""

    def shout(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return [chunk.upper() for chunk in function(*args, **kwargs)]

        return wrapper

    assert shout(observe(plain))("a") == ["A", "A"]
    assert observe(shout(plain))("a") == ["A", "A"]


@decorators
def test_arguments_may_have_any_name(decorator: Decorator) -> None:
    """No parameter of ours takes a keyword from the function."""

    def function(**kwargs: Any) -> list[str]:
        return sorted(kwargs)

    given = decorator(function)(self=1, function=2, run=3, name=4, args=5, wrapped=6, instance=7)

    assert chunks(given) == ["args", "function", "instance", "name", "run", "self", "wrapped"]


@decorators
def test_wrong_arguments_fail_as_before(decorator: Decorator) -> None:
    """A call with wrong arguments raises what the bare call raises, with one frame of ours."""
    with pytest.raises(TypeError) as expected:
        plain()  # type: ignore[call-arg]  # that is the point
    with pytest.raises(TypeError) as raised:
        decorator(plain)()

    assert str(raised.value) == str(expected.value)
    with capture() as results, pytest.raises(TypeError, match="missing 1 required positional"):
        decorator(plain)()
    assert [(result.outcome, result.error) for result in results] == [("failed", "TypeError")]


@decorators
def test_an_error_of_a_function_is_the_same_object(decorator: Decorator) -> None:
    """The function's exception passes unchanged, with at most one frame of ours."""
    error = ValueError("no")

    def fails() -> None:
        raise error

    with pytest.raises(ValueError, match="no") as raised:
        decorator(fails)()

    assert raised.value is error
    assert error.__context__ is None
    assert error.__cause__ is None
    check_frames(error)


# --- copy, pickle --------------------------------------------------------------------------------


def _through_pickle(value: Any) -> Any:
    copies = [
        pickle.loads(pickle.dumps(value, protocol))  # noqa: S301 - just dumped
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    ]
    copies.append(pickle._loads(pickle._dumps(value)))  # type: ignore[attr-defined]  # in Python
    return copies


@pytest.mark.parametrize("function", [observed, decorated, Model.method, Model.astream])
def test_functions_are_pickled_by_reference(function: Any) -> None:
    """A decorated function of a module or class is found again by its name."""
    assert [one is function for one in _through_pickle(function)] == [True] * 5


@pytest.mark.parametrize("name", ["method", "class_inside", "class_outside"])
def test_bound_methods_are_pickled_and_still_measured(name: str) -> None:
    """A bound method comes back bound to a copy of its instance, and its calls are measured."""
    for method in _through_pickle(getattr(Model("x"), name)):
        with capture() as results:
            assert method("a")[1] == "a"
        assert len(results) == 1


def test_instances_and_classes_with_decorated_methods_are_pickled() -> None:
    """Neither the class nor its instances notice."""
    for model in _through_pickle(Model("x")):
        assert model.method("a") == ["x", "a"]
    assert _through_pickle(Model) == [Model] * 5


def test_what_cannot_be_pickled_bare_cannot_be_pickled_decorated() -> None:
    """A local function is not found by its name, decorated or not."""

    def local() -> None: ...

    with pytest.raises((AttributeError, pickle.PicklingError), match="local"):
        pickle.dumps(local)
    with pytest.raises((AttributeError, pickle.PicklingError), match="local"):
        pickle.dumps(observe(local))


def test_a_function_whose_name_means_the_bare_one_keeps_its_measuring() -> None:
    """``observed_plain = observe(plain)``: the copy is measured, though the name leads away."""
    for function in _through_pickle(observed_plain):
        with capture() as results:
            assert function("a") == ["a", "a"]
        assert len(results) == 1


@pytest.mark.parametrize("treat", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_decorated_function_is_itself(treat: Any) -> None:
    """Copy and deepcopy leave functions as they are, decorated or not."""
    assert treat(plain) is plain
    assert treat(observed) is observed
    assert treat({"function": observed})["function"] is observed
    assert treat(Model("x")).method("a") == ["x", "a"]


# --- switched off --------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["1", "true", "yes"])
@every_function
def test_disabled_means_that_observe_gives_the_function_itself(
    function: Any, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TOKENCLOCK_DISABLED at decoration time: observe() gives back what it got."""
    monkeypatch.setenv("TOKENCLOCK_DISABLED", value)

    assert observe(function) is function
    assert observe(name="x")(function) is function
    assert observe(model="x")(staticmethod(function)).__func__ is function


@pytest.mark.parametrize("value", ["", "0"])
def test_not_disabled_means_that_observe_measures(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TOKENCLOCK_DISABLED empty or 0 switches nothing off."""
    monkeypatch.setenv("TOKENCLOCK_DISABLED", value)

    with capture() as results:
        observe(plain)("a")

    assert len(results) == 1


def test_disabled_does_not_affect_metrics_decorator_nor_earlier_decorations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Results are metrics_decorator's purpose; what was decorated before stays measured."""
    before = observe(plain)
    monkeypatch.setenv("TOKENCLOCK_DISABLED", "1")

    with capture() as results:
        assert metrics_decorator(plain)("a").token_count == 2
        before("a")

    assert len(results) == 2


def test_wrong_use_is_refused_also_when_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors do not wait for the day it is switched on again."""
    monkeypatch.setenv("TOKENCLOCK_DISABLED", "1")

    with pytest.raises(NotMeasurableError, match="Cannot measure 5"):
        observe(5)  # type: ignore[call-overload]  # that is the point
    with pytest.raises(InvalidOptionError, match="Cannot use name=5"):
        observe(name=5)  # type: ignore[call-overload]  # that is the point


# --- wrong use -----------------------------------------------------------------------------------


class _Unreadable:
    def __repr__(self) -> str:
        return "<something>"


async def _later(_: object) -> int:
    return 1


@decorators
@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (
            5,
            (
                "Cannot measure 5: a 'int' is not callable. Pass a function, a method or a "
                "callable object; a stream goes to measure()."
            ),
        ),
        (
            Model,
            (
                "Cannot measure the class 'Model': its calls make objects, not tokens. Decorate "
                "the method that produces tokens."
            ),
        ),
        (
            _Unreadable(),
            (
                "Cannot measure <something>: a '_Unreadable' is not callable. Pass a function, a "
                "method or a callable object; a stream goes to measure()."
            ),
        ),
    ],
)
def test_what_is_not_callable_is_refused(decorator: Decorator, thing: Any, message: str) -> None:
    """The error says what was given, why it cannot be measured, and what to pass."""
    for decorate in (decorator, decorator(name="x")):
        with pytest.raises(NotMeasurableError) as raised:
            decorate(thing)
        assert str(raised.value) == message
        assert isinstance(raised.value, TypeError)
        assert isinstance(raised.value, TokenclockError)


@decorators
@pytest.mark.parametrize("kind", [property, functools.cached_property])
def test_a_property_is_refused_with_its_remedy(decorator: Decorator, kind: Any) -> None:
    """A property cannot be measured, the function under it can."""
    with pytest.raises(
        NotMeasurableError,
        match=f"a '{kind.__name__}' is not callable. Decorate the function that it was made from.",
    ):
        decorator(kind(lambda self: ["a"]))


OPTION_ERRORS = [
    (
        {"naem": "x"},
        "Cannot apply {where}(naem=...): there is no such option. Did you mean name=?",
        "naem",
    ),
    (
        {"zzz": 1},
        (
            "Cannot apply {where}(zzz=...): there is no such option. The options are attributes, "
            "clock, count_tokens, model, name, operation, provider, read_chunk, sinks, streams."
        ),
        "zzz",
    ),
    ({"name": 5}, "Cannot use name=5: it is a int. Pass a str, or leave name out.", "name"),
    ({"model": 5}, "Cannot use model=5: it is a int. Pass a str, or leave model out.", "model"),
    (
        {"count_tokens": 5},
        "Cannot use count_tokens=5: it is not callable. Pass a function from a chunk to an int.",
        "count_tokens",
    ),
    (
        {"read_chunk": 5},
        "Cannot use read_chunk=5: it is not callable. Pass a function from a chunk to a Reading.",
        "read_chunk",
    ),
    (
        {"count_tokens": _later},
        (
            f"Cannot use count_tokens={_later!r}: it is a coroutine function, and a chunk is read "
            "without waiting. Pass a function from a chunk to an int."
        ),
        "count_tokens",
    ),
    (
        {"streams": "yes"},
        (
            "Cannot use streams='yes': it is neither True, False nor None. Pass True if the call "
            "gives an iterable to measure, False if it gives a value."
        ),
        "streams",
    ),
    (
        {"sinks": print},
        f"Cannot use sinks={print!r}: it is not a list of sinks. Pass sinks=[{print!r}].",
        "sinks",
    ),
    ({"sinks": 5}, "Cannot use sinks=5: it is not iterable. Pass a list of callables.", "sinks"),
    (
        {"attributes": 5},
        (
            "Cannot label calls with attributes=5: it is no mapping. Pass a dict of names to str, "
            "bool, int or float."
        ),
        "attributes",
    ),
    (
        {"attributes": {"a": None}},
        (
            "Cannot label calls with 'a': a NoneType is no label. Names are str; values are str, "
            "bool, int or float."
        ),
        "attributes",
    ),
]


@decorators
@pytest.mark.parametrize(("options", "message", "option"), OPTION_ERRORS)
def test_a_wrong_option_is_refused_when_the_decorator_is_applied(
    decorator: Decorator, options: dict[str, Any], message: str, option: str
) -> None:
    """Each error names the option and its value, why it cannot be used, and what to pass."""
    for arguments in ((), (plain,)):
        with pytest.raises(InvalidOptionError) as raised:
            decorator(*arguments, **options)
        assert str(raised.value) == message.format(where=decorator.__name__)
        assert raised.value.option == option
        assert isinstance(raised.value, TypeError)


@decorators
@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda: 0.5, "it gave a float, not an int. Pass a function that gives whole"),
        (lambda: "now", "it gave a str, not an int. Pass a function that gives whole"),
        (lambda: None, "it gave a NoneType, not an int. Pass a function that gives whole"),
        (5, "it is not callable. Pass a function without arguments that gives"),
    ],
)
def test_a_clock_that_gives_no_int_is_refused(decorator: Decorator, wrong: Any, why: str) -> None:
    """A clock is called once at decoration, and refused if it gives no int."""
    with pytest.raises(InvalidOptionError) as raised:
        decorator(plain, clock=wrong)

    assert str(raised.value).startswith(f"Cannot measure with clock={wrong!r}: {why} ")
    assert str(raised.value).endswith("monotonic nanoseconds, such as time.perf_counter_ns.")
    assert raised.value.option == "clock"


@decorators
@pytest.mark.parametrize("function", [stream, astream])
def test_streams_false_is_refused_on_a_generator_function(
    decorator: Decorator, function: Any
) -> None:
    """A generator function gives a stream whenever it is called."""
    with pytest.raises(
        InvalidOptionError,
        match=rf"^Cannot use streams=False on 'test_decorator\.{function.__name__}': a generator "
        r"function gives a stream whenever it is called\. Leave streams out\.$",
    ) as raised:
        decorator(function, streams=False)

    assert raised.value.option == "streams"
    with pytest.raises(InvalidOptionError, match="Cannot use streams=False"):
        decorator(staticmethod(function), streams=False)


def test_an_option_is_positional_for_nobody() -> None:
    """Options are keyword-only."""
    with pytest.raises(TypeError, match="positional argument"):
        observe(plain, "name")  # type: ignore[call-overload]  # that is the point


# --- contexts ------------------------------------------------------------------------------------

seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nothing")


def _contexts_size() -> int:
    return len(contextvars.copy_context())


@decorators
def test_a_stream_leaves_nothing_in_the_callers_context(decorator: Decorator) -> None:
    """Between items, and after a stream, the context is what the program made it."""

    def body() -> Iterator[str]:
        yield seen.get()
        seen.set("by the body")
        yield seen.get()

    def caller() -> list[Any]:
        before = _contexts_size()
        sizes = []
        seen.set("by the caller")
        measured = decorator(body)()
        given = [next(measured)]
        sizes.append(_contexts_size() - before)
        given += [*measured, seen.get()]
        sizes.append(_contexts_size() - before)
        return [given, sizes]

    given, sizes = contextvars.copy_context().run(caller)

    assert given == ["by the caller", "by the body", "by the body"]
    assert sizes == [1, 1]


@decorators
@pytest.mark.parametrize("kind", ["coroutine", "async generator"])
def test_async_bodies_leave_nothing_in_the_callers_context(decorator: Decorator, kind: str) -> None:
    """Nothing of ours is in the context between items and rounds; variables of all are seen."""
    events: list[Any] = []

    def note() -> None:
        events.append((seen.get(), current_call.get(None) is not None))

    async def steps() -> str:
        note()
        await asyncio.sleep(0)
        seen.set("by the body")
        note()
        return "done"

    async def agen() -> AsyncIterator[str]:
        yield await steps()
        note()
        yield "b"

    async def other() -> None:
        events.append(("other", current_call.get(None)))

    async def main() -> None:
        seen.set("by the caller")
        task = asyncio.create_task(other())
        if kind == "coroutine":
            await decorator(steps)()
        else:
            events.extend([current_call.get(None) async for _ in decorator(agen)()])
        await task
        note()

    asyncio.run(main())

    inside = kind == "coroutine"
    assert events[0] == ("by the caller", inside)
    assert ("other", None) in events
    assert events[2] == ("by the body", inside)
    assert events[-1] == ("by the body", False)
    assert [event for event in events if event is not None and event[1] is True] == (
        [events[0], events[2]] if inside else []
    )


@decorators
def test_a_stream_may_be_driven_from_several_contexts(decorator: Decorator) -> None:
    """Each item may be asked for in another context: no token of ours stands in the way."""

    def body() -> Iterator[str]:
        yield seen.get()
        yield seen.get()

    measured = decorator(body)()
    first, second = contextvars.copy_context(), contextvars.copy_context()
    first.run(seen.set, "one")
    second.run(seen.set, "two")

    assert [first.run(next, measured), second.run(next, measured)] == ["one", "two"]
    assert contextvars.copy_context().run(list, measured) == []
    assert measured.metrics.outcome == "completed"


class _Timeout:
    """What asyncio.timeout(0) does, also before Python 3.11."""

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(task.cancel)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is asyncio.CancelledError:
            raise TimeoutError


# asyncio.timeout is there from Python 3.11 on.
TIMEOUTS: list[Any] = [_Timeout, *filter(None, [getattr(asyncio, "timeout", None)])]


def timeout_at_once(kind: Any) -> Any:
    return kind() if kind is _Timeout else kind(0)


@pytest.mark.asyncio
async def test_an_async_stream_runs_in_the_callers_task() -> None:
    """No task is made: every step of the body runs in the task that asks."""

    async def body() -> AsyncIterator[Any]:
        yield asyncio.current_task()
        await asyncio.sleep(0)
        yield asyncio.current_task()

    before = asyncio.all_tasks()
    tasks = [task async for task in observe(body, count_tokens=lambda _: 1)()]

    assert tasks == [asyncio.current_task()] * 2
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_a_timeout_inside_an_async_generator_fires(timeout: Any) -> None:
    """asyncio.timeout() in the body of an async generator cancels its own await."""

    async def body() -> AsyncIterator[str]:
        try:
            async with timeout_at_once(timeout):
                yield "a"
                await asyncio.Event().wait()
        except TimeoutError:
            yield "timed out"

    async def main() -> list[str]:
        return [chunk async for chunk in observe(body)()]

    assert asyncio.run(main()) == ["a", "timed out"]


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_a_timeout_fires_inside_a_measured_coroutine(timeout: Any) -> None:
    """A timeout in the body cancels the body, nothing around it."""

    async def slow() -> str:
        try:
            async with timeout_at_once(timeout):
                await asyncio.Event().wait()
        except TimeoutError:
            return "timed out"
        return "never"

    assert asyncio.run(observe(slow)()) == "timed out"


@decorators
def test_a_call_leaves_nothing_behind(decorator: Decorator) -> None:
    """After an ordinary call neither the context nor the list of live runs knows of it."""
    before = _contexts_size()

    decorator(plain)("a")

    assert _contexts_size() == before
    assert live_runs == {}


# --- metrics_of ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, 5, "a", [], object(), plain, {}])
def test_metrics_of_anything_else_is_none(value: Any) -> None:
    """metrics_of() of what we did not give is None."""
    assert metrics_of(value) is None


def test_metrics_of_everything_that_we_gave() -> None:
    """metrics_of() knows results, streams, coroutines and awaited ones."""
    result = metrics_decorator(plain)("a")
    running = metrics_decorator(coroutine)("a")
    measured = observe(stream)("a")

    assert metrics_of(result) is result
    for given in (measured, running):
        found = metrics_of(given)
        assert found is not None
        assert found.outcome == "running"
    awaited = asyncio.run(running)
    ended = metrics_of(running)
    assert ended is not None
    assert ended.call_id == awaited.call_id
    assert read(measured) == ["a", "a"]


def test_warnings_point_at_the_users_line() -> None:
    """A warning of ours is shown at the line of the call."""

    def things() -> Iterator[object]:
        return iter([object()])

    function = observe(things)

    with pytest.warns(TokenclockWarning, match="Cannot find text in a chunk of type") as warned:
        list(function())

    assert [one.filename for one in warned] == [__file__]
    assert tokenclock.__version__


def test_what_wraps_a_generator_function_may_do_more() -> None:
    """A wrapper that answers as a generator function does, and works at once, is measured so."""
    clock = FakeClock()

    @wrapt.decorator
    def at_once(wrapped: Any, _: object, args: Any, kwargs: Any) -> Any:
        clock.advance(0.5)
        return list(wrapped(*args, **kwargs))

    @at_once
    def tokens() -> Iterator[str]:
        yield from "abc"

    measured: Any = observe(tokens, clock=clock)
    with capture() as results:
        assert measured() == ["a", "b", "c"]

    assert (results[0].generation_latency, results[0].throughput) == (0.5, 6.0)


def test_an_observed_generator_function_is_the_caller_of_what_it_observes() -> None:
    """Where two decorators measure one function, the inner call knows the outer one."""

    def tokens() -> Iterator[str]:
        yield "a"

    with capture() as results:
        list(observe(observe(tokens, name="inner"), name="outer")())

    by_name = {result.function: result for result in results}
    assert by_name["inner"].parent_id == by_name["outer"].call_id
