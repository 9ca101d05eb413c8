"""What a run says at its end: the summary, and what only the run itself knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tokenclock._texts import printable
from tokenclock.cli._output import show, tell
from tokenclock.cli._start_delay import StartDelays
from tokenclock.summary import summarize

if TYPE_CHECKING:
    from pathlib import Path

    from tokenclock._load import Load, Tally
    from tokenclock._metrics import Result


def report_run(load: Load, results: list[Result], path: Path | None, *, inside: bool) -> None:
    """Print the summary of the target's *results*, and where they are."""
    if not results:
        tell("Nothing was measured: no call has ended.")
        return
    show("\n".join([*_lines(load, results), _kept(load.tally, path, inside=inside)]))


def _lines(load: Load, results: list[Result]) -> Iterator[str]:
    delays = StartDelays()
    summary = summarize(delays.watched(results))
    yield summary.to_text()
    if delay := delays.told(summary):
        yield from delay.lines()
    yield from _errors(load.tally)


def _errors(tally: Tally) -> Iterator[str]:
    if tally.errors:
        counted = (f"{count} {printable(error)}" for error, count in tally.errors.most_common())
        yield f"errors: {', '.join(counted)}"


def _kept(tally: Tally, path: Path | None, *, inside: bool) -> str:
    calls = _counted(tally.calls, "call")
    where = "not kept (-o FILE keeps them)" if path is None else f"in {path}"
    inner = _counted(tally.results - tally.calls, "measured call")
    if tally.results == tally.calls:
        return f"results: {calls}, {where}"
    if inside:
        return f"results: {calls} and {inner} inside, {where}"
    return f"results: {calls}, {where}; {inner} inside left out (--inside keeps them)"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
