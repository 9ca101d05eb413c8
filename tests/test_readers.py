"""Raw server-sent events, however they are cut: what the readers make of recorded streams."""

# ruff: noqa: S105 - the source of a token count is no password

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driving import run_python
from recorded import (
    MODEL,
    OPENAI,
    STREAMED,
    channel_of,
    channels_in,
    check_words,
    load,
    runs_of,
)
from stepping import every_shape, finished
from tokenclock import MetricsResult, Reading, Usage, measure, observe, readers
from tokenclock.readers import anthropic_sse, openai_sse
from tokenclock.testing import FakeClock, Script

HELLO = 'data: {"choices": [{"delta": {"content": "Hello"}}]}'
THOUGHT = 'data: {"choices": [{"delta": {"reasoning_content": "Hm"}}]}'
CALL = 'data: {"choices": [{"delta": {"tool_calls": [{"id": "a"}]}}]}'
OTHER = 'data: {"choices": [{"index": 1, "delta": {"content": "Hi"}}]}'
DONE = "data: [DONE]"

ONE = Reading(tokens=1, channel="text")
NONE = Reading()

every_recording = pytest.mark.parametrize("name", STREAMED)


def usage_of(count: int) -> str:
    return f'data: {{"choices": [], "usage": {{"completion_tokens": {count}}}}}'


def reader_of(name: str) -> Any:
    return openai_sse if name in OPENAI else anthropic_sse


def measured(pieces: Iterable[str | bytes], reader: Any = openai_sse) -> MetricsResult[Any]:
    """Read a stream of pieces to its end."""
    given = list(pieces)
    stream = measure(iter(given), read_chunk=reader)
    assert list(stream) == given
    return stream.metrics


def tokens_of(*pieces: Any) -> list[int]:
    """Give the tokens that one stream's reader finds in each piece."""
    read = openai_sse.for_stream()
    return [read(piece).tokens for piece in pieces]


def cut(whole: Any, places: Iterable[int]) -> list[Any]:
    """Cut text or bytes at these places; no piece is empty."""
    edges = [0, *sorted(places), len(whole)]
    return [whole[start:end] for start, end in pairwise(edges)]


@every_recording
def test_the_table_says_what_the_files_say(name: str) -> None:
    """What the tests expect of a recording is in its bytes, and nothing else is."""
    expected, recording = STREAMED[name], load(name)
    channels = [channel_of(event) for event in recording.events]

    assert runs_of(channels) == expected.runs
    if expected.counted_by == "chunks":
        assert sum(channel is not None for channel in channels) == expected.tokens
    else:
        assert f'_tokens":{expected.tokens}' in recording.text
    assert f'"{expected.finish_reason}"' in recording.text


# --- recorded streams ----------------------------------------------------------------------------


@every_recording
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r"])
@pytest.mark.parametrize("form", [str, str.encode])
def test_a_line_at_a_time(name: str, end: str, form: Callable[[str], Any]) -> None:
    """With or without their ends, as text or bytes, lines say what the SDK's chunks would say."""
    expected, recording = STREAMED[name], load(name)
    result = measured((form(line + end) for line in recording.lines), reader_of(name))

    check_words(result, expected)
    said = [
        channel
        for line, channel in zip(recording.lines, channels_in(result), strict=True)
        if line.startswith("data:") and line != DONE
    ]
    assert runs_of(said) == expected.runs


@every_recording
def test_a_flush_at_a_time(name: str) -> None:
    """Pieces as the server flushed them, of several events at times, come to the same."""
    flushes = load(name).flushes

    check_words(measured(flushes, reader_of(name)), STREAMED[name])
    check_words(measured(map(str.encode, flushes), reader_of(name)), STREAMED[name])
    check_words(measured(["".join(flushes)], reader_of(name)), STREAMED[name])


@given(data=st.data())
def test_any_cut_comes_to_the_same(data: st.DataObject) -> None:
    """However a stream is cut into pieces, and its lines end, its tokens and words stay."""
    name = data.draw(st.sampled_from(sorted(STREAMED)))
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    text = load(name).text.replace("\n", end)
    whole: Any = data.draw(st.sampled_from([text, text.encode()]))
    places = st.integers(1, len(whole) - 1)
    pieces = cut(whole, data.draw(st.sets(places, max_size=200)))

    check_words(measured(pieces, reader_of(name)), STREAMED[name])


@every_recording
def test_one_character_at_a_time(name: str) -> None:
    """Even single bytes come to the same."""
    whole = load(name).text.encode()

    check_words(measured(cut(whole, range(1, len(whole))), reader_of(name)), STREAMED[name])


@every_shape
@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("openai_chat_short", 0.75),  # a role, a blank line, and then the first text
        ("openai_completions_usage", 0.25),
        ("openai_chat_tool_call", 0.75),
        ("openai_responses", 3.5),  # four events of three lines, the name of the fifth, its data
        ("anthropic_messages", 2.0),  # two events of three lines, the name of the third, its data
        ("anthropic_messages_tool_use", 1.25),
    ],
)
def test_the_first_token_comes_with_its_line(
    shape: str, name: str, first: float, clock: FakeClock
) -> None:
    """The first token is that of the first line with content, no line earlier or later."""
    script = Script([(0.25, line) for line in load(name).lines], clock=clock)
    result = finished(shape, script, read_chunk=reader_of(name))

    assert result.time_to_first_chunk == 0.25
    assert result.time_to_first_token == first


def test_streams_that_share_a_reader_do_not_mix() -> None:
    """One reader object serves streams whose pieces come in turns."""

    @observe(read_chunk=openai_sse)
    def answer(name: str) -> Iterator[bytes]:
        whole = load(name).text.encode()
        yield from cut(whole, range(100, len(whole), 100))

    names = ["openai_chat_short", "openai_chat_tool_call"]
    streams: list[Any] = [answer(name) for name in names]
    waiting = list(streams)
    while waiting:
        waiting = [stream for stream in waiting if next(stream, None) is not None]
    for name, stream in zip(names, streams, strict=True):
        check_words(stream.metrics, STREAMED[name])


@pytest.mark.extras
@every_recording
@pytest.mark.parametrize("method", ["iter_bytes", "iter_lines", "iter_raw", "iter_text"])
@pytest.mark.parametrize("size", [None, 64])
def test_what_a_plain_http_client_gives(name: str, method: str, size: int | None) -> None:
    """Lines and pieces as httpx cuts them come to the same."""
    import httpx  # noqa: PLC0415 - not in the core

    flushes = map(str.encode, load(name).flushes)
    arguments = [] if size is None or method == "iter_lines" else [size]
    response = httpx.Response(
        200, headers={"Content-Type": "text/event-stream; charset=utf-8"}, content=flushes
    )
    stream = measure(getattr(response, method)(*arguments), read_chunk=reader_of(name))
    for _ in stream:
        pass

    check_words(stream.metrics, STREAMED[name])


# --- lines ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "piece",
    [
        None,
        "",
        "\n",
        ": keep-alive",
        "event: message",
        "id: 1",
        "retry: 100",
        "data",
        "data:",
        DONE,
        "data: {",
        "data: nonsense",
        "data: nonsense}",
        "data: {'choices': []}",
        'data: [{"choices": []}]',
        'data: "}"',
        'data: {"error": {"message": "overloaded", "code": 500}}',
        'data: {"type": "error", "error": {"type": "overloaded_error"}}',
        'data: {"type": "error", "code": "server_error", "sequence_number": 3}',
        'data: {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}}',
        'data: {"choices": null}',
        'data: {"choices": [{"delta": null}]}',
        'error: {"choices": [{"delta": {"content": "Hello"}}]}',
        HELLO.removeprefix("data: "),
        b"\xff\xfe\x00",
        b"data: \xff}",
        "\ud800",
    ],
)
@pytest.mark.parametrize("end", ["", "\n\n"])
def test_what_is_no_token(piece: Any, end: str) -> None:
    """What carries no token, or cannot be read, counts none, and the next line is read as ever."""
    if piece is not None:
        piece += end.encode() if isinstance(piece, bytes) else end

    assert tokens_of(piece, HELLO + end, HELLO + end) == [0, 1, 1]


def test_endless_nesting_is_no_token() -> None:
    """A line that is too deep for the parser is garbage as any other."""
    depth = 200_000

    assert tokens_of('data: {"a":' + "[" * depth + "]" * depth + "}\n", HELLO) == [0, 1]


@pytest.mark.parametrize(
    "piece",
    [
        HELLO,
        HELLO + "\n",
        HELLO.replace("data: ", "data:"),
        HELLO + "  \n",
        "\ufeff" + HELLO + "\n",
        "event: x\r\nid: 1\r\n" + HELLO + "\r\n\r\n",
        HELLO.encode(),
        bytearray(HELLO.encode()),
        memoryview(HELLO.encode()),
    ],
)
def test_a_whole_line_is_read_at_once(piece: Any) -> None:
    """A line whose JSON is whole does not wait for its end, and counts once when that comes."""
    assert tokens_of(piece, "\n\n") == [1, 0]


def test_a_partial_line_waits() -> None:
    """A line in parts is read with the part that makes it whole."""
    assert tokens_of(HELLO[:9], HELLO[9:30], HELLO[30:], "\n", "\n") == [0, 0, 1, 0, 0]
    assert tokens_of("\n" + HELLO[:3], HELLO[3:30], HELLO[30:] + "\n") == [0, 0, 1]


def test_lines_end_in_either_character() -> None:
    """CR and LF that come in two pieces are one line end: no blank line lies between them."""
    first, second = '{"choices": [{"delta":', '{"content": "Hello"}}]}'

    assert tokens_of(f"data: {first}\r", f"\ndata: {second}\r", "\n", "\r", "\n") == [0, 0, 0, 1, 0]
    assert tokens_of(f"data: {first}\r", "data:", f" {second}\r", "\r") == [0, 0, 0, 1]


@pytest.mark.parametrize("end", ["", "\n"])
def test_an_event_of_several_lines_is_read_when_it_ends(end: str) -> None:
    """Data over several lines is put together at the blank line after it."""
    lines = ['data: {"choices": [', 'data: {"delta": {"content": "a"}}', "data: ]}", "", HELLO]

    assert tokens_of(*(line + end for line in lines)) == [0, 0, 0, 1, 1]


def test_lines_that_were_split_within_a_text_are_put_together() -> None:
    """A client that takes U+2028 for a line end splits a chunk in two, which still counts."""
    lines = 'data: {"choices": [{"delta": {"content": "a\u2028b"}}]}'.splitlines()

    assert tokens_of(HELLO, "", *lines, "", HELLO) == [1, 0, 0, 1, 0, 1]


def test_events_that_were_split_at_blank_lines() -> None:
    """Whole events without their last line end are read at once too."""
    event = f"event: chunk\n{HELLO}"

    assert tokens_of(event, event, HELLO, event) == [1, 1, 1, 1]


def test_blank_lines_may_be_left_out() -> None:
    """A program that passes on only lines with something in them loses nothing."""
    assert tokens_of("event: a", HELLO, "data: {", HELLO, "data: {\n", HELLO + "\n") == [
        0, 1, 0, 1, 0, 1,
    ]  # fmt: skip


def test_text_after_a_piece_that_only_looks_whole() -> None:
    """A line whose parts end as objects do, many times over, is read when it ends."""
    call = '{"choices": [{"delta": {"content": "' + "}" * 50 + '"}}]}'

    assert sum(tokens_of("data: ", *call, "\n")) == 1


# --- bounds --------------------------------------------------------------------------------------


def test_a_line_without_an_end_is_dropped() -> None:
    """Beyond 16 MiB a line that does not end is let go, and reading goes on after it."""
    read = openai_sse.for_stream()
    part = "data: {" + "x" * (1024 * 1024)
    for _ in range(40):
        assert read("\n" + part[:1] if _ == 0 else part) == NONE
        assert len(read._line) <= 16 * 1024 * 1024

    assert [read(piece).tokens for piece in ("x", HELLO, "\n" + HELLO + "\n")] == [0, 0, 1]


def test_a_line_without_an_end_among_lines_without_theirs() -> None:
    """The same where no line end is ever seen: the next data line is read."""
    read = openai_sse.for_stream()
    for _ in range(20):
        assert read("x" * (1024 * 1024)) == NONE
        assert len(read._line) <= 16 * 1024 * 1024

    assert [read(piece).tokens for piece in (HELLO, "", HELLO)] == [1, 0, 1]


def test_an_event_without_an_end_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event whose lines never come to an end is let go."""
    monkeypatch.setattr(readers, "MOST_BYTES", 1000)
    read = openai_sse.for_stream()
    for _ in range(1000):
        assert read("data: {\ndata:\n") == NONE
        assert len(read._data) <= 1000

    assert read(HELLO + "\n").tokens == 1


def test_a_whole_line_may_be_of_any_length() -> None:
    """A line that is whole need not wait, so no bound holds for it."""
    text = "x" * (17 * 1024 * 1024)

    assert tokens_of(HELLO.replace("Hello", text)) == [1]


@given(st.lists(st.one_of(st.text(), st.binary(), st.sampled_from(["data: {}", "\r", "data:"]))))
def test_garbage_is_no_token_and_no_error(pieces: list[Any]) -> None:
    """Whatever comes, nothing raises, and nothing is a token that is none."""
    for reader in (openai_sse, anthropic_sse):
        read = reader.for_stream()
        assert {read(piece).tokens for piece in pieces} <= {0}


# --- several events in one piece -----------------------------------------------------------------


def piece_of(*lines: str) -> str:
    return "".join(f"{line}\n\n" for line in lines)


@pytest.mark.parametrize(
    ("lines", "tokens", "channel"),
    [
        ((HELLO, HELLO), 2, "text"),
        ((HELLO, THOUGHT, CALL), 3, "text"),
        ((THOUGHT, CALL, THOUGHT), 3, "tool"),
        ((THOUGHT, usage_of(1)), 1, "reasoning"),
        ((usage_of(1), DONE), 0, None),
    ],
)
def test_a_piece_of_several_events_is_one_reading(
    lines: Sequence[str], tokens: int, channel: str | None
) -> None:
    """Tokens are summed, and the channel is the most visible one."""
    reading = openai_sse(piece_of(*lines))

    assert (reading.tokens, reading.channel) == (tokens, channel)


def test_the_words_of_a_piece_are_merged() -> None:
    """Usage frames complete each other; of model and finish reason the last ones count."""
    events = [
        'data: {"type": "message_start", "message": {"model": "a", "usage": {"input_tokens": 7}}}',
        'data: {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}}',
        'data: {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}',
        'data: {"type": "message_delta", "usage": {"output_tokens": 3}}',
        'data: {"type": "message_stop"}',
    ]

    assert anthropic_sse(piece_of(*events)) == Reading(
        usage=Usage(7, 3), model="a", finish_reason="end_turn"
    )


@pytest.mark.parametrize(
    ("lines", "tokens", "source"),
    [
        ([HELLO, HELLO, usage_of(5)], 5, "usage"),
        ([HELLO, usage_of(5), HELLO], 2, "counted"),  # usage that is not the last word
        ([HELLO, OTHER, OTHER, usage_of(1)], 3, "counted"),  # usage of one of two choices
        ([HELLO, OTHER, OTHER, usage_of(9)], 9, "usage"),
        ([HELLO, HELLO, usage_of(1)], 1, "usage"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 4])
def test_which_count_wins_does_not_depend_on_the_pieces(
    lines: list[str], tokens: int, source: str, size: int
) -> None:
    """Usage is weighed as it is line by line: the order within a piece is kept."""
    pieces = [piece_of(*lines[i : i + size]) for i in range(0, len(lines), size)]
    result = measured(pieces)

    assert (result.token_count, result.token_source) == (tokens, source)


def test_choices_in_one_event_are_choices_too() -> None:
    """A chunk that carries two choices makes a usage that counts one of them worth nothing."""
    both = (
        'data: {"object": "text_completion", "choices": '
        '[{"text": "a", "index": 0}, {"text": "b", "index": 1}]}'
    )
    result = measured([both, "", both, "", usage_of(2), ""])

    assert (result.token_count, result.token_source) == (4, "counted")


# --- the objects ---------------------------------------------------------------------------------


def test_called_directly_a_reader_remembers_nothing() -> None:
    """A piece by itself is read as if it were the only one."""
    assert openai_sse(HELLO) == ONE
    assert openai_sse(HELLO[:20]) == NONE
    assert openai_sse(HELLO[20:]) == NONE


@pytest.mark.parametrize("reader", [openai_sse, anthropic_sse])
def test_a_reader_is_copied_and_pickled_as_the_global_it_is(reader: Any) -> None:
    """Copies of a reader are that very reader."""
    assert copy.copy(reader) is reader
    assert copy.deepcopy(reader) is reader
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(reader, protocol)) is reader  # noqa: S301 - our own


def test_a_reader_says_where_it_is_found() -> None:
    """The repr is the path to import."""
    assert repr(openai_sse) == "tokenclock.readers.openai_sse"
    assert repr(anthropic_sse) == "tokenclock.readers.anthropic_sse"


@pytest.mark.extras
def test_a_function_with_a_reader_travels_by_value() -> None:
    """A decorated function of the main program, with a reader as its option, can be sent away."""
    import cloudpickle  # noqa: PLC0415 - not in the core

    def answer() -> Iterator[str]:
        yield from [HELLO, "", DONE]

    travelled: Any = cloudpickle.loads(cloudpickle.dumps(observe(read_chunk=openai_sse)(answer)))
    stream = travelled()
    assert list(stream) == [HELLO, "", DONE]
    assert stream.metrics.token_count == 1
    assert stream.metrics.token_source == "counted"


def test_chunks_of_an_sdk_are_refused() -> None:
    """What is neither text nor bytes came from no wire, and the message says so."""
    with pytest.raises(
        TypeError,
        match=r"^Cannot read a piece of type 'dict': it is neither str nor bytes\. "
        r"Pass what came over the wire; chunks of an SDK need no read_chunk=\.$",
    ):
        openai_sse({"choices": []})  # type: ignore[arg-type]  # on purpose


@pytest.mark.logs_failures
def test_chunks_of_an_sdk_are_read_nevertheless() -> None:
    """A reader that was passed for decoded chunks fails, and these are read by their shape."""
    chunks: Any = load("openai_chat_short").events
    result = measured(chunks)

    check_words(result, STREAMED["openai_chat_short"])
    assert result.model == MODEL


def test_nobody_pays_for_what_is_not_asked_for() -> None:
    """The package does not import its readers by itself."""
    printed = run_python(
        "import sys, tokenclock; print('tokenclock.readers' in sys.modules, 'json' in sys.modules)"
    )

    assert printed.split()[0] == "False"
