"""Arguments and options that commands share; their help is what ``--help`` shows."""

# No "from __future__ import annotations" in rooms that use these: typer reads the types.

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from tokenclock.errors import MissingExtraError

for _package in ("typer", "rich"):
    if find_spec(_package) is None:
        raise MissingExtraError("The command line needs", _package, "cli")

import typer  # noqa: E402 - commands take it from here: this is the one room that imports it

__all__ = ["By", "NestedCalls", "RecordFile", "RecordFiles", "TextFormat", "typer"]

RecordFiles = Annotated[
    list[Path],
    typer.Argument(metavar="FILE", help="Files of records, as JsonLinesSink writes them."),
]
RecordFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="A file of records, as JsonLinesSink writes it.")
]
By = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="NAME",
        help="Also tell groups apart: by model, function, outcome, ..., or by a label's name.",
    ),
]
TextFormat = Annotated[
    str, typer.Option("--format", metavar="FORMAT", help="table, json or markdown.")
]
NestedCalls = Annotated[
    str,
    typer.Option(
        "--nested",
        metavar="CALLS",
        help="innermost leaves out calls with measured calls inside them; all takes every one.",
    ),
]
