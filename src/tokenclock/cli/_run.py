"""``tokenclock run``: call a function many times and measure every call."""

# No "from __future__ import annotations": typer reads the types.

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from tokenclock._attributes import AttributeValue
from tokenclock._load import START_DELAY, Load, Plan, find_target, load_of
from tokenclock._metrics import Result
from tokenclock.cli._output import fail, tell
from tokenclock.cli._parameters import typer
from tokenclock.cli._run_report import report_run
from tokenclock.cli._watch import watch
from tokenclock.errors import InvalidOptionError, TokenclockError
from tokenclock.records import JsonLinesSink, read_records

CALLS_WITHOUT_INPUT = 10
INTERRUPTED = 130  # as a shell says of what a Ctrl-C ended


def run(
    target: Annotated[
        str,
        typer.Argument(
            help="What to call: module:function or file.py:function, sync or async, a generator "
            "or not, decorated already or not. The current directory is importable.",
            show_default=False,
        ),
    ],
    *,
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input",
            "-i",
            metavar="FILE",
            help="Prompts, one a line; each call is given one, in turn. Without it the target is "
            "called without arguments.",
            show_default=False,
        ),
    ] = None,
    calls: Annotated[
        int | None,
        typer.Option(
            "--calls",
            "-n",
            metavar="N",
            help="How many calls count. By default one for each prompt, 10 without prompts.",
            show_default=False,
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency",
            "-c",
            metavar="N",
            help="How many calls are in flight at most. By default 1, or 64 with --rate.",
            show_default=False,
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            metavar="PER_SECOND",
            help="Let calls arrive at this mean rate, at random moments as independent users "
            "would (Poisson), whatever becomes of the earlier calls. Without it each worker calls "
            "again when its call has ended.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write every result to this file, as JSON Lines.",
            show_default=False,
        ),
    ] = None,
    append: Annotated[
        bool, typer.Option("--append", help="Add to a file that is there already.")
    ] = False,
    warmup: Annotated[
        int,
        typer.Option(metavar="N", help="Calls that come first, are not counted and not written."),
    ] = 1,
    seed: Annotated[
        int,
        typer.Option(metavar="N", help="The same seed gives the same moments of arrival."),
    ] = 0,
    timeline: Annotated[
        bool, typer.Option("--timeline", help="Also write when each chunk arrived.")
    ] = False,
    inside: Annotated[
        bool,
        typer.Option(
            "--inside", help="Also write the measured calls that the target makes inside its own."
        ),
    ] = False,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="NAME=VALUE",
            help="Label every result; give it once for each label.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """
    Call a function many times, measure every call, and print the summary.

    A result is one call of the target, whatever else is measured inside it. A call that fails is
    a result like any other. Ctrl-C stops: what was measured is kept.

    With --rate the moments of the calls are fixed beforehand. A call that starts later than its
    moment, because --concurrency calls are in flight already or because this computer is busy,
    says so: its result has the label start_delay, in seconds. What a user who came at that moment
    would have waited is start_delay + the measured time, so that no queue in here stays hidden.

    The exit code is 1 if every call failed, 2 if nothing could be called, 130 after Ctrl-C.

    \b
    Examples:
      tokenclock run my_module:generate --input prompts.txt -n 100 --concurrency 8 -o runs.jsonl
      tokenclock run client.py:ask --input prompts.txt -n 500 --rate 5 --label build=7 -o b7.jsonl
    """  # noqa: D301 - the command line keeps the lines of a paragraph that begins with it
    try:
        prompts = _prompts_in(input_file)
        plan = Plan(
            calls=calls if calls is not None else len(prompts) or CALLS_WITHOUT_INPUT,
            concurrency=concurrency, prompts=prompts, rate=rate, warmup=warmup, seed=seed,
        )  # fmt: skip
        attributes = _labels_in(label or [])
        _check_output(output, append=append)
        output = output and output.absolute()  # importing the target may change the directory
        kept = _Kept(inside=inside)
        load = load_of(find_target(target), plan, kept, attributes=attributes)
        kept.open(output, timeline=timeline)
    except (TokenclockError, OSError) as error:
        fail(str(error))
    _carry_out(load, plan, kept)


class _Kept:
    """
    Takes results: keeps those of the target and writes them to the file, if there is one.

    What is measured inside a call of the target would stand in for it wherever the innermost
    calls are taken, and a slow part around it would go unseen: so it is written only if wanted.
    """

    def __init__(self, *, inside: bool) -> None:
        self.inside = inside
        self.results: list[Result] = []
        self.path: Path | None = None
        self._write: Callable[[Result], object] | None = None
        self.close: Callable[[], object] = lambda: None

    def open(self, path: Path | None, *, timeline: bool) -> None:
        if path is not None:
            sink = JsonLinesSink(path, timeline=timeline)
            self.path, self._write, self.close = sink.path, sink, sink.close

    def __call__(self, result: Result) -> None:
        is_targets = result.parent_id is None
        if self._write is not None and (is_targets or self.inside):
            self._write(result)
        if is_targets:
            self.results.append(result)


def _carry_out(load: Load, plan: Plan, kept: _Kept) -> None:
    was_interrupted = watch(load, plan)
    failure: Exception | None = None
    try:
        load.finish()
    except (TokenclockError, OSError) as error:
        failure = error
    kept.close()
    report_run(load, kept.results, kept.path, inside=kept.inside)
    if failure is not None:
        fail(_told(failure, kept))
    if was_interrupted:
        raise typer.Exit(INTERRUPTED)
    if load.tally.errors.total() == load.tally.calls:
        tell(_all_failed(load))
        raise typer.Exit(1)


def _told(failure: Exception, kept: _Kept) -> str:
    if isinstance(failure, TokenclockError):
        return str(failure)
    return (
        f"Cannot go on writing to '{kept.path}': {failure}. "
        f"{len(kept.results)} results are in it. Make room, then run again."
    )


def _all_failed(load: Load) -> str:
    return (
        f"Every call failed, the first one with {load.first_error}. Its message is not shown: it "
        "may hold what a model wrote. Call the function yourself to see it."
    )


# --- checking what was given ----------------------------------------------------------------------


def _prompts_in(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        msg = (
            f"Cannot read prompts from '{path}': it is no UTF-8 text ({error.reason}). Save it so."
        )
        raise InvalidOptionError(msg, option="input") from None
    except OSError as error:
        msg = (
            f"Cannot read prompts from '{path}': {error.strerror}. "
            "Pass a text file, one prompt a line."
        )
        raise InvalidOptionError(msg, option="input") from None
    prompts = [line.rstrip("\r") for line in text.split("\n") if line.strip()]
    if not prompts:
        msg = f"Cannot read prompts from '{path}': it is empty. Write one prompt a line."
        raise InvalidOptionError(msg, option="input")
    return prompts


def _labels_in(texts: list[str]) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name or name == START_DELAY:
            why = "it is the run's own" if name == START_DELAY else "it is not NAME=VALUE"
            msg = (
                f"Cannot label results with {text!r}: {why}. Pass a label such as --label build=7."
            )
            raise InvalidOptionError(msg, option="label")
        found[name] = value
    return found


def _check_output(path: Path | None, *, append: bool) -> None:
    """Refuse to mix runs, and what could not be written to, before anything is called."""
    if path is None:
        return
    if not path.parent.is_dir():
        msg = f"Cannot write to '{path}': there is no folder '{path.parent}'. Make it first."
        raise InvalidOptionError(msg, option="output")
    is_file, is_folder = path.is_file(), path.is_dir()
    if not (is_file or is_folder) or (is_file and not path.stat().st_size):
        return  # new, or empty, or a pipe or device: no run is in it
    if not append and is_file:
        msg = (
            f"Cannot write to '{path}': it is there already, and two runs in one file would read "
            "as one. Choose another name, or add to it with --append."
        )
        raise InvalidOptionError(msg, option="output")
    next(read_records(path), None)  # raises if it is no record file
