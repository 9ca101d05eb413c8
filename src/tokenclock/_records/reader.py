"""One file of records, read line by line; or the reason why it is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from tokenclock import _log
from tokenclock._records.lines import MARKER, SCHEMA_VERSION, Read, read_line
from tokenclock.errors import NoRecordFileError

if TYPE_CHECKING:
    from tokenclock._result import MetricsResult

MAX_LINE_BYTES = 256 * 2**20
# A long file that is none of ours is not read to its end before we say so.
MAX_LINES_WITHOUT_RECORD = 1000

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"


class SkippedLine(NamedTuple):
    """
    A line, or a part of one, that gave no result.

    Attributes:
        path: The file, as it was named.
        line_number: Counted from 1.
        reason: What is wrong with it. Nothing of the line's text.

    .. versionadded:: 0.1.0
    """

    path: str
    line_number: int
    reason: str


class FileReader:
    """
    Reads one file and remembers what it saw of it.

    A file is ours if a line carries our marker: everything else in it is damage. One that has
    shown none by its end, or in its first thousand lines, is something else.
    """

    def __init__(self, name: str, skipped: list[SkippedLine]) -> None:
        self._name = name
        self._all_skipped = skipped
        self._first: SkippedLine | None = None
        self._skipped_count = 0
        self._is_ours = False
        self._version = SCHEMA_VERSION
        self._hint = ""

    def results(self, file: BinaryIO) -> Iterator[MetricsResult[Any]]:
        """Give the results of the file; warn or refuse where it ends."""
        for number, line in enumerate(_lines(file), start=1):
            if line.startswith(_GZIP):
                self._hint = " It is compressed: unpack it first."
            for read in _read(line):
                self._is_ours |= read.is_ours
                self._version = max(self._version, read.version)
                if read.result is not None:
                    yield read.result
                else:
                    self._skip(number, read)
        self._finish()

    def _skip(self, number: int, read: Read) -> None:
        skipped = SkippedLine(self._name, number, read.reason)
        self._all_skipped.append(skipped)
        self._first = self._first or skipped
        self._skipped_count += 1
        if not self._is_ours and self._skipped_count > MAX_LINES_WITHOUT_RECORD:
            raise self._refusal(self._first)

    def _finish(self) -> None:
        if self._first is not None:
            if not self._is_ours:
                raise self._refusal(self._first)
            _log.warn(_skipped_text(self._first, self._skipped_count))
        if self._version > SCHEMA_VERSION:
            _log.warn(_newer_text(self._name, self._version))

    def _refusal(self, line: SkippedLine) -> NoRecordFileError:
        msg = (
            f"Cannot read '{self._name}' as records: line {line.line_number} is no record: "
            f"{line.reason}.{self._hint} Pass a file that JsonLinesSink wrote."
        )
        return NoRecordFileError(msg, path=self._name, line_number=line.line_number)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Give every line; of one that no memory should hold, the first bytes."""
    is_first = True
    while line := file.readline(MAX_LINE_BYTES):
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            _pass_over_rest(file)
        yield line.removeprefix(_BYTE_ORDER_MARK) if is_first else line
        is_first = False


def _pass_over_rest(file: BinaryIO) -> None:
    while rest := file.readline(MAX_LINE_BYTES):
        if rest.endswith(b"\n"):
            return


def _read(line: bytes) -> Iterator[Read]:
    if line.isspace():
        return iter(())
    if len(line) >= MAX_LINE_BYTES and not line.endswith(b"\n"):
        reason = f"it is longer than {MAX_LINE_BYTES:,} bytes"
        return iter([Read(reason=reason, is_ours=line.startswith(MARKER))])
    return read_line(line)


def _skipped_text(first: SkippedLine, count: int) -> str:
    if count == 1:
        what = f"1 line, number {first.line_number}, is"
    else:
        what = f"{count:,} lines, the first number {first.line_number}, are"
    return (
        f"{what} left out of the records in '{first.path}': {first.reason}. "
        "RecordReader.skipped names each line and its reason."
    )


def _newer_text(name: str, version: int) -> str:
    return (
        f"'{name}' was written by a newer tokenclock (schema {version}, known is "
        f"{SCHEMA_VERSION}): what this version does not know is left out. Update tokenclock."
    )
