"""What a checker makes of the command line as a function. Never run."""

from __future__ import annotations

from typing_extensions import assert_type

from tokenclock.cli import main


def command_line() -> None:
    assert_type(main(), None)
    assert_type(main(["report", "runs.jsonl"]), None)
    assert_type(main(arguments=("report", "runs.jsonl")), None)


def wrong_command_line() -> None:
    main("report", "runs.jsonl")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
