"""``tokenclock report``: tables of what was recorded."""

# No "from __future__ import annotations": typer reads the types.

import json
from typing import TYPE_CHECKING, Annotated, cast

from tokenclock._tables import markdown_text
from tokenclock.cli._inputs import check_choice, check_format, records, service_level
from tokenclock.cli._output import show, write
from tokenclock.cli._parameters import By, NestedCalls, RecordFiles, TextFormat, typer
from tokenclock.cli._start_delay import StartDelay, StartDelays
from tokenclock.summary import Summary, summarize

if TYPE_CHECKING:
    from tokenclock._metrics import Nested


def report(
    files: RecordFiles,
    *,
    by: By = None,
    slo: Annotated[
        str | None,
        typer.Option(
            "--slo",
            metavar="LIMITS",
            help="Count the calls that meet limits: ttft=, first_output=, tpot= and latency=, "
            "separated by commas, each a time in s, ms or us.",
        ),
    ] = None,
    text_format: TextFormat = "table",
    nested: NestedCalls = "innermost",
    failed_as_inf: Annotated[
        bool, typer.Option("--failed-as-inf", help="Count failed calls as infinitely slow.")
    ] = False,
) -> None:
    """
    Condense recorded calls into tables.

    For example:

    \b
      tokenclock report runs.jsonl --by model --slo ttft=500ms,tpot=50ms
    """  # noqa: D301 - the backspace keeps typer from wrapping the lines
    check_format(text_format)
    check_choice("--nested", nested, ("innermost", "all"))
    limits = None if slo is None else service_level(slo)
    delays = StartDelays()
    summary = summarize(
        delays.watched(records(files)),
        slo=limits,
        by=by,
        nested=cast("Nested", nested),
        failed_as_inf=failed_as_inf,
    )
    _tell(summary, delays.told(summary), text_format)


def _tell(summary: Summary, delay: StartDelay | None, text_format: str) -> None:
    lines = [] if delay is None else delay.lines()
    if text_format == "table":
        show("\n\n".join([summary.to_text(), *["\n".join(lines)] * bool(lines)]))
    elif text_format == "markdown":
        items = "\n".join(f"- {markdown_text(line)}" for line in lines)
        write("\n\n".join([summary.to_markdown(), *[items] * bool(lines)]))
    else:
        record = json.loads(summary.to_json())
        write(json.dumps(record if delay is None else {**record, "start_delay": delay.to_dict()}))
