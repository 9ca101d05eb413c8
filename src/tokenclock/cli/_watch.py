"""Watching a run: a bar on a terminal, and what Ctrl-C does."""

from __future__ import annotations

import os
import signal
import sys
import threading
from time import monotonic
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tokenclock._texts import duration, short_number
from tokenclock.cli._output import error_console

if TYPE_CHECKING:
    from typing_extensions import Self

    from tokenclock._load import Glance, Load, Plan

POLL_SECONDS = 0.1
SHOWN_EVERY_SECONDS = 0.25
INTERRUPTED = 130
STDERR = 2
SHOW_CURSOR = b"\x1b[?25h\n"


def watch(load: Load, plan: Plan) -> bool:
    """
    Start a run and wait until it is over; tell whether it was interrupted.

    The first Ctrl-C stops it, the second ends the process at once.
    """
    console = error_console()
    with Interrupts() as interrupts, Bar(plan, console) as bar:
        load.start()
        while not load.wait(POLL_SECONDS):
            if interrupts.count and not load.is_stopping:
                load.stop()
                bar.say("Stopping: waiting for the calls in flight; Ctrl-C again ends at once.")
            bar.show(load)
        bar.show(load, at_once=True)
    return bool(interrupts.count) or load.was_interrupted


class Interrupts:
    """
    Counts Ctrl-C in place of raising, which could strike in the middle of anything.

    Attributes:
        count: How often it was pressed.
    """

    def __init__(self) -> None:
        self.count = 0
        self._before: Any = signal.SIG_IGN

    def __enter__(self) -> Self:
        # Another thread cannot take signals, and whoever ignores them wants them ignored.
        if threading.current_thread() is threading.main_thread():
            self._before = signal.getsignal(signal.SIGINT)
        if self._before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._strike)
        return self

    def _strike(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 1:
            if os.isatty(STDERR):
                os.write(STDERR, SHOW_CURSOR)  # the bar hides it
            os._exit(INTERRUPTED)  # threads that wait in a call would keep any other exit waiting

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._before)


class Bar:
    """How far a run is and how fast, drawn on a terminal, at most four times a second."""

    def __init__(self, plan: Plan, console: Any) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[live]}", markup=False),
            console=console,
            auto_refresh=False,  # its thread would draw while nobody asked
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # what the target prints into a pipe stays there
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("warming up", total=plan.calls, live="")
        self._shown = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def say(self, message: str) -> None:
        """Print a line above the bar."""
        self._console.print(message, markup=False, highlight=False)

    def show(self, load: Load, *, at_once: bool = False) -> None:
        """Draw how far *load* is, unless that was done just now."""
        now = monotonic()
        if self._progress.disable or (now - self._shown < SHOWN_EVERY_SECONDS and not at_once):
            return
        self._shown = now
        glance = load.tally.glance()
        doing = "stopping" if load.is_stopping else "calling" if load.seconds else "warming up"
        self._progress.update(
            self._task,
            completed=glance.calls,
            description=doing,
            live=live_text(glance, load.seconds),
            refresh=True,
        )


def live_text(glance: Glance, seconds: float) -> str:
    """Say the numbers of a glance in one line."""
    if not glance.calls:
        return ""
    name = "first token" if glance.metric.streamed_only else "latency"
    parts = [f"{name} p50 {duration(glance.p50)}, p95 {duration(glance.p95)}"]
    if glance.token_count and seconds:
        parts.append(f"{short_number(glance.token_count / seconds)} tokens/s")
    if glance.failed:
        parts.append(f"{glance.failed} failed")
    return ", ".join(parts)
