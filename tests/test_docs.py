"""The README and the docstrings say what happens: all their code runs, all their output is real."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest

import tokenclock

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"(<!-- not run[^>]*-->\n)?```(\w*)\n(.*?)```", re.DOTALL)
NUMBER = re.compile(r"\d+(\.\d+)?")
MODULES = [
    module.name for module in pkgutil.walk_packages(tokenclock.__path__, prefix="tokenclock.")
]


def blocks() -> list[tuple[str, str]]:
    """Give the README's blocks that are run or compared, as pairs of language and text."""
    found = BLOCK.findall(README.read_text(encoding="utf-8"))
    return [(language, text) for not_run, language, text in found if not not_run]


def run_script(text: str, names: dict[str, Any]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(text, str(README), "exec"), names)  # noqa: S102 - our own README
    return printed.getvalue()


def run_session(text: str, names: dict[str, Any]) -> doctest.TestResults:
    test = doctest.DocTestParser().get_doctest(text, names, "README", str(README), 0)
    result = doctest.DocTestRunner().run(test, clear_globs=False)
    names.update(test.globs)
    return result


def test_the_code_of_the_readme_runs_and_prints_what_it_says() -> None:
    """Sessions print exactly what they show; scripts print it up to the digits of numbers."""
    names: dict[str, Any] = {"__name__": "__main__"}
    printed = ""
    compared = sessions = 0
    for language, text in blocks():
        if language == "python" and text.startswith(">>>"):
            result = run_session(text, names)
            assert result.failed == 0, text
            sessions += result.attempted
        elif language == "python":
            printed = run_script(text, names)
        elif language == "text":
            printed = printed or names["stream"].metrics.report() + "\n"
            assert NUMBER.sub("0", printed) == NUMBER.sub("0", text)
            printed = ""
            compared += 1
    assert compared == 2
    assert sessions > 20


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_are_true(name: str) -> None:
    """Every session in a docstring gives what it shows."""
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_every_field_of_a_result_is_in_the_table_of_the_readme() -> None:
    """The README leaves no number unexplained."""
    text = README.read_text(encoding="utf-8")
    fields = set(tokenclock.MetricsResult.__dataclass_fields__) - {"value"}
    assert {field for field in fields if f"`{field}`" not in text} == set()


def test_no_placeholder_is_left_in_the_readme() -> None:
    """Nothing that was to be filled in later is shown to a user."""
    text = README.read_text(encoding="utf-8")
    assert re.findall(r"\b(?:TODO|TBD|FIXME|BENCH|[A-Z]+_TABLE)\b", text) == []
