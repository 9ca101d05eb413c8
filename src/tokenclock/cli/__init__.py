"""
The command ``tokenclock``: measure, report, compare and draw from a shell.

The extra ``cli`` installs what it needs.

.. versionadded:: 0.1.0
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import TextIO

from tokenclock.cli._output import EXIT_CODE, fail, open_closed_streams, warn
from tokenclock.errors import TokenclockError, TokenclockWarning

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Run the command line.

    What goes wrong is said on stderr; the exit code is then 2. An error that nobody expected is
    told with its traceback.

    Args:
        arguments: Those after the command's name; ``None`` takes them from ``sys.argv``.

    Raises:
        SystemExit: At the end, with the exit code.

    .. versionadded:: 0.1.0
    """
    given = None if arguments is None else list(arguments)
    open_closed_streams()
    with warnings.catch_warnings():
        _tell_warnings()
        try:
            from tokenclock.cli._app import app  # noqa: PLC0415 - typer may not be there

            app(given, prog_name="tokenclock")
        except TokenclockError as error:
            fail(str(error))
        except Exception:  # noqa: BLE001 - Python's own exit code would be that of a regression
            traceback.print_exc()
            sys.exit(EXIT_CODE)


def _tell_warnings() -> None:
    """Say our own warnings as the command line says things: no file, no line of code."""
    usual = warnings.showwarning

    def tell(  # noqa: PLR0917 - as the warnings module calls it
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, TokenclockWarning):
            warn(str(message))
        else:
            usual(message, category, filename, lineno, file, line)

    warnings.simplefilter("default", TokenclockWarning)
    # The commands name each such line themselves.
    warnings.filterwarnings(
        "ignore", message=".* left out of the records", category=TokenclockWarning
    )
    warnings.showwarning = tell
