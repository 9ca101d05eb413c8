"""
Keep results in a file and read them back: JSON Lines, one result a line.

What a model generated is in no record.
"""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tokenclock._records.files import RecordFile
from tokenclock._records.lines import line_of
from tokenclock._records.reader import FileReader, SkippedLine
from tokenclock._result import MetricsResult
from tokenclock.errors import (
    ClosedSinkError,
    EmptyInputError,
    InvalidOptionError,
    NoRecordFileError,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["JsonLinesSink", "RecordReader", "SkippedLine", "read_records"]

AnyPath = str | os.PathLike[str]


class JsonLinesSink:
    """
    Write every finished call as one line of JSON; give it to ``add_sink``.

    Lines are appended, each with one write, so threads and processes may write to one file of a
    local disk at the same time; a forked or spawned process may use its copy of the sink. A new
    file can be read by its owner alone (mode 0600, whatever the umask). A line is with the
    operating system when the call ends: it survives the process, not a power failure.

    The first key of a line is ``tokenclock_record``, the version of the schema; the others are
    those of ``MetricsResult.to_dict``: times in seconds, ``started_at`` in ISO 8601. What a
    model generated is not among them.

    Args:
        path: The file; made absolute now, so that a later change of directory changes nothing.
            Its folder must exist. A file that is there is appended to.
        timeline: Also write the timeline, chunk by chunk: four lists.
        max_bytes: Begin a new file before one would grow beyond this. Each process then writes
            files of its own, ``runs.PID.N.jsonl`` beside a *path* of ``runs.jsonl``, with N
            counting up past what exists. ``None`` writes one file of any size. Read them all
            with ``read_records(sorted(Path(".").glob("runs.*.jsonl")))``.

    Attributes:
        path: The absolute path.

    Raises:
        OSError: If the file cannot be opened for writing.
        InvalidOptionError: If *path* is no path, or *max_bytes* no positive whole number.

    .. versionadded:: 0.1.0
    """

    def __init__(
        self, path: AnyPath, *, timeline: bool = False, max_bytes: int | None = None
    ) -> None:
        _check_max_bytes(max_bytes)
        self.path = Path(os.path.abspath(_text_of(path)))  # noqa: PTH100 - resolves no links
        self._timeline = timeline
        self._max_bytes = max_bytes
        self._file = RecordFile(str(self.path), max_bytes)

    def __call__(self, result: MetricsResult[Any]) -> None:
        """
        Write one result.

        Raises:
            ClosedSinkError: If the sink is closed.
            OSError: If the file takes no more. The next line is a line of its own again.
        """
        line = line_of(result, timeline=self._timeline)
        file = self._file
        with file.lock:
            if file.is_closed:
                raise _closed(self.path)
            file.append(line)

    def close(self) -> None:
        """Close the file; nothing happens if it is closed."""
        with self._file.lock:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<JsonLinesSink {str(self.path)!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        again = functools.partial(type(self), timeline=self._timeline, max_bytes=self._max_bytes)
        return (again, (str(self.path),))


def _check_max_bytes(max_bytes: object) -> None:
    if max_bytes is None or (type(max_bytes) is int and max_bytes > 0):
        return
    msg = (
        f"Cannot begin a new file after max_bytes={max_bytes!r}: it is no positive whole number. "
        "Pass one, such as 100_000_000, or None for a single file."
    )
    raise InvalidOptionError(msg, option="max_bytes")


def _text_of(path: AnyPath) -> str:
    if isinstance(path, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
        return os.fsdecode(path)
    msg = (
        f"Cannot use {path!r} as the path of a record file: it is a {type(path).__name__}. "
        "Pass a str or a pathlib.Path."
    )
    raise InvalidOptionError(msg, option="path")


def _closed(path: Path) -> ClosedSinkError:
    return ClosedSinkError(
        f"Cannot write a result to '{path}': the sink is closed. "
        "Call remove_sink() before close(), or make a new JsonLinesSink."
    )


# --- reading -------------------------------------------------------------------------------------


def read_records(paths: AnyPath | Iterable[AnyPath]) -> RecordReader:
    """
    Read the results that ``JsonLinesSink`` wrote, one at a time, in constant memory.

    A line that a killed process left unfinished is skipped wherever it stands, and what another
    process wrote behind it is found; ``RecordReader.skipped`` has each with its number, and a
    ``TokenclockWarning`` at the end of the file says how many there are. So is a line of which
    a field is of the wrong kind. Fields that this version does not know are passed over; a file
    of a newer schema is read as far as it is known, with a warning.

    Args:
        paths: One file or several, read in this order; each line by line.

    Returns:
        An iterator of results, whose ``value`` is ``None``. An empty file gives none.

    Raises:
        FileNotFoundError: At once, if a file does not exist (another ``OSError`` if it cannot
            be opened).
        NoRecordFileError: If a file is something else: a folder at once, a text, CSV, other
            JSON or a compressed file when it is read.
        EmptyInputError: If *paths* is empty.
        InvalidOptionError: If one of *paths* is no path.

    .. versionadded:: 0.1.0
    """
    several = [paths] if isinstance(paths, str | bytes | os.PathLike) else list(paths)
    names = [_text_of(path) for path in several]
    if not names:
        msg = "Cannot read records: no file was given. Pass a path; did a pattern match nothing?"
        raise EmptyInputError(msg)
    for name in names:
        _check_file(name)
    return RecordReader(names)


def _check_file(name: str) -> None:
    mode = Path(name).stat().st_mode
    if stat.S_ISDIR(mode):
        msg = (
            f"Cannot read records from '{name}': it is a folder. "
            "Pass the files in it: sorted(Path(folder).glob('*.jsonl'))."
        )
        raise NoRecordFileError(msg, path=name)
    if stat.S_ISREG(mode):  # a pipe can be opened once only
        Path(name).open("rb").close()


class RecordReader(Iterator[MetricsResult[Any]]):
    """
    What ``read_records`` gives: an iterator of results.

    Attributes:
        skipped: The lines that gave no result, so far.

    .. versionadded:: 0.1.0
    """

    def __init__(self, names: list[str]) -> None:
        self.skipped: list[SkippedLine] = []
        self._results = self._read_all(names)

    def __next__(self) -> MetricsResult[Any]:
        return next(self._results)

    def close(self) -> None:
        """Stop reading and close the file."""
        self._results.close()

    def _read_all(self, names: list[str]) -> Generator[MetricsResult[Any], None, None]:
        for name in names:
            with Path(name).open("rb") as file:
                yield from FileReader(name, self.skipped).results(file)
