"""The texts of a result: the three lines, the report, and the line for logs."""

# ruff: noqa: S106 - the source of a token count is no password

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepping import every_shape, read, script_at, step, stream_of
from tokenclock import MetricsResult, metrics_decorator
from tokenclock._texts import one_line, plain_number
from tokenclock._timeline import TokenGaps

if TYPE_CHECKING:
    from tokenclock.testing import FakeClock

STARTED = datetime(2026, 1, 2, tzinfo=timezone.utc)


def made(**fields: Any) -> MetricsResult[None]:
    required = {
        "function": "demo.stream",
        "call_id": "c-1",
        "started_at": STARTED,
        "streamed": True,
        "outcome": "completed",
        "generation_latency": 1.25,
    }
    return MetricsResult(**{**required, **fields})


# --- the three lines -------------------------------------------------------------------------


def test_the_text_of_a_list_is_exactly_three_lines(clock: FakeClock) -> None:
    """str() is the three-line text: seconds, seconds, tokens per second."""

    def generate() -> list[str]:
        clock.advance(0.2)
        return ["a", "b", "c", "d"]

    result: Any = metrics_decorator(generate, clock=clock)()

    assert str(result) == (
        "Time to First Token: 0.2\n"
        "Generation Latency: 0.2\n"
        "Throughput: 20"
    )  # fmt: skip
    assert f"{result}" == str(result)


@every_shape
def test_the_text_of_a_stream_is_exactly_three_lines(shape: str, clock: FakeClock) -> None:
    """A stream's text has its own first-token time."""
    stream = stream_of(shape, script_at(clock, {214: "a", 234: "b"}, end=240))
    read(stream)

    assert str(stream.metrics) == (
        "Time to First Token: 0.214\n"
        "Generation Latency: 0.24\n"
        "Throughput: 8.33333"
    )  # fmt: skip


def test_unknown_is_said_and_never_zero() -> None:
    """None is n/a, and a true zero is 0."""
    assert str(made(generation_latency=0.0)) == (
        "Time to First Token: n/a\n"
        "Generation Latency: 0\n"
        "Throughput: n/a"
    )  # fmt: skip
    assert str(made(throughput=0.0)).endswith("\nThroughput: 0")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.25, "0.25"),
        (20.0, "20"),
        (0.00003, "0.00003"),
        (None, "n/a"),
        (0.0, "0"),
        (100.0, "100"),
        (1e-9, "0.000000001"),
        (1.23456789, "1.23457"),
        (0.000123456789, "0.000123457"),
        (123456.789, "123457"),
        (1234567.0, "1234570"),
        (999999.5, "1000000"),
        (0.9999999, "1"),
        (9.9999949, "9.99999"),
        (9.9999951, "10"),
        (1e12, "1000000000000"),
        (float("inf"), "n/a"),
        (float("nan"), "n/a"),
    ],
)
def test_numbers_have_six_significant_digits_in_plain_decimals(
    number: float | None, text: str
) -> None:
    """No exponent, no trailing zero, no more than six digits that mean something."""
    assert plain_number(number) == text


# From a nanosecond to thirty years; rates up to a billion tokens in a nanosecond.
numbers = st.floats(min_value=1e-9, max_value=1e18)


@given(numbers)
def test_a_written_number_reads_back_within_six_digits(number: float) -> None:
    """What is written is a plain decimal that differs by at most half of the sixth digit."""
    text = plain_number(number)

    assert re.fullmatch(r"\d+(\.\d*[1-9])?", text)
    assert abs(float(text) - number) <= 5.000001e-6 * number
    digits = text.replace(".", "").strip("0")
    assert len(digits) <= 6


@given(st.none() | numbers, numbers, st.none() | numbers)
def test_the_text_is_three_lines_for_any_numbers(
    first: float | None, latency: float, rate: float | None
) -> None:
    """Whatever the numbers, the text has three lines of one form and no newline at its end."""
    text = str(made(time_to_first_token=first, generation_latency=latency, throughput=rate))

    number = r"(n/a|\d+(\.\d+)?)"
    assert re.fullmatch(
        f"Time to First Token: {number}\nGeneration Latency: {number}\nThroughput: {number}", text
    )


# --- the report --------------------------------------------------------------------------------


def test_the_report_of_a_rich_stream() -> None:
    """Everything that was observed is in the report, with units and sources."""
    result = made(
        function="demo.Model.stream",
        time_to_first_chunk=0.25,
        time_to_first_token=0.5,
        time_to_first_output_token=0.75,
        time_to_last_token=1.0,
        throughput=80.0,
        token_count=100,
        token_source="usage",
        chunk_count=40,
        token_chunk_count=38,
        time_per_output_token=0.0051,
        inter_token_latencies=TokenGaps.of([0.01, 0.02, 0.03, 0.2]),
        consumer_time=0.125,
        producer_time=1.125,
        model="llama-3",
        provider="local",
        finish_reason="stop",
        timeline_complete=False,
    )

    assert result.report() == (
        "demo.Model.stream: completed\n"
        "  model                    llama-3, local\n"
        "  time to first token      500 ms\n"
        "  time to first chunk      250 ms\n"
        "  time to first output     750 ms\n"
        "  generation latency       1.25 s\n"
        "  throughput               80 tokens/s\n"
        "  tokens                   100 (from the provider's usage) in 40 chunks\n"
        "  time per output token    5.1 ms\n"
        "  gaps between chunks      p50 25 ms, p95 174 ms, p99 195 ms, max 200 ms\n"
        "  gaps cover               the first 65,536 chunks\n"
        "  caller's own share       125 ms (10% of the latency) in your code\n"
        "  finish reason            stop"
    )


@every_shape
def test_the_report_of_a_plain_stream(shape: str, clock: FakeClock) -> None:
    """A stream without frills has the numbers of every stream and nothing else."""
    stream = stream_of(shape, script_at(clock, {214: "a", 234: "b", 264: "c"}, end=300))
    read(stream)

    assert stream.metrics.report() == (
        "tokens: completed\n"
        "  time to first token      214 ms\n"
        "  generation latency       300 ms\n"
        "  throughput               10 tokens/s\n"
        "  tokens                   3 (one per token-bearing chunk) in 3 chunks\n"
        "  time per output token    25 ms\n"
        "  gaps between chunks      p50 25 ms, p95 29.5 ms, p99 29.9 ms, max 30 ms"
    )


def test_the_report_of_a_value(clock: FakeClock) -> None:
    """A value has no numbers of a stream."""

    def generate() -> list[str]:
        clock.advance(0.2)
        return ["a", "b", "c", "d"]

    result: Any = metrics_decorator(generate, name="generate", clock=clock)()

    assert result.report() == (
        "generate: completed\n"
        "  time to first token      200 ms\n"
        "  generation latency       200 ms\n"
        "  throughput               20 tokens/s\n"
        "  tokens                   4 (length of the returned list)"
    )


def test_the_report_of_a_text(clock: FakeClock) -> None:
    """Where tokens are unknown the report says how to count them."""
    result: Any = metrics_decorator(lambda: "text", name="generate", clock=clock)()

    assert result.report() == (
        "generate: completed\n"
        "  time to first token      0 s\n"
        "  generation latency       0 s\n"
        "  throughput               n/a\n"
        "  tokens                   n/a (count_tokens= counts them)"
    )


@every_shape
def test_the_report_of_a_stream_that_failed_at_once(shape: str, clock: FakeClock) -> None:
    """A failure is named by its type, and what was not observed is n/a."""
    stream = stream_of(shape, script_at(clock, {}, end=30, error=ConnectionError("secret")))
    with pytest.raises(ConnectionError, match=r"^secret$"):
        read(stream)

    assert stream.metrics.report() == (
        "tokens: failed\n"
        "  error                    ConnectionError\n"
        "  time to first token      n/a\n"
        "  generation latency       30 ms\n"
        "  throughput               0 tokens/s\n"
        "  tokens                   0 (one per token-bearing chunk) in 0 chunks\n"
        "  time per output token    n/a\n"
        "  gaps between chunks      n/a"
    )


@every_shape
def test_the_report_half_way(shape: str, clock: FakeClock) -> None:
    """A snapshot says that the stream goes on."""
    stream = stream_of(shape, script_at(clock, {10: "a", 20: "b"}, end=30))
    step(stream)

    assert stream.metrics.report() == (
        "tokens: running\n"
        "  time to first token      10 ms\n"
        "  generation latency       10 ms\n"
        "  throughput               100 tokens/s\n"
        "  tokens                   1 (one per token-bearing chunk) in 1 chunk\n"
        "  time per output token    n/a\n"
        "  gaps between chunks      n/a"
    )


@pytest.mark.parametrize(
    ("consumer", "row"),
    [
        (0.0, None),
        (0.04, None),
        (0.05, "  caller's own share       50 ms (5% of the latency) in your code"),
        (1.0, "  caller's own share       1 s (100% of the latency) in your code"),
    ],
)
def test_the_callers_share_is_shown_from_five_percent(consumer: float, row: str | None) -> None:
    """A call that the caller slowed down is set apart."""
    report = made(generation_latency=1.0, consumer_time=consumer).report()

    assert [line for line in report.splitlines() if "caller" in line] == ([row] if row else [])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("counted", "counted by the given function"),
        ("usage", "from the provider's usage"),
        ("length", "length of the returned list"),
        ("chunks", "one per token-bearing chunk"),
        ("items", "one per chunk, of unknown shape"),
        ("of a later version", "of a later version"),
    ],
)
def test_the_report_says_who_counted(source: str, words: str) -> None:
    """A count without its source is half a number; an unknown source is shown as it is."""
    report = made(token_count=7, token_source=source, chunk_count=7).report()

    assert f"  tokens                   7 ({words}) in 7 chunks" in report.splitlines()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (1e-9, "1 ns"),
        (2.5e-7, "250 ns"),
        (0.0000025, "2.5 µs"),
        (0.0125, "12.5 ms"),
        (0.9996, "1000 ms"),
        (1.0, "1 s"),
        (12.345, "12.3 s"),
        (1234.5, "1234 s"),
    ],
)
def test_durations_are_written_as_people_read_them(seconds: float, text: str) -> None:
    """Three digits and a unit."""
    report = made(generation_latency=seconds).report()

    assert f"  generation latency       {text}" in report.splitlines()


hostile = st.text(max_size=300) | st.sampled_from(
    [
        "\x1b]0;owned\x07" * 20,
        "\x1b[2J\x1b[1;31m",
        "line\nline\r\nline\u2028line\x85line",
        "\u202egnorw\u2066",
        "\ud800",
        "日" * 300,
        "x" * 10_000,
        "\u0301" * 200,
    ]
)


def columns(line: str) -> int:
    return sum(2 if east_asian_width(one) in "WF" else 1 for one in line)


@given(texts=st.tuples(*[hostile] * 6), counts=st.integers(min_value=0, max_value=10**30))
def test_the_report_fits_a_terminal_whatever_its_texts(texts: tuple[str, ...], counts: int) -> None:
    """No name, however long or hostile, steers the terminal or makes a line too wide."""
    function, error, model, provider, finish_reason, outcome = texts
    result = made(
        function=function,
        error=error,
        model=model,
        provider=provider,
        finish_reason=finish_reason,
        outcome=outcome,
        token_count=counts,
        token_source="items",
        chunk_count=counts,
        inter_token_latencies=TokenGaps.of([0.123456] * 3),
        consumer_time=1.0,
        timeline_complete=False,
    )

    lines = result.report().split("\n")
    assert len(lines) >= 9
    for line in lines:
        assert line.isprintable()
        assert columns(line) <= 80
    assert one_line(result).isprintable()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("x" * 69, "x" * 69 + ": completed"),
        ("x" * 70, "x" * 70 + ": compl..."),
        ("x" * 71, "x" * 71 + ": comp..."),
        ("日" * 35, "日" * 35 + ": compl..."),
        ("\x1b[31m" * 3, "[31m[31m[31m: completed"),
    ],
)
def test_a_line_that_is_too_wide_is_cut_and_shows_it(name: str, line: str) -> None:
    """80 columns fit; what is beyond makes way for three dots."""
    first = made(function=name).report().splitlines()[0]

    assert columns(first) <= 80
    assert first == line


# --- pieces --------------------------------------------------------------------------------------


def test_the_line_for_logs() -> None:
    """One line holds who, how it ended and the three numbers."""
    result = made(outcome="failed", error="OSError", time_to_first_token=0.5, throughput=12.345)

    assert one_line(result) == (
        "demo.stream failed (OSError): first token 500 ms, latency 1.25 s, throughput 12.3 tokens/s"
    )
    assert one_line(made()) == (
        "demo.stream completed: first token n/a, latency 1.25 s, throughput n/a"
    )
