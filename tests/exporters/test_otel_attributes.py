"""What OpenTelemetry is told of a call: which attributes, and which it is not told."""

from __future__ import annotations

from datetime import datetime, timezone
from importlib import metadata
from typing import Any

import pytest

from tokenclock import MetricsResult
from tokenclock.errors import InvalidOptionError
from tokenclock.exporters._otel_attributes import (
    checked_names,
    checked_operation,
    checked_semconv,
    exportable,
    installed_version,
    metric_attributes,
    provider_name,
    request_attributes,
)


def result(**fields: Any) -> MetricsResult[Any]:
    """Give the result of a stream of one second."""
    known: dict[str, Any] = {
        "function": "answer", "call_id": "1-1", "streamed": True, "outcome": "completed",
        "started_at": datetime(2026, 1, 1, tzinfo=timezone.utc), "generation_latency": 1.0,
    }  # fmt: skip
    return MetricsResult(**{**known, **fields})


def of(fields: dict[str, Any], *, names: tuple[str, ...] = ()) -> dict[str, Any]:
    return metric_attributes(result(**fields), names=names, operation="chat")


def test_of_a_bare_call_only_what_is_known_is_told() -> None:
    """What a call does not know is left out, not told as an empty text."""
    assert of({}) == {
        "gen_ai.operation.name": "chat",
        "tokenclock.function": "answer",
        "tokenclock.outcome": "completed",
    }


def test_what_a_call_knows_is_told_in_the_words_of_the_conventions() -> None:
    """Operation, provider, both models and the server have the conventions' names."""
    call = {
        "operation": "text_completion",
        "provider": "openai",
        "request_model": "gpt",
        "model": "gpt-2026",
        "attributes": {"server.address": "127.0.0.1", "server.port": 8080},
    }
    assert of(call) == {
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt",
        "gen_ai.response.model": "gpt-2026",
        "server.address": "127.0.0.1",
        "server.port": 8080,
        "tokenclock.function": "answer",
        "tokenclock.outcome": "completed",
    }


def test_the_start_of_a_call_tells_what_is_known_then() -> None:
    """What is asked for is known at the start, what came of it is not."""
    known = request_attributes(
        operation="chat",
        provider="mistralai",
        request_model="large",
        call_attributes={"tenant": "acme", "user": "u-1", "server.address": "localhost"},
        names=("tenant",),
    )
    assert known == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "mistral_ai",
        "gen_ai.request.model": "large",
        "server.address": "localhost",
        "tenant": "acme",
    }


def test_attributes_are_told_only_when_named() -> None:
    """Of the labels of a call those leave that the user names, under their own names."""
    labelled = {"attributes": {"tenant": "acme", "user": "u-1", "beta": True, "share": 0.5}}

    assert set(of(labelled)) == {
        "gen_ai.operation.name", "tokenclock.function", "tokenclock.outcome"
    }  # fmt: skip
    told = of(labelled, names=("tenant", "beta", "share", "missing"))
    assert {name: told[name] for name in ("tenant", "beta", "share")} == {
        "tenant": "acme", "beta": True, "share": 0.5
    }  # fmt: skip
    assert "missing" not in told
    assert "user" not in told


@pytest.mark.parametrize(
    ("outcome", "error", "told"),
    [
        ("failed", "openai.RateLimitError", "openai.RateLimitError"),
        ("failed", None, "_OTHER"),
        ("cancelled", "asyncio.exceptions.CancelledError", None),
        ("stopped", None, None),
        ("completed", None, None),
    ],
)
def test_only_a_failure_has_an_error_type(
    outcome: str, error: str | None, told: str | None
) -> None:
    """A cancellation and a caller that stops are no errors; the outcome tells them apart."""
    attributes = of({"outcome": outcome, "error": error})

    assert attributes.get("error.type") == told
    assert attributes["tokenclock.outcome"] == outcome


@pytest.mark.parametrize(("consumer_time", "told"), [(0.049, None), (0.05, True), (0.9, True)])
def test_a_call_that_its_caller_slowed_down_says_so(consumer_time: float, told: Any) -> None:
    """From a share of 5 % on the call is told apart; below, the attribute is not there."""
    attributes = of({"consumer_time": consumer_time})

    assert attributes.get("tokenclock.consumer_limited") is told


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("openai", "openai"),
        ("azure.ai.openai", "azure.ai.openai"),
        ("mistralai", "mistral_ai"),
        ("google", "gcp.gen_ai"),
        ("vertexai", "gcp.vertex_ai"),
        ("boto3", "aws.bedrock"),
        ("botocore", "aws.bedrock"),
        ("aiobotocore", "aws.bedrock"),
        ("azure", "azure.ai.inference"),
        ("ibm_watsonx_ai", "ibm.watsonx.ai"),
        ("xai_sdk", "x_ai"),
        ("litellm", "litellm"),
    ],
)
def test_providers_have_the_names_of_the_conventions(package: str, name: str) -> None:
    """A package that the conventions call otherwise is called so; any other name stays."""
    assert provider_name(package) == name


@pytest.mark.extras
def test_the_mapped_names_are_those_of_the_conventions() -> None:
    """Every name that a package is given is one of the conventions' well-known values."""
    from opentelemetry.semconv._incubating.attributes import (  # noqa: PLC0415 - an extra
        gen_ai_attributes,
    )

    from tokenclock.exporters import _otel_attributes  # noqa: PLC0415 - the table itself

    known = {one.value for one in gen_ai_attributes.GenAiProviderNameValues}
    assert set(_otel_attributes._PROVIDERS.values()) <= known


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("café", "café"),
        ("caf\ud800é", "caf?é"),
        (2**63 - 1, 2**63 - 1),
        (2**63, "9223372036854775808"),
        (-(2**63), -(2**63)),
        (-(2**63) - 1, "-9223372036854775809"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        (0.5, 0.5),
        (True, True),
    ],
)
def test_what_otlp_cannot_carry_becomes_text_that_it_can(value: Any, told: Any) -> None:
    """A label that cannot be encoded is mended: it would keep every later batch from leaving."""
    assert exportable(value) == told
    assert type(exportable(value)) is type(told)


def test_every_text_of_a_call_is_mended() -> None:
    """Names are data from strangers, wherever they stand."""
    odd = "\udcff"
    fields = {
        "function": odd,
        "operation": odd,
        "provider": odd,
        "request_model": odd,
        "model": odd,
    }
    told = of(
        {**fields, "outcome": "failed", "error": odd, "attributes": {"tenant": odd}},
        names=("tenant",),
    )
    del told["tokenclock.outcome"]
    assert set(told.values()) == {"?"}
    assert len(told) == 7


def test_names_are_taken_once_in_their_order() -> None:
    """The same name twice is one attribute."""
    assert checked_names(iter(["b", "a", "b", "server.port"])) == ("b", "a", "server.port")


@pytest.mark.parametrize("names", ["tenant", None, 3])
def test_what_is_no_list_of_names_is_refused(names: Any) -> None:
    """A lone text would be taken letter by letter."""
    message = r"^Cannot export attributes=.*: it is no list of names\. Pass a list, such as"
    with pytest.raises(InvalidOptionError, match=message) as caught:
        checked_names(names)
    assert caught.value.option == "attributes"


@pytest.mark.parametrize("name", ["", None, 3, "ten\nant", "\ud800"])
def test_what_is_no_name_is_refused(name: Any) -> None:
    """A name is text that can be printed."""
    message = r"^Cannot export the attribute .*: it is no name\. Pass the names of labels"
    with pytest.raises(InvalidOptionError, match=message) as caught:
        checked_names([name])
    assert caught.value.option == "attributes"


@pytest.mark.parametrize(
    "name", ["error.type", "gen_ai.request.model", "gen_ai.mine", "tokenclock.outcome"]
)
def test_a_name_with_a_meaning_of_its_own_is_refused(name: str) -> None:
    """No label passes for what the conventions or tokenclock say of a call."""
    message = r"^Cannot export the attribute .*: that name says something of its own .* Label calls"
    with pytest.raises(InvalidOptionError, match=message) as caught:
        checked_names(["tenant", name])
    assert caught.value.option == "attributes"


@pytest.mark.parametrize("semconv", ["newest", None, ["latest"]])
def test_an_unknown_set_of_names_is_refused(semconv: Any) -> None:
    """There are two sets of names, and no third."""
    message = (
        r"^Cannot name metrics and spans by semconv=.*: there is no such set .* Pass 'released'"
    )
    with pytest.raises(InvalidOptionError, match=message) as caught:
        checked_semconv(semconv)
    assert caught.value.option == "semconv"


@pytest.mark.parametrize("operation", ["", None, 3])
def test_what_names_no_operation_is_refused(operation: Any) -> None:
    """The conventions require a name of what was done."""
    message = r"^Cannot use operation=.*: it is no name of what calls do\. Pass one of the GenAI"
    with pytest.raises(InvalidOptionError, match=message) as caught:
        checked_operation(operation)
    assert caught.value.option == "operation"


def test_a_program_without_metadata_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tokenclock was bundled without its metadata, the version is unknown, not an error."""
    assert installed_version() == metadata.version("tokenclock")

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert installed_version() is None
