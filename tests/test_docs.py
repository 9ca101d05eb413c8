"""README, docs and docstrings say what happens: their code runs, their output is real."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import os
import re
from pathlib import Path
from typing import Any

import pytest

import tokenclock

README = Path(__file__).parents[1] / "README.md"
PAGES = sorted((README.parent / "docs").glob("*.md"))
# A comment before a block says that it is not run, or what prints it: <!-- print(summary) -->.
BLOCK = re.compile(r"(?:<!-- ([^>]*) -->\n)?```(\w*)\n(.*?)```", re.DOTALL)
NUMBER = re.compile(r"\d+(\.\d+)?")
COMPARED = 3  # texts that the README shows and that its code prints
SOURCE = Path(tokenclock.__file__).parent
# Rooms that import what an extra installs; a package stands for all that is in it.
NEED_EXTRAS = (
    "tokenclock._comparisons.rank_ratio", "tokenclock.cli", "tokenclock.compare",
    "tokenclock.exporters._otel_metrics", "tokenclock.exporters._otel_spans",
    "tokenclock.exporters.opentelemetry", "tokenclock.exporters.prometheus", "tokenclock.plots",
)  # fmt: skip


def module_names() -> list[str]:
    paths = [path.relative_to(SOURCE.parent).with_suffix("") for path in SOURCE.rglob("*.py")]
    return sorted(".".join(path.parts).removesuffix(".__init__") for path in paths)


def needs_extras(name: str) -> bool:
    return any(f"{name}.".startswith(f"{room}.") for room in NEED_EXTRAS)


MODULES = [
    pytest.param(name, marks=[pytest.mark.extras] if needs_extras(name) else [])
    for name in module_names()
    if not name.endswith(".__main__")
]


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """Give a page's blocks that are run or compared: comment, language and text."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [block for block in found if not block[0].startswith("not run")]


def shape_of(text: str) -> str:
    """Give a text without what differs from run to run: numbers, their width, a slow machine."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("caller")]
    return re.sub(r" +", " ", NUMBER.sub("0", "\n".join(lines)))


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


def test_the_code_of_the_readme_runs_and_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions print exactly what they show; scripts print it up to the digits of numbers."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    printed = ""
    compared = sessions = 0
    for comment, language, text in blocks(README):
        if language == "python" and text.startswith(">>>"):
            result = run_session(text, names)
            assert result.failed == 0, text
            sessions += result.attempted
        elif language == "python":
            printed = run_script(text, names)
        elif language == "text":
            printed = run_script(comment, names) if comment else printed
            assert shape_of(printed) == shape_of(text)
            compared += 1
    assert compared == COMPARED
    assert sessions > 20


@pytest.mark.extras
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_the_docs_runs_and_prints_what_it_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page is one session from top to bottom, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "MPLBACKEND", "agg")
    names: dict[str, Any] = {"__name__": "__main__"}
    for comment, language, text in blocks(page):
        if language == "python":
            result = run_session(text, names)
            assert result.attempted > 0, text
            assert result.failed == 0, text
        elif comment:
            assert run_script(comment, names) == text


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
