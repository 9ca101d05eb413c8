"""``tokenclock compare``: what it says, and the exit code that a build stops at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from command_line import Commands, Result, program, recorded, result

pytestmark = pytest.mark.extras

NOT_ENOUGH = (
    "tokenclock: Cannot tell whether anything got worse: no metric has enough data. "
    "Record more calls.\n"
)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capsys)


def calls(count: int, *, first_token: float = 0.25, **fields: object) -> list[Result]:
    """Make calls whose first tokens come a little apart: that of the n-th n % later."""
    return [
        result(
            number,
            **{
                "time_to_first_token": first_token * (1 + number / 100),
                "time_to_first_output_token": None,
                **fields,
            },
        )
        for number in range(count)
    ]


class Pair:
    """Two files of records."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, base: Sequence[Result], candidate: Sequence[Result]) -> tuple[Path, Path]:
        return (
            recorded(self._folder / "base.jsonl", base),
            recorded(self._folder / "candidate.jsonl", candidate),
        )


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_the_table_is_that_of_the_comparison(command: Commands, pair: Pair) -> None:
    """Without a format the table is printed, which says how it was found."""
    told = command("compare", *pair(calls(30), calls(30, first_token=0.5)))

    assert (told.exit_code, told.err) == (0, "")
    assert "baseline: 30 calls, 30 completed\n" in told.out
    row = next(line for line in told.out.splitlines() if line.startswith("time to first token"))
    assert row.split() == [
        "time", "to", "first", "token", "30/30", "286", "ms", "572", "ms", "2.000", "1.917-2.086",
        "regressed",
    ]  # fmt: skip


def test_json_is_the_whole_comparison(command: Commands, pair: Pair) -> None:
    """``--format json`` gives every number."""
    told = command("compare", *pair(calls(30), calls(30, first_token=0.5)), "--format", "json")
    record = json.loads(told.out)

    assert record["metrics"]["time_to_first_token"]["verdict"] == "regressed"
    assert record["has_regressed"] is True


def test_markdown_is_a_table(command: Commands, pair: Pair) -> None:
    """``--format markdown`` gives a table to paste."""
    told = command("compare", *pair(calls(30), calls(30)), "--format", "markdown")
    assert "\n| time to first token | 30/30 | 286 ms | 286 ms | 1.000 | " in told.out


def test_groups_and_the_least_change_are_passed_on(command: Commands, pair: Pair) -> None:
    """``--by`` compares groups, and ``--minimum-effect`` says what counts as a change."""
    files = pair(calls(30), calls(30, first_token=0.375))
    told = command(
        "compare", *files, "--by", "model", "--minimum-effect", "99%", "--format", "json"
    )
    record = json.loads(told.out)

    assert [group["key"] for group in record["groups"]] == ["tiny"]
    assert record["metrics"]["time_to_first_token"]["verdict"] == "no detectable change"


# --- the gate ------------------------------------------------------------------------------------


def test_a_regression_stops_a_build(command: Commands, pair: Pair) -> None:
    """With ``--fail-on regression`` a regression is exit code 1, and one line says which."""
    files = pair(calls(30), calls(30, first_token=0.5))
    told = command("compare", *files, "--fail-on", "regression")

    assert told.exit_code == 1
    assert told.err == "tokenclock: failed: time_to_first_token regressed (ratio 2)\n"
    assert command("compare", *files).exit_code == 0


def test_a_regression_of_a_group_names_the_group(command: Commands, pair: Pair) -> None:
    """What got worse for one group is said of that group."""
    files = pair(calls(30), calls(30, first_token=0.5))
    told = command("compare", *files, "--by", "model", "--fail-on", "regression")

    assert told.exit_code == 1
    assert told.err == (
        "tokenclock: failed: time_to_first_token regressed (ratio 2), "
        "time_to_first_token of tiny regressed (ratio 2)\n"
    )


@pytest.mark.parametrize("first_token", [0.25, 0.125])
def test_no_regression_lets_a_build_pass(command: Commands, pair: Pair, first_token: float) -> None:
    """The same times, and better ones, are exit code 0, and nothing is said on stderr."""
    files = pair(calls(30), calls(30, first_token=first_token))
    told = command("compare", *files, "--fail-on", "regression")

    assert (told.exit_code, told.err) == (0, "")


def test_a_build_does_not_pass_without_data(command: Commands, pair: Pair) -> None:
    """Where no metric has enough data nothing was judged: exit code 2, not 0."""
    files = pair(calls(30), calls(3))
    told = command("compare", *files, "--fail-on", "regression")

    assert told.exit_code == 2
    assert told.err.endswith(NOT_ENOUGH)
    assert command("compare", *files).exit_code == 0


def test_what_was_not_judged_is_said(command: Commands, pair: Pair) -> None:
    """A metric without enough data, more failures and a lost group do not pass in silence."""
    base = [*calls(30), *calls(1, model="lost"), *calls(1, model=None)]
    values = calls(25, streamed=False, inter_token_latencies=[], time_per_output_token=None)
    candidate = [*values, *calls(5, outcome="failed", error="OSError", streamed=False)]
    told = command("compare", *pair(base, candidate), "--by", "model", "--fail-on", "regression")

    assert told.exit_code == 0
    assert told.err == (
        "tokenclock: 16.7% of the candidate's calls failed, against 0%: "
        "not judged (--fail-on failures judges it)\n"
        "tokenclock: the candidate has no call of lost, (none): not judged\n"
        "tokenclock: not enough data to judge time_to_first_token, time_per_output_token, "
        "inter_token_latency, time_to_first_token of tiny, time_per_output_token of tiny, "
        "inter_token_latency of tiny\n"
    )


@pytest.mark.parametrize(
    ("failed", "exit_code", "err"),
    [
        (6, 1, "tokenclock: failed: 16.7% of the candidate's calls failed, against 0%\n"),
        (1, 0, ""),
        (0, 0, ""),
    ],
)
def test_more_failures_stop_a_build_that_asks(
    command: Commands, pair: Pair, failed: int, exit_code: int, err: str
) -> None:
    """Where failures are judged, more of them than chance explains are exit code 1."""
    bad = [*calls(30), *calls(failed, outcome="failed", error="OSError")]
    told = command("compare", *pair(calls(30), bad), "--fail-on", "regression,failures")
    assert (told.exit_code, told.err) == (exit_code, err)


def test_failures_alone_may_be_judged(command: Commands, pair: Pair) -> None:
    """A build that asks for failures only passes although calls are slower."""
    files = pair(calls(30), calls(30, first_token=0.5))
    told = command("compare", *files, "--fail-on", "failures")
    assert (told.exit_code, told.err) == (0, "")


def test_nested_calls_are_taken_when_asked_for(command: Commands, pair: Pair) -> None:
    """``--nested all`` compares the calls around others, too."""
    inner, outer = calls(30), [replace(one, call_id=f"outer {one.call_id}") for one in calls(30)]
    inside = [replace(one, parent_id=f"outer {one.call_id}") for one in inner]
    files = pair(inner, [*inside, *outer])
    for asked, expected in (("innermost", 30), ("all", 60)):
        told = command("compare", *files, "--nested", asked, "--format", "json")
        metric = json.loads(told.out)["metrics"]["time_to_first_token"]
        assert metric["candidate_count"] == expected


def test_the_exit_code_survives_a_reader_who_goes_away(pair: Pair) -> None:
    """``| head`` changes nothing about what a build is told."""
    base, candidate = pair(calls(30), calls(30, first_token=0.5))
    code = (
        "import os, sys; read, write = os.pipe(); os.close(read); os.dup2(write, 1)\n"
        "from tokenclock.cli import main\n"
        f"main(['compare', {str(base)!r}, {str(candidate)!r}, '--fail-on', 'regression'])\n"
    )
    told = program(code=code)

    assert told.exit_code == 1
    assert told.err == "tokenclock: failed: time_to_first_token regressed (ratio 2)\n"


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--fail-on", "anything"],
            "Cannot use --fail-on 'anything': it is not known. Pass one of regression, failures.",
        ),
        (
            ["--format", "xml"],
            "Cannot use --format 'xml': it is not known. Pass one of table, json, markdown.",
        ),
        (["--minimum-effect", "-1"], "Cannot compare with minimum_effect=-1.0: "),
        (["--minimum-effect", "5"], "Cannot compare with minimum_effect=5.0: "),
        (
            ["--minimum-effect", "much"],
            "Cannot use --minimum-effect 'much': it is no number. Pass 0.05, or 5%.",
        ),
        (["--by", "nonsense"], "Cannot group calls by 'nonsense': "),
    ],
)
def test_wrong_options_are_errors(
    command: Commands, pair: Pair, arguments: list[str], says: str
) -> None:
    """A wrong option is exit code 2 and says what to pass."""
    told = command("compare", *pair(calls(20), calls(20)), *arguments)

    assert (told.exit_code, told.out) == (2, "")
    assert told.err.startswith(f"tokenclock: {says}")


def test_an_empty_side_is_an_error(command: Commands, pair: Pair) -> None:
    """A file without a record is named."""
    base, candidate = pair(calls(20), [])
    assert command("compare", base, candidate) == (
        2,
        "",
        (
            f"tokenclock: Cannot find a call in '{candidate}': no record is there. "
            "Pass a file that JsonLinesSink or 'tokenclock run -o' wrote.\n"
        ),
    )


def test_without_scipy_it_says_what_to_install(pair: Pair) -> None:
    """Where SciPy is missing the command says how to install it, and ends with 2."""
    base, candidate = pair(calls(20), calls(20))
    code = (
        "import sys; sys.modules['scipy'] = None\n"
        f"from tokenclock.cli import main; main(['compare', {str(base)!r}, {str(candidate)!r}])\n"
    )
    told = program(code=code)

    assert (told.exit_code, told.out) == (2, "")
    assert told.err.endswith("Install it with: pip install 'tokenclock[compare]'.\n")
