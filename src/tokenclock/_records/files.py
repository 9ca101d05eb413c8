"""Files that records are appended to: one line in one write, by any number of processes."""

from __future__ import annotations

import errno
import os
import threading
import weakref
from pathlib import Path

MODE = 0o600
_APPENDING = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
CLOSED = -1


class RecordFile:
    """
    The file, or with *max_bytes* the files of this process, that lines go to.

    Args:
        path: Absolute.
        max_bytes: Where to begin a new file of the name ``STEM.PID.N.SUFFIX``; ``None`` for
            one file, *path* itself.
    """

    def __init__(self, path: str, max_bytes: int | None) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._descriptor = CLOSED
        self._size = 0
        self._number = 0
        self._is_cut = False
        self.is_closed = False
        # A signal's handler may end a measured call while this very thread writes a line.
        self.lock = threading.RLock()
        self._open()
        _open_files.add(self)

    def append(self, line: bytes) -> None:
        """Write a line; what a failed write left of an earlier one gets its end first."""
        self._make_room(len(line))
        rest = memoryview(b"\n" + line if self._is_cut else line)
        while rest:  # once around, but for a full disk or a signal
            written = os.write(self._descriptor, rest)
            rest = rest[written:]
            self._size += written
            self._is_cut = bool(rest)

    def close(self) -> None:
        """Close the file; nothing happens if it is closed."""
        self.is_closed = True
        descriptor, self._descriptor = self._descriptor, CLOSED
        if descriptor != CLOSED:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()

    def _make_room(self, length: int) -> None:
        if self._max_bytes is None:
            return
        is_full = self._size > 0 and self._size + length > self._max_bytes
        if is_full and self._descriptor != CLOSED:
            os.close(self._descriptor)
            self._descriptor = CLOSED
        if self._descriptor == CLOSED:  # full, or a forked child's first line
            self._open()

    def _open(self) -> None:
        try:
            self._descriptor = self._open_own() if self._max_bytes else self._open_shared()
        except FileNotFoundError:
            raise _no_folder(self._path) from None

    def _open_shared(self) -> int:
        try:
            return _create(self._path)
        except FileExistsError:
            descriptor = os.open(self._path, _APPENDING, MODE)
        self._is_cut = _ends_within_a_line(descriptor)
        return descriptor

    def _open_own(self) -> int:
        """Create the next file of this process: one that is not there yet."""
        path = Path(self._path)
        self._size, self._is_cut = 0, False
        while True:
            self._number += 1
            try:
                name = f"{path.stem}.{os.getpid()}.{self._number}{path.suffix or '.jsonl'}"
                return _create(str(path.with_name(name)))
            except FileExistsError:
                continue

    def after_fork(self) -> None:
        """Leave the parent's lock, which a thread may hold, and its own files to it."""
        self.lock = threading.RLock()
        if self._max_bytes is not None and self._descriptor != CLOSED:
            os.close(self._descriptor)
            self._descriptor, self._number = CLOSED, 0


_open_files: weakref.WeakSet[RecordFile] = weakref.WeakSet()


def _after_fork() -> None:
    for file in list(_open_files):
        file.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch - only Windows lacks it
    os.register_at_fork(after_in_child=_after_fork)


def _create(path: str) -> int:
    """Create a file for its owner alone, whatever the umask."""
    descriptor = os.open(path, _APPENDING | os.O_EXCL, MODE)
    if hasattr(os, "fchmod"):  # pragma: no branch - only Windows lacks it
        os.fchmod(descriptor, MODE)
    return descriptor


def _ends_within_a_line(descriptor: int) -> bool:
    """Whether a process that was killed, or an editor, left a line without its end."""
    if not os.fstat(descriptor).st_size:  # empty, or a pipe or device
        return False
    os.lseek(descriptor, -1, os.SEEK_END)
    return os.read(descriptor, 1) != b"\n"


def _no_folder(path: str) -> FileNotFoundError:
    return FileNotFoundError(
        errno.ENOENT,
        "Cannot write records: their folder does not exist. Create it first",
        path,
    )
