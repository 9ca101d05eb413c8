"""``tokenclock plot``: pictures of what was recorded."""

# No "from __future__ import annotations": typer reads the types.

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, cast

from tokenclock._metrics import METRICS, Metric
from tokenclock.cli._html import Picture, Section, page
from tokenclock.cli._inputs import UnusableFileError, check_choice, records
from tokenclock.cli._output import write
from tokenclock.cli._parameters import RecordFiles, typer
from tokenclock.errors import InvalidOptionError
from tokenclock.summary import summarize

if TYPE_CHECKING:
    from tokenclock.cli._figures import Calls, Kind, Panel

SUFFIXES = (".png", ".svg", ".html")
KINDS = ("timeline", "distribution", "over-time")


def plot(
    files: RecordFiles,
    *,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE", help="out.png, out.svg or out.html; is overwritten."
        ),
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="timeline, distribution or over-time; by default all that have something to show.",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric", metavar="NAME", help="Show one number only, such as time_to_first_token."
        ),
    ] = None,
    dark: Annotated[
        bool, typer.Option("--dark", help="Draw on black. A page is light and dark anyway.")
    ] = False,
    compare_with: Annotated[
        Path | None,
        typer.Option(
            "--compare-with", metavar="BASE", help="Draw the calls beside those of these records."
        ),
    ] = None,
) -> None:
    """
    Draw recorded calls into a picture or a page.

    For example:

    \b
      tokenclock plot runs.jsonl -o runs.html
      tokenclock plot runs.jsonl -o gaps.png --kind distribution --metric inter_token_latency
    """  # noqa: D301 - the backspace keeps typer from wrapping the lines
    _check_output(output)
    chosen = _check_choices(kind, metric, compare_with)
    from tokenclock.cli._figures import Calls, comparisons, panels_of  # noqa: PLC0415 - as below

    sets = [Calls(", ".join(file.name for file in files), list(records(files)))]
    if compare_with is None:
        panels = panels_of(sets[0].results, cast("Kind | None", kind), chosen)
    else:
        sets = [Calls(compare_with.name, list(records(compare_with))), *sets]
        panels = comparisons(sets[0], sets[1], chosen)
    _save(output, _content(output, panels, sets, dark=dark))
    write(str(output))


def _check_output(output: Path) -> None:
    """Refuse a file that cannot become one, before anything is read."""
    if output.suffix.lower() not in SUFFIXES:
        msg = (
            f"Cannot draw into '{output}': its ending tells no kind of picture. "
            f"Pass a name that ends in {', '.join(SUFFIXES)}."
        )
        raise InvalidOptionError(msg, option="-o")
    if not output.parent.is_dir():
        msg = (
            f"Cannot draw into '{output}': there is no folder '{output.parent}'. "
            f"Make it first: mkdir -p {quote(str(output.parent))}"
        )
        raise InvalidOptionError(msg, option="-o")


def _check_choices(
    kind: str | None, metric: str | None, compare_with: Path | None
) -> Metric | None:
    if kind is not None:
        check_choice("--kind", kind, KINDS)
    if kind is not None and compare_with is not None:
        msg = (
            f"Cannot draw --kind {kind} of two sets of calls: a comparison is a kind of its own. "
            "Leave --kind or --compare-with out."
        )
        raise InvalidOptionError(msg, option="--kind")
    if kind == "timeline" and metric is not None:
        msg = (
            f"Cannot draw --metric {metric} as a timeline: that shows whole calls. "
            "Leave --metric or --kind out."
        )
        raise InvalidOptionError(msg, option="--metric")
    by_name = {one.name: one for one in METRICS}
    if metric is not None:
        check_choice("--metric", metric, tuple(by_name))
    return by_name.get(metric or "")


def _content(
    output: Path, panels: "Sequence[Panel]", sets: "Sequence[Calls]", *, dark: bool
) -> bytes:
    from tokenclock.cli._figures import drawn  # noqa: PLC0415 - loads matplotlib

    suffix = output.suffix.lower()
    if suffix == ".html":
        return _page(panels, sets)
    return drawn(panels, "svg" if suffix == ".svg" else "png", dark=dark)


def _page(panels: "Sequence[Panel]", sets: "Sequence[Calls]") -> bytes:
    """Give a page of the pictures, each in both looks, and the table of each set of calls."""
    from tokenclock.cli._figures import drawn  # noqa: PLC0415 - loads matplotlib

    pictures = [
        Picture(
            panel.title,
            light=drawn([panel], "svg", dark=False),
            dark=drawn([panel], "svg", dark=True),
        )
        for panel in panels
    ]
    texts = [Section(calls.name, summarize(calls.results).to_text()) for calls in sets]
    return page(pictures, texts).encode()


def _save(output: Path, content: bytes) -> None:
    try:
        output.write_bytes(content)
    except OSError as error:
        msg = f"Cannot write '{output}': {error.strerror}. Pass -o another file."
        raise UnusableFileError(msg) from error
