"""What the command line says: plain text into a pipe, colours on a terminal, errors on stderr."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

from tokenclock._tables import LINE_WIDTH
from tokenclock._texts import printable

if TYPE_CHECKING:
    from rich.console import Console

EXIT_CODE = 2

# What stands out on a terminal, and how; the text itself is the same in a pipe.
_STYLES = {
    r"(?m)^(?=.*\b(?:p50|verdict|arrived, s)\b).*$": "bold",  # the heads of tables
    r"(?m)^group: .*$": "bold",
    r"\bregressed\b\*?": "bold red",
    r"\bimproved\b\*?": "bold green",
    r"(?<=[0-9])\*": "yellow",
    r"(?m)^Warning: .*$": "yellow",
}


def open_closed_streams() -> None:
    """
    Let what is said vanish where whoever started us closed stdout or stderr (``2>&-``).

    It comes first: otherwise the next file to be opened would take their place.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the end
            setattr(sys, name, nowhere)


def fail(message: str) -> NoReturn:
    """Say on stderr what went wrong and what to do, and end with exit code 2."""
    tell(message)
    sys.exit(EXIT_CODE)


def warn(message: str) -> None:
    """Say on stderr what the reader of the numbers should know."""
    tell(f"warning: {message}")


def tell(message: str) -> None:
    """Say something on stderr, with the command's name before it."""
    _write(f"tokenclock: {_harmless(message)}\n", sys.stderr)


def show(text: str) -> None:
    """Write a text to stdout, in colours if somebody is looking."""
    if not _wants_colours(sys.stdout):
        _write(f"{_harmless(text)}\n", sys.stdout)
        return
    from rich.text import Text  # noqa: PLC0415 - see console

    styled = Text(_harmless(text))
    for pattern, style in _STYLES.items():
        styled.highlight_regex(pattern, style)
    console().print(styled, soft_wrap=True)


def write(text: str) -> None:
    """Write what another program reads to stdout, as it is."""
    _write(f"{text}\n", sys.stdout)


def console() -> Console:
    """
    Give the console for stdout; into a pipe it writes plain text, 100 columns wide.

    Rich is loaded when something is written with it: that takes longer than most commands do.
    """
    return _console(sys.stdout)


def error_console() -> Console:
    """Give the console for stderr."""
    return _console(sys.stderr)


def escape(text: str) -> str:
    """Give a stranger's text as one line that a rich console prints as it is."""
    from rich.markup import escape as escape_markup  # noqa: PLC0415 - see console

    return escape_markup(printable(text))


def _console(stream: TextIO) -> Console:
    from rich.console import Console  # noqa: PLC0415 - see console

    width = None if stream.isatty() else LINE_WIDTH
    return Console(file=stream, width=width, highlight=False, emoji=False)


def _wants_colours(stream: TextIO) -> bool:
    """Whether a terminal reads it whose user did not ask for text without colours."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _harmless(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def _write(text: str, stream: TextIO) -> None:
    """Write what the stream's encoding can hold; a reader who has gone away is no error."""
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()
    except OSError as error:
        _say_no_more(stream)
        if stream is sys.stdout and not isinstance(error, BrokenPipeError):
            fail(f"Cannot write the output: {error.strerror}. Write it elsewhere, or make room.")


def _say_no_more(stream: TextIO) -> None:
    """Let what is written from now on vanish: the interpreter, too, flushes when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
