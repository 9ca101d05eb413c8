"""What the commands are given: files of records, and options written as text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenclock._texts import cut
from tokenclock.cli._output import tell
from tokenclock.errors import EmptyInputError, InvalidOptionError, TokenclockError

if TYPE_CHECKING:
    from tokenclock._result import MetricsResult
    from tokenclock.records import RecordReader
    from tokenclock.summary import ServiceLevel

SKIPPED_SHOWN = 5

_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6}
_TIME = re.compile(r"(\d+\.?\d*|\.\d+)\s*([a-zµμ]*)", re.ASCII)
_LIMITS = {
    "ttft": "time_to_first_token",
    "first_output": "time_to_first_output_token",
    "tpot": "time_per_output_token",
    "latency": "generation_latency",
}


class UnusableFileError(TokenclockError, OSError):
    """Raised when a file that a command was given cannot be read or written."""


def records(paths: Path | Sequence[Path]) -> Iterator[MetricsResult[Any]]:
    """
    Give the results in files, one at a time; lines that hold none are told on stderr.

    Raises:
        UnusableFileError: If a file cannot be opened or read.
        NoRecordFileError: If a file is something else.
        EmptyInputError: If there is no result in any of the files.
    """
    from tokenclock.records import read_records  # noqa: PLC0415 - not needed for --help

    try:
        reader = read_records(paths)
        count = 0
        for count, result in enumerate(reader, start=1):  # noqa: B007 - read below
            yield result
    except OSError as error:
        raise _unreadable(error, paths) from error
    _tell_skipped(reader)
    if not count:
        raise _empty(paths)


def _unreadable(error: OSError, paths: Path | Sequence[Path]) -> UnusableFileError:
    reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
    # What opens a file names it, what reads it does not.
    name = f"'{error.filename}'" if error.filename else _names(paths)
    return UnusableFileError(
        f"Cannot read {name}: {reason}. Pass a file that JsonLinesSink or "
        "'tokenclock run -o' wrote."
    )


def _names(paths: Path | Sequence[Path]) -> str:
    return ", ".join(f"'{path}'" for path in ([paths] if isinstance(paths, Path) else paths))


def _empty(paths: Path | Sequence[Path]) -> EmptyInputError:
    return EmptyInputError(
        f"Cannot find a call in {_names(paths)}: no record is there. Pass a file that "
        "JsonLinesSink or 'tokenclock run -o' wrote."
    )


def _tell_skipped(reader: RecordReader) -> None:
    for skipped in islice(reader.skipped, SKIPPED_SHOWN):
        tell(f"left out '{skipped.path}', line {skipped.line_number}: {skipped.reason}")
    more = len(reader.skipped) - SKIPPED_SHOWN
    if more > 0:
        tell(f"left out {more:,} more line{'' if more == 1 else 's'}")


# --- options -------------------------------------------------------------------------------------


def check_choice(option: str, given: str, choices: Sequence[str]) -> None:
    """
    Refuse what is none of the words that an option knows.

    Raises:
        InvalidOptionError: If *given* is none of *choices*.
    """
    if given not in choices:
        msg = (
            f"Cannot use {option} {_quoted(given)}: it is not known. "
            f"Pass one of {', '.join(choices)}."
        )
        raise InvalidOptionError(msg, option=option)


def check_format(given: str) -> None:
    """
    Refuse a ``--format`` that is not known.

    Raises:
        InvalidOptionError: If it is none of table, json and markdown.
    """
    check_choice("--format", given, ("table", "json", "markdown"))


def service_level(text: str) -> ServiceLevel:
    """
    Read limits such as ``ttft=500ms,tpot=50ms``.

    Raises:
        InvalidOptionError: If a limit has no known name, or no time with its unit.
    """
    from tokenclock.summary import ServiceLevel  # noqa: PLC0415 - needed with --slo alone

    limits: dict[str, float] = {}
    for limit in text.split(","):
        name, _, time = (part.strip() for part in limit.partition("="))
        field = _LIMITS.get(name, name)
        if field not in _LIMITS.values():
            raise _invalid_limit(limit, f"the name is none of {', '.join(_LIMITS)}")
        if field in limits:
            raise _invalid_limit(limit, f"{name} has a limit already")
        limits[field] = _seconds(limit, time)
    return ServiceLevel(**limits)


def _seconds(limit: str, time: str) -> float:
    found = _TIME.fullmatch(time)
    if not found:
        raise _invalid_limit(limit, "it gives no time")
    if found[2] not in _UNITS:
        raise _invalid_limit(limit, "the unit of its time is none of s, ms and us")
    seconds = float(found[1]) * _UNITS[found[2]]
    if not seconds:
        raise _invalid_limit(limit, "no call takes no time")
    return seconds


def _invalid_limit(limit: str, reason: str) -> InvalidOptionError:
    msg = (
        f"Cannot use {_quoted(limit)} in --slo: {reason}. "
        "Pass limits with their units: --slo ttft=500ms,tpot=50ms,latency=10s."
    )
    return InvalidOptionError(msg, option="--slo")


def _quoted(text: str) -> str:
    return f"'{cut(text)}'"
