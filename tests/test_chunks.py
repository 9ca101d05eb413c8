"""What a chunk counts: by itself, by the user's functions, and when these fail."""

# ruff: noqa: S105 - the source of a token count is no password

from __future__ import annotations

import enum
import linecache
import logging
import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from stepping import as_it_is, every_shape, finished, read, stream_of
from tokenclock import MetricsResult, Reading, TokenclockWarning, Usage, metrics_decorator
from tokenclock.testing import FakeClock, Script

# Where a table is long: one sync and one async shape, one generator and one plain iterator.
one_of_each_kind = pytest.mark.parametrize("shape", ["generator", "async iterator"])


class Text(str):
    __slots__ = ()


class Id(enum.IntEnum):
    END = 0


class Frame:
    """A chunk of no known shape."""


class Other:
    """Another one."""


def script_of(clock: FakeClock, *chunks: Any) -> Script[Any]:
    return Script([(0.25, chunk) for chunk in chunks], clock=clock)


# --- by itself -----------------------------------------------------------------------------------


@every_shape
@pytest.mark.parametrize(
    ("chunk", "tokens"),
    [
        ("a", 1),
        ("a longer text", 1),
        (b"a", 1),
        (bytearray(b"a"), 1),
        (Text("a"), 1),
        (0, 1),
        (50256, 1),
        (Id.END, 1),
        (False, 1),
        ("", 0),
        (b"", 0),
        (bytearray(), 0),
        (Text(), 0),
        (None, 0),
    ],
)
def test_what_counts_as_a_token_when_nobody_says(
    shape: str, chunk: object, tokens: int, clock: FakeClock
) -> None:
    """Text with something in it and token ids are one token each; blanks are none."""
    result = finished(shape, script_of(clock, chunk))

    assert result.token_count == tokens
    assert result.token_source == "chunks"
    assert result.chunk_count == 1


@every_shape
def test_an_unknown_shape_is_one_token_and_one_warning(shape: str, clock: FakeClock) -> None:
    """Objects of no known shape count one each, the source says so, and one warning the remedy."""
    stream = stream_of(shape, script_of(clock, Frame(), Frame(), "a", ""))
    with pytest.warns(
        TokenclockWarning,
        match=r"^Cannot find text in a chunk of type 'test_chunks\.Frame' from 'tokens': "
        r"it has no known shape, so each counts as one token\. "
        r"Pass read_chunk=, a function from a chunk to a Reading, or count_tokens=\.$",
    ) as caught:
        read(stream)

    assert len(caught) == 1
    assert stream.metrics.token_count == 3
    assert stream.metrics.token_source == "items"


@every_shape
def test_the_warning_points_at_the_users_line(shape: str, clock: FakeClock) -> None:
    """The line that a warning names is the loop that asked for the chunk."""
    stream = stream_of(shape, script_of(clock, Frame()))
    with pytest.warns(TokenclockWarning, match="no known shape") as caught:
        read(stream)

    line = linecache.getline(caught[0].filename, caught[0].lineno)
    assert "for chunk in stream]" in line


def test_a_function_warns_once_for_each_type_over_all_its_calls(clock: FakeClock) -> None:
    """The second call has nothing new to say; another type and another function have."""

    def tokens(*chunks: Any) -> Any:
        return iter(chunks)

    first = metrics_decorator(tokens, clock=clock)
    second = metrics_decorator(tokens, clock=clock)

    def use() -> None:
        for stream in (first(Frame()), first(Frame(), Other()), second(Frame())):
            list(stream)

    with pytest.warns(TokenclockWarning, match="no known shape") as caught:
        use()

    named = [str(warning.message).split("'")[1] for warning in caught]
    assert named == ["test_chunks.Frame", "test_chunks.Other", "test_chunks.Frame"]


@every_shape
def test_count_tokens_makes_every_shape_known(shape: str, clock: FakeClock) -> None:
    """Who counts has no need of a warning."""
    result = finished(shape, script_of(clock, Frame(), Frame()), count_tokens=lambda chunk: 3)

    assert result.token_count == 6
    assert result.token_source == "counted"


@every_shape
def test_where_warnings_are_errors_the_warning_is_logged(
    shape: str, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning does not break the loop that it is about."""
    stream = stream_of(shape, script_of(clock, Frame(), "a"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read(stream)) == 2

    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("Cannot find text in a chunk of type")
    assert stream.metrics.token_count == 2


# --- by the user's functions ---------------------------------------------------------------------


@every_shape
def test_count_tokens_sees_every_chunk_unchanged(shape: str, clock: FakeClock) -> None:
    """Blank chunks and plain ones are counted by the user's function as well."""
    chunks = ["a b c", "", None, 7]
    seen: list[Any] = []

    def count(chunk: Any) -> int:
        seen.append(chunk)
        return len(str(chunk).split())

    stream = stream_of(shape, script_of(clock, *chunks), count_tokens=count)

    assert read(stream) == chunks
    assert seen == chunks
    assert stream.metrics.token_count == 5
    assert stream.metrics.token_chunk_count == 3
    assert stream.metrics.token_source == "counted"


@every_shape
def test_a_chunk_that_count_tokens_finds_empty_bears_no_token(shape: str, clock: FakeClock) -> None:
    """The first token is in the first chunk of which at least one is counted."""
    result = finished(
        shape, script_of(clock, "<s>", "a", "</s>"), count_tokens=lambda chunk: "<" not in chunk
    )

    assert result.time_to_first_chunk == 0.25
    assert result.time_to_first_token == 0.5
    assert result.time_to_last_token == 0.5
    assert result.token_count == 1


@every_shape
def test_the_growth_of_a_cumulative_stream_counts(shape: str, clock: FakeClock) -> None:
    """Where each chunk repeats what came before, its tokens are what it adds."""
    chunks = [
        Reading(tokens=99, total_tokens=2),
        Reading(total_tokens=2),
        Reading(total_tokens=5),
        Reading(total_tokens=4),
        Reading(total_tokens=6),
    ]
    result = finished(shape, script_of(clock, *chunks), read_chunk=as_it_is)

    assert result.token_count == 6
    assert result.token_source == "counted"
    assert result.timeline is not None
    assert [entry.tokens for entry in result.timeline] == [2, 0, 3, 0, 1]
    assert result.inter_token_latencies == [0.5, 0.5]


@every_shape
def test_growth_is_taken_choice_by_choice(shape: str, clock: FakeClock) -> None:
    """Each choice of a cumulative stream has a total of its own."""
    chunks = [Reading(total_tokens=total, choice=one) for one, total in [(0, 2), (1, 3), (0, 3)]]
    result = finished(shape, script_of(clock, *chunks), read_chunk=as_it_is)

    assert result.token_count == 6
    assert result.timeline is not None
    assert [entry.tokens for entry in result.timeline] == [2, 3, 1]


class Numbered:
    """A reader that keeps state: every stream's first chunk is its prompt."""

    def __init__(self) -> None:
        self._seen = 0

    def for_stream(self) -> Numbered:
        return Numbered()

    def __call__(self, chunk: Any) -> Reading:
        self._seen += 1
        return Reading(tokens=0 if self._seen == 1 else 1)


@every_shape
def test_a_reader_with_state_starts_afresh_with_each_stream(shape: str, clock: FakeClock) -> None:
    """for_stream() is asked for each stream, so that interleaved streams do not meet."""
    reader = Numbered()
    script = script_of(clock, "prompt", "a", "b")
    streams = [stream_of(shape, script, read_chunk=reader) for _ in range(2)]
    for stream in streams:
        read(stream)

    assert [stream.metrics.token_count for stream in streams] == [2, 2]
    assert reader._seen == 0


# --- when these fail -----------------------------------------------------------------------------


def boom(chunk: Any) -> Any:
    """Fail as a user's function may, with what the model generated in the message."""
    raise KeyError(f"no such token: {chunk}")


ODD_COUNTS: list[Any] = [-1, None, math.nan, math.inf, "3", 1.0, 10**10, object(), [1], 3j]


def counts_until_third(odd: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda chunk: odd(chunk) if chunk == "secret" else 10


def constant(value: Any) -> Callable[[Any], Any]:
    return lambda chunk: value


failing_counts = pytest.mark.parametrize(
    ("odd", "kind"),
    [
        (boom, "KeyError"),
        *((constant(odd), "TypeError") for odd in ODD_COUNTS if not isinstance(odd, int)),
        *((constant(odd), "ValueError") for odd in ODD_COUNTS if isinstance(odd, int)),
    ],
)


@one_of_each_kind
@failing_counts
@pytest.mark.logs_failures
def test_the_first_failure_of_count_tokens_makes_chunks_the_count(
    shape: str, odd: Any, kind: str, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A count is of one kind: after a failure all of it is chunks, and the caller reads on."""
    chunks = ["a", "b", "secret", "", "secret"]
    stream = stream_of(shape, script_of(clock, *chunks), count_tokens=counts_until_third(odd))

    assert read(stream) == chunks
    assert stream.metrics.outcome == "completed"
    assert stream.metrics.token_count == 4
    assert stream.metrics.token_source == "chunks"
    assert stream.metrics.time_per_output_token == 1.0 / 3
    [record] = caplog.records
    assert record.getMessage() == (
        f"count_tokens of 'tokens' failed; tokens of this stream are counted by its chunks: {kind}"
    )
    assert record.exc_info is not None
    assert record.exc_info[2] is not None
    assert "Traceback" in caplog.text
    assert "secret" not in caplog.text.replace('if chunk == "secret"', "")


odd_readings: list[Any] = [
    *(constant(Reading(tokens=odd)) for odd in ODD_COUNTS),
    *(constant(Reading(total_tokens=odd)) for odd in ODD_COUNTS if odd is not None),
    *(constant(odd) for odd in (None, 3, "text", {"tokens": 1}, (1, None, 0, None))),
    constant(Reading(tokens=1, channel="vision")),  # type: ignore[arg-type]  # on purpose
    constant(Reading(tokens=1, channel=["text"])),  # type: ignore[arg-type]  # on purpose
    constant(Reading(tokens=1, choice=None)),  # type: ignore[arg-type]  # on purpose
    constant(Reading(tokens=1, usage={"output_tokens": 3})),  # type: ignore[arg-type]  # on purpose
    constant(Reading(tokens=1, usage=Usage(output_tokens=-3))),
    constant(Reading(tokens=1, usage=Usage(input_tokens="3"))),  # type: ignore[arg-type]  # same
    boom,
]


@one_of_each_kind
@pytest.mark.parametrize("odd", odd_readings)
@pytest.mark.logs_failures
def test_the_first_failure_of_read_chunk_makes_chunks_the_count(
    shape: str, odd: Any, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """From the odd reading on, chunks are read by their shape, and all of the count is chunks."""

    def read_chunk(chunk: str) -> Any:
        return odd(chunk) if chunk == "secret" else Reading(tokens=10, channel="text")

    chunks = ["a", "b", "secret", "", "secret"]
    stream = stream_of(shape, script_of(clock, *chunks), read_chunk=read_chunk)

    assert read(stream) == chunks
    assert stream.metrics.token_count == 4
    assert stream.metrics.token_source == "chunks"
    [record] = caplog.records
    assert record.getMessage().startswith(
        "read_chunk of 'tokens' failed; tokens of this stream are counted by its chunks: "
    )
    assert record.exc_info is not None
    assert record.exc_info[2] is not None
    assert "no such token" not in caplog.text.replace('raise KeyError(f"no such token', "")


@every_shape
@pytest.mark.logs_failures
def test_a_failure_disables_a_reader_for_its_stream_only(
    shape: str, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The next stream of the same function is counted again."""
    fails = [True]

    def count(chunk: str) -> int:
        return -1 if fails.pop() else 7

    function = getattr(script_of(clock, "a"), {"iterator": "stream"}.get(shape, "generator"))
    decorated: Any = metrics_decorator(function, clock=clock, count_tokens=count, name="tokens")
    first = decorated().collect()
    fails.append(False)
    second = decorated().collect()

    assert (first.token_count, first.token_source) == (1, "chunks")
    assert (second.token_count, second.token_source) == (7, "counted")
    assert len(caplog.records) == 1


@every_shape
@pytest.mark.logs_failures
def test_a_failed_read_chunk_leaves_count_tokens_at_work(shape: str, clock: FakeClock) -> None:
    """Each of the user's functions fails for itself."""
    result = finished(
        shape, script_of(clock, "a", "b"), read_chunk=boom, count_tokens=lambda chunk: 4
    )

    assert result.token_count == 8
    assert result.token_source == "counted"


class Stateful:
    def __init__(self, fresh: Callable[[], Any]) -> None:
        self._fresh = fresh

    def for_stream(self) -> Any:
        return self._fresh()

    def __call__(self, chunk: Any) -> Reading:
        return Reading(tokens=50)


def _raise() -> Any:
    raise OSError("secret")


@every_shape
@pytest.mark.parametrize(
    ("fresh", "kind"),
    [(_raise, "OSError"), (lambda: None, "TypeError"), (lambda: 3, "TypeError")],
)
@pytest.mark.logs_failures
def test_a_reader_that_cannot_start_afresh_is_not_used(
    shape: str,
    fresh: Callable[[], Any],
    kind: str,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A reader whose for_stream() fails, or gives no reader, counts as failed."""
    result = finished(shape, script_of(clock, "a", "b"), read_chunk=Stateful(fresh))

    assert result.token_count == 2
    assert result.token_source == "chunks"
    [record] = caplog.records
    assert record.getMessage() == (
        "read_chunk.for_stream of 'tokens' failed; tokens of this stream are counted by its "
        f"chunks: {kind}"
    )


class Unreachable:
    @property
    def for_stream(self) -> Any:
        raise OSError("secret")

    def __call__(self, chunk: Any) -> Reading:
        return Reading(tokens=50)


@every_shape
@pytest.mark.logs_failures
def test_a_reader_whose_for_stream_cannot_be_asked_is_not_used(
    shape: str, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A failing attribute is a failing reader: logged once, and chunks are the count."""
    result = finished(shape, script_of(clock, "a", "b"), read_chunk=Unreachable())

    assert result.token_count == 2
    assert result.token_source == "chunks"
    assert len(caplog.records) == 1


class Unmeasurable(str):
    __slots__ = ()

    def __len__(self) -> int:
        raise RuntimeError("secret")


@every_shape
@pytest.mark.logs_failures
def test_a_chunk_that_cannot_be_read_never_reaches_the_caller_as_an_error(
    shape: str, clock: FakeClock
) -> None:
    """Whatever a chunk does when it is looked at, the caller gets it."""
    odd = Unmeasurable("a")
    stream = stream_of(shape, script_of(clock, odd, "b"))

    assert read(stream)[0] is odd
    assert stream.metrics.outcome == "completed"


# --- values --------------------------------------------------------------------------------------


class Tokens(list[str]):
    """A list of one's own."""


@pytest.mark.parametrize(
    ("value", "tokens", "source"),
    [
        (["a", "b"], 2, "length"),
        (Tokens(["a"]), 1, "length"),
        ([], 0, "length"),
        (("a", "b"), None, None),
        ("text", None, None),
        ({"a": 1}, None, None),
        (None, None, None),
    ],
)
def test_a_lists_length_is_its_count_and_any_other_value_is_unknown(
    value: object, tokens: int | None, source: str | None, clock: FakeClock
) -> None:
    """A list is one token per item; how many a text has nobody said."""
    result: MetricsResult[Any] = metrics_decorator(lambda: value, clock=clock)()

    assert result.token_count == tokens
    assert result.token_source == source
    assert result.value is value


def test_count_tokens_counts_a_value(clock: FakeClock) -> None:
    """count_tokens gets the returned value, and wins over the length of a list."""
    result: Any = metrics_decorator(
        lambda: ["one two", "three"], clock=clock, count_tokens=lambda texts: len(" ".join(texts))
    )()

    assert result.token_count == 13
    assert result.token_source == "counted"


@failing_counts
@pytest.mark.parametrize(
    ("value", "tokens", "source"), [(["secret"], 1, "length"), ("secret", None, None)]
)
@pytest.mark.logs_failures
def test_a_value_that_count_tokens_cannot_count_is_counted_without_it(
    *,
    odd: Any,
    kind: str,
    value: object,
    tokens: int | None,
    source: str | None,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A failed count is logged without what the model generated, and is no count."""
    result: Any = metrics_decorator(lambda: value, name="f", clock=clock, count_tokens=odd)()

    assert result.value is value
    assert result.token_count == tokens
    assert result.token_source == source
    [record] = caplog.records
    assert (
        record.getMessage() == f"count_tokens of 'f' failed; it does not count this value: {kind}"
    )
    assert record.exc_info is not None
    assert record.exc_info[2] is not None
    assert "secret" not in caplog.text


def test_a_measured_value_inside_a_measured_call_keeps_its_count(clock: FakeClock) -> None:
    """A MetricsResult that a measured function returns says itself how many tokens it has."""
    inner = metrics_decorator(lambda: ["a", "b"], clock=clock, model="llama")
    result: Any = metrics_decorator(inner, clock=clock)()

    assert result.token_count == 2
    assert result.token_source == "length"
    assert result.model == "llama"
    assert result.value.value == ["a", "b"]


@pytest.mark.parametrize(
    "lines", [['data: {"a": 1}', "", "data: [DONE]"], [b'data: {"a": 1}\n\n'], ["event: ping", ""]]
)
def test_raw_events_are_noticed_once(clock: FakeClock, lines: list[Any]) -> None:
    """Their lines would count as tokens: a warning names the readers."""
    tokens = metrics_decorator(lambda: iter(lines), name="lines", clock=clock)
    with pytest.warns(
        TokenclockWarning, match=r"^Cannot find tokens in the lines from 'lines'.*sse"
    ):
        assert tokens().collect().value == lines
    assert tokens().collect().value == lines  # a second warning would be an error


@pytest.mark.parametrize("text", ["data", "data: ", "events", "{", "the event: a"])
def test_texts_that_are_no_events_pass_without_a_word(clock: FakeClock, text: str) -> None:
    """A model may well write about data."""
    tokens = metrics_decorator(lambda: iter([text]), clock=clock)
    assert tokens().collect().token_count == 1
