"""The command ``tokenclock run``: what it calls, keeps and says, and what Ctrl-C does."""

from __future__ import annotations

import importlib
import io
import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from tokenclock.records import read_records

if TYPE_CHECKING:
    from tokenclock import MetricsResult

pytestmark = pytest.mark.extras

PATIENCE = 20.0  # seconds; only a failing test waits as long

MODULE = '''
    import asyncio
    import signal
    import sys
    from pathlib import Path

    from tokenclock import observe

    def note(prompt):
        with Path("called.txt").open("a") as file:
            file.write(f"{prompt}\\n")

    def generate(prompt):
        note(prompt)
        yield from prompt.split()

    async def agenerate(prompt):
        note(prompt)
        for word in prompt.split():
            await asyncio.sleep(0)
            yield word

    measured = observe(agenerate, model="small")

    def outer(prompt):
        return list(observe(generate)(prompt))

    def nothing():
        note("nothing")
        return ["a"]

    def fail_sometimes(prompt):
        yield prompt
        if prompt.startswith("tell"):
            raise ConnectionError("a secret of the model")

    def fail(prompt):
        raise ConnectionError("a secret of the model")

    def press(prompt):
        """Press Ctrl-C as soon as the stream has begun."""
        yield prompt
        signal.raise_signal(signal.SIGINT)
        while True:
            yield prompt

    def interrupt(prompt):
        raise KeyboardInterrupt
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current directory with a module and prompts, of which nothing is left behind."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "clock_talk.py").write_text(dedent(MODULE), encoding="utf-8")
    (tmp_path / "prompts.txt").write_text("how fast is it\n\ntell me\n", encoding="utf-8")
    importlib.invalidate_caches()
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("clock_"):
            del sys.modules[name]


def run(*arguments: str) -> int:
    """Run the command in this process and give its exit code."""
    from tokenclock.cli import main  # noqa: PLC0415 - needs the extra

    with pytest.raises(SystemExit) as ended:
        main(["run", *arguments])
    code = ended.value.code
    return code if isinstance(code, int) else 0


def records(folder: Path, name: str = "runs.jsonl") -> list[MetricsResult[Any]]:
    return list(read_records(folder / name))


def prompted(name: str, *more: str) -> tuple[str, ...]:
    return (f"clock_talk:{name}", "--input", "prompts.txt", *more)


# --- what is called and kept --------------------------------------------------------------------


def test_a_run_writes_each_counted_call_and_prints_the_summary(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five calls take the prompts in turn; the warm-up call before them is not written."""
    assert run(*prompted("generate", "-n", "5", "-o", "runs.jsonl")) == 0
    out, err = capsys.readouterr()
    results = records(folder)
    assert [result.token_count for result in results] == [4, 2, 4, 2, 4]
    assert {result.outcome for result in results} == {"completed"}
    assert (folder / "called.txt").read_text().splitlines() == [
        "tell me", "how fast is it", "tell me", "how fast is it", "tell me", "how fast is it",
    ]  # fmt: skip
    assert re.search(r"^first token, \S+ +5 ", out, re.MULTILINE)
    assert f"results: 5 calls, in {folder / 'runs.jsonl'}\n" in out
    assert "start delay" not in out
    assert "\x1b" not in out
    assert err == ""


@pytest.mark.parametrize("name", ["agenerate", "measured"])
@pytest.mark.usefixtures("folder")
def test_async_and_measured_functions_run_side_by_side(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without -o nothing is kept, and the last line says so."""
    assert run(*prompted(name, "-n", "8", "--concurrency", "4")) == 0
    assert capsys.readouterr().out.endswith("results: 8 calls, not kept (-o FILE keeps them)\n")
    assert list(Path().glob("*.jsonl")) == []


def test_without_n_each_prompt_is_one_call(folder: Path) -> None:
    """Two prompts are two calls; without prompts there are ten."""
    assert run(*prompted("generate", "-o", "two.jsonl")) == 0
    assert len(records(folder, "two.jsonl")) == 2
    assert run("clock_talk:nothing", "-o", "ten.jsonl", "--warmup", "0") == 0
    assert len(records(folder, "ten.jsonl")) == 10
    assert (folder / "called.txt").read_text().count("nothing") == 10


def test_a_result_is_a_call_of_the_target_whatever_is_measured_inside(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three calls are three results: what they call in turn would hide the time around it."""
    assert run(*prompted("outer", "-n", "3", "-o", "runs.jsonl")) == 0
    assert [result.function for result in records(folder)] == ["clock_talk.outer"] * 3
    out = capsys.readouterr().out
    assert out.startswith("calls        3: 3 completed\n")
    assert out.endswith("; 3 measured calls inside left out (--inside keeps them)\n")


def test_measured_calls_inside_are_written_when_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three calls count, and three more results name them as their parents."""
    assert run(*prompted("outer", "-n", "3", "-o", "runs.jsonl", "--inside")) == 0
    results = records(folder)
    assert sum(result.parent_id is None for result in results) == 3
    assert len(results) == 6
    out = capsys.readouterr().out
    assert out.startswith("calls        3: 3 completed\n")
    assert "results: 3 calls and 3 measured calls inside, in " in out


def test_labels_and_timeline_are_written_when_asked_for(folder: Path) -> None:
    """A label's value may hold another "="."""
    wanted = ("--label", "build=7", "--label", "note=a=b", "--timeline")
    assert run(*prompted("generate", "-n", "1", "-o", "runs.jsonl", *wanted)) == 0
    (result,) = records(folder)
    assert dict(result.attributes) == {"build": "7", "note": "a=b"}
    assert result.timeline is not None
    assert len(result.timeline) == 4
    assert run(*prompted("generate", "-n", "1", "-o", "bare.jsonl")) == 0
    assert records(folder, "bare.jsonl")[0].timeline is None


def test_an_open_loop_says_how_late_calls_started(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every result carries its delay, and the end of the run has their percentiles."""
    assert run(*prompted("generate", "-n", "4", "--rate", "1000", "-o", "runs.jsonl")) == 0
    delays = [result.attributes["start_delay"] for result in records(folder)]
    assert all(isinstance(delay, float) and delay >= 0 for delay in delays)
    assert re.search(
        r"^start delay: p50 .*, p95 .*, max .*\(n=4\)$", capsys.readouterr().out, re.MULTILINE
    )


def test_a_file_that_is_there_is_added_to_only_when_asked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two runs in one file would read as one."""
    arguments = prompted("generate", "-n", "2", "-o", "runs.jsonl")
    assert run(*arguments) == 0
    capsys.readouterr()
    assert run(*arguments) == 2
    assert capsys.readouterr() == (
        "",
        (
            "tokenclock: Cannot write to 'runs.jsonl': it is there already, and two runs in one "
            "file would read as one. Choose another name, or add to it with --append.\n"
        ),
    )
    assert len(records(folder)) == 2
    assert run(*arguments, "--append") == 0
    assert len(records(folder)) == 4


# --- failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("append", [(), ("--append",)])
def test_a_pipe_or_device_holds_no_earlier_run(append: tuple[str, ...], folder: Path) -> None:
    """It is not read, which would wait for ever, and takes the records."""
    os.mkfifo(folder / "pipe")
    reader = os.open(folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run(*prompted("generate", "-n", "2", "-o", "pipe", *append)) == 0
        assert os.read(reader, 65536).count(b"\n") == 2
    finally:
        os.close(reader)
    assert run(*prompted("generate", "-n", "2", "-o", os.devnull, *append)) == 0


def test_an_import_that_changes_the_directory_moves_no_file(folder: Path) -> None:
    """The file is written where it was looked for."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (folder / "clock_moves.py").write_text(
        "import os\nos.chdir('elsewhere')\ndef ask(prompt): return prompt\n"
    )
    assert run("clock_moves:ask", "-i", "prompts.txt", "-n", "2", "-o", "runs.jsonl") == 0
    assert list(elsewhere.iterdir()) == []
    assert len(records(folder)) == 2


def test_failing_calls_are_counted_by_type_and_the_run_goes_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of the calls fail, which is no failure of the run; what they said is nowhere."""
    assert run(*prompted("fail_sometimes", "-n", "4", "-o", "runs.jsonl")) == 0
    out, err = capsys.readouterr()
    outcomes = [result.outcome for result in records(folder)]
    assert outcomes == ["completed", "failed", "completed", "failed"]
    assert "\nerrors: 2 ConnectionError\n" in out
    assert "secret" not in out + err + (folder / "runs.jsonl").read_text()


def test_when_every_call_failed_the_exit_code_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The type and the place of the first error are named, and the results are kept."""
    assert run(*prompted("fail", "-n", "3", "-o", "runs.jsonl")) == 1
    out, err = capsys.readouterr()
    assert "errors: 3 ConnectionError\n" in out
    assert re.fullmatch(
        r"tokenclock: Every call failed, the first one with ConnectionError at "
        r".*clock_talk\.py:\d+, in fail\. Its message is not shown: it may hold what a model "
        r"wrote\. Call the function yourself to see it\.\n",
        err,
    )
    assert len(records(folder)) == 3


def test_a_full_disk_ends_the_run_and_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written stays, and the message says how much that is."""
    from tokenclock import records as room  # noqa: PLC0415 - to be patched

    usual = room.JsonLinesSink.__call__
    written: list[int] = []

    def write(self: Any, result: MetricsResult[Any]) -> None:
        written.append(1)
        if len(written) > 2:
            raise OSError(28, "No space left on device")
        usual(self, result)

    monkeypatch.setattr(room.JsonLinesSink, "__call__", write)
    assert run(*prompted("generate", "-n", "50", "-o", "runs.jsonl")) == 2
    out, err = capsys.readouterr()
    assert "results: 3 calls, in " in out
    assert err == (
        f"tokenclock: Cannot go on writing to '{folder / 'runs.jsonl'}': [Errno 28] No space left "
        "on device. 2 results are in it. Make room, then run again.\n"
    )
    assert len(records(folder)) == 2


def test_an_ordinary_function_that_gives_a_coroutine_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What only a call can show is said when it shows."""
    (folder / "clock_lambda.py").write_text("async def a(): ...\nask = lambda: a()\n")
    assert run("clock_lambda:ask") == 2
    assert capsys.readouterr().err == (
        "tokenclock: Nothing was measured: no call has ended.\n"
        "tokenclock: Cannot run 'clock_lambda:ask' on threads: it is an ordinary function, and "
        "what it gives has to be awaited. Make it a coroutine function or an async generator "
        "function: async def.\n"
    )


WRONG = {
    "no such module": (["clock_none:a"], "Cannot import 'clock_none': there is no module"),
    "no such function": (["clock_talk:generat"], "Did you mean generate"),
    "no function": (["clock_talk:sys"], "a 'module' is not callable"),
    "a class": (["clock_talk:Path"], "Cannot measure the class 'Path'"),
    "no name": (["clock_talk"], "it names no function"),
    "takes a prompt": (["clock_talk:generate"], "with no argument: it takes (prompt)"),
    "takes none": ([*prompted("nothing")], "with a line of the input: it takes ()"),
    "no calls": ([*prompted("generate", "-n", "0")], "calls=0: that is less than 1"),
    "no workers": ([*prompted("generate", "-c", "0")], "concurrency=0: that is less than 1"),
    "no rate": ([*prompted("generate", "--rate", "0")], "at a rate of 0 per second"),
    "warm-up": ([*prompted("generate", "--warmup", "-1")], "warmup=-1: that is less than 0"),
    "no input": (
        ["clock_talk:generate", "--input", "none.txt"],
        "Cannot read prompts from 'none.txt': No such file or directory. Pass a text file",
    ),
    "empty input": (
        ["clock_talk:generate", "--input", "empty.txt"],
        "Cannot read prompts from 'empty.txt': it is empty. Write one prompt a line.",
    ),
    "no text": (
        ["clock_talk:generate", "--input", "binary.txt"],
        "Cannot read prompts from 'binary.txt': it is no UTF-8 text",
    ),
    "no folder": (
        [*prompted("generate", "-o", "none/runs.jsonl")],
        "Cannot write to 'none/runs.jsonl': there is no folder 'none'. Make it first.",
    ),
    "a folder": ([*prompted("generate", "-o", "folder")], "folder"),
    "no record file": (
        [*prompted("generate", "-o", "prompts.txt", "--append")],
        "prompts.txt",
    ),
    "no label": ([*prompted("generate", "--label", "build")], "'build': it is not NAME=VALUE"),
    "the run's label": (
        [*prompted("generate", "--label", "start_delay=1")],
        "'start_delay=1': it is the run's own",
    ),
    "no such option": ([*prompted("generate", "--rat", "5")], "No such option"),
    "no number": ([*prompted("generate", "-n", "many")], "valid integer"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said_before_the_first_call(
    what: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message goes to stderr, the exit code is 2, nothing was called and no file is left."""
    (folder / "empty.txt").write_text("\n \n")
    (folder / "binary.txt").write_bytes(b"\xff\xfe\x00")
    (folder / "folder").mkdir()
    arguments, says = WRONG[what]
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert not (folder / "called.txt").exists()
    assert list(folder.glob("*.jsonl")) == []


def test_prompts_may_come_from_windows(folder: Path) -> None:
    """A byte order mark and carriage returns are no part of a prompt."""
    (folder / "prompts.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo words\r\n")
    assert run(*prompted("generate", "--warmup", "0")) == 0
    assert (folder / "called.txt").read_text().splitlines() == ["one", "two words"]


def test_the_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """And what start_delay means."""
    assert run("--help") == 0
    out = capsys.readouterr().out
    assert "tokenclock run my_module:generate --input prompts.txt -n 100 --concurrency 8" in out
    assert "start_delay + the measured time" in out


# --- Ctrl-C -------------------------------------------------------------------------------------


def test_ctrl_c_keeps_what_was_measured(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The stream in flight is closed and written, the summary is printed, the exit code is 130."""
    before = signal.getsignal(signal.SIGINT)
    assert run(*prompted("press", "-n", "9", "-o", "runs.jsonl", "--warmup", "0")) == 130
    out, err = capsys.readouterr()
    assert [result.outcome for result in records(folder)] == ["stopped"]
    assert "results: 1 call, in " in out
    assert err == "Stopping: waiting for the calls in flight; Ctrl-C again ends at once.\n"
    assert signal.getsignal(signal.SIGINT) is before


def test_a_target_that_raises_keyboard_interrupt_stops_the_run(folder: Path) -> None:
    """As if somebody had pressed Ctrl-C."""
    assert run(*prompted("interrupt", "-n", "9", "-o", "runs.jsonl", "--warmup", "0")) == 130
    assert [result.error for result in records(folder)] == ["KeyboardInterrupt"]


SLOW = r"""
    import asyncio, os, threading

    def say():
        os.write(2, b"streaming\n")  # in one piece, whoever else says so

    def stream(prompt):
        yield "first"
        say()
        while True:
            yield "more"

    async def astream(prompt):
        yield "first"
        say()
        await asyncio.sleep(3600)

    def block(prompt):
        say()
        threading.Event().wait(3600)
"""


def started(folder: Path, name: str, count: int) -> subprocess.Popen[str]:
    """Start a run in a process of its own and wait until *count* calls are in flight."""
    (folder / "clock_slow.py").write_text(dedent(SLOW), encoding="utf-8")
    command = [
        sys.executable, "-m", "tokenclock", "run", f"clock_slow:{name}", "-i", "prompts.txt",
        "-n", "20", "-c", str(count), "--warmup", "0", "-o", "runs.jsonl",
    ]  # fmt: skip
    process = subprocess.Popen(  # noqa: S603 - our own
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    lines = [process.stderr.readline() for _ in range(count)]
    if lines != ["streaming\n"] * count:
        process.kill()
        pytest.fail(f"{lines}{process.communicate()}")
    return process


@pytest.mark.parametrize(("name", "outcome"), [("stream", "stopped"), ("astream", "cancelled")])
def test_a_real_ctrl_c_leaves_a_whole_file_and_a_summary(
    name: str, outcome: str, folder: Path
) -> None:
    """Both calls in flight are ended and kept; no further ones are made."""
    process = started(folder, name, 2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert [result.outcome for result in records(folder)] == [outcome] * 2
    assert "results: 2 calls, in " in out
    assert err.endswith("Ctrl-C again ends at once.\n")


def test_a_second_ctrl_c_ends_at_once(folder: Path) -> None:
    """A call that never ends keeps nobody waiting."""
    process = started(folder, "block", 1)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("Stopping: ")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=PATIENCE) == 130
    process.communicate()
    assert records(folder) == []


# --- the bar ------------------------------------------------------------------------------------


def test_in_a_pipe_there_is_no_bar_and_no_colour(folder: Path) -> None:
    """Nothing on stderr, and stdout is plain, at most 100 columns wide."""
    command = [sys.executable, "-m", "tokenclock", "run", *prompted("generate", "-n", "30")]
    done = subprocess.run(  # noqa: S603 - our own
        command, cwd=folder, capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_on_a_terminal_the_bar_shows_live_numbers(folder: Path) -> None:
    """The first token's percentiles and the rate, on stderr only."""
    pty = importlib.import_module("pty")
    mine, theirs = pty.openpty()
    command = [sys.executable, "-m", "tokenclock", "run", *prompted("generate", "-n", "30")]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    process = subprocess.Popen(  # noqa: S603 - our own
        command, cwd=folder, stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment
    )
    os.close(theirs)
    drawn = b""
    try:
        while piece := os.read(mine, 65536):
            drawn += piece
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(mine)
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.decode())
    assert re.search(r"30/30 +first token p50 .*, p95 .*, .* tokens/s", text)
    assert "\x1b" not in out


class Watched:
    """Stands in for a run."""

    def __init__(self) -> None:
        from tokenclock._load import Tally  # noqa: PLC0415 - beside its use

        self.tally = Tally()
        self.is_stopping = False
        self.seconds = 0.0


def test_the_bar_is_drawn_at_most_four_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks in between cost nothing; the last one is always drawn."""
    from rich.console import Console  # noqa: PLC0415 - an extra

    from tokenclock._load import Plan  # noqa: PLC0415 - beside its use
    from tokenclock.cli import _watch  # noqa: PLC0415 - needs the extra

    clock = [100.0]
    monkeypatch.setattr("tokenclock.cli._watch.monotonic", lambda: clock[0])
    watched: Any = Watched()
    bar = _watch.Bar(Plan(calls=3), Console(force_terminal=True, file=io.StringIO()))
    looks: list[float] = []
    usual = watched.tally.glance

    def glance() -> Any:
        looks.append(clock[0])
        return usual()

    watched.tally.glance = glance
    with bar:
        for step in range(9):
            clock[0] = 100.0 + step * 0.125
            bar.show(watched)
        watched.seconds, watched.is_stopping = 1.0, True
        bar.show(watched, at_once=True)
    assert looks == [100.0, 100.25, 100.5, 100.75, 101.0, 101.0]


def test_the_terminal_gets_the_bar_only_and_its_cursor_back(folder: Path) -> None:
    """What the target prints goes where stdout goes; a second Ctrl-C leaves no hidden cursor."""
    (folder / "clock_says.py").write_text(
        "import threading\n"
        "def hang(prompt):\n"
        "    print('said', flush=True)\n"
        "    threading.Event().wait(3600)\n"
    )
    mine, theirs = importlib.import_module("pty").openpty()
    command = [sys.executable, "-m", "tokenclock", "run", "clock_says:hang", "-i", "prompts.txt"]
    process = subprocess.Popen(  # noqa: S603 - our own
        [*command, "--warmup", "0"], cwd=folder, stdout=subprocess.PIPE, stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(theirs)
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], PATIENCE)[0]
        assert process.stdout.readline() == b"said\n"
        drawn = b""
        process.send_signal(signal.SIGINT)
        while b"Stopping: " not in drawn:
            drawn += os.read(mine, 65536)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE) == 130
        drawn += os.read(mine, 65536)
    finally:
        process.kill()
        process.communicate()
        os.close(mine)
    assert b"\x1b[?25l" in drawn
    assert drawn.endswith(b"\x1b[?25h\r\n")


def test_live_numbers_in_words() -> None:
    """What is not known yet is not said; failures are."""
    from tokenclock._load import Glance  # noqa: PLC0415 - beside its use
    from tokenclock._metrics import FIRST_TOKEN, LATENCY  # noqa: PLC0415 - beside its use
    from tokenclock.cli._watch import live_text  # noqa: PLC0415 - needs the extra

    nothing = Glance(calls=0, failed=0, metric=LATENCY, p50=None, p95=None, token_count=0)
    streams = Glance(calls=4, failed=0, metric=FIRST_TOKEN, p50=0.08, p95=0.5, token_count=100)
    values = Glance(calls=4, failed=3, metric=LATENCY, p50=1.5, p95=2.0, token_count=0)
    assert live_text(nothing, 0.0) == ""
    assert live_text(streams, 2.0) == "first token p50 80 ms, p95 500 ms, 50 tokens/s"
    assert live_text(streams, 0.0) == "first token p50 80 ms, p95 500 ms"
    assert live_text(values, 2.0) == "latency p50 1.5 s, p95 2 s, 3 failed"


def test_who_ignores_ctrl_c_goes_on_ignoring_it() -> None:
    """A job in the background, as a shell starts it, is none of a terminal's."""
    from tokenclock.cli._watch import Interrupts  # noqa: PLC0415 - needs the extra

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGINT)
        assert interrupts.count == 0
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_second_ctrl_c_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the exit code of an interrupted program, whatever still runs."""
    from tokenclock.cli import _watch  # noqa: PLC0415 - needs the extra

    codes: list[int] = []
    monkeypatch.setattr("os._exit", codes.append)
    with _watch.Interrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        assert (interrupts.count, codes) == (1, [])
        signal.raise_signal(signal.SIGINT)
    assert codes == [130]


def test_on_another_thread_there_are_no_signals_to_take() -> None:
    """A program that runs the command on a thread keeps its own handling."""
    import threading  # noqa: PLC0415 - for this test alone

    from tokenclock.cli._watch import Interrupts  # noqa: PLC0415 - needs the extra

    before = signal.getsignal(signal.SIGINT)
    seen: list[Any] = []

    def enter() -> None:
        with Interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]


def test_records_are_plain_json(folder: Path) -> None:
    """Any other program can read them."""
    assert run(*prompted("generate", "-n", "2", "-o", "runs.jsonl")) == 0
    lines = (folder / "runs.jsonl").read_text().splitlines()
    assert [json.loads(line)["token_count"] for line in lines] == [4, 2]
