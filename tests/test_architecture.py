"""Imports point downwards: the rooms of the package, and the doors between them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import tokenclock

SOURCE = Path(tokenclock.__file__).parent

# A room may import rooms of the lines above its own. A new arrow is made by editing this table.
ORDER = (
    ("errors",),
    ("_log",),
    ("_clock", "_attributes", "_reading"),
    ("_driver",),
    ("_providers._looking",),
    (
        "_providers.anthropic",
        "_providers.cohere",
        "_providers.google",
        "_providers.ollama",
        "_providers.openai",
        "_providers.openai_responses",
        "_providers.vllm",
    ),
    ("_providers.bedrock", "_providers.langchain", "_providers.mistral"),
    ("_providers",),
    ("_tape", "_timeline", "_statistics"),
    ("_texts", "_service_level"),
    ("_result", "_tables"),
    ("_chunks", "_hooks", "_sinks"),
    ("_options",),
    ("_recorder",),
    ("_runs",),
    ("_proxy",),
    ("_hands",),
    ("_compiled",),
    ("_streams", "_awaitables"),
    ("_managers",),
    ("_typing",),
    ("_handover",),
    ("_callables",),
    ("_decorator", "_instrument", "_measure"),
    # Opt-in rooms: users import them by their path, and nothing in the core does.
    ("readers",),
    # The reporting half: many results. It stands on ``_result`` and nothing of the measuring half.
    ("_metrics",),
    ("_records", "_records.fields", "_records.files"),
    ("_records.lines",),
    ("_records.reader",),
    ("records",),
    ("_summaries", "_summaries.columns", "_summaries.texts"),
    ("_summaries.concurrency", "_summaries.frames"),
    ("_summaries.summary",),
    ("_summaries.samples",),
    ("_summaries.condensing",),
    ("summary",),
    ("_comparisons", "_comparisons.rank_ratio", "_comparisons.texts"),
    ("_comparisons.comparison",),
    ("compare",),
    ("pytest_plugin",),
    ("plots._spans", "plots._style"),
    ("plots._distribution", "plots._over_time", "plots._timeline"),
    ("plots._comparison",),
    ("plots",),
    # Where results go beyond the process.
    ("exporters._buckets", "exporters._forking", "exporters._otel_attributes"),
    ("exporters._otel_span_end", "exporters._worker"),
    ("exporters._background",),
    ("exporters._installing", "exporters._prometheus_bulk"),
    ("exporters",),
    ("exporters._otel_metrics", "exporters._otel_spans", "exporters._prometheus_labels"),
    ("exporters._prometheus_in_flight", "exporters.opentelemetry"),
    ("exporters.prometheus",),
    # What calls a function many times, and the model that the examples call.
    ("_load._consume", "_load._plan", "_load._tally", "_load._target"),
    ("_load._engine",),
    ("_load._workers",),
    ("_load",),
    ("demo._decode",),
    ("demo._model",),
    ("demo._show",),
    ("demo",),
    # The front door, which looks up what is of the reporting half when it is asked for.
    ("__init__",),
    # The command line stands on everything.
    ("cli._html", "cli._output", "cli._parameters", "cli._start_delay"),
    ("cli._figures", "cli._inputs", "cli._run_report", "cli._watch"),
    ("cli._compare", "cli._demo", "cli._plot", "cli._report", "cli._run", "cli._show"),
    ("cli._app",),
    ("cli",),
    ("__main__",),
)

# Names that only checkers look up, of a room further up or next door: no import happens.
TYPES_FROM_ABOVE = {
    ("_texts", "_result"),
    ("_chunks", "_options"),
    ("_hooks", "_options"),
    ("_comparisons.texts", "_comparisons.comparison"),
    ("_service_level", "_result"),
    ("_summaries.frames", "_summaries.summary"),
    ("_summaries.texts", "_summaries.summary"),
}

# What users and tests import, and no room of the package: it stands outside the order.
TESTING = "testing"
TESTING_MAY_NAME = {"_result", "_sinks"}

THIRD_PARTY = {
    ("_callables", "wrapt"),
    ("_comparisons.rank_ratio", "numpy"),
    ("_comparisons.rank_ratio", "scipy"),
    ("cli._figures", "matplotlib"),
    ("exporters._otel_metrics", "opentelemetry"),
    ("exporters._otel_spans", "opentelemetry"),
    ("exporters.prometheus", "prometheus_client"),
    ("cli._output", "rich"),
    ("cli._parameters", "typer"),
    ("cli._watch", "rich"),
    ("_summaries.frames", "pandas"),
    ("_summaries.frames", "polars"),
    ("plots._over_time", "matplotlib"),
    ("plots._style", "matplotlib"),
    ("plots._timeline", "matplotlib"),
    ("pytest_plugin", "pytest"),
}
FOR_CHECKERS_ONLY = {
    "matplotlib", "opentelemetry", "pandas", "polars", "pytest", "rich", "typing_extensions",
}  # fmt: skip


def _room_of(path: Path) -> str:
    """Give the name of a module below the package's: a package in it is a room of its own."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[1:] and parts[-1] == "__init__" else parts)


FILES = {_room_of(path): path for path in SOURCE.rglob("*.py")}
ROOMS = sorted(FILES)
FLOOR = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}
FLOOR["_speed"] = -1  # in C: it imports nothing of ours


class Import(NamedTuple):
    """One import: the room or package it names, and whether only checkers follow it."""

    name: str
    is_ours: bool
    for_checkers: bool


def test_every_room_has_its_place() -> None:
    """Each module of the package stands in the order, once; only ``testing`` stands outside."""
    placed = [room for rooms in ORDER for room in rooms]
    assert sorted([*placed, TESTING]) == ROOMS


@pytest.mark.parametrize("room", [room for room in ROOMS if room != TESTING])
def test_imports_point_downwards(room: str) -> None:
    """A room imports only rooms below its own; of others it names types at most."""
    upwards = {
        (room, one.name)
        for one in imports(room)
        if one.is_ours
        and FLOOR[one.name] >= FLOOR[room]
        and not (one.for_checkers and (room, one.name) in TYPES_FROM_ABOVE)
    }
    assert upwards == set()


def test_exceptions_are_still_needed() -> None:
    """An exception in the tables of this test that nobody uses any more is taken out of them."""
    found = {(room, one.name) for room in ROOMS for one in imports(room)}
    assert TYPES_FROM_ABOVE - found == set()
    assert THIRD_PARTY - found == set()


def test_nothing_imports_what_is_for_tests_or_checkers() -> None:
    """No room imports ``testing``, and none imports the types of the decorators when it runs."""
    importing = {
        (room, one.name)
        for room in ROOMS
        for one in imports(room)
        if one.is_ours and (one.name == TESTING or (one.name == "_typing" and not one.for_checkers))
    }
    assert importing == set()


def test_testing_stands_on_its_own() -> None:
    """``testing`` needs no room of the package when it runs; it names a result's type."""
    ours = [one for one in imports(TESTING) if one.is_ours]
    assert {one.name for one in ours} == TESTING_MAY_NAME
    assert [one.name for one in ours if not one.for_checkers] == ["_sinks"]


def test_third_party_imports_sit_where_they_are_needed() -> None:
    """Beyond the standard library the core imports ``wrapt``, in one room; checkers read more."""
    foreign = [
        (room, one)
        for room in ROOMS
        for one in imports(room)
        if not one.is_ours and one.name not in sys.stdlib_module_names
    ]
    assert {(room, one.name) for room, one in foreign if not one.for_checkers} == THIRD_PARTY
    assert {one.name for _, one in foreign if one.for_checkers} <= FOR_CHECKERS_ONLY


def test_no_import_is_relative() -> None:
    """Every import says in full what it imports, as this test relies on."""
    relative = [
        (room, node.lineno)
        for room in ROOMS
        for node in ast.walk(tree_of(room))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def tree_of(room: str) -> ast.Module:
    return ast.parse(FILES[room].read_text(encoding="utf-8"))


def imports(room: str) -> list[Import]:
    """Give every import of a room, wherever it stands in the file."""
    return list(_imports(tree_of(room), for_checkers=False))


def _imports(node: ast.AST, *, for_checkers: bool) -> Iterator[Import]:
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        for statement in node.body:
            yield from _imports(statement, for_checkers=True)
        for statement in node.orelse:
            yield from _imports(statement, for_checkers=for_checkers)
        return
    for module in _modules(node):
        package, _, room = module.partition(".")
        is_ours = package == "tokenclock"
        yield Import((room or "__init__") if is_ours else package, is_ours, for_checkers)
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, for_checkers=for_checkers)


def _modules(node: ast.AST) -> list[str]:
    """Give the modules that one statement imports: ``from tokenclock import _log`` is ``_log``."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom) or node.module is None:
        return []
    return sorted({_module_of(node.module, alias.name) for alias in node.names})


def _module_of(module: str, name: str) -> str:
    """Give what a name is taken from: itself where it is a module, else the one that has it."""
    room = f"{module}.{name}".removeprefix("tokenclock.")
    return f"tokenclock.{room}" if module == "tokenclock" or room in FILES else module
