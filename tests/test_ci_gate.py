"""The gate for CI in examples/ci_gate, and a slow-down of the real model that it must find."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tokenclock.demo import LocalModel, ScriptedModel

pytestmark = pytest.mark.extras

FOLDER = Path(__file__).parents[1] / "examples" / "ci_gate"
PATIENCE = 120.0  # seconds; only a failing test waits as long

# A stand-in for the module of the example, whose pauses are known: no model is loaded.
SCRIPTED = """
import functools, targets
from tokenclock.demo import ScriptedModel
targets.model = functools.cache(lambda: ScriptedModel(first_wait=0.02, wait=0.001))
from targets import answer, slow_answer
"""


@pytest.fixture
def scripted(tmp_path: Path) -> str:
    """Give the path of a module like targets.py, but with the scripted model."""
    path = tmp_path / "scripted_targets.py"
    path.write_text(SCRIPTED, encoding="utf-8")
    return str(path)


def gate(results: Path, target: str, *, calls: int) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "TOKENCLOCK": f"{sys.executable} -m tokenclock",
        "RESULTS": str(results),
        "TARGET": target,
        "CALLS": str(calls),
        # The stand-in waits a few milliseconds at most, which a busy machine stretches.
        "MINIMUM_EFFECT": "0.99",
    }
    return subprocess.run(  # noqa: S603 - our own
        ["/bin/sh", FOLDER / "gate.sh"],
        capture_output=True, text=True, check=False, env=environment, timeout=PATIENCE,
    )  # fmt: skip


def test_the_gate_lets_the_same_function_pass_and_holds_a_slower_one(
    tmp_path: Path, scripted: str
) -> None:
    """The first run makes the baseline; then the same function gives 0, the slower one 1."""
    results = tmp_path / "results"
    results.mkdir()
    first = gate(results, f"{scripted}:answer", calls=21)
    assert (first.returncode, first.stderr) == (0, "")
    assert [path.name for path in results.iterdir()] == ["baseline.jsonl"]

    same = gate(results, f"{scripted}:answer", calls=21)
    assert same.returncode == 0, same.stdout + same.stderr

    slower = gate(results, f"{scripted}:slow_answer", calls=21)
    assert slower.returncode == 1, slower.stdout + slower.stderr
    assert "time_to_first_token regressed" in slower.stderr


def test_a_run_that_went_wrong_is_no_baseline(tmp_path: Path, scripted: str) -> None:
    """Calls that all failed are not what later ones are compared with, nor a slow-down."""
    broken = tmp_path / "broken.py"
    broken.write_text("def answer(prompt): raise ConnectionError\n")
    failed = gate(tmp_path, f"{broken}:answer", calls=2)
    assert failed.returncode == 2, failed.stdout + failed.stderr
    assert "Every call failed" in failed.stderr
    assert not (tmp_path / "baseline.jsonl").exists()

    again = gate(tmp_path, f"{scripted}:answer", calls=2)
    assert (again.returncode, again.stderr) == (0, "")
    assert (tmp_path / "baseline.jsonl").exists()


def test_what_the_gate_calls_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both functions of the example give the same text, whichever model is installed."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delitem(sys.modules, "targets", raising=False)
    targets = importlib.import_module("targets")
    monkeypatch.setattr(targets, "model", lambda: ScriptedModel(first_wait=0.0, wait=0.0))
    monkeypatch.setattr(targets.time, "sleep", lambda _: None)
    assert list(targets.answer("?")) == list(targets.slow_answer("?"))
    assert len(list(targets.answer("?"))) == targets.TOKENS


# --- the real model -----------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current directory for records, with the example's functions importable."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delitem(sys.modules, "targets", raising=False)
    yield tmp_path
    loaded = sys.modules.pop("targets")
    assert isinstance(loaded.model(), LocalModel)
    loaded.model().close()


def tokenclock(*arguments: str) -> int:
    from tokenclock.cli import main  # noqa: PLC0415 - needs the extra

    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    code = ended.value.code
    return code if isinstance(code, int) else 0


def run(target: str, output: str, *, calls: int) -> None:
    prompts = str(FOLDER / "prompts.txt")
    arguments = ("--input", prompts, "-n", str(calls), "--warmup", "0", "-o", output, "--append")
    assert tokenclock("run", f"targets:{target}", *arguments) == 0


@pytest.mark.model
def test_a_slow_down_of_the_real_model_is_found_and_no_change_where_there_is_none(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same function measured twice, turn and turn about, is not told apart; a slip is found."""
    run("answer", "warmup.jsonl", calls=2)
    for _ in range(3):  # taking turns, both see the same moods of the machine
        run("answer", "before.jsonl", calls=7)
        run("answer", "same.jsonl", calls=7)
    run("slow_answer", "after.jsonl", calls=21)
    assert tokenclock("report", "before.jsonl", "same.jsonl", "after.jsonl") == 0
    assert "first token" in capsys.readouterr().out

    compare = ("--minimum-effect", "0.25", "--fail-on", "regression")
    assert tokenclock("compare", "before.jsonl", "same.jsonl", *compare) == 0
    capsys.readouterr()
    assert tokenclock("compare", "before.jsonl", "after.jsonl", *compare) == 1
    assert "time_to_first_token regressed" in capsys.readouterr().err

    assert tokenclock("plot", "before.jsonl", "after.jsonl", "-o", "calls.svg") == 0
    assert (folder / "calls.svg").read_text(encoding="utf-8").startswith("<?xml")
