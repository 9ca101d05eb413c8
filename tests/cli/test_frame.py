"""The command line's frame: help, version, exit codes, pipes, terminals, what is imported."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

from command_line import Commands, environment, on_a_terminal, program, recorded, result
from tokenclock import cli
from tokenclock.cli import main
from tokenclock.errors import TokenclockError, TokenclockWarning

pytestmark = pytest.mark.extras

COMMANDS = ("run", "report", "compare", "plot", "show", "demo")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capsys)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return recorded(tmp_path / "runs.jsonl", [result(number) for number in range(3)])


# --- help and version ----------------------------------------------------------------------------


def test_help_names_every_command(command: Commands) -> None:
    """``--help`` lists the commands and shows how the usual ones are called."""
    told = command("--help")

    assert told.exit_code == 0
    assert all(f"\n  {name} " in told.out for name in COMMANDS)
    assert "  tokenclock report runs.jsonl --by model\n" in told.out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_shows_an_example(command: Commands, name: str) -> None:
    """``--help`` of a command shows a line that one can copy."""
    told = command(name, "--help")

    assert told.exit_code == 0
    assert re.search(rf"\n    tokenclock {name}\b", told.out)
    assert max(map(len, told.out.splitlines())) <= 100


def test_the_version_is_said(command: Commands) -> None:
    """``--version`` says the version of the installed package."""
    assert command("--version") == (0, f"tokenclock {version('tokenclock')}\n", "")


def test_the_package_is_a_program(runs: Path) -> None:
    """``python -m tokenclock`` is the command."""
    told = program("report", runs)

    assert (told.exit_code, told.err) == (0, "")
    assert told.out.startswith("calls        3: 3 completed\n")


def test_importing_the_program_runs_nothing() -> None:
    """Tools that import every module do not start the command."""
    assert import_module("tokenclock.__main__").main is main


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["report"], ["report", "--nonsense"], ["compare", "one.jsonl"]]
)
def test_wrong_usage_is_an_error(command: Commands, arguments: list[str]) -> None:
    """What cannot be understood ends with exit code 2 and a word on stderr, none on stdout."""
    told = command(*arguments)

    assert (told.exit_code, told.out) == (2, "")
    assert "Usage: tokenclock" in told.err


def test_an_error_of_ours_is_told_without_a_traceback(
    command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that names its remedy is one text on stderr, harmless to a terminal."""

    def broken(*_: object, **__: object) -> None:
        msg = "Cannot \x1b[31mwork\u202e.\nDo this."
        raise TokenclockError(msg)

    monkeypatch.setattr("tokenclock.cli._app.app", broken)

    assert command("report") == (2, "", "tokenclock: Cannot [31mwork.\nDo this.\n")


def test_an_unexpected_error_is_told_with_its_traceback(
    command: Commands, monkeypatch: pytest.MonkeyPatch, runs: Path
) -> None:
    """A bug of ours is not hidden, and its exit code is not that of a regression."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("tokenclock.cli._report.summarize", broken)
    told = command("report", runs)

    assert (told.exit_code, told.out) == (2, "")
    assert told.err.startswith("Traceback (most recent call last):\n")
    assert told.err.endswith("    raise ZeroDivisionError\nZeroDivisionError\n")


def test_a_traceback_shows_no_values(runs: Path) -> None:
    """The traceback of a bug holds no values of variables: they may be what a model wrote."""
    code = (
        "import sys, tokenclock.cli._report as room\n"
        "def broken(*_, **__): secret = 'what the ' + 'model wrote'; raise ZeroDivisionError\n"
        "room.summarize = broken\n"
        f"from tokenclock.cli import main; main(['report', {str(runs)!r}])\n"
    )
    told = program(code=code)

    assert told.exit_code == 2
    assert "ZeroDivisionError" in told.err
    assert "what the model wrote" not in told.err


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_the_extra_it_says_what_to_install(package: str, runs: Path) -> None:
    """Where typer or rich is missing the command says how to install it, and ends with 2."""
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        f"from tokenclock.cli import main; main(['show', {str(runs)!r}])\n"
    )
    told = program(code=code, FORCE_COLOR="1")

    assert told == (
        2,
        "",
        (
            f"tokenclock: The command line needs {package}, which is not installed. "
            "Install it with: pip install 'tokenclock[cli]'.\n"
        ),
    )


def test_warnings_are_told_as_sentences(command: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own warnings come without a file and a line of code; others as they always do."""
    others: list[str] = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_: others.append(str(message)))

    def warning(*_: object, **__: object) -> None:
        warnings.simplefilter("always", UserWarning)
        warnings.warn("It is odd.", TokenclockWarning, stacklevel=1)
        warnings.warn("Something else.", UserWarning, stacklevel=1)
        raise SystemExit(0)

    monkeypatch.setattr("tokenclock.cli._app.app", warning)

    assert command("report") == (0, "", "tokenclock: warning: It is odd.\n")
    assert others == ["Something else."]


def test_warnings_are_as_they_were_afterwards(command: Commands) -> None:
    """A program that calls the command line keeps its own treatment of warnings."""
    before = (warnings.showwarning, list(warnings.filters))
    command("--version")
    assert (warnings.showwarning, list(warnings.filters)) == before


# --- pipes and terminals -------------------------------------------------------------------------


def test_a_pipe_gets_plain_text(runs: Path) -> None:
    """Into a pipe goes text without colours, at most 100 columns wide, whatever the terminal."""
    told = program("report", runs, COLUMNS="40")

    assert "\x1b" not in told.out
    assert 80 < max(map(len, told.out.splitlines())) <= 100


def test_a_terminal_gets_colours(runs: Path) -> None:
    """On a terminal the same text has colours."""
    seen = on_a_terminal("report", runs)

    assert "\x1b[1m" in seen
    assert without_colours(seen) == program("report", runs).out


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_declined(runs: Path, variables: dict[str, str]) -> None:
    """NO_COLOR, and a terminal that knows no colours, get the text without them."""
    assert "\x1b" not in on_a_terminal("report", runs, **variables)


def test_a_reader_who_goes_away_is_no_error(runs: Path) -> None:
    """``| head`` ends the reading early: nothing is said about it."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    ran = subprocess.run(  # noqa: S603 - the program is ours
        [sys.executable, "-m", "tokenclock", "report", str(runs)],
        stdout=write_end,
        stderr=subprocess.PIPE,
        check=False,
        env=environment(),
    )
    os.close(write_end)

    assert (ran.returncode, ran.stderr) == (0, b"")


def test_output_that_cannot_be_written_is_an_error(runs: Path) -> None:
    """A full disk is said in a sentence, and is not taken for success."""
    code = (
        "import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 1)\n"
        f"from tokenclock.cli import main; main(['report', {str(runs)!r}])\n"
    )
    assert program(code=code) == (
        2,
        "",
        (
            "tokenclock: Cannot write the output: No space left on device. "
            "Write it elsewhere, or make room.\n"
        ),
    )


def test_a_stream_that_knows_few_characters_gets_what_it_can_hold(tmp_path: Path) -> None:
    """An encoding without "µ" is no reason to fail: the character is replaced."""
    quick = result(time_to_first_token=2e-6)
    told = program("show", recorded(tmp_path / "runs.jsonl", [quick]), PYTHONIOENCODING="ascii")

    assert told.exit_code == 0
    assert "time to first token      2 ?s" in told.out


def without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


# --- what is imported ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (["--version"], {"scipy", "numpy", "matplotlib"}),
        (["report", "RUNS"], {"scipy", "numpy", "matplotlib"}),
        (["show", "RUNS"], {"scipy", "numpy", "matplotlib"}),
        (["compare", "RUNS", "RUNS"], {"matplotlib"}),
    ],
)
def test_a_command_loads_only_what_it_needs(
    runs: Path, arguments: list[str], unneeded: set[str]
) -> None:
    """SciPy and matplotlib are slow to load: only commands that need them do."""
    given = [str(runs) if one == "RUNS" else one for one in arguments]
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))\n"
        f"from tokenclock.cli import main; main({given!r})\n"
    )
    told = program(code=code)

    assert told.exit_code == 0
    assert unneeded & set(told.err.split()) == set()


def test_the_package_itself_loads_nothing_of_the_extra() -> None:
    """``tokenclock.cli`` can be imported without typer and rich."""
    code = "import sys, tokenclock.cli; print({'typer', 'rich'} & sys.modules.keys())"
    assert program(code=code).out == "set()\n"
    assert cli.__all__ == ["main"]


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_closed_stream_takes_what_is_said_and_nothing_else(closed: str, tmp_path: Path) -> None:
    """A run goes on as it would, and no file gets the number of the stream."""
    (tmp_path / "clock_closed.py").write_text("def ask(): return 'a'\n")
    command = f"exec {sys.executable} -m tokenclock run clock_closed:ask -n 3 -o runs.jsonl"
    done = subprocess.run(  # noqa: S602 - our own
        f"{command} {1 if closed == 'stdout' else 2}>&-",
        shell=True, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    assert ("results: 3 calls" in done.stdout) == (closed == "stderr")
    assert (tmp_path / "runs.jsonl").read_text().count("\n") == 3
