"""The texts of a result: the three lines, and the report for people."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tokenclock._statistics import quantile

if TYPE_CHECKING:
    from tokenclock._result import MetricsResult

SIGNIFICANT_DIGITS = 6
LABEL_WIDTH = 25
LINE_WIDTH = 80
CONSUMER_SHARE_SHOWN = 0.05

_SOURCES = {
    "counted": "counted by the given function",
    "usage": "from the provider's usage",
    "length": "length of the returned list",
    "chunks": "one per token-bearing chunk",
    "items": "one per chunk, of unknown shape",
}


def three_lines(result: MetricsResult[Any]) -> str:
    """Give the text that ``str(result)`` is."""
    return (
        f"Time to First Token: {plain_number(result.time_to_first_token)}\n"
        f"Generation Latency: {plain_number(result.generation_latency)}\n"
        f"Throughput: {plain_number(result.throughput)}"
    )


def plain_number(number: float | None) -> str:
    """
    Write a number in plain decimals, with six significant digits and no trailing zeros.

    >>> plain_number(0.25), plain_number(20.0), plain_number(0.00003), plain_number(None)
    ('0.25', '20', '0.00003', 'n/a')
    """
    if number is None or not math.isfinite(number):
        return "n/a"
    if number == 0:
        return "0"
    rounded = f"{number:.{SIGNIFICANT_DIGITS - 1}e}"
    exponent = int(rounded.partition("e")[2])
    text = f"{float(rounded):.{max(SIGNIFICANT_DIGITS - 1 - exponent, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def one_line(result: MetricsResult[Any]) -> str:
    """Give the line that a log carries."""
    return (
        f"{printable(result.function)} {_outcome(result)}: "
        f"first token {duration(result.time_to_first_token)}, "
        f"latency {duration(result.generation_latency)}, throughput {_rate(result)}"
    )


def report(result: MetricsResult[Any]) -> str:
    """Give the text of ``MetricsResult.report``."""
    lines = [cut(f"{result.function}: {result.outcome}")]
    lines += [cut(f"  {label:<{LABEL_WIDTH}}{text}") for label, text in _rows(result)]
    return "\n".join(lines)


def printable(text: str) -> str:
    """Drop what could steer a terminal: every character that has no printed form."""
    return "".join(filter(str.isprintable, text))


def _outcome(result: MetricsResult[Any]) -> str:
    if result.error is None:
        return printable(result.outcome)
    return printable(f"{result.outcome} ({result.error})")


def _rows(result: MetricsResult[Any]) -> Iterator[tuple[str, str]]:
    """Give the rows of the report: what is true of every call, then what only some have."""
    if result.error is not None:
        yield "error", result.error
    if model := _model(result):
        yield "model", model
    yield "time to first token", duration(result.time_to_first_token)
    yield from _first_other(result)
    yield "generation latency", duration(result.generation_latency)
    yield "throughput", _rate(result)
    yield "tokens", _tokens(result)
    if result.streamed:
        yield "time per output token", duration(result.time_per_output_token)
        yield "gaps between chunks", _gaps(result)
        if not result.timeline_complete:
            yield "gaps cover", "the first 65,536 chunks"
    if is_callers_doing(result):
        yield "caller's own share", _consumer_share(result)
    if result.finish_reason is not None:
        yield "finish reason", result.finish_reason


def _model(result: MetricsResult[Any]) -> str:
    names = [name for name in (result.model, result.provider) if name]
    return ", ".join(names)


def _first_other(result: MetricsResult[Any]) -> Iterator[tuple[str, str]]:
    """Give the other first moments, where they read differently from the first token's."""
    if not result.streamed:
        return
    first = duration(result.time_to_first_token)
    first_chunk = duration(result.time_to_first_chunk)
    first_output = duration(result.time_to_first_output_token)
    if first_chunk != first:
        yield "time to first chunk", first_chunk
    if first_output != first:
        yield "time to first output", first_output


def _rate(result: MetricsResult[Any]) -> str:
    if result.throughput is None:
        return "n/a"
    return f"{short_number(result.throughput)} tokens/s"


def _tokens(result: MetricsResult[Any]) -> str:
    if result.token_count is None:
        return "n/a (count_tokens= counts them)" if result.outcome == "completed" else "n/a"
    source = ""
    if result.token_source is not None:  # a record of a later version may name one of its own
        source = f" ({_SOURCES.get(result.token_source, result.token_source)})"
    plural = "" if result.chunk_count == 1 else "s"
    chunks = f" in {result.chunk_count} chunk{plural}" if result.streamed else ""
    return f"{result.token_count}{source}{chunks}"


def _gaps(result: MetricsResult[Any]) -> str:
    gaps = sorted(result.inter_token_latencies)
    if not gaps:
        return "n/a"
    shown = [f"p{percent} {duration(quantile(gaps, percent / 100))}" for percent in (50, 95, 99)]
    return f"{', '.join(shown)}, max {duration(gaps[-1])}"


def is_callers_doing(result: MetricsResult[Any]) -> bool:
    """Whether the caller's own share of the latency is 5 % or more: such calls are set apart."""
    return result.consumer_time >= CONSUMER_SHARE_SHOWN * result.generation_latency > 0


def _consumer_share(result: MetricsResult[Any]) -> str:
    share = result.consumer_time / result.generation_latency
    return f"{duration(result.consumer_time)} ({share:.0%} of the latency) in your code"


def duration(seconds: float | None) -> str:
    """Write a duration with its unit, three digits long, as people read it."""
    if seconds is None:
        return "n/a"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{short_number(seconds / size)} {unit}"
    return f"{short_number(seconds * 1e9)} ns" if seconds else "0 s"


def short_number(number: float) -> str:
    """
    Write three significant digits, or all digits before the point.

    >>> short_number(1234.5), short_number(12.345), short_number(0.5)
    ('1234', '12.3', '0.5')
    """
    if number >= 100:  # noqa: PLR2004 - three digits stand before the point already
        return f"{number:.0f}"
    return plain_number(float(f"{number:.2e}"))


def cut(line: str, width: int = LINE_WIDTH) -> str:
    """Give a line that is harmless to a terminal and fits into *width* columns of it."""
    line = printable(line)
    if len(line) <= width and width_of(line) <= width:
        return line
    line = line[:width]
    while line and width_of(line) > width - 3:
        line = line[:-1]
    return (line + "...")[:width]


def width_of(line: str) -> int:
    """Count the columns of a terminal that a line takes: wide characters take two."""
    if line.isascii():
        return len(line)
    from unicodedata import east_asian_width  # noqa: PLC0415 - a table seldom needed

    return sum(2 if east_asian_width(one) in {"W", "F"} else 1 for one in line)
