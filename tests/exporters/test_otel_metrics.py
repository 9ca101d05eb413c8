"""Metrics of OpenTelemetry: each number under its name, read back from the real SDK."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import pytest

from driving import run_python
from stepping import as_it_is, close, finished, read, script_at, step, stream_of
from tokenclock import MetricsResult, Reading, Usage, labels, metrics_decorator
from tokenclock.errors import AlreadyInstalledError, InvalidOptionError

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider

    from tokenclock.exporters.opentelemetry import OpenTelemetryMetrics
    from tokenclock.testing import FakeClock

pytestmark = pytest.mark.extras

Semconv = Literal["released", "latest"]
TOKEN = Reading(tokens=1, channel="text")
SEMCONVS: tuple[Semconv, ...] = ("released", "latest")
both = pytest.mark.parametrize("semconv", SEMCONVS)

CONVENTIONS_SECONDS = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
CONVENTIONS_TOKENS = (
    1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864,
)  # fmt: skip


class Telemetry:
    """What an SDK has recorded."""

    def __init__(self, **options: Any) -> None:
        from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: PLC0415 - as above

        self.reader = InMemoryMetricReader()
        self.provider: MeterProvider = MeterProvider(
            [self.reader], shutdown_on_exit=False, **options
        )

    def scopes(self) -> list[Any]:
        data = self.reader.get_metrics_data()
        resources = [] if data is None else data.resource_metrics
        return [scope for one in resources for scope in one.scope_metrics]

    def metrics(self) -> dict[str, Any]:
        return {metric.name: metric for scope in self.scopes() for metric in scope.metrics}

    def points(self, name: str) -> list[Any]:
        return list(self.metrics()[name].data.data_points)

    def numbers(self) -> dict[str, Any]:
        """Give each metric's number: of a histogram how many were recorded, and their sum."""
        return {
            _key(name, point): _number(point)
            for name, metric in self.metrics().items()
            for point in metric.data.data_points
        }


def _key(name: str, point: Any) -> str:
    kind = point.attributes.get("gen_ai.token.type")
    return name if kind is None else f"{name} {kind}"


def _number(point: Any) -> Any:
    if not hasattr(point, "count"):
        return point.value
    # A single number is exact; a sum of several is exact to the nanosecond.
    return (point.count, point.sum if point.count == 1 else round(point.sum, 9))


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry()
    yield telemetry
    telemetry.provider.shutdown()


def exporter(telemetry: Telemetry, **options: Any) -> OpenTelemetryMetrics:
    from tokenclock.exporters.opentelemetry import OpenTelemetryMetrics  # noqa: PLC0415 - an extra

    return OpenTelemetryMetrics(telemetry.provider, **options)


# --- the names, units, descriptions and buckets -------------------------------------------------


def full(clock: FakeClock) -> MetricsResult[Any]:
    """Give the result of a call that has every number."""
    usage = Usage(input_tokens=30, output_tokens=5, reasoning_tokens=2, cached_tokens=20)
    last = Reading(tokens=1, usage=usage, model="m-2026")
    script = script_at(clock, {50: Reading(), 100: TOKEN, 140: TOKEN, 180: last}, end=185)
    return finished("generator", script, read_chunk=as_it_is, provider="openai", model="m")


FIRST_CHUNK = (
    "Time to receive the first chunk, measured from when the client issues the generation request "
    "to when the first chunk is received in the response stream."
)
PER_CHUNK = (
    "Time per output chunk, recorded for each chunk received after the first one, measured as the "
    "time elapsed from the end of the previous chunk to the end of the current chunk."
)
OWN = {
    "tokenclock.time_to_first_token": (
        "s",
        "Time from the start of a streamed call to its first chunk that bears a token.",
    ),
    "tokenclock.time_per_output_token": (
        "s",
        (
            "Time from the first to the last token of a streamed call, for each token after the "
            "first chunk that bears one."
        ),
    ),
    "tokenclock.inter_token_latency": (
        "s",
        "Time between neighbouring chunks of a stream that bear tokens.",
    ),
    "tokenclock.throughput": (
        "{token}/s",
        "Tokens of a completed call divided by its whole latency.",
    ),
    "tokenclock.consumer_time": (
        "s",
        "Time that a stream was in the hands of the code that reads it.",
    ),
}
CONVENTIONAL: Mapping[Semconv, Mapping[str, tuple[str, str]]] = {
    "released": {
        "gen_ai.client.operation.duration": ("s", "GenAI operation duration."),
        "gen_ai.client.operation.time_to_first_chunk": ("s", FIRST_CHUNK),
        "gen_ai.client.operation.time_per_output_chunk": ("s", PER_CHUNK),
        "gen_ai.client.token.usage": ("{token}", "Number of input and output tokens used."),
    },
    "latest": {
        "gen_ai.client.inference.duration": ("s", "GenAI client inference operation duration."),
        "gen_ai.client.inference.time_to_first_chunk": ("s", FIRST_CHUNK),
        "gen_ai.client.inference.time_per_output_chunk": ("s", PER_CHUNK),
        "gen_ai.client.inference.operation.input_tokens": (
            "{token}",
            "The number of input (prompt) tokens used per inference operation.",
        ),
        "gen_ai.client.inference.operation.output_tokens": (
            "{token}",
            "The number of output (completion) tokens used per inference operation.",
        ),
        "gen_ai.client.inference.usage.input_tokens": (
            "{token}",
            "The number of input (prompt) tokens used, including cached tokens.",
        ),
        "gen_ai.client.inference.usage.output_tokens": (
            "{token}",
            "The number of output (completion) tokens used, including reasoning tokens.",
        ),
        "gen_ai.client.inference.usage.cache_read.input_tokens": (
            "{token}",
            "The number of input tokens served from a provider-managed cache.",
        ),
        "gen_ai.client.inference.usage.reasoning.output_tokens": (
            "{token}",
            (
                "The number of output tokens used for reasoning (e.g. chain-of-thought, extended "
                "thinking)."
            ),
        ),
    },
}


@both
def test_every_metric_has_its_name_unit_and_description(
    semconv: Semconv, clock: FakeClock, telemetry: Telemetry
) -> None:
    """Names, units and texts are those of the conventions, and ours where these have none."""
    exporter(telemetry, semconv=semconv, gaps=True)(full(clock))

    metrics = telemetry.metrics()
    assert {name: (one.unit, one.description) for name, one in metrics.items()} == {
        **CONVENTIONAL[semconv], **OWN
    }  # fmt: skip


@both
def test_the_buckets_of_the_conventions_are_as_they_advise(
    semconv: Semconv, clock: FakeClock, telemetry: Telemetry
) -> None:
    """Clients of every language can be drawn in one panel."""
    exporter(telemetry, semconv=semconv, gaps=True)(full(clock))

    for name, (unit, _) in CONVENTIONAL[semconv].items():
        if ".inference.usage." not in name:  # these are counters
            advised = CONVENTIONS_SECONDS if unit == "s" else CONVENTIONS_TOKENS
            assert telemetry.points(name)[0].explicit_bounds == advised


def test_the_buckets_of_our_own_times_begin_at_a_millisecond(
    clock: FakeClock, telemetry: Telemetry
) -> None:
    """Local models answer within milliseconds, where the conventions have no bucket."""
    exporter(telemetry, gaps=True)(full(clock))

    bounds = {name: telemetry.points(name)[0].explicit_bounds for name in OWN}
    seconds = {name: (one[0], one[-1]) for name, one in bounds.items()}
    assert seconds.pop("tokenclock.throughput") == (0.5, 10_000.0)
    assert seconds == {
        "tokenclock.time_to_first_token": (0.001, 2560.0),
        "tokenclock.time_per_output_token": (0.001, 80.0),
        "tokenclock.inter_token_latency": (0.001, 80.0),
        "tokenclock.consumer_time": (0.001, 7680.0),
    }


@pytest.mark.parametrize(
    ("semconv", "schema"),
    [("released", "https://opentelemetry.io/schemas/1.41.0"), ("latest", None)],
)
def test_the_scope_says_who_measured(
    semconv: Semconv, schema: str | None, clock: FakeClock, telemetry: Telemetry
) -> None:
    """The scope has our name and version, and the schema where there is one."""
    import tokenclock  # noqa: PLC0415 - for its version

    exporter(telemetry, semconv=semconv)(full(clock))

    [scope] = [one.scope for one in telemetry.scopes()]
    assert scope.name == "tokenclock"
    assert scope.version == tokenclock.__version__
    assert scope.schema_url == (schema or "")


# --- the numbers --------------------------------------------------------------------------------

# Short names of the metrics that have others in the other set.
NAMES: Mapping[Semconv, Mapping[str, tuple[str, ...]]] = {
    "released": {
        "duration": ("gen_ai.client.operation.duration",),
        "first chunk": ("gen_ai.client.operation.time_to_first_chunk",),
        "per chunk": ("gen_ai.client.operation.time_per_output_chunk",),
        "input": ("gen_ai.client.token.usage input",),
        "output": ("gen_ai.client.token.usage output",),
        "cached": (),
        "reasoning": (),
        "first token": ("tokenclock.time_to_first_token",),
        "per token": ("tokenclock.time_per_output_token",),
        "gaps": ("tokenclock.inter_token_latency",),
        "throughput": ("tokenclock.throughput",),
        "consumer": ("tokenclock.consumer_time",),
    },
    "latest": {
        "duration": ("gen_ai.client.inference.duration",),
        "first chunk": ("gen_ai.client.inference.time_to_first_chunk",),
        "per chunk": ("gen_ai.client.inference.time_per_output_chunk",),
        "input": (
            "gen_ai.client.inference.operation.input_tokens",
            "gen_ai.client.inference.usage.input_tokens",
        ),
        "output": (
            "gen_ai.client.inference.operation.output_tokens",
            "gen_ai.client.inference.usage.output_tokens",
        ),
        "cached": ("gen_ai.client.inference.usage.cache_read.input_tokens",),
        "reasoning": ("gen_ai.client.inference.usage.reasoning.output_tokens",),
        "first token": ("tokenclock.time_to_first_token",),
        "per token": ("tokenclock.time_per_output_token",),
        "gaps": ("tokenclock.inter_token_latency",),
        "throughput": ("tokenclock.throughput",),
        "consumer": ("tokenclock.consumer_time",),
    },
}


def named(semconv: Semconv, expected: Mapping[str, Any]) -> dict[str, Any]:
    """Give the expected numbers under their names; a counter has a sum only."""
    return {
        name: number[1] if ".inference.usage." in name else number
        for short, number in expected.items()
        for name in NAMES[semconv][short]
    }


def blank_first(clock: FakeClock) -> MetricsResult[Any]:
    return finished("generator", script_at(clock, {5: "", 214: "a", 234: "b"}, end=240))


def bundled(clock: FakeClock) -> MetricsResult[Any]:
    last = Reading(tokens=1, usage=Usage(output_tokens=5))
    script = script_at(clock, {100: TOKEN, 140: TOKEN, 180: last}, end=185)
    return finished("generator", script, read_chunk=as_it_is)


def reasoning(clock: FakeClock) -> MetricsResult[Any]:
    thought = Reading(tokens=1, channel="reasoning")
    script = script_at(clock, {50: thought, 900: TOKEN}, end=950)
    return finished("generator", script, read_chunk=as_it_is)


def unseen_reasoning(clock: FakeClock) -> MetricsResult[Any]:
    usage = Usage(output_tokens=1050, reasoning_tokens=1000)
    times = [20_000, *(20_000 + 20 * place for place in range(1, 49)), 21_000]
    arrivals: dict[float, Any] = dict.fromkeys(times, TOKEN)
    arrivals[21_000] = Reading(tokens=1, channel="text", usage=usage)
    return finished("generator", script_at(clock, arrivals, end=21_000), read_chunk=as_it_is)


def one_chunk(clock: FakeClock) -> MetricsResult[Any]:
    return finished("generator", script_at(clock, {70: "a"}, end=80))


def nothing(clock: FakeClock) -> MetricsResult[Any]:
    return finished("generator", script_at(clock, {}, end=30))


def held(clock: FakeClock) -> MetricsResult[Any]:
    stream = stream_of("generator", script_at(clock, {10: "a", 30: "b"}, end=30))
    step(stream)
    clock.advance(0.5)
    read(stream)
    result: MetricsResult[Any] = stream.metrics
    return result


def fails(clock: FakeClock) -> MetricsResult[Any]:
    script = script_at(clock, {10: "a"}, end=60, error=ConnectionError("reset"))
    stream = stream_of("generator", script)
    with pytest.raises(ConnectionError, match=r"^reset$"):
        read(stream)
    result: MetricsResult[Any] = stream.metrics
    return result


def stops(clock: FakeClock) -> MetricsResult[Any]:
    stream = stream_of("generator", script_at(clock, {10: "a", 20: "b"}, end=30))
    step(stream)
    clock.advance(0.89)
    close(stream)
    result: MetricsResult[Any] = stream.metrics
    return result


def tool_call(clock: FakeClock) -> MetricsResult[Any]:
    usage = Reading(usage=Usage(output_tokens=14))
    delta = Reading(tokens=1, channel="tool")
    script = script_at(clock, {20: Reading(), 466: delta, 700: usage}, end=700)
    return finished("generator", script, read_chunk=as_it_is)


def listed(clock: FakeClock) -> MetricsResult[Any]:
    def generate() -> list[str]:
        clock.advance(0.2)
        return ["a", "b", "c", "d"]

    return metrics_decorator(generate, clock=clock)()


def text(clock: FakeClock) -> MetricsResult[Any]:
    def generate() -> str:
        clock.advance(0.2)
        return "four words of text"

    return metrics_decorator(generate, clock=clock)()


VECTORS: tuple[tuple[Callable[[Any], MetricsResult[Any]], Mapping[str, Any]], ...] = (
    (full, {
        "duration": (1, 0.185), "first chunk": (1, 0.05), "per chunk": (3, 0.13),
        "input": (1, 30), "output": (1, 5), "cached": (1, 20), "reasoning": (1, 2),
        "first token": (1, 0.1), "per token": (1, 0.04), "gaps": (2, 0.08),
        "throughput": (1, 5 / 0.185), "consumer": (1, 0.0),
    }),
    (blank_first, {
        "duration": (1, 0.24), "first chunk": (1, 0.005), "per chunk": (2, 0.229),
        "output": (1, 2), "first token": (1, 0.214), "per token": (1, 0.02), "gaps": (1, 0.02),
        "throughput": (1, 2 / 0.24), "consumer": (1, 0.0),
    }),
    (bundled, {
        "duration": (1, 0.185), "first chunk": (1, 0.1), "per chunk": (2, 0.08),
        "output": (1, 5), "first token": (1, 0.1), "per token": (1, 0.02), "gaps": (2, 0.08),
        "throughput": (1, 5 / 0.185), "consumer": (1, 0.0),
    }),
    (reasoning, {
        "duration": (1, 0.95), "first chunk": (1, 0.05), "per chunk": (1, 0.85),
        "output": (1, 2), "first token": (1, 0.05), "per token": (1, 0.85), "gaps": (1, 0.85),
        "throughput": (1, 2 / 0.95), "consumer": (1, 0.0),
    }),
    (unseen_reasoning, {
        "duration": (1, 21.0), "first chunk": (1, 20.0), "per chunk": (49, 1.0),
        "output": (1, 1050), "reasoning": (1, 1000), "first token": (1, 20.0),
        "per token": (1, 1 / 49), "gaps": (49, 1.0), "throughput": (1, 50.0),
        "consumer": (1, 0.0),
    }),
    (one_chunk, {
        "duration": (1, 0.08), "first chunk": (1, 0.07), "output": (1, 1),
        "first token": (1, 0.07), "throughput": (1, 12.5), "consumer": (1, 0.0),
    }),
    (nothing, {
        "duration": (1, 0.03), "output": (1, 0), "throughput": (1, 0.0), "consumer": (1, 0.0),
    }),
    (held, {
        "duration": (1, 0.53), "first chunk": (1, 0.01), "per chunk": (1, 0.52),
        "output": (1, 2), "first token": (1, 0.01), "per token": (1, 0.52), "gaps": (1, 0.52),
        "throughput": (1, 2 / 0.53), "consumer": (1, 0.5),
    }),
    (fails, {
        "duration": (1, 0.06), "first chunk": (1, 0.01), "output": (1, 1),
        "first token": (1, 0.01), "consumer": (1, 0.0),
    }),
    (stops, {
        "duration": (1, 0.01), "first chunk": (1, 0.01), "output": (1, 1),
        "first token": (1, 0.01), "consumer": (1, 0.0),
    }),
    (tool_call, {
        "duration": (1, 0.7), "first chunk": (1, 0.02), "per chunk": (2, 0.68),
        "output": (1, 14), "first token": (1, 0.466), "throughput": (1, 20.0),
        "consumer": (1, 0.0),
    }),
    (listed, {"duration": (1, 0.2), "output": (1, 4), "throughput": (1, 20.0)}),
    (text, {"duration": (1, 0.2)}),
)  # fmt: skip


@both
@pytest.mark.parametrize(("call", "expected"), VECTORS, ids=[one.__name__ for one, _ in VECTORS])
def test_what_is_recorded_is_what_was_measured(
    call: Callable[[FakeClock], MetricsResult[Any]],
    expected: Mapping[str, Any],
    semconv: Semconv,
    clock: FakeClock,
    telemetry: Telemetry,
) -> None:
    """Each number of a call arrives, and what was not observed is not there."""
    exporter(telemetry, semconv=semconv, gaps=True)(call(clock))

    assert telemetry.numbers() == named(semconv, expected)


def test_each_gap_is_recorded_by_itself(clock: FakeClock, telemetry: Telemetry) -> None:
    """A gap falls into the bucket of its own length, and a bound belongs to the bucket below."""
    script = script_at(clock, {10: "a", 12: "b", 32: "", 132: "c"}, end=132)
    exporter(telemetry, gaps=True)(finished("generator", script))

    [tokens] = telemetry.points("tokenclock.inter_token_latency")
    [chunks] = telemetry.points("gen_ai.client.operation.time_per_output_chunk")
    assert filled(tokens) == {0.0025: 1, 0.15: 1}  # 2 ms and 120 ms
    assert filled(chunks) == {0.01: 1, 0.02: 1, 0.16: 1}  # 2 ms, 20 ms and 100 ms


def filled(point: Any) -> dict[float, int]:
    """Give the upper bounds of the buckets that hold something, and how much."""
    return {
        bound: count
        for bound, count in zip(point.explicit_bounds, point.bucket_counts, strict=False)
        if count
    }


def test_gaps_are_not_recorded_unless_asked(clock: FakeClock, telemetry: Telemetry) -> None:
    """Each gap costs microseconds, so they are opt-in."""
    exporter(telemetry)(full(clock))

    missing = {"gen_ai.client.operation.time_per_output_chunk", "tokenclock.inter_token_latency"}
    assert missing.isdisjoint(telemetry.metrics())


def test_a_restored_result_without_a_timeline_has_no_gaps_of_chunks(
    clock: FakeClock, telemetry: Telemetry
) -> None:
    """A result read from a record tells the gaps that it has."""
    restored = MetricsResult.from_dict(full(clock).to_dict())
    exporter(telemetry, gaps=True)(restored)

    assert "gen_ai.client.operation.time_per_output_chunk" not in telemetry.metrics()
    assert telemetry.numbers()["tokenclock.inter_token_latency"] == (2, 0.08)


def test_many_calls_add_up(clock: FakeClock, telemetry: Telemetry) -> None:
    """Counters hold the sum of the calls, histograms their number."""
    record = exporter(telemetry, semconv="latest")
    for _ in range(3):
        record(full(clock))

    numbers = telemetry.numbers()
    assert numbers["gen_ai.client.inference.usage.output_tokens"] == 15
    assert numbers["gen_ai.client.inference.operation.output_tokens"] == (3, 15)


@both
def test_a_call_that_never_ran_is_not_recorded(
    semconv: Semconv, clock: FakeClock, telemetry: Telemetry
) -> None:
    """A stream that nobody asked for anything has no duration, and no tokens."""
    stream = stream_of("generator", script_at(clock, {10: "a"}, end=20))
    close(stream)
    assert stream.metrics.outcome == "unconsumed"

    exporter(telemetry, semconv=semconv, gaps=True)(stream.metrics)
    assert telemetry.numbers() == {}


def test_a_snapshot_is_not_recorded(clock: FakeClock, telemetry: Telemetry) -> None:
    """What is still running would be counted again when it is over."""
    stream = stream_of("generator", script_at(clock, {10: "a"}, end=20))
    step(stream)
    assert stream.metrics.outcome == "running"

    exporter(telemetry)(stream.metrics)
    assert telemetry.numbers() == {}


def test_nothing_of_a_model_server_is_claimed(clock: FakeClock, telemetry: Telemetry) -> None:
    """Metrics of servers belong to servers."""
    for semconv in SEMCONVS:
        exporter(telemetry, semconv=semconv, gaps=True)(full(clock))

    assert not [name for name in telemetry.metrics() if name.startswith("gen_ai.server.")]


# --- the attributes -----------------------------------------------------------------------------

CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "m",
    "gen_ai.response.model": "m-2026",
    "tokenclock.function": "tokens",
    "tokenclock.outcome": "completed",
}


@both
def test_every_metric_has_the_attributes_of_the_call(
    semconv: Semconv, clock: FakeClock, telemetry: Telemetry
) -> None:
    """All metrics of a call carry the same attributes; token counts say what they count."""
    exporter(telemetry, semconv=semconv, gaps=True)(full(clock))

    special = {
        "gen_ai.client.token.usage input": {"gen_ai.token.type": "input"},
        "gen_ai.client.token.usage output": {
            "gen_ai.token.type": "output", "tokenclock.token_source": "usage"
        },
        "gen_ai.client.inference.operation.output_tokens": {"tokenclock.token_source": "usage"},
        "gen_ai.client.inference.usage.input_tokens": {"gen_ai.token.modality": "unknown"},
        "gen_ai.client.inference.usage.cache_read.input_tokens": {
            "gen_ai.token.modality": "unknown"
        },
        "gen_ai.client.inference.usage.output_tokens": {
            "gen_ai.token.modality": "unknown", "tokenclock.token_source": "usage"
        },
        "gen_ai.client.inference.usage.reasoning.output_tokens": {
            "gen_ai.token.modality": "unknown"
        },
    }  # fmt: skip
    for name, metric in telemetry.metrics().items():
        for point in metric.data.data_points:
            assert point.attributes == {**CALL, **special.get(_key(name, point), {})}


@both
def test_a_failure_is_told_apart(semconv: Semconv, clock: FakeClock, telemetry: Telemetry) -> None:
    """The type of the error is there, what it said is not."""
    exporter(telemetry, semconv=semconv)(fails(clock))

    for metric in telemetry.metrics().values():
        for point in metric.data.data_points:
            assert point.attributes["error.type"] == "ConnectionError"
            assert point.attributes["tokenclock.outcome"] == "failed"
            assert "reset" not in str(point)


def test_a_slow_callers_calls_are_told_apart(clock: FakeClock, telemetry: Telemetry) -> None:
    """The times of a call that waited for its caller do not mix with those of others."""
    record = exporter(telemetry)
    record(held(clock))
    record(one_chunk(clock))

    points = telemetry.points("gen_ai.client.operation.duration")
    limited = {point.attributes.get("tokenclock.consumer_limited"): point.sum for point in points}
    assert limited == {True: 0.53, None: 0.08}


def test_labels_leave_only_when_named(clock: FakeClock, telemetry: Telemetry) -> None:
    """A label of many values makes no series, unless the user names it."""
    record = exporter(telemetry, attributes=["tenant"])
    for user in ("u-1", "u-2"):
        with labels(tenant="acme", user=user):
            record(one_chunk(clock))

    [point] = telemetry.points("gen_ai.client.operation.duration")
    assert point.count == 2
    assert point.attributes["tenant"] == "acme"
    assert "user" not in point.attributes


def test_the_operation_of_calls_that_have_none_is_the_users(
    clock: FakeClock, telemetry: Telemetry
) -> None:
    """The option stands in where a call does not say what it does."""
    record = exporter(telemetry, operation="generate_content")
    record(one_chunk(clock))
    record(finished("generator", script_at(clock, {10: "a"}, end=20), operation="chat"))

    points = telemetry.points("gen_ai.client.operation.duration")
    assert {point.attributes["gen_ai.operation.name"]: point.sum for point in points} == {
        "generate_content": 0.08, "chat": 0.02
    }  # fmt: skip


def test_a_label_that_cannot_be_encoded_does_not_keep_the_others_from_leaving(
    clock: FakeClock, telemetry: Telemetry
) -> None:
    """What is recorded can be encoded for the wire, whatever the labels hold."""
    from opentelemetry.exporter.otlp.proto.common.metrics_encoder import (  # noqa: PLC0415 - an extra
        encode_metrics,
    )

    with labels(tenant="\udcff", number=2**70):
        exporter(telemetry, attributes=["tenant", "number"])(one_chunk(clock))

    data = telemetry.reader.get_metrics_data()
    assert data is not None
    encoded = encode_metrics(data).SerializeToString()
    assert b"1180591620717411303424" in encoded


# --- installed ----------------------------------------------------------------------------------


def test_an_installed_exporter_records_every_call(clock: FakeClock, telemetry: Telemetry) -> None:
    """Between install and uninstall every call of the process is recorded, behind the queue."""
    record = exporter(telemetry)
    with record:
        one_chunk(clock)
        assert record.flush()
    one_chunk(clock)

    assert telemetry.numbers()["gen_ai.client.operation.duration"] == (1, 0.08)
    assert (record.dropped, record.failed) == (0, 0)


@pytest.mark.parametrize("installed", [False, True], ids=["directly", "behind Background"])
def test_an_exemplar_names_the_trace_of_the_call(installed: bool, clock: FakeClock) -> None:  # noqa: FBT001 - one of the parameters
    """A histogram's example leads to the span in whose context the call was made."""
    from opentelemetry.sdk.metrics import TraceBasedExemplarFilter  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above

    telemetry = Telemetry(exemplar_filter=TraceBasedExemplarFilter())
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    record = exporter(telemetry)
    with tracer.start_as_current_span("call") as span:
        if installed:
            with record:
                one_chunk(clock)
        else:
            record(one_chunk(clock))

    [point] = telemetry.points("tokenclock.time_to_first_token")
    [exemplar] = point.exemplars
    assert exemplar.trace_id == span.get_span_context().trace_id
    assert exemplar.span_id == span.get_span_context().span_id
    assert exemplar.value == 0.07
    telemetry.provider.shutdown()


# --- with the API alone, and with nothing -------------------------------------------------------


def test_one_exporter_for_each_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one on the same provider, named or the process's, would count every call twice."""
    from opentelemetry import metrics  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - as above

    from tokenclock.exporters.opentelemetry import OpenTelemetryMetrics  # noqa: PLC0415 - as above

    provider = MeterProvider(shutdown_on_exit=False)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: provider)
    with OpenTelemetryMetrics(), pytest.raises(AlreadyInstalledError, match="counted twice"):
        OpenTelemetryMetrics(provider).install()
    with (
        OpenTelemetryMetrics(provider),
        OpenTelemetryMetrics(MeterProvider(shutdown_on_exit=False)),
    ):
        pass


def test_without_an_sdk_nothing_happens() -> None:
    """The API alone records nothing, imports no SDK and raises nothing."""
    printed = run_python("""
        import sys
        sys.modules["opentelemetry.sdk"] = None  # as if it were not installed
        from tokenclock import observe
        from tokenclock.exporters.opentelemetry import OpenTelemetryMetrics

        for metrics in (OpenTelemetryMetrics(gaps=True), OpenTelemetryMetrics(semconv="latest")):
            with metrics:
                print(list(observe(lambda: iter("abc"))()))
                print(metrics.flush())
            print(metrics.dropped, metrics.failed)
    """)
    assert printed == "['a', 'b', 'c']\nTrue\n0 0\n" * 2


def test_a_provider_that_is_set_later_gets_the_metrics() -> None:
    """The process's provider is used also if it is set after the exporter was made."""
    printed = run_python("""
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from tokenclock import metrics_decorator
        from tokenclock.exporters.opentelemetry import OpenTelemetryMetrics

        record = OpenTelemetryMetrics()
        reader = InMemoryMetricReader()
        metrics.set_meter_provider(MeterProvider([reader]))
        record(metrics_decorator(lambda: ["a", "b"])())
        for resource in reader.get_metrics_data().resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    bounds = metric.data.data_points[0].explicit_bounds
                    print(metric.name, bounds[0])
    """)
    assert printed.splitlines() == [
        "gen_ai.client.operation.duration 0.01",
        "gen_ai.client.token.usage 1.0",
        "tokenclock.throughput 0.5",
    ]


def test_what_makes_no_meters_is_refused() -> None:
    """A meter in the place of its provider is found out at once."""
    from tokenclock.exporters.opentelemetry import OpenTelemetryMetrics  # noqa: PLC0415 - an extra

    wrong: Any = object()
    message = r"^Cannot record into meter_provider=<object .*>: it makes no meters\. Pass a Meter"
    with pytest.raises(InvalidOptionError, match=message) as caught:
        OpenTelemetryMetrics(wrong)
    assert caught.value.option == "meter_provider"


@pytest.mark.parametrize(
    ("option", "value"), [("semconv", "old"), ("attributes", "tenant"), ("operation", "")]
)
def test_wrong_options_are_refused(option: str, value: Any, telemetry: Telemetry) -> None:
    """A wrong option fails when the exporter is made, not at the first call."""
    with pytest.raises(InvalidOptionError) as caught:
        exporter(telemetry, **{option: value})
    assert caught.value.option == option


def test_without_opentelemetry_the_extra_is_named() -> None:
    """The import fails with the command that mends it."""
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "try:\n"
        "    import tokenclock.exporters.opentelemetry\n"
        "except ImportError as error:\n"
        "    print(type(error).__name__, error.extra, error)\n"
    )
    ran = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert ran.stdout == (
        "MissingExtraError otel The OpenTelemetry exporters need opentelemetry-api, which is not "
        "installed. Install it with: pip install 'tokenclock[otel]'.\n"
    )
