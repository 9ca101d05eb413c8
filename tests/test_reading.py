"""What a reading may say, and what is made of strings and counts from outside."""

from __future__ import annotations

import enum
import math
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenclock import Reading, Usage
from tokenclock._reading import as_count, bounded_text, checked, updated_usage


class Index:
    """An integer as numpy has them."""

    def __index__(self) -> int:
        return 7


class Reason(str, enum.Enum):
    STOP = "stop"


@pytest.mark.parametrize(
    ("value", "count"), [(0, 0), (3, 3), (True, 1), (Index(), 7), (1_000_000_000, 1_000_000_000)]
)
def test_a_count_is_anything_that_is_an_integer(value: Any, count: int) -> None:
    """Counts go through operator.index, so integers of other libraries are welcome."""
    assert as_count(value) == count
    assert type(as_count(value)) is int


@pytest.mark.parametrize("value", [None, 1.0, math.nan, "3", b"3", [3], object()])
def test_a_count_is_nothing_else(value: Any) -> None:
    """What is no integer is no count, not even a whole float."""
    with pytest.raises(TypeError, match=r"cannot be interpreted as an integer$"):
        as_count(value)


@pytest.mark.parametrize("value", [-1, 1_000_000_001, 10**30])
def test_a_count_is_neither_negative_nor_absurd(value: int) -> None:
    """No model gives fewer than none, or a billion in one answer."""
    with pytest.raises(ValueError, match=r"^a token count lies between 0 and 1,000,000,000$"):
        as_count(value)


def test_a_reading_says_nothing_unless_it_is_told() -> None:
    """The defaults of a reading are those of a frame that carries nothing."""
    assert Reading() == (0, None, 0, None, None, None, None)
    assert Usage() == (None, None, None, None)


def test_a_checked_reading_is_in_order() -> None:
    """Counts become plain integers, strings are made harmless, the rest stays."""
    reading = Reading(
        tokens=Index(),  # type: ignore[arg-type]  # as numpy's are
        total_tokens=Index(),  # type: ignore[arg-type]  # as above
        choice=1,
        channel="tool",
        usage=Usage(output_tokens=Index()),  # type: ignore[arg-type]  # as above
        model="llama\x1b[2J",
        finish_reason=Reason.STOP,
    )

    assert checked(reading) == Reading(
        tokens=7,
        total_tokens=7,
        choice=1,
        channel="tool",
        usage=Usage(output_tokens=7),
        model="llama[2J",
        finish_reason="stop",
    )


@pytest.mark.parametrize(
    ("reading", "error", "message"),
    [
        (None, TypeError, r"^read_chunk must give a Reading$"),
        ((1, None, 0, None, None, None, None), TypeError, r"^read_chunk must give a Reading$"),
        (Reading(channel="audio"), ValueError, r"^a channel is 'text', 'reasoning', 'tool' or"),  # type: ignore[arg-type]  # on purpose
        (Reading(usage=(1, 2, 3, 4)), TypeError, r"^the usage of a Reading must be a Usage$"),  # type: ignore[arg-type]  # on purpose
        (Reading(tokens=-1), ValueError, r"^a token count lies between"),
        (Reading(total_tokens=-1), ValueError, r"^a token count lies between"),
        (Reading(choice="0"), TypeError, r"cannot be interpreted as an integer$"),  # type: ignore[arg-type]  # on purpose
        (Reading(usage=Usage(cached_tokens=-1)), ValueError, r"^a token count lies between"),
    ],
)
def test_a_reading_out_of_order_is_refused(
    reading: object, error: type[Exception], message: str
) -> None:
    """What is wrong in a reading is said, so that the log can show it."""
    with pytest.raises(error, match=message):
        checked(reading)


@pytest.mark.parametrize("odd", [None, 3, b"llama", ["llama"], object()])
def test_what_is_no_text_is_no_name(odd: Any) -> None:
    """A model's name and a finish reason are str, or nothing."""
    reading = checked(Reading(model=odd, finish_reason=odd))

    assert reading.model is None
    assert reading.finish_reason is None


def test_newer_usage_adds_to_older() -> None:
    """Usage frames are cumulative: what a newer one does not say stays."""
    opening = Usage(input_tokens=25, output_tokens=0, cached_tokens=5)
    closing = Usage(output_tokens=12, reasoning_tokens=0)

    assert updated_usage(opening, closing) == Usage(
        input_tokens=25, output_tokens=12, reasoning_tokens=0, cached_tokens=5
    )


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("stop", "stop"),
        ("", ""),
        ("größer 日本", "größer 日本"),
        ("a\r\nb\x00c\x9b", "abc"),
        ("\u202eevil\u2066", "evil"),
        ("lone \ud800 surrogate", "lone  surrogate"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 200),
        ("\x1b" * 50 + "y" * 300, "y" * 200),
        ("\x00" * 5000, ""),
    ],
)
def test_text_from_outside_is_short_and_harmless(text: str, plain: str) -> None:
    """Control characters go, and so does what is beyond 200 characters."""
    assert bounded_text(text) == plain


@given(st.text(max_size=600))
def test_bounded_text_is_printable_and_bounded(text: str) -> None:
    """Whatever comes in, what goes out is printable and at most 200 characters long."""
    plain = bounded_text(text)

    assert plain is not None
    assert len(plain) <= 200
    assert plain.isprintable()


def test_an_enum_that_is_a_text_says_its_value() -> None:
    """SDKs have enums for finish reasons; the result holds a plain str."""
    plain = bounded_text(Reason.STOP)

    assert plain == "stop"
    assert type(plain) is str


def test_readings_survive_pickle() -> None:
    """A reading can travel between processes."""
    reading = Reading(tokens=3, channel="text", usage=Usage(output_tokens=5))

    assert pickle.loads(pickle.dumps(reading)) == reading  # noqa: S301 - made here
