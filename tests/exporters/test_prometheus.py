"""The Prometheus exporter: which series a result becomes, and whom it never disturbs."""

from __future__ import annotations

import enum
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenclock import MetricsResult, _hooks, add_sink, labels, observe
from tokenclock._timeline import TokenGaps
from tokenclock.errors import InvalidOptionError, TokenclockWarning
from tokenclock.exporters import Background, _buckets, _forking
from tokenclock.exporters._prometheus_bulk import BulkHistogram
from tokenclock.records import JsonLinesSink, read_records
from tokenclock.testing import FakeClock, Script

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Histogram

    from tokenclock.exporters.prometheus import PrometheusMetrics

pytestmark = pytest.mark.extras

PATIENCE = 60.0  # seconds; only a failing test waits as long
STARTED = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)
CALL = {"function": "demo.chat", "model": "llama", "provider": "local"}
TIMED = {**CALL, "consumer_limited": "false"}

HISTOGRAMS = (
    "tokenclock_time_to_first_token_seconds",
    "tokenclock_inter_token_latency_seconds",
    "tokenclock_time_per_output_token_seconds",
    "tokenclock_generation_latency_seconds",
)
FIRST_TOKEN, GAPS, PER_TOKEN, LATENCY = HISTOGRAMS


@pytest.fixture(autouse=True)
def no_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hooks, "call_hooks", ())


@pytest.fixture
def registry() -> CollectorRegistry:
    from prometheus_client import CollectorRegistry  # noqa: PLC0415 - an extra

    return CollectorRegistry()


def exporter_on(registry: CollectorRegistry | None, **options: Any) -> PrometheusMetrics:
    from tokenclock.exporters.prometheus import PrometheusMetrics  # noqa: PLC0415 - an extra

    return PrometheusMetrics(registry, **options)


def result(**fields: Any) -> MetricsResult[Any]:
    """Make a streamed call: four tokens at 0.5, 0.75, 1.0 and 1.5 s."""
    values = {
        "function": "demo.chat",
        "call_id": "c-1",
        "started_at": STARTED,
        "streamed": True,
        "outcome": "completed",
        "generation_latency": 1.75,
        "time_to_first_token": 0.5,
        "time_per_output_token": 0.3125,
        "inter_token_latencies": TokenGaps.of([0.25, 0.25, 0.5]),
        "input_token_count": 32,
        "token_count": 4,
        "model": "llama",
        "provider": "local",
    }
    return MetricsResult(**{**values, **fields})


def value(registry: CollectorRegistry, name: str, labels: Mapping[str, str]) -> float | None:
    return registry.get_sample_value(name, dict(labels))


def observed(registry: CollectorRegistry, name: str, labels: Mapping[str, str]) -> list[float]:
    """Give the count, the sum, then the bounds of the buckets that have something of their own."""
    found = [value(registry, f"{name}_count", labels), value(registry, f"{name}_sum", labels)]
    below = 0.0
    for sample in samples(registry, f"{name}_bucket"):
        own = {label: text for label, text in sample.labels.items() if label != "le"}
        if own == labels and sample.value > below:
            found.append(float(sample.labels["le"]))
            below = sample.value
    return [number for number in found if number is not None]


def samples(registry: CollectorRegistry, name: str) -> list[Any]:
    """Give the samples of a metric; of calls those of outcomes that there were."""
    found = [one for metric in registry.collect() for one in metric.samples if one.name == name]
    return [one for one in found if one.value or name != "tokenclock_calls_total"]


def exposition(registry: CollectorRegistry) -> str:
    """Give the text that Prometheus scrapes, but for when each series was made."""
    from prometheus_client import generate_latest  # noqa: PLC0415 - an extra

    lines = generate_latest(registry).decode().splitlines()
    return "\n".join(line for line in lines if "_created" not in line)


def run_python(code: str, *, forks: bool = False) -> str:
    # Coverage has a lock that a thread may hold when another forks; its child would hang.
    left_out = "COVERAGE_" if forks else "no name"
    plain = {name: text for name, text in os.environ.items() if not name.startswith(left_out)}
    ran = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env=plain,
    )
    assert ran.stderr == ""
    assert ran.returncode == 0
    return ran.stdout


# --- which series there are ----------------------------------------------------------------------


def test_a_call_becomes_the_series_that_the_docs_name(registry: CollectorRegistry) -> None:
    """Names, types, labels and units are as documented."""
    exporter = exporter_on(registry)
    with exporter:
        observe(iter, name="demo.chat", provider="local")("ab")
    exporter(result())

    found = {
        one.name: (metric.type, sorted(one.labels))
        for metric in registry.collect()
        for one in metric.samples
        if not one.name.endswith(("_created", "_sum", "_count"))
    }
    timed = ["consumer_limited", "function", "le", "model", "provider"]
    assert found == {
        "tokenclock_time_to_first_token_seconds_bucket": ("histogram", timed),
        "tokenclock_inter_token_latency_seconds_bucket": ("histogram", timed),
        "tokenclock_time_per_output_token_seconds_bucket": ("histogram", timed),
        "tokenclock_generation_latency_seconds_bucket": ("histogram", timed),
        "tokenclock_tokens_total": ("counter", ["direction", "function", "model", "provider"]),
        "tokenclock_calls_total": ("counter", ["function", "model", "outcome", "provider"]),
        "tokenclock_calls_in_flight": ("gauge", ["function", "model", "provider"]),
    }


def test_the_numbers_are_those_of_the_result(registry: CollectorRegistry) -> None:
    """A call's numbers are in the histograms and counters, each in the bucket it belongs to."""
    exporter_on(registry)(result())

    assert observed(registry, FIRST_TOKEN, TIMED) == [1, 0.5, 0.5]
    assert observed(registry, GAPS, TIMED) == [3, 1.0, 0.3, 0.5]
    assert observed(registry, PER_TOKEN, TIMED) == [1, 0.3125, 0.4]
    assert observed(registry, LATENCY, TIMED) == [1, 1.75, 2.0]
    assert value(registry, f"{GAPS}_bucket", {**TIMED, "le": "0.3"}) == 2
    assert value(registry, "tokenclock_tokens_total", {**CALL, "direction": "input"}) == 32
    assert value(registry, "tokenclock_tokens_total", {**CALL, "direction": "output"}) == 4
    assert value(registry, "tokenclock_calls_total", {**CALL, "outcome": "completed"}) == 1


def test_a_registry_may_have_another_exporter_later(registry: CollectorRegistry) -> None:
    """Once an exporter is unregistered its registry is empty, and takes another."""
    first = exporter_on(registry)
    first.unregister()
    first.unregister()
    assert list(registry.collect()) == []
    exporter_on(registry, labels=["tenant"])(result(attributes={"tenant": "acme"}))
    (sample,) = samples(registry, "tokenclock_calls_total")
    assert sample.labels["tenant"] == "acme"


def test_a_folder_that_is_set_too_late_is_told(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client looks at the variable when it is imported; later it would share nothing."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "folder")
    with pytest.warns(TokenclockWarning, match="was set after prometheus_client was imported"):
        exporter_on(registry)


def test_a_sink_that_is_installed_too_counts_once(registry: CollectorRegistry) -> None:
    """An exporter that is installed and in sinks= as well has each result once."""
    with exporter_on(registry) as exporter:
        observe(lambda: "a", name="plain", sinks=[exporter])()
        with Background(exporter) as background:
            observe(lambda: "a", name="behind", sinks=[background])()
    counts = samples(registry, "tokenclock_calls_total")
    assert [(one.labels["function"], one.value) for one in counts] == [("plain", 1), ("behind", 1)]


def test_the_numbers_of_several_calls_add_up(registry: CollectorRegistry) -> None:
    """Series grow by what each call adds."""
    exporter = exporter_on(registry)
    exporter(result())
    exporter(result(time_to_first_token=0.25, outcome="stopped", token_count=2))

    assert observed(registry, FIRST_TOKEN, TIMED) == [2, 0.75, 0.25, 0.5]
    assert observed(registry, GAPS, TIMED) == [6, 2.0, 0.3, 0.5]
    assert value(registry, "tokenclock_tokens_total", {**CALL, "direction": "output"}) == 6
    assert value(registry, "tokenclock_calls_total", {**CALL, "outcome": "completed"}) == 1
    assert value(registry, "tokenclock_calls_total", {**CALL, "outcome": "stopped"}) == 1


def test_buckets_hold_those_of_vllm_and_reach_down_to_a_millisecond(
    registry: CollectorRegistry,
) -> None:
    """The bounds are a superset of vLLM's, so that client and server line up, and start at 1 ms."""
    exporter_on(registry)(result())

    bounds = {
        name: [
            float(one.labels["le"])
            for one in samples(registry, f"{name}_bucket")
            if one.labels["le"] != "+Inf"
        ]
        for name in HISTOGRAMS
    }
    vllm_gaps = {
        0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
        20.0, 40.0, 80.0,
    }  # fmt: skip
    vllm = {
        FIRST_TOKEN: {
            0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5,
            10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
        },
        GAPS: vllm_gaps,
        PER_TOKEN: vllm_gaps,
        LATENCY: {
            0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0,
            120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0,
        },
    }  # fmt: skip
    assert {name: vllm[name] - set(bounds[name]) for name in HISTOGRAMS} == {
        name: set() for name in HISTOGRAMS
    }
    assert {bounds[name][0] for name in HISTOGRAMS} == {0.001}


@pytest.mark.parametrize("name", [name for name in vars(_buckets) if name.isupper()])
def test_bounds_of_buckets_rise(name: str) -> None:
    """Bounds are distinct and in order, as back ends demand."""
    bounds = getattr(_buckets, name)
    assert list(bounds) == sorted(set(bounds))


def test_bounds_of_the_conventions_are_theirs() -> None:
    """For the metrics of the GenAI conventions the bounds are the ones they advise."""
    assert _buckets.CONVENTIONS_SECONDS == (
        0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
    )  # fmt: skip
    assert _buckets.CONVENTIONS_TOKENS == (
        1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864,
    )  # fmt: skip


# --- which calls count ----------------------------------------------------------------------------


def test_a_value_has_no_first_token_time(registry: CollectorRegistry) -> None:
    """A call that gave a value records its latency and its tokens, and nothing of a stream."""
    exporter_on(registry)(
        result(
            streamed=False,
            time_to_first_token=1.75,
            time_per_output_token=None,
            inter_token_latencies=(),
        )
    )

    assert [observed(registry, name, TIMED) for name in HISTOGRAMS] == [[], [], [], [1, 1.75, 2.0]]
    assert value(registry, "tokenclock_tokens_total", {**CALL, "direction": "output"}) == 4


@pytest.mark.parametrize("outcome", ["stopped", "failed", "cancelled"])
def test_a_call_that_did_not_complete_has_no_latency(
    outcome: str, registry: CollectorRegistry
) -> None:
    """What arrived counts however the call ended; its latency only if it completed."""
    exporter_on(registry)(result(outcome=outcome))

    counts = [observed(registry, name, TIMED)[:1] for name in HISTOGRAMS]
    assert counts == [[1], [3], [1], []]
    assert value(registry, "tokenclock_calls_total", {**CALL, "outcome": outcome}) == 1


def test_what_is_unknown_is_not_recorded(registry: CollectorRegistry) -> None:
    """A number that is None makes no series, and never a 0."""
    exporter_on(registry)(
        result(
            outcome="unconsumed",
            generation_latency=0.0,
            time_to_first_token=None,
            time_per_output_token=None,
            inter_token_latencies=(),
            input_token_count=None,
            token_count=None,
        )
    )

    names = {one.name for metric in registry.collect() for one in metric.samples}
    assert names == {"tokenclock_calls_total", "tokenclock_calls_created"}


def test_a_snapshot_is_passed_over(registry: CollectorRegistry) -> None:
    """A snapshot of a running call records nothing: the call will be recorded when it ends."""
    exporter_on(registry)(result(outcome="running"))

    assert [one for metric in registry.collect() for one in metric.samples] == []


@pytest.mark.parametrize(("consumer_time", "limited"), [(0.125, "true"), (0.0625, "false")])
def test_calls_that_the_caller_slowed_are_set_apart(
    consumer_time: float, limited: str, registry: CollectorRegistry
) -> None:
    """Histograms say where the caller's own share was 5 % or more; counters need not."""
    exporter_on(registry)(result(consumer_time=consumer_time))

    apart = {**CALL, "consumer_limited": limited}
    assert [observed(registry, name, apart)[0] for name in HISTOGRAMS] == [1, 3, 1, 1]
    assert value(registry, "tokenclock_calls_total", {**CALL, "outcome": "completed"}) == 1


def test_a_record_is_exported_like_the_call_itself(
    registry: CollectorRegistry, tmp_path: Path
) -> None:
    """A result that was read back from a file makes the same series."""
    from prometheus_client import CollectorRegistry  # noqa: PLC0415 - an extra

    with JsonLinesSink(tmp_path / "runs.jsonl") as sink:
        sink(result())
    exporter_on(registry)(result())
    other = CollectorRegistry()
    exporter = exporter_on(other)
    for one in read_records(tmp_path / "runs.jsonl"):
        exporter(one)

    assert exposition(other) == exposition(registry)


# --- labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "model"),
    [
        ({"model": "llama-8b", "request_model": "llama"}, "llama"),
        ({"model": "llama-8b", "request_model": None}, "llama-8b"),
        ({"model": None, "request_model": "llama"}, "llama"),
        ({"model": None, "request_model": None}, ""),
    ],
)
def test_the_model_is_the_requested_one(
    fields: dict[str, Any], model: str, registry: CollectorRegistry
) -> None:
    """The label is the model as requested, else as reported: failures count for the same one."""
    exporter_on(registry)(result(**fields, provider=None))

    (sample,) = samples(registry, "tokenclock_calls_total")
    assert sample.labels == {
        "function": "demo.chat", "model": model, "provider": "", "outcome": "completed"
    }  # fmt: skip


OUTCOMES = ("cancelled", "completed", "failed", "stopped", "unconsumed")


def test_every_outcome_begins_at_0(registry: CollectorRegistry) -> None:
    """From its start a call's labels have every outcome, so that a rate sees the first failure."""

    @observe(name="demo.chat", model="llama", provider="local")
    def fails() -> None:
        assert exporter.flush()
        started.extend(outcomes())
        raise ConnectionError

    def outcomes() -> list[tuple[str, float | None]]:
        counts = [
            value(registry, "tokenclock_calls_total", {**CALL, "outcome": o}) for o in OUTCOMES
        ]
        return list(zip(OUTCOMES, counts, strict=True))

    started: list[tuple[str, float | None]] = []
    with exporter_on(registry) as exporter, pytest.raises(ConnectionError):
        fails()
    assert started == [(outcome, 0) for outcome in OUTCOMES]
    assert outcomes() == [(outcome, 1 if outcome == "failed" else 0) for outcome in OUTCOMES]


def test_a_sink_alone_begins_at_0_too(registry: CollectorRegistry) -> None:
    """Without the hook, the first result of some labels brings every outcome."""
    exporter_on(registry)(result())
    (calls,) = [metric for metric in registry.collect() if metric.name == "tokenclock_calls"]
    totals = [one for one in calls.samples if one.name == "tokenclock_calls_total"]
    assert sorted((one.labels["outcome"], one.value) for one in totals) == [
        (outcome, 1 if outcome == "completed" else 0) for outcome in OUTCOMES
    ]


def test_only_attributes_that_were_named_are_labels(registry: CollectorRegistry) -> None:
    """A named attribute is a label of every metric, empty where a call has none; others are not."""
    exporter = exporter_on(registry, labels=["tenant", "server.address"])
    exporter(result(attributes={"tenant": "acme", "server.address": "::1", "user": "u-1"}))
    exporter(result())

    assert [one.labels for one in samples(registry, "tokenclock_calls_total")] == [
        {**CALL, "outcome": "completed", "tenant": "acme", "server_address": "::1"},
        {**CALL, "outcome": "completed", "tenant": "", "server_address": ""},
    ]
    assert observed(registry, GAPS, {**TIMED, "tenant": "", "server_address": ""})[0] == 3
    assert "u-1" not in exposition(registry)


class Tier(str, enum.Enum):
    FREE = "free"


class Size(enum.IntEnum):
    SMALL = 1


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (True, "true"),
        (False, "false"),
        (1, "1"),
        (0.5, "0.5"),
        ("other", "other"),
        (Tier.FREE, "free"),
        (Size.SMALL, "1"),
        ("a" * 300, "a" * 200),
        ('quote " backslash \\', 'quote " backslash \\'),
        ("line\nbreak\x00 and \ud800", "linebreak and "),
    ],
)
def test_a_label_can_be_scraped_whatever_it_holds(
    given: Any, text: str, registry: CollectorRegistry
) -> None:
    """Values are text that the exposition can carry: cut, and without control characters."""
    from prometheus_client import parser  # noqa: PLC0415 - an extra

    exporter_on(registry, labels=["label"])(result(attributes={"label": given}))

    scraped = parser.text_string_to_metric_families(exposition(registry))
    values = {one.labels["label"] for metric in scraped for one in metric.samples}
    assert values == {text}


def test_a_label_has_so_many_values_and_then_others(registry: CollectorRegistry) -> None:
    """Beyond the limit further values are "other", with one warning; what is known stays."""
    exporter = exporter_on(registry, labels=["tenant"], max_label_values=2)
    exporter(result(attributes={"tenant": "a"}))
    exporter(result(attributes={"tenant": "b"}))
    with pytest.warns(TokenclockWarning) as warned:
        exporter(result(attributes={"tenant": "c"}))
    exporter(result(attributes={"tenant": "d"}))
    exporter(result(attributes={"tenant": "a"}))

    counts = {
        one.labels["tenant"]: one.value for one in samples(registry, "tokenclock_calls_total")
    }
    assert counts == {"a": 2, "b": 1, "other": 2}
    assert [str(one.message) for one in warned] == [
        (
            "The label 'tenant' of a Prometheus exporter has 2 values; further ones are exported "
            "as 'other', since each value makes new time series. Raise max_label_values=, or "
            "label calls with what has fewer values."
        )
    ]


@pytest.mark.parametrize("name", ["function", "model", "provider"])
def test_every_label_has_its_limit(name: str, registry: CollectorRegistry) -> None:
    """What a provider or a decorator says is limited too, each label for itself."""
    exporter = exporter_on(registry, max_label_values=1)
    exporter(result())
    with pytest.warns(TokenclockWarning, match=f"The label '{name}' of"):
        exporter(result(**{name: "another"}))

    labels = [one.labels for one in samples(registry, "tokenclock_calls_total")]
    assert labels == [
        {**CALL, "outcome": "completed"},
        {**CALL, "outcome": "completed", name: "other"},
    ]


def test_a_value_named_other_is_no_reason_to_warn(registry: CollectorRegistry) -> None:
    """A value that is "other" by itself is exported as what it is, whatever the limit."""
    exporter = exporter_on(registry, labels=["tenant"], max_label_values=1)
    exporter(result(attributes={"tenant": "a"}))
    exporter(result(attributes={"tenant": "other"}))

    tenants = [one.labels["tenant"] for one in samples(registry, "tokenclock_calls_total")]
    assert tenants == ["a", "other"]


def test_the_warning_is_logged_where_warnings_are_errors(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """Where warnings are errors the limit is logged, and the result is recorded all the same."""
    exporter = exporter_on(registry, max_label_values=1)
    exporter(result())
    with caplog.at_level(logging.WARNING, logger="tokenclock"):
        exporter(result(model="another"))

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert sum(one.value for one in samples(registry, "tokenclock_calls_total")) == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "tenant",
            (
                "Cannot export labels='tenant': it is no list of names. "
                "Pass the names of attributes, such as labels=['tenant']."
            ),
        ),
        (
            3,
            (
                "Cannot export labels=3: it is no list of names. "
                "Pass the names of attributes, such as labels=['tenant']."
            ),
        ),
        (
            ["tenant-id"],
            (
                "Cannot export 'tenant-id' as a label: a label of Prometheus is made of letters, "
                "digits and underscores, and begins with no digit and no two underscores. Give the "
                "attribute such a name; dots in it become underscores."
            ),
        ),
        (
            ["model"],
            (
                "Cannot export the attribute 'model' as a label: the exporter sets the label "
                "'model' itself. Give the attribute another name."
            ),
        ),
        (
            ["server.address", "server_address"],
            (
                "Cannot export the attribute 'server_address' as the label 'server_address': the "
                "attribute 'server.address' is that label already. Name one of the two."
            ),
        ),
    ],
)
def test_labels_that_cannot_be_are_refused(
    given: Any, message: str, registry: CollectorRegistry
) -> None:
    """A label that Prometheus does not take is refused when the exporter is made, and says why."""
    with pytest.raises(InvalidOptionError) as refused:
        exporter_on(registry, labels=given)

    assert str(refused.value) == message
    assert refused.value.option == "labels"


@pytest.mark.parametrize("name", [3, "", "1st", "__name", "a b", "ä", "name\n"])
def test_names_that_prometheus_does_not_take_are_refused(
    name: Any, registry: CollectorRegistry
) -> None:
    """A name is letters, digits and underscores, and does not begin with a digit or with two."""
    with pytest.raises(InvalidOptionError, match=r"^Cannot export .* as a label: a label of"):
        exporter_on(registry, labels=[name])


@pytest.mark.parametrize(
    "name", ["function", "provider", "le", "outcome", "direction", "consumer.limited"]
)
def test_names_that_the_exporter_sets_are_refused(name: str, registry: CollectorRegistry) -> None:
    """A label that some metric of the exporter has of its own cannot be the user's."""
    with pytest.raises(InvalidOptionError, match="the exporter sets the label"):
        exporter_on(registry, labels=[name])


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, None])
def test_a_limit_that_is_none_is_refused(limit: Any, registry: CollectorRegistry) -> None:
    """The limit is a positive whole number."""
    with pytest.raises(InvalidOptionError) as refused:
        exporter_on(registry, max_label_values=limit)

    assert str(refused.value) == (
        f"Cannot allow max_label_values={limit!r} values of a label: it is no positive whole "
        "number. Pass one, such as 100."
    )
    assert refused.value.option == "max_label_values"


# --- registries -----------------------------------------------------------------------------------


def test_without_a_registry_it_is_the_clients_own(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default registry is the one that the client exposes."""
    import prometheus_client  # noqa: PLC0415 - an extra

    from tokenclock.exporters import prometheus  # noqa: PLC0415 - an extra

    assert vars(prometheus)["REGISTRY"] is prometheus_client.REGISTRY
    monkeypatch.setattr(prometheus, "REGISTRY", registry)
    exporter_on(None)(result())

    assert value(registry, "tokenclock_calls_total", {**CALL, "outcome": "completed"}) == 1


def test_two_exporters_do_not_share_a_registry(registry: CollectorRegistry) -> None:
    """The second exporter of a registry is refused with the remedy, and the first goes on."""
    first = exporter_on(registry)
    with pytest.raises(InvalidOptionError) as refused:
        exporter_on(registry)
    first(result())

    message = str(refused.value)
    assert message.startswith("Cannot register the metrics of this exporter: Duplicated timeseries")
    assert message.endswith(
        ". The registry has an exporter already, or metrics of the same names. Use the exporter "
        "that is there, unregister() it, or give this one a registry: "
        "registry=CollectorRegistry()."
    )
    assert refused.value.option == "registry"
    assert value(registry, "tokenclock_calls_total", {**CALL, "outcome": "completed"}) == 1


def test_a_registry_that_is_refused_stays_as_it_was(registry: CollectorRegistry) -> None:
    """Where one metric's name is taken, none is registered."""
    from prometheus_client import Gauge  # noqa: PLC0415 - an extra

    Gauge("tokenclock_calls_in_flight", "A user's own.", registry=registry).set(7)
    with pytest.raises(InvalidOptionError):
        exporter_on(registry)

    assert [metric.name for metric in registry.collect()] == ["tokenclock_calls_in_flight"]
    assert value(registry, "tokenclock_calls_in_flight", {}) == 7


def test_what_is_no_registry_is_refused() -> None:
    """A registry is the client's; anything else is refused at once."""
    with pytest.raises(InvalidOptionError) as refused:
        exporter_on("default")  # type: ignore[arg-type]  # on purpose

    assert str(refused.value) == (
        "Cannot register metrics with 'default': it is no CollectorRegistry. "
        "Pass one, or None for prometheus_client.REGISTRY."
    )
    assert refused.value.option == "registry"


def test_without_the_client_the_import_says_what_to_install() -> None:
    """Where prometheus_client is missing the error names the extra."""
    printed = run_python(
        "import sys\n"
        "sys.modules['prometheus_client'] = None\n"
        "try:\n"
        "    import tokenclock.exporters.prometheus\n"
        "except ImportError as error:\n"
        "    print(type(error).__name__, error.extra, error)\n"
    )
    assert printed == (
        "MissingExtraError prometheus The Prometheus exporter needs prometheus_client, which is "
        "not installed. Install it with: pip install 'tokenclock[prometheus]'.\n"
    )


# --- gaps in bulk ---------------------------------------------------------------------------------


def histogram(bounds: Sequence[float] = _buckets.INTER_TOKEN) -> Histogram:
    from prometheus_client import Histogram  # noqa: PLC0415 - an extra

    return Histogram("gaps", "Gaps.", registry=None, buckets=bounds)


class NotToday:
    """A histogram of a client that keeps its parts elsewhere: observing is all there is."""

    def __init__(self, histogram: Histogram, **parts: Any) -> None:
        self.observe = histogram.observe
        self.__dict__.update(parts)


def exposed(histogram: Histogram) -> list[tuple[str, dict[str, str], float]]:
    (metric,) = histogram.collect()
    return [
        (one.name, one.labels, one.value)
        for one in metric.samples
        if not one.name.endswith("_created")
    ]


def test_todays_client_takes_gaps_in_bulk() -> None:
    """With the client installed here a stream's gaps cost one increment for each bucket."""
    gaps = histogram()
    bulk = BulkHistogram(gaps, _buckets.INTER_TOKEN)
    increments: list[float] = []
    for part in [*gaps._buckets, gaps._sum]:
        part.inc = increments.append
    bulk.observe_all([0.25] * 1000 + [0.5] * 500)

    assert bulk.takes_many
    assert increments == [500.0, 1000, 500]


@given(st.lists(st.one_of(st.integers(0, 2**20).map(lambda n: n / 1024), st.just(0.25))))
def test_in_bulk_is_as_one_by_one(values: list[float]) -> None:
    """Every list of gaps makes the same series, in bulk and observed one by one."""
    bounds = (0.25, 0.5, 1.0, 64.0, 512.0)
    one_by_one, in_bulk, unlike_today = histogram(bounds), histogram(bounds), histogram(bounds)
    for number in values:
        one_by_one.observe(number)
    BulkHistogram(in_bulk, bounds).observe_all(values)
    BulkHistogram(NotToday(unlike_today), bounds).observe_all(values)

    assert exposed(in_bulk) == exposed(unlike_today) == exposed(one_by_one)


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"_buckets": None},
        {"_buckets": [1, 2]},
        {"_upper_bounds": [0.5, 1.0]},
        {"_upper_bounds": None},
        {"_buckets": []},
        {"_sum": 3.0},
    ],
)
def test_a_client_that_changed_is_observed_one_by_one(parts: dict[str, Any]) -> None:
    """Where the client's parts are not as expected each gap is observed: slower, and as right."""
    bounds = (0.5, 1.0)
    gaps = histogram(bounds)
    found = {"_buckets": gaps._buckets, "_sum": gaps._sum, "_upper_bounds": gaps._upper_bounds}
    bulk = BulkHistogram(NotToday(gaps, **({**found, **parts} if parts else {})), bounds)
    bulk.observe_all([0.5, 0.75, 2.0])

    assert not bulk.takes_many
    assert [number for _, _, number in exposed(gaps)] == [1, 2, 3, 3, 3.25]


# --- exemplars ------------------------------------------------------------------------------------


def exemplars(registry: CollectorRegistry) -> list[tuple[str, str, float, dict[str, str]]]:
    """Give each exemplar: its metric, the bound of its bucket, its value, its labels."""
    return [
        (metric.name, one.labels["le"], one.exemplar.value, one.exemplar.labels)
        for metric in registry.collect()
        for one in metric.samples
        if one.exemplar
    ]


@pytest.fixture
def in_a_span() -> Callable[..., Any]:
    """Give a function that gives a context manager: inside it a span is current."""
    from opentelemetry import trace  # noqa: PLC0415 - an extra

    def current(*, sampled: bool = True) -> Any:
        context = trace.SpanContext(
            trace_id=0xABC, span_id=0xDEF, is_remote=False, trace_flags=trace.TraceFlags(sampled)
        )
        return trace.use_span(trace.NonRecordingSpan(context))

    return current


def test_exemplars_link_to_the_current_span(
    registry: CollectorRegistry, in_a_span: Callable[..., Any]
) -> None:
    """Each histogram has the ids of the span, of the gaps at the largest."""
    with in_a_span():
        exporter_on(registry, exemplars=True)(result())

    ids = {"trace_id": "0" * 29 + "abc", "span_id": "0" * 13 + "def"}
    assert exemplars(registry) == [
        (FIRST_TOKEN, "0.5", 0.5, ids),
        (GAPS, "0.5", 0.5, ids),
        (PER_TOKEN, "0.4", 0.3125, ids),
        (LATENCY, "2.0", 1.75, ids),
    ]
    assert observed(registry, GAPS, TIMED) == [3, 1.0, 0.3, 0.5]


def test_exemplars_are_in_the_openmetrics_exposition(
    registry: CollectorRegistry, in_a_span: Callable[..., Any]
) -> None:
    """The OpenMetrics text carries them; the plain text of Prometheus cannot."""
    from prometheus_client.openmetrics.exposition import (  # noqa: PLC0415 - an extra
        generate_latest,
    )

    with in_a_span():
        exporter_on(registry, exemplars=True)(result())

    assert "trace_id" not in exposition(registry)
    text = generate_latest(registry).decode()  # type: ignore[no-untyped-call]  # it has no types
    (line,) = [
        one
        for one in text.splitlines()
        if one.startswith(f"{FIRST_TOKEN}_bucket") and "trace_id" in one
    ]
    assert line.partition(" # ")[2].startswith(
        '{span_id="0000000000000def",trace_id="00000000000000000000000000000abc"} 0.5 '
    )


@pytest.mark.parametrize(
    ("wanted", "sampled", "has_span"),
    [(False, True, True), (True, False, True), (True, True, False)],
    ids=["not asked for", "not sampled", "no span"],
)
def test_there_is_no_exemplar_of_a_span_that_is_not_kept(
    wanted: bool,  # noqa: FBT001 - of a test's own
    sampled: bool,  # noqa: FBT001 - as above
    has_span: bool,  # noqa: FBT001 - as above
    registry: CollectorRegistry,
    in_a_span: Callable[..., Any],
) -> None:
    """Only a sampled span that is there is linked, and only if the user asked for it."""
    exporter = exporter_on(registry, exemplars=wanted)
    if has_span:
        with in_a_span(sampled=sampled):
            exporter(result())
    else:
        exporter(result())

    assert exemplars(registry) == []
    assert observed(registry, GAPS, TIMED) == [3, 1.0, 0.3, 0.5]


def test_a_program_without_opentelemetry_has_no_exemplars(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exporter does not import OpenTelemetry: where nobody has, there is no span."""
    monkeypatch.delitem(sys.modules, "opentelemetry.trace", raising=False)
    exporter_on(registry, exemplars=True)(result())

    assert "opentelemetry.trace" not in sys.modules
    assert exemplars(registry) == []


# --- calls in flight ------------------------------------------------------------------------------


def in_flight(
    registry: CollectorRegistry, exporter: PrometheusMetrics | None = None
) -> list[tuple[dict[str, str], float]]:
    """Give the gauges, when the thread of *exporter* has written them."""
    assert exporter is None or exporter.flush()
    return [(one.labels, one.value) for one in samples(registry, "tokenclock_calls_in_flight")]


def test_calls_in_flight_are_counted(registry: CollectorRegistry) -> None:
    """The gauge counts a call from its start to its end, however it ends."""
    script = Script([(0.5, "a"), (0.25, "b")], clock=FakeClock())
    streams = observe(script.generator, name="demo.chat", model="llama", provider="local")
    with exporter_on(registry) as exporter:
        first, second, third = streams(), streams(), streams()
        assert in_flight(registry, exporter) == [(CALL, 3)]
        list(first)
        assert in_flight(registry, exporter) == [(CALL, 2)]
        next(second)
        second.close()
        third.close()
        assert in_flight(registry, exporter) == [(CALL, 0)]


def test_the_gauge_takes_no_place_of_a_result(registry: CollectorRegistry) -> None:
    """A queue with room for one result has it also while a gauge waits to be written."""
    exporter = exporter_on(registry).install(max_queue=1)
    for _ in range(20):
        list(observe(iter, name="demo.chat")("ab"))
        assert exporter.flush()
    assert exporter.uninstall()
    assert exporter.dropped == 0


def test_calls_under_way_at_uninstall_are_counted_down(registry: CollectorRegistry) -> None:
    """A call that ends after the exporter was taken out is no longer in flight."""
    stream = observe(iter, name="demo.chat", model="llama", provider="local")("ab")
    with exporter_on(registry) as exporter:
        under_way = observe(iter, name="demo.chat", model="llama", provider="local")("ab")
    assert in_flight(registry) == [(CALL, 1)]
    list(under_way)
    list(stream)
    assert in_flight(registry, exporter) == [(CALL, 0)]


def test_calls_in_flight_have_the_labels_of_the_call(registry: CollectorRegistry) -> None:
    """The gauge has the requested model and the call's attributes; down goes what went up."""

    @observe(name="demo.chat")
    def chat(*, model: str) -> Generator[str, None, None]:
        yield from "ab"

    with exporter_on(registry, labels=["tenant"]) as exporter, labels(tenant="acme"):
        stream = chat(model="llama")
        own = {**CALL, "provider": "", "tenant": "acme"}
        assert in_flight(registry, exporter) == [(own, 1)]
        with labels(tenant="another"):
            list(stream)
        assert in_flight(registry, exporter) == [(own, 0)]


def test_without_install_there_is_no_gauge(registry: CollectorRegistry) -> None:
    """As a plain sink the exporter records calls when they end, and none in flight."""
    add_sink(exporter_on(registry))
    list(observe(iter, name="demo.chat")("ab"))

    assert in_flight(registry) == []
    assert sum(one.value for one in samples(registry, "tokenclock_calls_total")) == 1


def test_an_installed_exporter_records_what_finished(registry: CollectorRegistry) -> None:
    """On leaving the block everything that finished inside it is in the registry."""
    script = Script([(0.5, "a"), (0.25, "b")], clock=FakeClock())
    stream = observe(
        script.generator, name="demo.chat", model="llama", provider="local", clock=script.clock
    )
    with exporter_on(registry) as exporter:
        for _ in range(10):
            list(stream())
    list(stream())

    assert observed(registry, FIRST_TOKEN, TIMED) == [10, 5.0, 0.5]
    assert observed(registry, GAPS, TIMED) == [10, 2.5, 0.3]
    assert observed(registry, LATENCY, TIMED) == [10, 7.5, 0.8]
    assert in_flight(registry) == [(CALL, 0)]
    assert (exporter.dropped, exporter.failed) == (0, 0)


# --- threads and forks ----------------------------------------------------------------------------


def in_eight_threads(work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_eight_threads_lose_nothing(registry: CollectorRegistry) -> None:
    """Totals are exact when many threads record at once, new labels among it."""
    exporter = exporter_on(registry, labels=["tenant"], max_label_values=10)
    begin = threading.Barrier(8)

    def work(_: int) -> None:
        begin.wait()
        for number in range(100):
            exporter(result(attributes={"tenant": number % 10}))

    in_eight_threads(work)

    calls = samples(registry, "tokenclock_calls_total")
    assert {one.labels["tenant"]: one.value for one in calls} == {str(n): 80 for n in range(10)}
    for tenant in map(str, range(10)):
        of_tenant = {**TIMED, "tenant": tenant}
        assert observed(registry, FIRST_TOKEN, of_tenant) == [80, 40.0, 0.5]
        assert observed(registry, GAPS, of_tenant) == [240, 80.0, 0.3, 0.5]


def test_many_threads_admit_no_value_too_many(registry: CollectorRegistry) -> None:
    """The limit holds when threads bring new values at once, and one of them warns."""
    exporter = exporter_on(registry, labels=["tenant"], max_label_values=5)
    begin = threading.Barrier(8)

    def work(worker: int) -> None:
        begin.wait()
        for number in range(20):
            exporter(result(attributes={"tenant": f"{worker}-{number}"}))

    with pytest.warns(TokenclockWarning, match="The label 'tenant' of") as warned:
        in_eight_threads(work)

    counts = [one.value for one in samples(registry, "tokenclock_calls_total")]
    assert (len(counts), sum(counts), len(warned)) == (6, 160, 1)


IN_A_FORK = """
import os
import signal
import threading
import prometheus_client
import tokenclock
from tokenclock.exporters.prometheus import PrometheusMetrics

exporter = PrometheusMetrics().install()
chat = tokenclock.observe(lambda: iter("abc"), name="chat")
LABELS = {"function": "chat", "model": "", "provider": ""}

def value(name, **labels):
    return prometheus_client.REGISTRY.get_sample_value(name, {**LABELS, **labels})

def child_prints(work):
    pid = os.fork()
    if not pid:
        signal.alarm(30)  # one that is stuck ends
        print(work(), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
"""


def test_a_forked_child_has_no_calls_of_the_parents_in_flight() -> None:
    """In a child the gauge begins at 0, counts the child's calls, and the parent's is as before."""
    printed = run_python(
        IN_A_FORK
        + """
def work():
    at_first = in_flight()
    list(stream)  # the parent's, which ends unheard in here
    own = chat()
    with_own = in_flight()
    list(own)
    return at_first, with_own, in_flight()

def in_flight():
    assert exporter.flush()
    return value("tokenclock_calls_in_flight")

stream = chat()
next(stream)
print(in_flight(), flush=True)  # or the child prints it, too
child_prints(work)
print(in_flight())
list(stream)
print(in_flight())
""",
        forks=True,
    )
    assert printed == "1.0\n(0.0, 1.0, 0.0)\n1.0\n0.0\n"


def test_what_a_fork_forgets_is_the_calls_in_flight(registry: CollectorRegistry) -> None:
    """Around a fork the locks are taken and given back, and in the child the gauge is set to 0."""
    streams = observe(iter, name="demo.chat", model="llama", provider="local")
    with exporter_on(registry) as exporter:
        stream = streams("ab")
        assert in_flight(registry, exporter) == [(CALL, 1)]
        _forking._before()
        _forking._after_in_child()
        assert in_flight(registry, exporter) == [(CALL, 0)]
        in_eight_threads(lambda _: exporter(result()))
    del stream

    assert value(registry, "tokenclock_calls_total", {**CALL, "outcome": "completed"}) == 8


def test_a_fork_amid_recording_leaves_no_lock_taken() -> None:
    """Children that are forked while threads record and count can record and count themselves."""
    printed = run_python(
        IN_A_FORK
        + """
def keep_on():
    while not enough.is_set():
        list(chat())
        if exporter._background.pending > 1000:
            exporter.flush()

def work():
    list(chat())
    return exporter.flush(), value("tokenclock_calls_in_flight")

enough = threading.Event()
threads = [threading.Thread(target=keep_on, daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()
for _ in range(20):
    child_prints(work)
enough.set()
for thread in threads:
    thread.join()
""",
        forks=True,
    )
    assert printed == "(True, 0.0)\n" * 20


def test_a_collector_that_strikes_at_any_allocation_does_not_deadlock() -> None:
    """Streams that are dropped in cycles while others record are recorded, and none is stuck."""
    printed = run_python(
        IN_A_FORK
        + """
import gc
from tokenclock.testing import settle

def drop_in_a_cycle():
    stream = tokenclock.measure(chat())
    next(stream)
    cycle = [stream]
    cycle.append(cycle)

gc.set_threshold(1, 1, 1)
for _ in range(50):
    drop_in_a_cycle()
    list(chat())
gc.set_threshold(700)
for _ in range(100):
    gc.collect()  # does nothing while another thread is collecting
    settle()
    if value("tokenclock_calls_in_flight") == 0:
        break
print(exporter.flush(), value("tokenclock_calls_in_flight"))
print(*(value("tokenclock_calls_total", outcome=one) for one in ("completed", "stopped")))
"""
    )
    assert printed == "True 0.0\n50.0 50.0\n"
