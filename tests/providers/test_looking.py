"""How the families look at chunks: where fields are found, and what odd ones are worth."""

from __future__ import annotations

import collections
import enum
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import pytest

from tokenclock._providers._looking import (
    NO_FIELDS,
    Words,
    any_filled,
    any_present,
    fields_of,
    first_of,
    has_kept,
    is_filled,
    is_from,
    items_of,
    keeps_fields,
    module_of,
    tokens_in,
    total_of,
    usage_or_none,
    visible,
)
from tokenclock._reading import Usage


class Plain:
    kind = "class"

    def __init__(self, **fields: Any) -> None:
        vars(self).update(fields)


def tell(_: object, name: str) -> Any:
    """Tell when somebody asks for a field that is not there, whatever its name."""
    if name == "__name__":  # pytest does, for the test's
        raise AttributeError(name)
    pytest.fail(f"somebody asked for {name}")


class Loud(Plain):
    __getattr__ = tell


class Slotted:
    __slots__ = ("model", "unset")

    def __init__(self, model: str) -> None:
        self.model = model


class LoudSlotted(Slotted):
    __slots__ = ()
    __getattr__ = tell


class SlottedBelow(Slotted):
    """It has a ``__dict__`` too, which is empty."""


@dataclass
class Data:
    model: str


class Tuple(NamedTuple):
    model: str


class Below(dict[str, Any]):
    """A dict with attributes."""


class Attributes(dict[str, Any]):
    """A dict whose items are attributes too, and any other is None."""

    __getattr__ = dict.get


class Name(str, enum.Enum):
    TEXT = "text"


def below(**fields: Any) -> Below:
    holder = Below(fields)
    holder.origin = "elsewhere"  # type: ignore[attr-defined]  # it may have any
    return holder


HOLDERS = [
    {"model": "a"},
    below(model="a"),
    Attributes(model="a"),
    collections.OrderedDict(model="a"),
    collections.defaultdict(str, model="a"),
    SimpleNamespace(model="a"),
    Plain(model="a"),
    Loud(model="a"),
    Slotted("a"),
    SlottedBelow("a"),
    Data("a"),
    Tuple("a"),
]


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: type(holder).__name__)
def test_fields_are_found_wherever_an_object_keeps_them(holder: Any) -> None:
    """Dicts, attributes and slots are asked alike; what is not there is the default."""
    fields = fields_of(holder)

    assert fields.get("model") == "a"
    assert fields.get("choices") is None
    assert fields.get("unset", 3) == 3


@pytest.mark.parametrize("holder", [Loud(model="a"), LoudSlotted("a")])
def test_no_field_is_made_up(holder: Any) -> None:
    """A field that an object would make up when asked is none, and it is not asked."""
    assert fields_of(holder).get("model") == "a"
    assert fields_of(holder).get("choices", 3) == 3


class Heard(dict[str, Any]):
    """A dict whose own methods are any code."""

    def get(self, key: str, default: Any = None, /) -> Any:
        pytest.fail(f"somebody asked for {key}")

    def __getitem__(self, key: str) -> Any:
        pytest.fail(f"somebody asked for {key}")

    def __iter__(self) -> Any:
        pytest.fail("somebody asked for all")


class Disguised:
    """It works out what it is when it is asked, as lazy objects do."""

    def __init__(self) -> None:
        self.model = "a"

    @property  # type: ignore[misc]  # object's can be set
    def __class__(self) -> Any:
        pytest.fail("somebody asked what it is")


def test_the_methods_of_a_dicts_own_class_are_not_asked() -> None:
    """What a dict keeps is read, whatever its class makes of it."""
    assert fields_of(Heard(model="a")).get("model") == "a"


def test_a_lazy_object_is_not_woken() -> None:
    """Looking at an object's fields does not ask it for its class."""
    assert fields_of(Disguised()).get("model") == "a"


def test_the_class_is_not_asked() -> None:
    """A field is the object's own: one that its class has for all is none."""
    assert fields_of(Plain(model="a")).get("kind") is None


@pytest.mark.parametrize("value", [None, 1, 1.5, "a", b"a", [], (), {1}, object(), True, range(3)])
def test_plain_values_have_no_fields(value: object) -> None:
    """What is built in has methods and no fields."""
    assert fields_of(value) is NO_FIELDS
    assert fields_of(value).get("count") is None
    assert fields_of(value).get("count", 3) == 3


def test_a_mapping_that_is_no_dict_is_an_object() -> None:
    """Only dicts are read by their items: another mapping's may be any code."""
    assert fields_of(MappingProxyType({"model": "a"})).get("model") is None


class Asked(Plain):
    """It has an answer of its own to every question."""

    __getattribute__ = tell


@pytest.mark.parametrize("kind", [Plain, Loud, Data, SlottedBelow])
def test_an_object_may_keep_its_fields(kind: type) -> None:
    """Fields are in the dict of an object whose class does not say otherwise."""
    assert keeps_fields(kind)


@pytest.mark.parametrize("kind", [dict, Below, Slotted, Tuple, Asked, str, list, type(None)])
def test_not_all_objects_keep_their_fields(kind: type) -> None:
    """Slots, items and what runs code of its own are looked at in other ways."""
    assert not keeps_fields(kind)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (None, False), ({}, False), ({"a": 1}, True), ({"a": None}, False), ({"b": 1}, False),
        ({"a": ""}, True), (3, True),
    ],
)  # fmt: skip
def test_what_is_kept_apart_is_asked_for_by_name(extra: Any, expected: object) -> None:
    """A name is kept apart if there is a value for it, or if that cannot be told."""
    assert has_kept(SimpleNamespace(__pydantic_extra__=extra), "a") is expected
    assert has_kept(object(), "a") is False


@pytest.mark.extras
def test_what_pydantic_keeps_apart_is_found() -> None:
    """Fields that a model does not declare are fields; those that it declares come first."""
    from pydantic import BaseModel, ConfigDict  # noqa: PLC0415 - an extra

    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        kind: str

    class Closed(BaseModel):
        kind: str

    made = Open.model_validate({"kind": "a", "reasoning": "b"})
    bare = Closed.model_construct(kind="a")

    assert fields_of(made).get("kind") == "a"
    assert fields_of(made).get("reasoning") == "b"
    assert fields_of(bare).get("kind") == "a"
    assert fields_of(bare).get("reasoning") is None


def test_where_a_type_comes_from() -> None:
    """A type is from its own package, or from that of what it is made from."""

    class Decoder(collections.OrderedDict[str, Any]):
        pass

    assert module_of(collections.OrderedDict) == "collections"
    assert is_from(Decoder, "collections")
    assert not is_from(Decoder, "collect")
    assert not is_from(Decoder, "json")


@pytest.mark.parametrize(
    ("value", "filled"),
    [("a", True), (" ", True), (b"a", True), (Name.TEXT, True), ("", False), (b"", False),
     (None, False), (1, False), (["a"], False), ({"a": 1}, False), (True, False)],
)  # fmt: skip
def test_what_is_filled(value: object, *, filled: bool) -> None:
    """Text and data with something in it is; other things are not, whatever they hold."""
    assert is_filled(value) is filled
    assert any_filled({"a": None, "b": value}, "a", "b") is filled


def test_what_is_present() -> None:
    """A field that holds None is there."""
    assert any_present({"a": None}, ("b", "a"))
    assert not any_present({"a": None}, ("b",))


@pytest.mark.parametrize(
    ("value", "tokens"),
    [(0, 0), (5, 5), (5.0, 5), (1_000_000_000, 1_000_000_000), (1_000_000_001, None), (-1, None),
     (1.5, None), (float("nan"), None), (float("inf"), None), (True, None), ("5", None),
     (None, None), ([5], None), (10**30, None), (1e30, None)],
)  # fmt: skip
def test_what_is_a_count(value: object, tokens: int | None) -> None:
    """A count is a whole number that a model can have written."""
    assert tokens_in(value) == tokens


def test_what_was_not_reported_adds_nothing() -> None:
    """A total is of what was reported, and None where nothing was."""
    assert total_of(3, None, 0) == 3
    assert total_of(0) == 0
    assert total_of(None) is None
    assert usage_or_none(Usage()) is None
    assert usage_or_none(Usage(0)) == Usage(0)


def test_items_are_those_of_lists() -> None:
    """Text and dicts can be iterated over, and have no items here."""
    assert list(items_of([1, 2])) == [1, 2]
    assert list(items_of((1, 2))) == [1, 2]
    for value in ("ab", b"ab", {"a": 1}, None, 3, {1}):
        assert list(items_of(value)) == []


def test_the_first_that_is_said() -> None:
    """None is not said; 0 and an empty string are."""
    assert first_of({"a": None, "b": 0, "c": 1}, "a", "b", "c") == 0
    assert first_of({"a": None}, "a", "b") is None


def test_the_most_visible_channel() -> None:
    """Text before calls before reasoning."""
    assert visible(text=True, tool=True, reasoning=True) == "text"
    assert visible(text=False, tool=True, reasoning=True) == "tool"
    assert visible(text=False, tool=False, reasoning=True) == "reasoning"
    assert visible(text=False, tool=False, reasoning=False) is None


class Unequal:
    """What cannot be compared."""

    __hash__ = None  # type: ignore[assignment]  # as classes with an __eq__ have it

    def __eq__(self, other: object) -> bool:
        raise RuntimeError


def test_words_are_cleaned_each_time_they_change() -> None:
    """The same word is cleaned once; another, none, an empty and an odd one are told apart."""
    words = Words()
    given = ["a", "a", None, "a", "", "b\x1b[31m", 3, Unequal(), Name.TEXT, "x" * 10_000]

    assert [words(raw) for raw in given] == [
        "a", "a", None, "a", None, "b[31m", None, None, "text", "x" * 200,
    ]  # fmt: skip
