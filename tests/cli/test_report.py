"""``tokenclock report``: tables of what was recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import Commands, Result, recorded, result
from tokenclock.cli._inputs import service_level
from tokenclock.errors import InvalidOptionError
from tokenclock.summary import ServiceLevel, Summary

pytestmark = pytest.mark.extras


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capsys)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Four calls of two models, one of which failed."""
    calls = [
        result(0),
        result(1, model="large", time_to_first_token=0.5, generation_latency=1.0),
        result(2),
        result(3, outcome="failed", error="OSError"),
    ]
    return recorded(tmp_path / "runs.jsonl", calls)


def row(text: str, label: str) -> list[str]:
    """Give the cells of the first row with that label."""
    line = next(line for line in text.splitlines() if line.startswith(label))
    return line.removeprefix(label).split()


def test_the_table_is_that_of_the_summary(command: Commands, runs: Path) -> None:
    """Without a format the summary's own table is printed, and nothing else."""
    told = command("report", runs)

    assert (told.exit_code, told.err) == (0, "")
    assert told.out.startswith("calls        4: 3 completed, 1 failed\n")
    assert row(told.out, "latency, ms")[:3] == ["3", "1", "833"]


def test_several_files_are_one_set_of_calls(command: Commands, runs: Path, tmp_path: Path) -> None:
    """All files are read, in the order in which they are named."""
    more = recorded(tmp_path / "more.jsonl", [result(9)])
    assert command("report", runs, more).out.startswith("calls        5: 4 completed, 1 failed\n")


def test_json_reads_back_as_a_summary(command: Commands, runs: Path) -> None:
    """``--format json`` gives one JSON object that ``Summary.from_dict`` takes."""
    told = command("report", runs, "--format", "json")
    record = json.loads(told.out)

    assert Summary.from_dict(record).outcomes == {"completed": 3, "failed": 1}
    assert "start_delay" not in record


def test_markdown_is_a_table(command: Commands, runs: Path) -> None:
    """``--format markdown`` gives a table to paste."""
    out = command("report", runs, "--format", "markdown").out
    assert "\n| latency, ms | 3 | 1 | 833 | " in out


def test_groups_are_told_apart(command: Commands, runs: Path) -> None:
    """``--by`` gives each group a table of its own."""
    out = command("report", runs, "--by", "model").out

    assert "\n\ngroup: tiny\ncalls        3: 2 completed, 1 failed\n" in out
    assert "\n\ngroup: large\ncalls        1: 1 completed\n" in out


def test_limits_give_goodput(command: Commands, runs: Path) -> None:
    """``--slo`` counts the calls that meet all limits."""
    out = command("report", runs, "--slo", "ttft=250ms,latency=0.75s").out
    assert "2 of 4 calls met the service level (50.0%)" in out


def test_failures_can_count_as_infinitely_slow(command: Commands, runs: Path) -> None:
    """``--failed-as-inf`` takes failed calls into the latencies."""
    told = command("report", runs, "--failed-as-inf", "--format", "json")
    latency = json.loads(told.out)["generation_latency"]

    assert (latency["count"], latency["maximum"]) == (4, "Infinity")


def test_nested_calls_can_be_taken(command: Commands, tmp_path: Path) -> None:
    """``--nested all`` takes calls that have measured calls inside them, too."""
    runs = recorded(tmp_path / "nested.jsonl", [result(0), result(1, parent_id="c-0")])

    assert command("report", runs).out.startswith("calls        1: ")
    assert command("report", runs, "--nested", "all").out.startswith("calls        2: ")


# --- files ---------------------------------------------------------------------------------------


def test_lines_left_out_are_told(command: Commands, runs: Path) -> None:
    """Each line that holds no call is named on stderr; the others are reported."""
    lines = runs.read_bytes().splitlines(keepends=True)
    runs.write_bytes(lines[0] + lines[1][:40] + b"\n" + lines[2])
    told = command("report", runs)

    assert told.exit_code == 0
    assert told.out.startswith("calls        2: 2 completed\n")
    assert told.err == f"tokenclock: left out '{runs}', line 2: it is cut, or no JSON\n"


@pytest.mark.parametrize(("bad", "more"), [(6, "1 more line"), (7, "2 more lines")])
def test_of_many_lines_left_out_some_are_named(
    command: Commands, runs: Path, bad: int, more: str
) -> None:
    """A file full of damage does not fill the screen."""
    with runs.open("ab") as file:
        file.write(b'{"tokenclock_record":1,\n' * bad)
    said = command("report", runs).err.splitlines()

    assert len(said) == 6
    assert said[4] == f"tokenclock: left out '{runs}', line 9: it is cut, or no JSON"
    assert said[5] == f"tokenclock: left out {more}"


def test_a_newer_file_is_read_with_a_warning(command: Commands, runs: Path) -> None:
    """What a newer version wrote is read as far as it is known, and that is said."""
    text = runs.read_text(encoding="utf-8")
    runs.write_text(text.replace('_record":1', '_record":99'), encoding="utf-8")
    told = command("report", runs)

    assert told.exit_code == 0
    assert told.err.startswith(f"tokenclock: warning: '{runs}' was written by a newer tokenclock")


def test_a_file_of_something_else_is_an_error(command: Commands, tmp_path: Path) -> None:
    """A file that is no record file is named, with the line that shows it."""
    other = tmp_path / "notes.txt"
    other.write_text("some\nnotes\n", encoding="utf-8")
    told = command("report", other)

    assert (told.exit_code, told.out) == (2, "")
    assert told.err.startswith(
        f"tokenclock: Cannot read '{other}' as records: line 1 is no record: "
    )


def test_a_file_that_is_not_there_is_an_error(command: Commands, tmp_path: Path) -> None:
    """The error names the file and says what to pass."""
    assert command("report", tmp_path / "none.jsonl") == (
        2,
        "",
        (
            f"tokenclock: Cannot read '{tmp_path / 'none.jsonl'}': there is no such file. "
            "Pass a file that JsonLinesSink or 'tokenclock run -o' wrote.\n"
        ),
    )


def test_a_path_that_leads_nowhere_is_an_error(command: Commands, runs: Path) -> None:
    """Whatever the system says of a file is passed on in a sentence."""
    told = command("report", runs / "inside.jsonl")

    assert told.exit_code == 2
    assert told.err.startswith(
        f"tokenclock: Cannot read '{runs / 'inside.jsonl'}': Not a directory. "
    )


def test_a_folder_is_an_error(command: Commands, tmp_path: Path) -> None:
    """A folder is no file of records."""
    told = command("report", tmp_path)

    assert told.exit_code == 2
    assert told.err.startswith(f"tokenclock: Cannot read records from '{tmp_path}': it is a folder")


def test_files_without_a_call_are_an_error(command: Commands, tmp_path: Path) -> None:
    """There is no report on nothing."""
    one, two = (recorded(tmp_path / name, []) for name in ("one.jsonl", "two.jsonl"))
    told = command("report", one, two)

    assert (told.exit_code, told.out) == (2, "")
    assert told.err.startswith(f"tokenclock: Cannot find a call in '{one}', '{two}': no record is")


# --- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--format", "xml"],
            "Cannot use --format 'xml': it is not known. Pass one of table, json, markdown.",
        ),
        (
            ["--nested", "some"],
            "Cannot use --nested 'some': it is not known. Pass one of innermost, all.",
        ),
        (
            ["--slo", "speed=1s"],
            (
                "Cannot use 'speed=1s' in --slo: the name is none of ttft, first_output, tpot, "
                "latency. Pass limits with their units: --slo ttft=500ms,tpot=50ms,latency=10s."
            ),
        ),
    ],
)
def test_wrong_options_are_errors_before_anything_is_read(
    command: Commands, arguments: list[str], says: str
) -> None:
    """A wrong option is told even though the file, too, is missing."""
    assert command("report", "none.jsonl", *arguments) == (2, "", f"tokenclock: {says}\n")


def test_a_group_that_no_call_knows_is_an_error(command: Commands, runs: Path) -> None:
    """A slip in ``--by`` is told, with what can be passed."""
    told = command("report", runs, "--by", "nonsense")

    assert (told.exit_code, told.out) == (2, "")
    assert told.err.startswith("tokenclock: Cannot group calls by 'nonsense': ")


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("ttft=500ms", ServiceLevel(time_to_first_token=0.5)),
        ("ttft=.5s, tpot=50 ms", ServiceLevel(time_to_first_token=0.5, time_per_output_token=0.05)),
        ("latency=10s", ServiceLevel(generation_latency=10.0)),
        ("first_output=250us", ServiceLevel(time_to_first_output_token=0.00025)),
        ("time_per_output_token=250µs", ServiceLevel(time_per_output_token=0.00025)),
    ],
)
def test_limits_are_read_with_their_units(text: str, level: ServiceLevel) -> None:
    """Limits have short names and the fields' own, and times in s, ms or us."""
    assert service_level(text) == level


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ttft=500", "'ttft=500' in --slo: the unit of its time is none of s, ms and us."),
        ("ttft=1min", "'ttft=1min' in --slo: the unit of its time is none of s, ms and us."),
        ("ttft=fast", "'ttft=fast' in --slo: it gives no time."),
        ("ttft=-1s", "'ttft=-1s' in --slo: it gives no time."),
        ("ttft", "'ttft' in --slo: it gives no time."),
        ("ttft=0ms", "'ttft=0ms' in --slo: no call takes no time."),
        ("ttft=1s,time_to_first_token=2s", "time_to_first_token has a limit already."),
        ("ttft=1s,", "'' in --slo: the name is none of "),
    ],
)
def test_a_limit_that_is_none_is_an_error(text: str, reason: str) -> None:
    """The error quotes the limit, says what is wrong, and gives an example."""
    with pytest.raises(InvalidOptionError, match="Pass limits with their units: ") as raised:
        service_level(text)
    assert reason in str(raised.value)


# --- an open loop --------------------------------------------------------------------------------

DELAY = "start delay: p50 20 ms, p95 29 ms, max 30 ms from scheduled to actual start (n=3)"
WARNING = (
    "Warning: that p95 is above 10% of the median {}: the client was saturated.",
    "Warning: the times leave that waiting out. Raise --concurrency or lower --rate.",
)


def delayed(*delays: object, **fields: object) -> list[Result]:
    return [
        result(number, attributes={"start_delay": delay}, **fields)
        for number, delay in enumerate(delays)
    ]


def last_lines(text: str, count: int) -> tuple[str, ...]:
    return tuple(text.splitlines()[-count:])


def test_late_starts_are_told(command: Commands, tmp_path: Path) -> None:
    """Calls of an open loop say how late they started, in a line of its own."""
    calls = delayed(0.03, 0.01, 0.02, time_to_first_token=0.5)
    out = command("report", recorded(tmp_path / "runs.jsonl", calls)).out

    assert last_lines(out, 2) == ("", DELAY)


def test_a_saturated_client_is_a_warning(command: Commands, tmp_path: Path) -> None:
    """Delays above a tenth of the median first token mean that numbers hide the queueing."""
    runs = recorded(tmp_path / "runs.jsonl", delayed(0.03, 0.01, 0.02))
    warnings = (WARNING[0].format("first token"), WARNING[1])

    assert last_lines(command("report", runs).out, 3) == (DELAY, *warnings)
    assert last_lines(command("report", runs, "--format", "markdown").out, 4) == (
        "",
        f"- {DELAY}",
        *(f"- {line}" for line in warnings),
    )


def test_where_nothing_streams_the_latency_is_what_counts(
    command: Commands, tmp_path: Path
) -> None:
    """Values have no first token of their own: their delays are held against the latency."""
    calls = delayed(0.03, 0.01, 0.02, streamed=False, generation_latency=0.25)
    out = command("report", recorded(tmp_path / "runs.jsonl", calls)).out

    assert last_lines(out, 3) == (DELAY, WARNING[0].format("latency"), WARNING[1])


def test_late_starts_are_in_the_json(command: Commands, tmp_path: Path) -> None:
    """The delays stand beside the fields of the summary, in seconds."""
    runs = recorded(tmp_path / "runs.jsonl", delayed(0.5, 0.25, 1.0))
    record = json.loads(command("report", runs, "--format", "json").out)

    assert record["start_delay"] == {
        "count": 3,
        "p50": 0.5,
        "p95": 0.95,
        "maximum": 1.0,
        "is_large": True,
    }


def test_only_delays_of_the_runs_own_calls_count(command: Commands, tmp_path: Path) -> None:
    """A call inside another only inherits the label, and what is no time is no delay."""
    calls = [*delayed(0.5, 1, -1.0, "late", "inf"), *delayed(0.25, parent_id="c-0")]
    runs = recorded(tmp_path / "runs.jsonl", calls)
    record = json.loads(command("report", runs, "--nested", "all", "--format", "json").out)

    assert record["start_delay"]["count"] == 1


def test_without_a_typical_time_nothing_is_large(command: Commands, tmp_path: Path) -> None:
    """Where every call failed there is nothing to hold the delays against."""
    calls = delayed(0.03, 0.01, 0.02, outcome="failed", time_to_first_token=None)
    out = command("report", recorded(tmp_path / "runs.jsonl", calls)).out

    assert last_lines(out, 2) == ("", DELAY)


def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing disk does not say which file it was reading."""
    from tokenclock import records as room  # noqa: PLC0415 - to be patched
    from tokenclock.cli._inputs import UnusableFileError, records  # noqa: PLC0415 - with the extra

    path = tmp_path / "runs.jsonl"
    path.touch()

    def fail(self: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(room.RecordReader, "__next__", fail)
    with pytest.raises(UnusableFileError) as caught:
        list(records([path, path]))
    assert str(caught.value) == (
        f"Cannot read '{path}', '{path}': Input/output error. Pass a file that JsonLinesSink or "
        "'tokenclock run -o' wrote."
    )
