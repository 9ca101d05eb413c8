"""Finding the function that is to be called, and measuring it unless it is measured already."""

# What is found is Any, and pyright does not know the type() of that.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import inspect
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import MethodType, ModuleType, TracebackType
from typing import Any

from tokenclock._callables import MeasuredCallable, is_disabled
from tokenclock._decorator import observe
from tokenclock.errors import InvalidOptionError

SHOWN_FRAMES = 3


@dataclass(frozen=True)
class Target:
    """
    A function whose every call is measured.

    Attributes:
        name: How the user wrote it.
        function: The function, measured.
        is_async: Whether its calls belong into an event loop.
    """

    name: str
    function: Any
    is_async: bool

    def check_takes(self, arguments: tuple[str, ...]) -> None:
        """Refuse a function that cannot be called with *arguments*."""
        try:
            signature = inspect.signature(self.function)
        except (TypeError, ValueError):  # some functions written in C do not tell
            return
        try:
            signature.bind(*arguments)
        except TypeError as error:
            given = "a line of the input" if arguments else "no argument"
            remedy = (
                "Name a function that takes one prompt."
                if arguments
                else "Pass --input FILE with one prompt a line, or name one that needs none."
            )
            raise _refused(
                f"Cannot call {self.name!r} with {given}: it takes {signature} ({error}). {remedy}"
            ) from None


def find_target(name: str) -> Target:
    """
    Import ``module:callable`` or ``file.py:callable``; the current directory is importable.

    Raises:
        InvalidOptionError: If there is no such thing, if importing it fails, or if it is nothing
            whose calls can be measured.
        NotMeasurableError: If it is a class.
    """
    module_name, separator, path = name.rpartition(":")
    if not separator or not module_name or not all(path.split(".")):
        raise _refused(
            f"Cannot call {name!r}: it names no function. Write module:function, such as "
            "package.module:answer, or file.py:function."
        )
    if is_disabled():
        raise _refused(
            f"Cannot measure {name!r}: TOKENCLOCK_DISABLED is set, which switches measuring off. "
            "Unset it."
        )
    function = _attribute(_module(module_name), path, name)
    if not callable(function):
        raise _refused(
            f"Cannot call {name!r}: a {type(function).__name__!r} is not callable. "
            "Name a function, a method of an object, or an object with __call__."
        )
    is_async = _is_async(function)
    return Target(name, function if _is_measured(function) else observe(function), is_async)


# --- importing ----------------------------------------------------------------------------------


def _module(name: str) -> ModuleType:
    path = Path(name)
    is_file = path.suffix == ".py"
    if is_file and not path.is_file():
        raise _refused(f"Cannot import {name!r}: there is no such file. Check its path.")
    _make_importable(str(path.parent) if is_file else "")
    try:
        return _load_file(path) if is_file else importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - modules also end by sys.exit()
        if _is_missing(name, error):
            raise _refused(
                f"Cannot import {name!r}: there is no module of that name in the current "
                f"directory ({Path.cwd()}) or among the installed ones. Check its spelling, or "
                "start from the folder that it is in."
            ) from None
        raise _refused(
            f"Cannot import {name!r}: importing it raised this.\n{_users_traceback(error)}\n"
            "Mend it, then run again."
        ) from None


def _make_importable(folder: str) -> None:
    """Put a folder first on the path, as ``python -m`` and ``python file.py`` do."""
    folder = str(Path(folder).resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _load_file(path: Path) -> ModuleType:
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None  # noqa: S101 - a file that ends with .py has one
    assert spec.loader is not None  # noqa: S101 - as above
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pickles and dataclasses of the module look it up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _is_missing(name: str, error: BaseException) -> bool:
    """Whether it is the module itself that is not there, and not one that it imports."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return False
    return name == error.name or name.startswith(f"{error.name}.")


def _users_traceback(error: BaseException) -> str:
    """Give the end of a traceback, without the frames of the import itself."""
    first = error.__traceback__
    while first is not None and _is_importing(first):
        first = first.tb_next
    lines = traceback.format_exception(type(error), error, first, limit=-SHOWN_FRAMES, chain=False)
    return "".join(lines).rstrip()


def _is_importing(step: TracebackType) -> bool:
    file = step.tb_frame.f_code.co_filename
    return file.startswith("<frozen importlib") or file in {__file__, importlib.__file__}


def _attribute(module: ModuleType, path: str, name: str) -> Any:
    found: Any = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise _refused(_no_attribute(found, part, name)) from None
    return found


def _no_attribute(holder: Any, part: str, name: str) -> str:
    where = holder.__name__ if isinstance(holder, ModuleType) else type(holder).__name__
    near = difflib.get_close_matches(part, [one for one in dir(holder) if one[0] != "_"], n=3)
    hint = f"Did you mean {' or '.join(near)}?" if near else "Check its spelling."
    return f"Cannot call {name!r}: {where!r} has no {part!r}. {hint}"


def _refused(message: str) -> InvalidOptionError:
    return InvalidOptionError(message, option="target")


# --- what it is ---------------------------------------------------------------------------------


def _is_measured(function: Any) -> bool:
    """Whether its calls are measured without us; a stand-in poses as another, its type does not."""
    while type(function) is functools.partial:
        function = function.func
    if type(function) is MethodType:
        function = function.__func__
    called = getattr(type(function), "__call__", None)  # noqa: B004 - what it is, not whether
    return issubclass(type(function), MeasuredCallable) or issubclass(
        type(called), MeasuredCallable
    )


def _is_async(function: Any) -> bool:
    """Whether a call gives a coroutine or an async generator, through partials and wrappers."""
    while isinstance(function, functools.partial):
        function = function.func
    asked = inspect.unwrap(function)
    if not inspect.isroutine(asked):
        asked = inspect.unwrap(type(asked).__call__)
    return inspect.iscoroutinefunction(asked) or inspect.isasyncgenfunction(asked)
