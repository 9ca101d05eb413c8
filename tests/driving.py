"""What the tests of reliability share: ends without exceptions, and programs of their own."""

from __future__ import annotations

import gc
import importlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tokenclock
from stepping import SHAPES, step
from tokenclock import testing

if TYPE_CHECKING:
    from tokenclock.testing import Script

END = object()
SOURCE = str(Path(tokenclock.__file__).parents[1])


def function_of(shape: str, script: Script[Any]) -> Callable[[], Any]:
    """Give a function of this shape whose calls follow the script."""
    function: Callable[[], Any] = getattr(script, SHAPES[shape])
    return function


def step_or_end(stream: Any) -> Any:
    """Give the next chunk, or END."""
    try:
        return step(stream)
    except (StopIteration, StopAsyncIteration):
        return END


def settle() -> None:
    """Collect what was dropped, and wait until its results were handed to the sinks."""
    gc.collect()
    testing.settle()


def check_says_what_to_install(
    name: str, package: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that an example of that name ends with one line where *package* is missing."""
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(name).main()
    assert ended.value.code == f"This example needs {line}"


def drop(_: object) -> None:
    """Take the only reference to something, and let it go."""


def run_python(program: str, *, timeout: float = 30.0) -> str:
    """Run a program in a process of its own, which must end well, and give what it printed."""
    done = subprocess.run(  # noqa: S603 - the programs are ours
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": SOURCE},
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout
