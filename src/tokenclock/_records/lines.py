"""One record as one line of JSON: written from a result, and read back from what is left of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast

from tokenclock._records.fields import (
    DEFAULTS,
    LARGEST_INT,
    UNREADABLE,
    Unfit,
    checked_result,
    is_int,
)
from tokenclock.errors import InvalidRecordError

if TYPE_CHECKING:
    from tokenclock._attributes import AttributeValue
    from tokenclock._result import MetricsResult

# The first key of every line tells our files from others; its value is the schema's version.
SCHEMA = "tokenclock_record"
SCHEMA_VERSION = 1
MARKER = f'{{"{SCHEMA}":'.encode()


# --- writing -------------------------------------------------------------------------------------

_encoder = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def line_of(result: MetricsResult[Any], *, timeline: bool) -> bytes:
    """
    Write a result as one line of UTF-8, its newline included.

    What JSON cannot hold is not lost: half a surrogate pair becomes "?", a label that is no
    finite number or needs more than 64 bits becomes text.

    Raises:
        InvalidRecordError: If a field of the result holds what its type forbids.
    """
    known = result.to_dict(include_timeline=timeline)
    record: dict[str, Any] = {SCHEMA: SCHEMA_VERSION}
    # The columns of every file stand in one order, however the result was made.
    record.update((name, known[name]) for name in DEFAULTS if name in known)
    record["attributes"] = {name: _label(value) for name, value in result.attributes.items()}
    try:
        text = _encoder.encode(record)
    except (TypeError, ValueError) as error:
        msg = (
            f"Cannot write the result of {result.function!r} as a record: {error}. "
            "Make results with the types that MetricsResult names, and finite numbers."
        )
        raise InvalidRecordError(msg) from error
    return text.encode("utf-8", "replace") + b"\n"


def _label(value: AttributeValue) -> AttributeValue:
    """
    Give a label that every reader of JSON takes.

    >>> _label(0.5), _label(float("inf")), _label(2**64)
    (0.5, 'inf', '0x10000000000000000')
    """
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    if isinstance(value, int) and abs(value) > LARGEST_INT:
        return hex(value)
    return value


# --- reading -------------------------------------------------------------------------------------


class Read(NamedTuple):
    """
    What one piece of a line gave: a result, or the reason why there is none.

    *is_ours* says whether it carries the marker.
    """

    result: MetricsResult[Any] | None = None
    reason: str = ""
    version: int = SCHEMA_VERSION
    is_ours: bool = True


def read_line(line: bytes) -> Iterator[Read]:
    """
    Read a line, which holds a record, or what is left of several.

    A process that was killed leaves half a line, and the next one to write puts its own behind
    it; so each place at which a record starts is tried.
    """
    try:
        record = _decode(line)
    except UNREADABLE:
        yield from map(_read_piece, _pieces(line))
    else:
        yield _read_record(record)


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is no JSON"
    raise ValueError(msg)


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)


def _decode(text: bytes) -> Any:
    return _decoder.decode(text.decode("utf-8"))


def _pieces(line: bytes) -> list[bytes]:
    """Split before every start of a record."""
    before, *records = line.split(MARKER)
    return [before] * bool(before.strip()) + [MARKER + rest for rest in records]


def _read_piece(piece: bytes) -> Read:
    try:
        return _read_record(_decode(piece))
    except UNREADABLE:
        # Cut within the marker is cut too; "{" on a line of its own is other JSON.
        is_ours = piece.startswith(MARKER) or MARKER.startswith(piece)
        return Read(reason="it is cut, or no JSON", is_ours=is_ours)


def _read_record(record: Any) -> Read:
    if not isinstance(record, dict) or SCHEMA not in record:
        return Read(reason=f"it is JSON without {SCHEMA}", is_ours=False)
    known = cast("dict[str, Any]", record)
    version = known[SCHEMA]
    if not is_int(version):
        return Read(reason=f"{SCHEMA} is no whole number")
    try:
        return Read(checked_result(known), version=version)
    except Unfit as unfit:
        return Read(reason=str(unfit), version=version)
