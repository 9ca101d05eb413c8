"""What one chunk, or one whole response, can say about itself."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Literal, NamedTuple, SupportsIndex, cast

Channel = Literal["text", "reasoning", "tool"]
TokenSource = Literal["counted", "usage", "length", "chunks", "items"]

# The place in this tuple is the number a timeline stores; None is "no channel named".
CHANNELS: tuple[Channel | None, ...] = (None, "text", "reasoning", "tool")
CHANNEL_CODES: Mapping[Channel | None, int] = {name: code for code, name in enumerate(CHANNELS)}

MOST_TOKENS = 1_000_000_000
LONGEST_TEXT = 200


class Usage(NamedTuple):
    """
    Token counts that a provider reported; ``None`` where it did not say.

    Attributes:
        input_tokens: Tokens read, cached and cache-creation ones included.
        output_tokens: Tokens generated, reasoning included.
        reasoning_tokens: The part of the output that is reasoning.
        cached_tokens: The part of the input that came from a cache.

    .. versionadded:: 0.1.0
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


def updated_usage(usage: Usage | None, newer: Usage) -> Usage:
    """Take from *newer* what it says and keep the rest: usage frames are cumulative."""
    if usage is None:
        return newer
    return Usage(*(old if new is None else new for old, new in zip(usage, newer, strict=True)))


class Reading(NamedTuple):
    """
    What one chunk of a stream says, as ``read_chunk=`` gives it.

    Attributes:
        tokens: Tokens in this chunk; 0 for a frame that carries none.
        total_tokens: For streams that repeat what came before: tokens of this choice so far.
            The growth since the choice's last chunk counts, and *tokens* is not looked at.
        choice: Index of the choice, for calls that ask for several answers at once.
        channel: ``"text"``, ``"reasoning"``, ``"tool"``, or ``None`` where nobody says.
        usage: The provider's own count, where this chunk carries it.
        model: The model's name, where this chunk carries it.
        finish_reason: Why the model stopped, where this chunk carries it.

    .. versionadded:: 0.1.0
    """

    tokens: int = 0
    total_tokens: int | None = None
    choice: int = 0
    channel: Channel | None = None
    usage: Usage | None = None
    model: str | None = None
    finish_reason: str | None = None


NOTHING = Reading()
ONE_TOKEN = Reading(tokens=1)


def as_count(value: SupportsIndex) -> int:
    """
    Give *value* as a number of tokens.

    Raises:
        TypeError: If it is no integer (``None``, a float, a string).
        ValueError: If it is negative or larger than any model's answer.

    >>> as_count(3)
    3
    """
    count = operator.index(value)
    if not 0 <= count <= MOST_TOKENS:
        msg = "a token count lies between 0 and 1,000,000,000"
        raise ValueError(msg)
    return count


def checked(reading: object) -> Reading:
    """
    Give the reading of a user's ``read_chunk`` with every field in order.

    Raises:
        TypeError: If it is no ``Reading``, or a count is no integer.
        ValueError: If a count is negative or absurd, or the channel is not a known one.
    """
    if not isinstance(reading, Reading):
        msg = "read_chunk must give a Reading"
        raise TypeError(msg)
    if reading.channel not in CHANNEL_CODES:
        msg = "a channel is 'text', 'reasoning', 'tool' or None"
        raise ValueError(msg)
    total = reading.total_tokens
    return Reading(
        tokens=as_count(reading.tokens),
        total_tokens=None if total is None else as_count(total),
        choice=operator.index(reading.choice),
        channel=reading.channel,
        usage=None if reading.usage is None else _checked_usage(reading.usage),
        model=bounded_text(reading.model),
        finish_reason=bounded_text(reading.finish_reason),
    )


def _checked_usage(usage: object) -> Usage:
    if not isinstance(usage, Usage):
        msg = "the usage of a Reading must be a Usage"
        raise TypeError(msg)
    return Usage(*(None if count is None else as_count(count) for count in usage))


def bounded_text(text: object) -> str | None:
    r"""
    Give a string from outside without control characters and at most 200 characters long.

    Anything that is no ``str`` is ``None``.

    >>> bounded_text("stop\x1b[31m")
    'stop[31m'
    """
    if not issubclass(type(text), str):
        return None
    # str's own methods: a subclass may have others, and an Enum that is a str says its value here.
    plain = str.__str__(str.__getitem__(cast("str", text), slice(5 * LONGEST_TEXT)))
    if len(plain) > LONGEST_TEXT or not plain.isprintable():
        plain = "".join(filter(str.isprintable, plain))[:LONGEST_TEXT]
    return plain
