"""How tokenclock says that something of its own went wrong: logged, never raised."""

# Private names of others are ruff's business (SLF001), which wants a reason for each.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import sys
import warnings

from tokenclock.errors import TokenclockError, TokenclockWarning

LOGGER = "tokenclock"


def failure(message: str, error: BaseException) -> None:
    """
    Log *error* with its traceback, naming its type only.

    What an exception says may carry what a model generated, so the message stays behind, unless
    it is ours: the record's exception is a stand-in with the same traceback.
    """
    name = type_name(type(error))
    if isinstance(error, TokenclockError):
        name = f"{name}: {error}"
    stand_in = TokenclockError(name)
    try:
        import logging  # noqa: PLC0415 - costs milliseconds, needed only when something failed

        logging.getLogger(LOGGER).error(
            "%s: %s", message, name, exc_info=(TokenclockError, stand_in, error.__traceback__)
        )
    except Exception:  # noqa: BLE001 - a log handler that raises leaves nowhere to say it
        return


def warn(message: str, *, package: str = "") -> None:
    """
    Warn at the user's line, which lies above those of *package*.

    Where warnings are errors, the message is logged instead: it must not break the loop it is
    about.
    """
    try:
        warnings.warn(message, TokenclockWarning, stacklevel=_users_stacklevel(package))
    except TokenclockWarning:
        import logging  # noqa: PLC0415 - as above

        logging.getLogger(LOGGER).warning("%s", message)


def type_name(kind: type) -> str:
    """
    Give the qualified name of a type, without the module for built-in ones.

    >>> type_name(ValueError)
    'ValueError'
    """
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _users_stacklevel(package: str) -> int:
    """Count the frames from ``warn`` up to the first that is neither tokenclock's nor theirs."""
    level = 1
    frame = sys._getframe(1)  # noqa: SLF001 - the documented way to look up the stack
    while frame.f_back is not None and _is_passed(frame.f_globals.get("__name__", ""), package):
        frame = frame.f_back
        level += 1
    return level


def _is_passed(module: str, package: str) -> bool:
    if module == "tokenclock" or module.startswith("tokenclock."):
        return module != "tokenclock.testing"
    return bool(package) and f"{module}.".startswith(f"{package}.")
