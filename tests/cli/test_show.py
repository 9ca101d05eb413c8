"""``tokenclock show``: one call in full."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import Commands, recorded, result
from tokenclock import Timeline

pytestmark = pytest.mark.extras


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capsys)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three calls, the second of which failed."""
    failed = result(1, function="demo.second", outcome="failed", error="OSError")
    return recorded(tmp_path / "runs.jsonl", [result(0), failed, result(2, function="demo.last")])


def test_a_call_is_shown_in_full(command: Commands, tmp_path: Path) -> None:
    """The report comes first, then every field with its unit, then the timeline."""
    timeline = Timeline.from_dict(
        {
            "requested": [0.0, 0.25, 0.5],
            "arrived": [0.25, 0.5, 0.75],
            "tokens": [1, 1, 1],
            "channel": ["reasoning", "text", None],
        }
    )
    call = result(timeline=timeline, attributes={"build": 7, "warm": True})

    told = command("show", recorded(tmp_path / "runs.jsonl", [call], timeline=True))

    assert (told.exit_code, told.err) == (0, "")
    assert told.out == (
        "demo.chat: completed\n"
        "  model                    tiny\n"
        "  time to first token      250 ms\n"
        "  generation latency       750 ms\n"
        "  throughput               4 tokens/s\n"
        "  tokens                   3 (one per token-bearing chunk) in 3 chunks\n"
        "  time per output token    250 ms\n"
        "  gaps between chunks      p50 250 ms, p95 250 ms, p99 250 ms, max 250 ms\n"
        "\n"
        "function                          demo.chat\n"
        "call_id                           c-0\n"
        "parent_id                         n/a\n"
        "started_at                        2026-01-02 00:00:00+00:00\n"
        "streamed                          True\n"
        "outcome                           completed\n"
        "error                             n/a\n"
        "generation_latency                0.75 s\n"
        "time_to_first_chunk               0.25 s\n"
        "time_to_first_token               0.25 s\n"
        "time_to_first_output_token        0.25 s\n"
        "time_to_last_token                0.75 s\n"
        "throughput                        4 tokens/s\n"
        "token_count                       3\n"
        "token_source                      chunks\n"
        "chunk_count                       3\n"
        "token_chunk_count                 3\n"
        "time_per_output_token             0.25 s\n"
        "consumer_time                     0 s\n"
        "consumer_time_before_first_token  n/a\n"
        "producer_time                     0.75 s\n"
        "idle_before_start                 0 s\n"
        "input_token_count                 n/a\n"
        "reasoning_token_count             n/a\n"
        "cached_token_count                n/a\n"
        "model                             tiny\n"
        "request_model                     n/a\n"
        "provider                          n/a\n"
        "operation                         n/a\n"
        "finish_reason                     n/a\n"
        "timeline_complete                 True\n"
        "inter_token_latencies             250 ms, 250 ms\n"
        "attributes.build                  7\n"
        "attributes.warm                   True\n"
        "\n"
        "chunk  requested, s  arrived, s  tokens    channel\n"
        "1                 0        0.25       1  reasoning\n"
        "2              0.25         0.5       1       text\n"
        "3               0.5        0.75       1\n"
    )


def test_a_cut_timeline_says_so(command: Commands, tmp_path: Path) -> None:
    """Where not every chunk was kept, the end of the text says which were."""
    path = recorded(tmp_path / "runs.jsonl", [result(timeline_complete=False)])
    assert command("show", path).out.endswith(
        "\n\nChunks and gaps cover the first 65,536 chunks.\n"
    )


def test_a_value_has_no_gaps(command: Commands, tmp_path: Path) -> None:
    """What a call does not have is n/a."""
    path = recorded(tmp_path / "runs.jsonl", [result(streamed=False, inter_token_latencies=[])])
    assert "\ninter_token_latencies             n/a\n" in command("show", path).out


@pytest.mark.parametrize(
    ("number", "function"),
    [
        (None, "demo.last"),
        (1, "demo.chat"),
        (2, "demo.second"),
        (3, "demo.last"),
        (-1, "demo.last"),
        (-2, "demo.second"),
        (-3, "demo.chat"),
    ],
)
def test_calls_count_from_one_and_from_the_end(
    command: Commands, runs: Path, number: int | None, function: str
) -> None:
    """1 is the first call, -1 the last, which is the one shown if nobody says."""
    told = command("show", runs, *([] if number is None else ["-n", str(number)]))
    assert told.out.startswith(f"{function}: ")


@pytest.mark.parametrize("number", [4, -4, 10**30, -(10**30)])
def test_a_call_that_is_not_there_is_an_error(command: Commands, runs: Path, number: int) -> None:
    """The error says how many calls there are."""
    assert command("show", runs, "-n", str(number)) == (
        2,
        "",
        (
            f"tokenclock: Cannot show call number {number}: there are 3 calls: pass -n 1 to 3, or "
            "count from the end with -n -1.\n"
        ),
    )


def test_of_one_call_there_is_no_second(command: Commands, tmp_path: Path) -> None:
    """The error speaks of one call as of one."""
    told = command("show", recorded(tmp_path / "runs.jsonl", [result()]), "-n", "2")
    assert "there is 1 call: pass -n 1, or count" in told.err


def test_there_is_no_call_number_zero(command: Commands, runs: Path) -> None:
    """Calls count from 1, and the error says so."""
    assert command("show", runs, "-n", "0") == (
        2,
        "",
        (
            "tokenclock: Cannot show call number 0: calls count from 1. Pass -n 1, or -n -1 for "
            "the last.\n"
        ),
    )
