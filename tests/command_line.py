"""The command line in tests: called in process, or as a program; and files of records for it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import tokenclock
from tokenclock import MetricsResult
from tokenclock.cli import main
from tokenclock.records import JsonLinesSink

BEGAN = datetime(2026, 1, 2, tzinfo=timezone.utc)
SOURCE = Path(tokenclock.__file__).parents[1]

# What asks for colours, or for none, whoever runs the tests.
_COLOURS = ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "GITHUB_ACTIONS", "PY_COLORS", "COLUMNS")

Result = MetricsResult[Any]


def result(number: int = 0, **fields: Any) -> Result:
    """Make a streamed call of 3 tokens: first token 0.25 s, latency 0.75 s; one a second."""
    values = {
        "function": "demo.chat",
        "call_id": f"c-{number}",
        "started_at": BEGAN + timedelta(seconds=number),
        "streamed": True,
        "outcome": "completed",
        "generation_latency": 0.75,
        "time_to_first_chunk": 0.25,
        "time_to_first_token": 0.25,
        "time_to_first_output_token": 0.25,
        "time_to_last_token": 0.75,
        "throughput": 4.0,
        "token_count": 3,
        "token_source": "chunks",
        "chunk_count": 3,
        "token_chunk_count": 3,
        "time_per_output_token": 0.25,
        "inter_token_latencies": [0.25, 0.25],
        "producer_time": 0.75,
        "idle_before_start": 0.0,
        "model": "tiny",
    }
    return MetricsResult(**{**values, **fields})


def recorded(path: Path, results: Iterable[Result], *, timeline: bool = False) -> Path:
    """Write results to a file of records."""
    with JsonLinesSink(path, timeline=timeline) as sink:
        for one in results:
            sink(one)
    return path


class Told(NamedTuple):
    """What a command said, and how it ended."""

    exit_code: int
    out: str
    err: str


class Commands:
    """Calls the command line in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str | Path) -> Told:
        """Run ``tokenclock`` with *arguments*."""
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(one) for one in arguments])
        said = self._capsys.readouterr()
        code = ended.value.code
        assert code is None or isinstance(code, int)
        return Told(code or 0, said.out, said.err)


def environment(**variables: str) -> dict[str, str]:
    """Give the variables of a program that runs the code under test."""
    inherited = {name: value for name, value in os.environ.items() if name not in _COLOURS}
    path = os.pathsep.join(filter(None, [str(SOURCE), inherited.get("PYTHONPATH", "")]))
    return {**inherited, "PYTHONPATH": path, "TERM": "xterm-256color", **variables}


def program(*arguments: str | Path, code: str = "", **variables: str) -> Told:
    """Run ``python -m tokenclock``, or *code*, with pipes for its output."""
    how: Sequence[str] = ["-c", code] if code else ["-m", "tokenclock"]
    ran = subprocess.run(  # noqa: S603 - the program is ours
        [sys.executable, *how, *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env=environment(**variables),
    )
    return Told(ran.returncode, ran.stdout, ran.stderr)


def on_a_terminal(*arguments: str | Path, **variables: str) -> str:
    """Run the command with a terminal for its output, and give what it wrote."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(  # noqa: S603 - the program is ours
        [sys.executable, "-m", "tokenclock", *map(str, arguments)],
        stdout=theirs,
        stderr=theirs,
        env=environment(**variables),
    )
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:  # Linux says so where other systems give an empty read
        pass
    assert process.wait() == 0
    os.close(ours)
    return seen.decode().replace("\r\n", "\n")
