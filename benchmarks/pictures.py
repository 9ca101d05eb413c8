"""
The pictures of the docs: one of each kind of plot, drawn from scripted calls on a fake clock.

    python benchmarks/pictures.py [FOLDER]

The same versions of matplotlib and of its fonts give the same bytes each time.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib import style
from matplotlib.figure import Figure

from tokenclock import MetricsResult, Reading, capture, observe, plots
from tokenclock.testing import FakeClock, Script

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLDER = Path(__file__).parents[1] / "docs" / "images"
BEGAN = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)
SIZE = (8.0, 4.0)  # inches
RESOLUTION = 100  # dots per inch

Channel = Any
Result = MetricsResult[Any]


class Call(NamedTuple):
    """One call to script: when it starts, its chunks by channel, and what its reader does."""

    start: float
    chunks: Sequence[tuple[Channel, int]]
    hold: float = 0.0
    stop_after: int = 1000
    error: Exception | None = None


CALLS = (
    Call(0.0, [("text", 20)]),
    Call(0.15, [("reasoning", 15), ("text", 12)]),
    Call(0.4, [("text", 9), ("tool", 8)]),
    Call(0.5, [("text", 14)], hold=0.03),
    Call(0.8, [("text", 9)], error=ConnectionError("the line is dead")),
    Call(0.9, [("text", 30)], stop_after=8),
)


def measured(call: Call, dice: random.Random) -> Result:
    """Make a call, and give its result."""
    clock = FakeClock()
    first, rest = dice.lognormvariate(-1.2, 0.4), iter(lambda: dice.lognormvariate(-3.6, 0.5), None)
    channels = [channel for channel, count in call.chunks for _ in range(count)]
    waits = [first, *(next(rest) for _ in channels[1:])]
    chunks = [Reading(tokens=1, channel=channel) for channel in channels]
    script = Script(zip(waits, chunks, strict=True), clock=clock, end=0.02, error=call.error)
    with capture() as results, suppress(ConnectionError):
        chat = observe(clock=clock, name="assistant.chat", read_chunk=lambda chunk: chunk)
        stream = chat(script.generator)()
        for number, _ in enumerate(stream, start=1):
            clock.advance(call.hold)
            if number == call.stop_after:
                stream.close()
                break
    return replace(results[0], started_at=BEGAN + timedelta(seconds=call.start))


def value(dice: random.Random) -> Result:
    """Make a call that gives a value."""
    clock = FakeClock()
    with capture() as results:
        observe(clock=clock, name="assistant.embed")(clock.advance)(dice.uniform(0.3, 0.4))
    return replace(results[0], started_at=BEGAN + timedelta(seconds=1.1))


def timeline(ax: Axes) -> None:
    """Draw calls that overlap: reasoning, a tool, a slow reader, a failure, a stop, a value."""
    dice = random.Random(7)  # noqa: S311 - the same picture each time
    plots.plot_timeline([*(measured(call, dice) for call in CALLS), value(dice)], ax=ax)


def calls(count: int, slower: float = 1.0, *, seed: int) -> Iterator[Result]:
    """Give streams of log-normal first-token times, two a second; one in a hundred fails."""
    dice = random.Random(seed)  # noqa: S311 - as above
    for number in range(count):
        first = dice.lognormvariate(-1.0, 0.4) * slower
        yield MetricsResult(
            function="assistant.chat",
            call_id=f"{seed}-{number}",
            started_at=BEGAN + timedelta(seconds=number / 2),
            streamed=True,
            outcome="failed" if dice.random() < 0.01 else "completed",  # noqa: PLR2004 - as said
            generation_latency=first + 1.0,
            time_to_first_token=first,
        )


def distribution(ax: Axes) -> None:
    """Draw a sample that supports its p95 and not its p99."""
    plots.plot_distribution(calls(120, seed=3), ax=ax)


def over_time(ax: Axes) -> None:
    """Draw four minutes, of which the last is slower."""
    slow = [
        replace(result, started_at=result.started_at + timedelta(minutes=3))
        for result in calls(120, 1.5, seed=4)
    ]
    plots.plot_over_time([*calls(360, seed=3), *slow], ax=ax)


def comparison(ax: Axes) -> None:
    """Draw a fifth slower."""
    plots.plot_comparison(calls(200, seed=3), calls(200, 1.2, seed=11), ax=ax)


PICTURES: dict[str, tuple[Callable[[Axes], None], str]] = {
    "timeline": (timeline, "default"),
    "timeline_dark": (timeline, "dark_background"),
    "distribution": (distribution, "default"),
    "over_time": (over_time, "default"),
    "comparison": (comparison, "default"),
}


def save(folder: Path, name: str) -> None:
    """Draw one picture into a file."""
    draw, look = PICTURES[name]
    with style.context(["default", look]):
        figure = Figure(figsize=SIZE, layout="constrained")
        draw(figure.subplots())
        figure.savefig(folder / f"{name}.png", dpi=RESOLUTION, metadata={"Software": None})


def main(arguments: list[str] | None = None) -> None:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(description="Draw the pictures of the docs.")
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    folder: Path = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in PICTURES:
        save(folder, name)
        print(f"{folder / name}.png: {(folder / f'{name}.png').stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
