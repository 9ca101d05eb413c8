"""Spans of OpenTelemetry: one for each call, and the parent of what its body does."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from driving import run_python
from programs import frames
from tokenclock import Reading, Usage, capture, instrument, labels, measure, observe
from tokenclock._recorder import Recorder
from tokenclock.errors import AlreadyInstalledError, InvalidOptionError
from tokenclock.testing import CollectingSink, FakeClock, Script, settle

try:
    from opentelemetry import context as otel_context
    from opentelemetry import trace
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.trace import SpanKind, StatusCode

    from tokenclock.exporters.opentelemetry import OpenTelemetrySpans
except ImportError:  # the bare run, in which these tests are deselected
    pass

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

pytestmark = pytest.mark.extras

NS = 1_000_000_000


class Telemetry:
    """A tracer provider that keeps what ends, and a tracer for the spans of bodies and callers."""

    def __init__(self) -> None:
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer: Tracer = self.provider.get_tracer("test")
        self.spans: OpenTelemetrySpans | None = None

    def install(self, **options: Any) -> OpenTelemetrySpans:
        self.spans = OpenTelemetrySpans(self.provider, **options)
        return self.spans.install()

    def ended(self) -> dict[str, ReadableSpan]:
        """Give the spans that have ended, by name, in the order in which they ended."""
        assert self.spans is not None
        settle()
        assert self.spans.flush()
        ended = self.exporter.get_finished_spans()
        return {span.name: span for span in ended}

    def only(self) -> ReadableSpan:
        """Give the only span of ours that has ended."""
        (span,) = [
            span
            for span in (self.ended(), self.exporter.get_finished_spans())[1]
            if span.instrumentation_scope and span.instrumentation_scope.name == "tokenclock"
        ]
        return span


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry()
    yield telemetry
    if telemetry.spans is not None:
        assert telemetry.spans.uninstall()
    telemetry.provider.shutdown()


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    span_id: int = span.context.span_id
    return span_id


def seconds_of(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / NS


# --- the span itself ------------------------------------------------------------------------------


def test_a_value_has_one_span(telemetry: Telemetry) -> None:
    """A call that gives a value has one span, without anything that only streams have."""
    telemetry.install()

    @observe(model="m-1", provider="acme", operation="text_completion", name="answer")
    def answer() -> list[str]:
        return ["a", "b"]

    with capture() as results:
        answer()
    span = telemetry.only()
    assert (span.name, span.kind) == ("text_completion m-1", SpanKind.CLIENT)
    attributes = dict(span.attributes or {})
    assert attributes.pop("tokenclock.throughput") == results[0].throughput
    assert attributes == {
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "acme",
        "gen_ai.request.model": "m-1",
        "gen_ai.response.model": "m-1",
        "gen_ai.usage.output_tokens": 2,
        "tokenclock.function": "answer",
        "tokenclock.outcome": "completed",
        "tokenclock.token_source": "length",
    }
    assert span.status.status_code is StatusCode.UNSET
    assert span.events == ()


def test_a_stream_has_its_times(telemetry: Telemetry, clock: FakeClock) -> None:
    """The span of a stream says when its first chunk and token came, and what it used."""
    telemetry.install()
    script = Script([(0.25, ""), (0.5, "a"), (0.125, "b")], clock=clock, end=0.125)
    used = Usage(input_tokens=7, output_tokens=3, reasoning_tokens=1, cached_tokens=4)
    readings = {
        "": Reading(),
        "a": Reading(tokens=1),
        "b": Reading(tokens=1, usage=used, finish_reason="stop", model="m-1-0613"),
    }
    answer = observe(
        script.generator, clock=clock, read_chunk=readings.__getitem__, name="answer", model="m-1"
    )
    assert list(answer()) == ["", "a", "b"]
    span = telemetry.only()
    assert seconds_of(span) == 1.0
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m-1",
        "gen_ai.request.stream": True,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.model": "m-1-0613",
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 1,
        "tokenclock.consumer_time": 0.0,
        "tokenclock.function": "answer",
        "tokenclock.outcome": "completed",
        "tokenclock.throughput": 3.0,
        "tokenclock.time_per_output_token": 0.125,
        "tokenclock.time_to_first_output_token": 0.75,
        "tokenclock.time_to_first_token": 0.75,
        "tokenclock.token_source": "usage",
    }


def test_a_lazy_call_starts_when_it_is_first_asked(telemetry: Telemetry, clock: FakeClock) -> None:
    """The span of a generator starts at its first request; a wait before it is not in it."""
    telemetry.install()
    script = Script([(0.5, "a")], clock=clock, end=0.25)
    stream = observe(script.generator, clock=clock)()
    clock.advance(10.0)
    started_ns = time.time_ns() + 10 * NS  # on a clock that has moved in between
    list(stream)
    span = telemetry.only()
    assert seconds_of(span) == 0.75
    assert abs((span.start_time or 0) - started_ns) < NS


def test_what_an_iterator_sets_when_it_is_made_stays(telemetry: Telemetry) -> None:
    """What ``__iter__`` leaves in the context is there in the steps, beside the call's span."""
    telemetry.install()
    tracer = telemetry.tracer

    class Stream:
        def __iter__(self) -> Iterator[object]:
            otel_context.attach(otel_context.set_value("tenant", "acme"))
            return self

        def __next__(self) -> object:
            with tracer.start_as_current_span("POST"):
                return otel_context.get_value("tenant")

    stream = measure(Stream())
    assert next(iter(stream)) == "acme"
    del stream
    ended = telemetry.ended()
    assert parent_of(ended["POST"]) == id_of(ended["chat"])


def test_a_context_manager_of_an_sdk_ends_where_its_result_ends(
    telemetry: Telemetry, clock: FakeClock
) -> None:
    """Where the request is sent on entry, the span starts there, as the result does."""
    telemetry.install(events=True)
    script = Script([(0.5, "a")], clock=clock, end=0.25)

    class MessageStreamManager:
        def __enter__(self) -> Iterator[str]:
            return script.stream()

        def __exit__(self, *_: object) -> None: ...

    MessageStreamManager.__module__ = "sdk.lib.streaming.messages"
    with capture() as results:
        manager = observe(lambda: MessageStreamManager(), clock=clock)()  # noqa: PLW0108 - no class
        clock.advance(2.0)
        with manager as stream:
            list(stream)
    span, (result,) = telemetry.only(), results
    assert (result.idle_before_start, result.generation_latency) == (2.0, 0.75)
    assert seconds_of(span) == 0.75
    assert [event.timestamp - (span.start_time or 0) for event in span.events] == [0.5 * NS]
    assert abs((span.start_time or 0) - result.started_at.timestamp() * NS) < 1_000


def test_the_span_is_where_the_result_is(telemetry: Telemetry) -> None:
    """On the real clock a span starts and ends where its result does, to the microsecond."""
    telemetry.install()
    with capture() as results:
        list(observe(lambda: iter("abc"))())
    span, (result,) = telemetry.only(), results
    assert span.start_time is not None
    assert abs(span.start_time / NS - result.started_at.timestamp()) < 2e-6
    assert seconds_of(span) == pytest.approx(result.generation_latency, abs=1e-9)


def test_a_failure_is_an_error_without_its_message(telemetry: Telemetry) -> None:
    """A failed call says the type of what was raised; what it says stays in the process."""
    telemetry.install()

    @observe
    def answer() -> Iterator[str]:
        yield "a"
        raise KeyError("secret")

    with pytest.raises(KeyError):
        list(answer())
    span = telemetry.only()
    assert span.status.status_code is StatusCode.ERROR
    attributes = span.attributes or {}
    assert (attributes["error.type"], attributes["tokenclock.outcome"]) == ("KeyError", "failed")
    assert "secret" not in span.to_json()


def test_a_stream_that_was_refused_was_asked_for(telemetry: Telemetry) -> None:
    """A call with ``stream=True`` that fails before there is a stream says what was asked for."""
    telemetry.install()

    @observe
    def create(model: str, *, stream: bool) -> Iterator[str]:
        raise ConnectionError

    for stream in (True, False):
        with pytest.raises(ConnectionError):
            create(f"model-{stream}", stream=stream)
    ended = telemetry.ended()
    assert (ended["chat model-True"].attributes or {})["gen_ai.request.stream"] is True
    assert "gen_ai.request.stream" not in (ended["chat model-False"].attributes or {})


def stop_early(stream: Any) -> None:
    next(stream)
    stream.close()


def drop_early(stream: Any) -> None:
    next(stream)
    del stream
    gc.collect()


@pytest.mark.parametrize(
    ("leave", "outcome"),
    [(stop_early, "stopped"), (lambda stream: stream.close(), "unconsumed")],
)
def test_leaving_a_stream_is_no_error(
    telemetry: Telemetry, leave: Callable[[Any], None], outcome: str
) -> None:
    """A caller that breaks out, or never reads, has a span whose status is not an error."""
    telemetry.install()

    @observe
    def answer() -> Iterator[str]:
        yield "a"
        yield "b"

    leave(answer())
    span = telemetry.only()
    assert span.status.status_code is StatusCode.UNSET
    assert (span.attributes or {})["tokenclock.outcome"] == outcome
    assert "error.type" not in (span.attributes or {})


def test_a_dropped_stream_has_its_span(telemetry: Telemetry) -> None:
    """A stream that the garbage collector takes ends its span, too."""
    telemetry.install()

    @observe
    def answer() -> Iterator[str]:
        yield "a"
        yield "b"

    drop_early(answer())
    assert (telemetry.only().attributes or {})["tokenclock.outcome"] == "stopped"


def test_a_cancelled_call_is_no_error(telemetry: Telemetry) -> None:
    """A cancelled task ends its span as cancelled."""
    telemetry.install()

    @observe
    async def answer() -> str:
        await asyncio.get_running_loop().create_future()
        return "never"

    async def cancel() -> None:
        task = asyncio.ensure_future(answer())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(cancel())
    span = telemetry.only()
    assert span.status.status_code is StatusCode.UNSET
    assert (span.attributes or {})["tokenclock.outcome"] == "cancelled"


def test_a_model_in_this_process_is_internal(telemetry: Telemetry) -> None:
    """A call is to another process where a provider or server is named, unless it is said not."""
    telemetry.install(in_process=["llama.cpp"])
    observe(lambda: "a", model="unnamed")()
    observe(lambda: "a", model="local", provider="llama.cpp")()
    observe(lambda: "a", model="remote", provider="openai")()
    observe(lambda: "a", model="server", attributes={"server.address": "localhost"})()
    assert {name: span.kind for name, span in telemetry.ended().items()} == {
        "chat unnamed": SpanKind.INTERNAL,
        "chat local": SpanKind.INTERNAL,
        "chat remote": SpanKind.CLIENT,
        "chat server": SpanKind.CLIENT,
    }


def test_only_named_attributes_leave(telemetry: Telemetry) -> None:
    """Labels are exported if they are named, and the server's address always."""
    telemetry.install(attributes=["tenant"], operation="generate_content")
    with labels(tenant="acme", user="somebody"):
        observe(lambda: "a", attributes={"server.address": "host", "server.port": 1})()
    span = telemetry.only()
    attributes = span.attributes or {}
    assert span.name == "generate_content"
    assert [attributes.get(name) for name in ("tenant", "user")] == ["acme", None]
    assert (attributes["server.address"], attributes["server.port"]) == ("host", 1)


def test_a_slow_caller_is_told_apart(telemetry: Telemetry, clock: FakeClock) -> None:
    """Where much of the time was the caller's own, the span says so."""
    telemetry.install()
    script = Script([(0.5, "a"), (0.5, "b")], clock=clock)
    for _ in observe(script.generator, clock=clock)():
        clock.advance(1.0)
    attributes = telemetry.only().attributes or {}
    assert attributes["tokenclock.consumer_limited"] is True
    assert attributes["tokenclock.consumer_time"] == 2.0


# --- events ---------------------------------------------------------------------------------------


def test_events_tell_the_first_token_and_stalls(telemetry: Telemetry, clock: FakeClock) -> None:
    """An event for the first token and one for each long wait after it, never one per token."""
    telemetry.install(events=True, stall=1.0)
    script = Script(
        [(2.0, ""), (2.0, "a"), (0.5, "b"), (1.0, "c"), (0.25, "d"), (3.0, "e")], clock=clock
    )
    for chunk in observe(script.generator, clock=clock)():
        if chunk == "c":
            clock.advance(5.0)  # the caller's own pause is no stall of the stream
    span = telemetry.only()
    start = span.start_time or 0
    told = [
        (event.name, (event.timestamp - start) / NS, dict(event.attributes or {}))
        for event in span.events
    ]
    assert told == [
        ("tokenclock.first_token", 4.0, {}),
        ("tokenclock.stall", 5.5, {"tokenclock.stall.duration": 1.0}),
        ("tokenclock.stall", 13.75, {"tokenclock.stall.duration": 3.0}),
    ]


def test_events_are_bounded(telemetry: Telemetry, clock: FakeClock) -> None:
    """A stream that stalls at every chunk does not fill its span with events."""
    telemetry.install(events=True, stall=0.25)
    list(observe(Script([(0.5, "a")] * 500, clock=clock).generator, clock=clock)())
    assert len(telemetry.only().events) == 1 + 64


def test_a_stream_without_a_token_and_a_value_have_no_events(telemetry: Telemetry) -> None:
    """Where no first token was seen there is nothing to tell."""
    telemetry.install(events=True)
    list(observe(lambda: iter([""]))())
    observe(lambda: ["a"])()
    ended = (telemetry.ended(), telemetry.exporter.get_finished_spans())[1]
    assert [span.events for span in ended] == [(), ()]


# --- parents and children -------------------------------------------------------------------------


def current_span_id() -> int:
    return trace.get_current_span().get_span_context().span_id


def test_what_a_function_does_is_a_child(telemetry: Telemetry) -> None:
    """A request that the body sends is a child of the call, and the call of the caller's span."""
    telemetry.install()

    @observe(model="m")
    def answer() -> str:
        with telemetry.tracer.start_as_current_span("POST"):
            return "a"

    with telemetry.tracer.start_as_current_span("GET /answer"):
        before = current_span_id()
        answer()
        assert current_span_id() == before
    ended = telemetry.ended()
    assert parent_of(ended["POST"]) == id_of(ended["chat m"])
    assert parent_of(ended["chat m"]) == id_of(ended["GET /answer"])
    assert parent_of(ended["GET /answer"]) is None


def test_a_generators_requests_are_children(telemetry: Telemetry) -> None:
    """A span that the body holds open across yields stays the body's, and a child of the call."""
    telemetry.install()

    @observe(model="m")
    def answer() -> Iterator[str]:
        with telemetry.tracer.start_as_current_span("POST"):
            yield "a"
            with telemetry.tracer.start_as_current_span("parse"):
                yield "b"
        with telemetry.tracer.start_as_current_span("DELETE"):
            yield "c"

    with telemetry.tracer.start_as_current_span("caller"):
        for chunk in answer():
            with telemetry.tracer.start_as_current_span(f"handle {chunk}"):
                pass
    ended = telemetry.ended()
    call = id_of(ended["chat m"])
    assert {name: parent_of(span) for name, span in ended.items()} == {
        "handle a": id_of(ended["caller"]),
        "handle b": id_of(ended["caller"]),
        "handle c": id_of(ended["caller"]),
        "parse": id_of(ended["POST"]),
        "POST": call,
        "DELETE": call,
        "chat m": id_of(ended["caller"]),
        "caller": None,
    }


def test_an_async_generators_requests_are_children(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """The same for an async generator that waits while two of them are read at once."""
    telemetry.install()

    @observe
    async def answer(model: str) -> AsyncIterator[str]:
        with telemetry.tracer.start_as_current_span(f"POST {model}"):
            yield "a"
            await asyncio.sleep(0)
            yield "b"

    async def consume(model: str) -> None:
        with telemetry.tracer.start_as_current_span(f"caller {model}"):
            async with aclosing(answer(model=model)) as stream:  # type: ignore[type-var]
                async for _ in stream:
                    await asyncio.sleep(0)

    async def consume_two() -> None:
        await asyncio.gather(consume("one"), consume("two"))

    asyncio.run(consume_two())
    ended = telemetry.ended()
    for model in ("one", "two"):
        assert parent_of(ended[f"POST {model}"]) == id_of(ended[f"chat {model}"])
        assert parent_of(ended[f"chat {model}"]) == id_of(ended[f"caller {model}"])
    assert caplog.records == []


def test_the_parent_is_that_of_the_call(telemetry: Telemetry) -> None:
    """A stream read elsewhere later is a child of the span in which it was asked for."""
    telemetry.install()

    @observe(model="m")
    def answer() -> Iterator[str]:
        return iter("ab")

    with telemetry.tracer.start_as_current_span("request"):
        stream = answer()
    with telemetry.tracer.start_as_current_span("elsewhere"):
        reader = threading.Thread(target=list, args=(stream,))
        reader.start()
        reader.join()
    ended = telemetry.ended()
    assert parent_of(ended["chat m"]) == id_of(ended["request"])


def test_nested_calls_are_children(telemetry: Telemetry) -> None:
    """A measured call inside another one is its child."""
    telemetry.install()

    @observe(model="inner")
    def inner() -> Iterator[str]:
        yield "a"

    @observe(model="outer")
    def outer() -> Iterator[str]:
        yield from inner()

    list(outer())
    ended = telemetry.ended()
    assert parent_of(ended["chat inner"]) == id_of(ended["chat outer"])


def test_a_measured_stream_inline_has_a_span(telemetry: Telemetry) -> None:
    """``measure`` gives a span as well."""
    telemetry.install()
    list(measure(iter("ab"), model="m"))
    assert telemetry.only().name == "chat m"


def test_baggage_of_the_call_reaches_the_body(telemetry: Telemetry) -> None:
    """The body finds what else the context of the call carries."""
    telemetry.install()

    @observe
    def answer() -> Iterator[object]:
        yield otel_context.get_value("tenant")
        yield otel_context.get_value("tenant")

    token = otel_context.attach(otel_context.set_value("tenant", "acme"))
    stream = answer()
    otel_context.detach(token)
    assert list(stream) == ["acme", "acme"]


def test_an_instrumented_client_has_children(telemetry: Telemetry) -> None:
    """What an SDK does inside its method happens inside the span, which names the server."""
    telemetry.install()

    class Completions:
        def create(self, *, model: str) -> str:
            with telemetry.tracer.start_as_current_span(f"POST {model}"):
                return "a"

    class Chat:
        def __init__(self) -> None:
            self.completions = Completions()

    class Client:
        base_url = "http://localhost:8080/v1"

        def __init__(self) -> None:
            self.chat = Chat()

    instrument(Client()).chat.completions.create(model="m")
    ended = telemetry.ended()
    assert parent_of(ended["POST m"]) == id_of(ended["chat m"])
    assert ended["chat m"].kind is SpanKind.CLIENT
    assert (ended["chat m"].attributes or {})["server.port"] == 8080


def test_a_child_of_an_unsampled_span_is_none(telemetry: Telemetry) -> None:
    """Where the caller's trace is not sampled, neither is the call, nor what its body does."""
    telemetry.install()
    unsampled = trace.SpanContext(1, 1, is_remote=True, trace_flags=trace.TraceFlags(0))
    token = otel_context.attach(trace.set_span_in_context(trace.NonRecordingSpan(unsampled)))
    try:

        @observe
        def answer() -> Iterator[str]:
            with telemetry.tracer.start_as_current_span("POST"):
                yield "a"

        assert list(answer()) == ["a"]
    finally:
        otel_context.detach(token)
    assert telemetry.ended() == {}


# --- being installed ------------------------------------------------------------------------------


def test_without_an_sdk_nothing_happens(sink: CollectingSink) -> None:
    """The API alone measures as ever and exports nothing."""
    with OpenTelemetrySpans(events=True) as spans:
        assert list(observe(lambda: iter("ab"))()) == ["a", "b"]
        assert spans.flush()
    assert [result.outcome for result in sink.results] == ["completed"]
    assert spans.failed == 0


def test_after_uninstall_no_further_call_has_a_span(telemetry: Telemetry) -> None:
    """A call that starts later is not traced; the span of one under way still ends."""
    spans = telemetry.install()
    stream = observe(lambda: iter("ab"), model="under way")()
    next(stream)
    assert spans.uninstall()
    observe(lambda: "a", model="later")()
    assert telemetry.ended() == {}
    assert list(stream) == ["b"]
    assert list(telemetry.ended()) == ["chat under way"]


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_a_traced_call_is_no_cycle(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a call is over and its span has ended, nothing of it waits for the collector."""
    runs: list[weakref.ref[Any]] = []
    made = Recorder.__init__

    class Noted:
        pass

    def note(self: Any, *args: Any) -> None:
        made(self, *args)
        self.works_later = noted = Noted()  # a run itself can have no weak references
        runs.append(weakref.ref(noted))

    monkeypatch.setattr(Recorder, "__init__", note)
    spans = telemetry.install()

    @observe
    def answer() -> Iterator[str]:
        return iter("ab")

    list(answer())
    (run,) = runs
    assert spans.flush()
    assert run() is None


@pytest.mark.usefixtures("no_collector")
def test_a_cancelled_reader_leaves_nothing_behind(telemetry: Telemetry) -> None:
    """What a cancelled task held is free at once, and the innermost frame is the body's."""
    telemetry.install()

    class Held:
        pass

    @observe
    async def answer() -> AsyncIterator[str]:
        yield "a"
        await asyncio.get_running_loop().create_future()

    async def read(held: Held) -> None:
        try:
            async for _ in answer():
                pass
        except asyncio.CancelledError as error:
            innermost.append(frames(error)[-1][1])
            raise

    async def cancel() -> weakref.ref[Held]:
        held = Held()
        known = weakref.ref(held)
        task = asyncio.ensure_future(read(held))
        del held
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return known

    innermost: list[str] = []
    assert asyncio.run(cancel())() is None
    assert innermost == ["answer"]


def test_two_first_steps_are_one_span(telemetry: Telemetry) -> None:
    """Where another thread takes the first step while the span begins, there is one span."""
    started: list[str] = []

    class Reading(SimpleSpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            started.append(span.name)
            if len(started) == 1:
                reader = threading.Thread(target=list, args=(stream,))
                reader.start()
                reader.join()

    telemetry.provider.add_span_processor(Reading(InMemorySpanExporter()))
    telemetry.install()
    stream = measure(iter("abc"))
    list(stream)
    assert started == ["chat"]
    assert telemetry.only().name == "chat"


def test_a_processor_may_call_measured_functions(telemetry: Telemetry) -> None:
    """What a span processor calls has no span, which would make the next one."""

    @observe
    def answer() -> str:
        return "a"

    class Calling(SimpleSpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            answer()

        def on_end(self, span: ReadableSpan) -> None:
            answer()

    telemetry.provider.add_span_processor(Calling(InMemorySpanExporter()))
    telemetry.install()
    answer()
    assert telemetry.only().name == "chat"


def test_an_interrupt_leaves_nobody_in_a_calls_context(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal that strikes when the context was entered and not yet noted changes nothing."""
    telemetry.install()
    attach = otel_context.attach
    strikes = [KeyboardInterrupt()]

    def struck(context: Any) -> Any:
        token = attach(context)
        if strikes and trace.get_current_span(context).get_span_context().is_valid:
            raise strikes.pop()
        return token

    gc.collect()  # what others left must not be what is struck
    before = otel_context.get_current()
    monkeypatch.setattr(otel_context, "attach", struck)
    with pytest.raises(KeyboardInterrupt):
        observe(lambda: "a")()
    assert otel_context.get_current() == before


@pytest.mark.parametrize("exporter", ["OpenTelemetryMetrics", "OpenTelemetrySpans"])
def test_a_provider_that_comes_later_has_what_is_open_at_exit(exporter: str) -> None:
    """At exit a stream that nobody finished is exported before any provider ends."""
    printed = run_python(
        f"""
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import ConsoleMetricExporter
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
        from tokenclock import observe
        from tokenclock.exporters.opentelemetry import {exporter}

        {exporter}().install()
        observe(lambda: "a")()
        tracing = TracerProvider()
        tracing.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
        trace.set_tracer_provider(tracing)
        reader = PeriodicExportingMetricReader(ConsoleMetricExporter(), 60_000)
        metrics.set_meter_provider(MeterProvider([reader]))
        stream = observe(lambda: iter("ab"), name="open")()
        next(stream)
        """
    )
    assert printed.count('"tokenclock.function": "open"') >= 1
    assert '"tokenclock.outcome": "stopped"' in printed


def test_one_exporter_of_spans_at_a_time(telemetry: Telemetry) -> None:
    """A second one is refused, since each call would have two spans; later it may follow."""
    first = telemetry.install()
    second = OpenTelemetrySpans(telemetry.provider)
    with pytest.raises(AlreadyInstalledError, match="Uninstall those first"):
        second.install()
    assert first.install() is first
    first.uninstall()
    with second:
        observe(lambda: "a")()
    assert telemetry.only().name == "chat"


def test_a_slow_processor_delays_no_caller() -> None:
    """A span processor that hangs holds up neither the call nor the stream after it."""
    release = threading.Event()

    class Hanging(SimpleSpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            release.wait(60)

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Hanging(InMemorySpanExporter()))

    @observe
    def answer() -> Iterator[str]:
        return iter("ab")

    with OpenTelemetrySpans(provider) as spans:
        assert [list(answer()) for _ in range(100)] == [["a", "b"]] * 100
        assert not spans.flush(0)
        release.set()
        assert spans.flush()


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"semconv": "newest"}, "semconv"),
        ({"attributes": "tenant"}, "attributes"),
        ({"attributes": ["gen_ai.request.model"]}, "attributes"),
        ({"events": True, "stall": 0}, "stall"),
        ({"events": True, "stall": float("nan")}, "stall"),
        ({"events": True, "stall": True}, "stall"),
        ({"events": True, "stall": "1"}, "stall"),
        ({"in_process": "llama.cpp"}, "in_process"),
        ({"in_process": 1}, "in_process"),
        ({"operation": ""}, "operation"),
        ({"tracer_provider": "provider"}, "tracer_provider"),
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, Any], option: str) -> None:
    """A wrong argument is refused at once, and named."""
    with pytest.raises(InvalidOptionError) as refused:
        OpenTelemetrySpans(**options)
    assert refused.value.option == option
    assert str(refused.value).startswith("Cannot ")
