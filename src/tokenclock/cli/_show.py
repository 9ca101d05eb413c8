"""``tokenclock show``: one call in full."""

# No "from __future__ import annotations": typer reads the types.

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import datetime
from itertools import islice
from typing import Annotated, Any

from tokenclock import _tables
from tokenclock._result import MetricsResult
from tokenclock._texts import duration, plain_number, printable
from tokenclock._timeline import Timeline
from tokenclock.cli._inputs import records
from tokenclock.cli._output import show as show_text
from tokenclock.cli._parameters import RecordFile, typer
from tokenclock.errors import InvalidOptionError

Result = MetricsResult[Any]

NAME_WIDTH = 34
_SHOWN_APART = {"value", "timeline", "inter_token_latencies", "attributes"}


def show(
    file: RecordFile,
    *,
    number: Annotated[
        int,
        typer.Option(
            "-n", "--number", help="Which call: 1 is the first; -1 the last, -2 the one before it."
        ),
    ] = -1,
) -> None:
    """
    Show one recorded call in full.

    For example, the call before the last:

    \b
      tokenclock show runs.jsonl -n -2
    """  # noqa: D301 - the backspace keeps typer from wrapping the lines
    show_text(_text(_picked(records(file), number)))


def _picked(results: Iterable[Result], number: int) -> Result:
    if number == 0:
        msg = "Cannot show call number 0: calls count from 1. Pass -n 1, or -n -1 for the last."
        raise InvalidOptionError(msg, option="-n")
    counted = _Counted(results)
    if number > 0:
        found = list(islice(counted, min(number, sys.maxsize) - 1, min(number, sys.maxsize)))
    else:
        last = deque(counted, maxlen=min(-number, sys.maxsize))
        found = [last[0]] if len(last) == -number else []
    if not found:
        raise _no_such_call(number, counted.count)
    return found[0]


class _Counted(Iterator[Result]):
    def __init__(self, results: Iterable[Result]) -> None:
        self._results = iter(results)
        self.count = 0

    def __next__(self) -> Result:
        result = next(self._results)
        self.count += 1
        return result


def _no_such_call(number: int, count: int) -> InvalidOptionError:
    calls = (
        f"is 1 call: pass -n {count}" if count == 1 else f"are {count} calls: pass -n 1 to {count}"
    )
    msg = f"Cannot show call number {number}: there {calls}, or count from the end with -n -1."
    return InvalidOptionError(msg, option="-n")


# --- the text ------------------------------------------------------------------------------------


def _text(result: Result) -> str:
    parts = [result.report(), "\n".join(_fields(result))]
    if result.timeline is not None:
        parts.append(_timeline(result.timeline))
    if not result.timeline_complete:
        parts.append("Chunks and gaps cover the first 65,536 chunks.")
    return "\n\n".join(parts)


def _fields(result: Result) -> Iterator[str]:
    """Give a line for each field, in the order in which they are documented."""
    for field in fields(result):
        if field.name not in _SHOWN_APART:
            yield _line(field.name, _value(field.name, getattr(result, field.name)))
    gaps = ", ".join(map(duration, result.inter_token_latencies))
    yield _line("inter_token_latencies", gaps or "n/a")
    for name, value in result.attributes.items():
        yield _line(f"attributes.{name}", str(value))


def _line(name: str, value: str) -> str:
    return f"{printable(name):<{NAME_WIDTH}}{printable(value)}"


def _value(name: str, value: object) -> str:
    """Write the value of a field: durations are the only fields that are fractions, but one."""
    if value is None:
        return "n/a"
    if isinstance(value, float):
        return f"{plain_number(value)} {'tokens/s' if name == 'throughput' else 's'}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return str(value)


def _timeline(timeline: Timeline) -> str:
    rows = [
        (
            str(number),
            plain_number(entry.requested),
            plain_number(entry.arrived),
            str(entry.tokens),
            entry.channel or "",
        )
        for number, entry in enumerate(timeline, start=1)
    ]
    return _tables.plain(("chunk", "requested, s", "arrived, s", "tokens", "channel"), rows)
