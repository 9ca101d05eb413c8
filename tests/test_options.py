"""Options are checked when a decorator is applied, and mean the same for every call."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from tokenclock import Reading, measure, metrics_decorator, observe
from tokenclock._options import NAMES, Options
from tokenclock.errors import InvalidOptionError
from tokenclock.testing import CollectingSink, FakeClock

every_decorator = pytest.mark.parametrize("decorator", [metrics_decorator, observe])


async def acount(chunk: object) -> int:
    return 1


def forty_two() -> int:
    return 42


def ignore(result: object) -> None:
    """Take a result."""


# Each wrong option with the three beats of its refusal: what, why, what instead.
REFUSED: list[tuple[str, Any, str]] = [
    ("name", 3, r"Cannot use name=3: it is a int. Pass a str, or leave name out."),
    ("model", b"m", r"Cannot use model=b'm': it is a bytes. Pass a str, or leave model out."),
    ("provider", ["p"], r"Cannot use provider=\['p'\]: it is a list. Pass a str, or leave"),
    ("operation", 1.5, r"Cannot use operation=1.5: it is a float. Pass a str, or leave"),
    (
        "count_tokens",
        7,
        r"Cannot use count_tokens=7: it is not callable. Pass a function from a chunk to an int.",
    ),
    ("count_tokens", acount, r"it is a coroutine function, and a chunk is read without waiting."),
    (
        "read_chunk",
        "text",
        r"Cannot use read_chunk='text': it is not callable. Pass a function from a chunk to a R",
    ),
    ("read_chunk", acount, r"it is a coroutine function, and a chunk is read without waiting."),
    ("streams", "yes", r"Cannot use streams='yes': it is neither True, False nor None. Pass True"),
    ("streams", 1, r"Cannot use streams=1: it is neither True, False nor None."),
    (
        "attributes",
        ["a"],
        r"Cannot label calls with attributes=\['a'\]: it is no mapping. Pass a dict of names",
    ),
    ("attributes", {"a": None}, r"Cannot label calls with 'a': a NoneType is no label."),
    ("attributes", {1: "a"}, r"Cannot label calls with 1: .* Names are str; values are str, bool"),
    ("sinks", print, r"Cannot use sinks=.*: it is not a list of sinks. Pass sinks=\["),
    ("sinks", 3, r"Cannot use sinks=3: it is not iterable. Pass a list of callables."),
    ("sinks", ["a"], r"Cannot send results to 'a': it is not callable."),
    ("clock", 3, r"Cannot measure with clock=3: it is not callable."),
]


@every_decorator
@pytest.mark.parametrize(("option", "value", "message"), REFUSED)
def test_a_wrong_option_is_refused_when_the_decorator_is_applied(
    decorator: Any, option: str, value: Any, message: str
) -> None:
    """A wrong option is a TypeError at decoration that says what, why and what to do."""
    with pytest.raises(InvalidOptionError, match=message) as caught:
        decorator(**{option: value})
    assert caught.value.option == option
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("option", "value", "message"), [one for one in REFUSED if one[0] != "streams"]
)
def test_measure_refuses_the_same(option: str, value: Any, message: str) -> None:
    """Measuring inline refuses the options that the decorators refuse."""
    with pytest.raises(InvalidOptionError, match=message):
        measure(iter("a"), **{option: value})


@every_decorator
def test_an_unknown_option_is_refused_with_the_likely_one(decorator: Any) -> None:
    """A misspelt option is refused with the one that was probably meant."""
    name = decorator.__name__
    message = (
        rf"^Cannot apply {name}\(count_token=...\): there is no such option. "
        r"Did you mean count_tokens=\?$"
    )
    with pytest.raises(InvalidOptionError, match=message) as caught:
        decorator(count_token=len)
    assert caught.value.option == "count_token"


@every_decorator
def test_an_option_like_no_other_is_refused_with_the_list(decorator: Any) -> None:
    """An option like none that exists is refused with the list of those that do."""
    message = r"there is no such option. The options are attributes, clock, count_tokens, model,"
    with pytest.raises(InvalidOptionError, match=message):
        decorator(xyz=1)


def test_all_options_are_named() -> None:
    """The list in the message is the list of the options that there are."""
    accepted = set(Options.__init__.__annotations__) - {"return"}
    assert set(NAMES) == accepted


@every_decorator
def test_options_are_keyword_only(decorator: Any) -> None:
    """Only the function is positional."""
    with pytest.raises(TypeError, match=r"takes from 0 to 1 positional arguments but 2 were given"):
        decorator(forty_two, "name")


def test_every_label_reaches_the_result(sink: CollectingSink) -> None:
    """Name, model, provider, operation and attributes are on every result."""
    observe(name="answer", model="m-1", provider="acme", operation="chat", attributes={"tier": 1})(
        forty_two
    )()

    result = sink.results[0]
    assert result.function == "answer"
    assert (result.model, result.request_model) == ("m-1", "m-1")
    assert (result.provider, result.operation) == ("acme", "chat")
    assert result.attributes == {"tier": 1}


def test_the_name_of_a_function_is_its_own(sink: CollectingSink) -> None:
    """Without the option name, a result carries module.qualname."""
    observe(forty_two)()

    assert sink.results[0].function == "test_options.forty_two"


def test_one_configured_decorator_serves_many_functions(sink: CollectingSink) -> None:
    """A decorator configured once gives each function its own name."""
    decorate = observe(model="m-1")
    decorate(forty_two)()
    decorate(ignore)(1)

    assert [one.function for one in sink.results] == [
        "test_options.forty_two",
        "test_options.ignore",
    ]


def test_the_calls_model_is_the_request_model(sink: CollectingSink) -> None:
    """A call's own model= argument is reported, unless the option says it."""

    def answer(*, model: Any) -> int:
        return 42

    observe(answer)(model="m-2")
    observe(model="m-1")(answer)(model="m-2")
    observe(answer)(model=object())

    assert [one.request_model for one in sink.results] == ["m-2", "m-1", None]
    assert [one.model for one in sink.results] == [None, "m-1", None]


def test_attributes_are_copied(sink: CollectingSink) -> None:
    """Changing the mapping after decoration changes no result, and no result can be changed."""
    attributes: dict[str, Any] = {"tier": 1}
    measured = observe(attributes=attributes)(forty_two)
    attributes["tier"] = 2
    measured()

    assert sink.results[0].attributes == {"tier": 1}
    changeable: Any = sink.results[0].attributes
    with pytest.raises(TypeError, match="Cannot change the attributes of a result"):
        changeable["tier"] = 3


def test_a_consumed_iterable_of_sinks_is_kept() -> None:
    """Sinks may come as any iterable: it is read once, at decoration."""
    collecting = CollectingSink()
    measured = observe(sinks=iter([collecting]))(forty_two)
    measured()
    measured()

    assert len(collecting.results) == 2


def test_any_callable_reads_chunks() -> None:
    """Readers may be classes, partials or methods: only coroutine functions are refused."""

    class Reader:
        def __call__(self, chunk: str) -> Reading:
            return Reading(tokens=len(chunk))

    readers: list[Callable[[Any], Reading]] = [Reader(), Reader().__call__]
    for reader in readers:
        stream = measure(iter(["abc"]), read_chunk=reader)
        list(stream)
        assert stream.metrics.token_count == 3


def test_options_survive_pickle() -> None:
    """Options pickle by value, as a function that cloudpickle takes along needs them."""
    options = Options(
        name="answer", count_tokens=len, attributes={"tier": 1}, sinks=[ignore], clock=FakeClock()
    )
    again: Options = pickle.loads(pickle.dumps(options))  # noqa: S301 - our own

    assert (again.name, dict(again.attributes)) == ("answer", {"tier": 1})
    assert again.count_tokens is len
    assert [entry.sink for entry in again.sinks] == [ignore]
    assert again.clock() == 0


def test_pickling_options_again_and_again_changes_nothing() -> None:
    """Options that travel through many processes are as they were: a clock has one guard."""
    options = Options(clock=FakeClock())
    size = len(pickle.dumps(options))
    for _ in range(3):
        options = pickle.loads(pickle.dumps(options))  # noqa: S301 - our own

    assert len(pickle.dumps(options)) == size


def test_a_sink_named_twice_gets_a_result_once() -> None:
    """Naming a sink twice on a decorator is naming it once."""
    sink = CollectingSink()
    observe(sinks=[sink, sink])(forty_two)()
    assert len(sink.results) == 1


@pytest.mark.parametrize("attributes", [[], 0, "", ()], ids=repr)
def test_attributes_that_are_no_mapping_are_refused_though_they_are_false(attributes: Any) -> None:
    """Only None means that there are no attributes."""
    with pytest.raises(InvalidOptionError, match="it is no mapping"):
        observe(attributes=attributes)
