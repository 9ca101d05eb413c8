"""Real clients inside measured calls: their own spans are children, and servers see the trace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest

from scripted_server import ScriptedServer
from sdk_clients import (
    CHAT,
    MESSAGES,
    anthropic_client,
    chat_steps,
    message_steps,
    openai_client,
    whole_chat,
)
from tokenclock import instrument, observe
from tokenclock.readers import openai_sse

try:
    import httpx
    from opentelemetry import trace
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.trace import SpanKind

    from tokenclock.exporters.opentelemetry import OpenTelemetrySpans
except ImportError:  # the bare run, in which these tests are deselected
    pass

pytestmark = pytest.mark.extras


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


class Telemetry:
    """The process's tracer provider, and what ends while our spans are installed."""

    def __init__(self) -> None:
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.spans = OpenTelemetrySpans(self.provider)

    def ended(self) -> dict[str, ReadableSpan]:
        """Give the spans that have ended, by who made them."""
        assert self.spans.flush()
        spans = self.exporter.get_finished_spans()
        by_scope = {str(getattr(span.instrumentation_scope, "name", "")): span for span in spans}
        assert len(by_scope) == len(spans)
        return by_scope


@pytest.fixture
def telemetry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Telemetry]:
    telemetry = Telemetry()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", telemetry.provider)
    with telemetry.spans:
        yield telemetry
    telemetry.provider.shutdown()


def check_is_child(child: ReadableSpan, call: ReadableSpan) -> None:
    assert child.parent is not None
    assert call.context is not None
    assert child.parent.span_id == call.context.span_id


def check_was_sent(span: ReadableSpan, headers: Mapping[str, str]) -> None:
    assert span.context is not None
    ids = f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-"
    assert headers["traceparent"].startswith(ids)


HTTPX = "opentelemetry.instrumentation.httpx"


def test_a_request_in_a_generator_is_a_child(server: ScriptedServer, telemetry: Telemetry) -> None:
    """The span of an HTTP client inside a generator is the call's child; the server sees it."""

    @observe(read_chunk=openai_sse)
    def answer() -> Iterator[str]:
        with httpx.Client() as client:
            HTTPXClientInstrumentor.instrument_client(client, tracer_provider=telemetry.provider)
            with client.stream("POST", f"{server.url}/v1/chat/completions", json=CHAT) as response:
                yield from response.iter_lines()

    exchange = server.play(chat_steps("a", "b"))
    list(answer())
    spans = telemetry.ended()
    check_is_child(spans[HTTPX], spans["tokenclock"])
    check_was_sent(spans[HTTPX], exchange.request.headers)


def test_a_request_in_an_async_generator_is_a_child(
    server: ScriptedServer, telemetry: Telemetry
) -> None:
    """The same for an async generator, which waits for its chunks."""

    @observe(read_chunk=openai_sse)
    async def answer() -> AsyncIterator[str]:
        async with httpx.AsyncClient() as client:
            HTTPXClientInstrumentor.instrument_client(client, tracer_provider=telemetry.provider)
            url = f"{server.url}/v1/chat/completions"
            async with client.stream("POST", url, json=CHAT) as response:
                async for line in response.aiter_lines():
                    yield line

    async def consume() -> None:
        async for _ in answer():
            assert not trace.get_current_span().get_span_context().is_valid

    exchange = server.play(chat_steps("a", "b"))
    asyncio.run(consume())
    spans = telemetry.ended()
    check_is_child(spans[HTTPX], spans["tokenclock"])
    check_was_sent(spans[HTTPX], exchange.request.headers)


def test_a_request_in_a_coroutine_is_a_child(server: ScriptedServer, telemetry: Telemetry) -> None:
    """The same for a coroutine that gives a value."""

    @observe
    async def answer() -> str:
        async with httpx.AsyncClient() as client:
            HTTPXClientInstrumentor.instrument_client(client, tracer_provider=telemetry.provider)
            return (await client.post(f"{server.url}/v1/chat/completions", json=CHAT)).text

    server.play([whole_chat()])
    asyncio.run(answer())
    spans = telemetry.ended()
    check_is_child(spans[HTTPX], spans["tokenclock"])


def test_a_stream_of_openai_has_its_span(server: ScriptedServer, telemetry: Telemetry) -> None:
    """A call of OpenAI's client says operation, provider, model, server, usage and times."""
    server.play(chat_steps("a", "b", usage=2))
    with openai_client(server) as client:
        create: Any = instrument(client).chat.completions.create
        list(create(**CHAT, stream=True, stream_options={"include_usage": True}))
    span = telemetry.ended()["tokenclock"]
    assert (span.name, span.kind) == ("chat asked", SpanKind.CLIENT)
    attributes = dict(span.attributes or {})
    port = int(server.url.rpartition(":")[2])
    assert (attributes["server.address"], attributes["server.port"]) == ("127.0.0.1", port)
    assert attributes["gen_ai.provider.name"] == "openai"
    assert attributes["gen_ai.usage.input_tokens"] == 5
    assert attributes["gen_ai.usage.output_tokens"] == 2
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
    first_chunk = attributes["gen_ai.response.time_to_first_chunk"]
    first_token = attributes["tokenclock.time_to_first_token"]
    assert isinstance(first_chunk, float)
    assert isinstance(first_token, float)
    assert first_chunk <= first_token


@pytest.mark.parametrize("is_async", [False, True])
def test_the_span_of_anthropics_sdk_is_a_child(
    server: ScriptedServer, telemetry: Telemetry, *, is_async: bool
) -> None:
    """The span that Anthropic's SDK makes of its own is a child of the call's."""
    server.play(message_steps("a", "b"))
    client = anthropic_client(server, is_async=is_async)
    instrument(client)

    async def consume() -> None:
        async for _ in await client.messages.create(**MESSAGES, stream=True):
            pass
        await client.close()

    if is_async:
        asyncio.run(consume())
    else:
        list(client.messages.create(**MESSAGES, stream=True))
        client.close()
    spans = telemetry.ended()
    check_is_child(spans["com.anthropic.sdk.python"], spans["tokenclock"])
    assert spans["tokenclock"].name == "chat asked"
