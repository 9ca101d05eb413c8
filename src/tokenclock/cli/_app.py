"""The commands and what they have in common: help, version, exit codes."""

# No "from __future__ import annotations": typer reads the types.

from typing import Annotated

import tokenclock
from tokenclock.cli._compare import compare
from tokenclock.cli._demo import demo
from tokenclock.cli._output import write
from tokenclock.cli._parameters import typer
from tokenclock.cli._plot import plot
from tokenclock.cli._report import report
from tokenclock.cli._run import run
from tokenclock.cli._show import show

app = typer.Typer(
    add_completion=False,  # it would change the user's shell start-up files
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they print what variables hold: what a model generated, too
    rich_markup_mode=None,  # help is plain text, examples in it included
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(is_wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if is_wanted:
        write(f"tokenclock {tokenclock.__version__}")
        raise typer.Exit


@app.callback()
def main_options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """
    Measure how a language model's output arrives.

    For example:

    \b
      tokenclock run my_module:generate --input prompts.txt -n 100 -o runs.jsonl
      tokenclock report runs.jsonl --by model
      tokenclock compare before.jsonl after.jsonl --fail-on regression
    """  # noqa: D301 - the backspace keeps typer from wrapping the lines


app.command(short_help="Call a function many times and measure every call.")(run)
app.command()(report)
app.command()(compare)
app.command()(plot)
app.command()(show)
app.command(short_help="See it with a small language model.")(demo)
