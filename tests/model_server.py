"""
The real model behind llama.cpp's own HTTP server, and what that server says of itself.

Run as a program it serves in a process of its own, until it is killed or its input ends.
"""

from __future__ import annotations

import http.client
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from local_model import NAME, find_weights

# Renders tools as the model saw others do it; without tools it is the model's own template, but
# for the greeting.
TOOLS = (
    "{% if tools %}<|im_start|>system\n"
    'Call a tool: <tool_call>\n{"name": "tool", "arguments": {}}\n</tool_call>\n'
    "{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.tool_calls %}{% for call in message.tool_calls %}<tool_call>\n"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}\n'
    "</tool_call>{% endfor %}{% else %}{{ message.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_COUNTERS = (
    "prompt_tokens_total",
    "prompt_tokens_cached_total",
    "prompt_seconds_total",
    "tokens_predicted_total",
    "tokens_predicted_seconds_total",
)
_PATIENCE = 30.0


class Served(NamedTuple):
    """
    What the server counted: tokens that it read, found in its cache and wrote, and how long.

    It counts for itself, whatever a client asks it to report; seconds have six digits.
    """

    read: float
    cached: float
    reading: float
    written: float
    writing: float

    @property
    def busy(self) -> float:
        """The seconds that an answer took the server, once it had begun."""
        return self.reading + self.writing


class ModelServer:
    """A server in this process, on a free port of the loopback; it answers two at a time."""

    def __init__(self, template: str, *, slots: int = 2) -> None:
        runtime = importlib.import_module("xllamacpp")
        params = runtime.CommonParams()
        params.model.path = str(find_weights())
        params.model_alias = {NAME}
        params.n_ctx = 1024 * slots
        params.n_parallel = slots
        # More threads than idle cores make llama.cpp spin: 3 tokens a second instead of 60.
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.port = 0
        params.verbosity = -1
        params.chat_template = template
        params.endpoint_metrics = True
        self._server = runtime.Server(params)
        self.url: str = self._server.listening_address

    def close(self) -> None:
        """Stop serving."""
        self._server = None

    def served(self) -> Served:
        """Wait until nothing is being answered, and give what was counted until now."""
        patience_ends = monotonic() + _PATIENCE
        while (now := self._metrics())["requests_processing"] + now["requests_deferred"]:
            assert monotonic() < patience_ends, "the server goes on answering nobody"
        return Served(*(now[name] for name in _COUNTERS))

    def served_since(self, before: Served) -> Served:
        """Give what was counted since then."""
        return Served(*(now - then for now, then in zip(self.served(), before, strict=True)))

    def _metrics(self) -> dict[str, float]:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        pairs = (line.split() for line in lines if not line.startswith("#") and line)
        return {name.removeprefix("llamacpp:"): float(value) for name, value in pairs}


class Doomed(NamedTuple):
    """A server in a process of its own."""

    url: str
    process: subprocess.Popen[str]

    def kill(self) -> None:
        """Let it die without a word."""
        self.process.kill()
        self.process.wait()


@contextmanager
def doomed_server() -> Iterator[Doomed]:
    """Serve in a process of its own; it is gone afterwards, killed or not."""
    with subprocess.Popen(  # noqa: S603 - the program is this one
        [sys.executable, __file__],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield Doomed(process.stdout.readline().strip(), process)
        finally:
            process.kill()


def clients_of(sdk: str, url: str, *, is_async: bool, seen: list[Any]) -> Any:
    """Give a real client; *seen* gets each HTTP response as soon as it is there."""
    module = importlib.import_module(sdk)

    async def asee(response: Any) -> None:
        seen.append(response)

    hooks = {"response": [asee if is_async else seen.append]}
    http_kind, kind = {
        ("anthropic", False): ("DefaultHttpxClient", "Anthropic"),
        ("anthropic", True): ("DefaultAsyncHttpxClient", "AsyncAnthropic"),
        ("openai", False): ("DefaultHttpxClient", "OpenAI"),
        ("openai", True): ("DefaultAsyncHttpxClient", "AsyncOpenAI"),
    }[sdk, is_async]
    base_url = f"{url}/v1" if sdk == "openai" else url
    # Certificates take long to load, and there is nothing here that is encrypted.
    http_client = getattr(module, http_kind)(event_hooks=hooks, verify=False)
    return getattr(module, kind)(
        base_url=base_url, api_key="none", max_retries=0, http_client=http_client
    )


def main() -> None:
    """Serve until the input ends."""
    server = ModelServer(TOOLS, slots=4)
    print(server.url, flush=True)  # noqa: T201 - whoever started it reads it
    sys.stdin.read()
    server.close()


if __name__ == "__main__":
    main()
