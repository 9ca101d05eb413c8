"""What OpenTelemetry is told of a call, in the words of the GenAI semantic conventions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from tokenclock._texts import is_callers_doing
from tokenclock.errors import InvalidOptionError

if TYPE_CHECKING:
    from tokenclock._attributes import AttributeValue
    from tokenclock._result import MetricsResult

Semconv = Literal["released", "latest"]

SCOPE = "tokenclock"

# The newest conventions have been released nowhere yet, so no schema describes them.
SCHEMA_URLS: dict[Semconv, str | None] = {
    "released": "https://opentelemetry.io/schemas/1.41.0",
    "latest": None,
}

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
STREAM = "gen_ai.request.stream"
SERVER = ("server.address", "server.port")
ERROR_TYPE = "error.type"
# What the conventions call an error of which nothing is known.
OTHER_ERROR = "_OTHER"

FUNCTION = "tokenclock.function"
OUTCOME = "tokenclock.outcome"
CONSUMER_LIMITED = "tokenclock.consumer_limited"

# Packages whose clients the conventions call otherwise. Which of Google's services a client of
# ``google.genai`` talks to, its package does not tell.
_PROVIDERS = {
    "aiobotocore": "aws.bedrock",
    "azure": "azure.ai.inference",
    "boto3": "aws.bedrock",
    "botocore": "aws.bedrock",
    "google": "gcp.gen_ai",
    "ibm_watsonx_ai": "ibm.watsonx.ai",
    "mistralai": "mistral_ai",
    "vertexai": "gcp.vertex_ai",
    "xai_sdk": "x_ai",
}

_RESERVED = ("gen_ai.", "tokenclock.")
_INT64 = 2**63


def metric_attributes(
    result: MetricsResult[Any], *, names: Iterable[str], operation: str
) -> dict[str, AttributeValue]:
    """
    Give the attributes that every metric of a call carries.

    Args:
        result: Of the call.
        names: Of the call's own attributes that are exported.
        operation: What was done, where the call does not say.
    """
    known = request_attributes(
        operation=result.operation or operation,
        provider=result.provider,
        request_model=result.request_model,
        call_attributes=result.attributes,
        names=names,
    )
    known.update(result_attributes(result))
    return known


def request_attributes(
    *,
    operation: str,
    provider: str | None,
    request_model: str | None,
    call_attributes: Mapping[str, AttributeValue],
    names: Iterable[str],
) -> dict[str, AttributeValue]:
    """Give what is known of a call when it starts; what is not known is left out."""
    known: dict[str, AttributeValue] = {OPERATION: exportable(operation)}
    if provider:
        known[PROVIDER] = exportable(provider_name(provider))
    if request_model:
        known[REQUEST_MODEL] = exportable(request_model)
    for name in (*SERVER, *names):
        if name in call_attributes:
            known[name] = exportable(call_attributes[name])
    return known


def result_attributes(result: MetricsResult[Any]) -> dict[str, AttributeValue]:
    """Give what is known of a call when it is over."""
    known: dict[str, AttributeValue] = {
        FUNCTION: exportable(result.function),
        OUTCOME: result.outcome,
    }
    if result.model:
        known[RESPONSE_MODEL] = exportable(result.model)
    if result.outcome == "failed":
        known[ERROR_TYPE] = exportable(result.error or OTHER_ERROR)
    if is_callers_doing(result):
        known[CONSUMER_LIMITED] = True
    return known


def provider_name(provider: str) -> str:
    """
    Give the conventions' name of a provider that is known by its package.

    >>> provider_name("mistralai"), provider_name("openai"), provider_name("mine")
    ('mistral_ai', 'openai', 'mine')
    """
    return _PROVIDERS.get(provider, provider)


def exportable(value: AttributeValue) -> AttributeValue:
    r"""
    Give a value that OTLP can carry.

    One value that it cannot carry would keep every later batch of the process from leaving, and
    of a number that does not equal itself each measurement would be a series of its own.

    >>> exportable("caf\u00e9 \ud800"), exportable(2**64), exportable(float("nan")), exportable(7)
    ('café ?', '18446744073709551616', 'nan', 7)
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if -_INT64 <= value < _INT64 else str(value)


def installed_version() -> str | None:
    """Give tokenclock's version; ``None`` where it was bundled without its metadata."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - milliseconds

    try:
        return version("tokenclock")
    except PackageNotFoundError:
        return None


def checked_semconv(semconv: Semconv) -> Semconv:
    """Refuse what is neither set of names."""
    if semconv not in ("released", "latest"):
        msg = (
            f"Cannot name metrics and spans by semconv={semconv!r}: there is no such set of the "
            "GenAI conventions. Pass 'released' for the names of their last release, or 'latest' "
            "for the newest."
        )
        raise InvalidOptionError(msg, option="semconv")
    return semconv


def checked_operation(operation: str) -> str:
    """Refuse what is no name of an operation."""
    if not isinstance(operation, str) or not operation:  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = (
            f"Cannot use operation={operation!r}: it is no name of what calls do. Pass one of the "
            "GenAI conventions, such as 'chat' or 'text_completion', or one of your own."
        )
        raise InvalidOptionError(msg, option="operation")
    return operation


def checked_names(attributes: Iterable[str]) -> tuple[str, ...]:
    """Give the names of the attributes to export, each once; refuse what cannot be one."""
    if isinstance(attributes, str) or not isinstance(attributes, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = (
            f"Cannot export attributes={attributes!r}: it is no list of names. "
            "Pass a list, such as attributes=['tenant']."
        )
        raise InvalidOptionError(msg, option="attributes")
    return tuple(dict.fromkeys(_checked_name(name) for name in attributes))


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not name or not name.isprintable():
        msg = (
            f"Cannot export the attribute {name!r}: it is no name. "
            "Pass the names of labels that calls carry, such as 'tenant'."
        )
        raise InvalidOptionError(msg, option="attributes")
    if name == ERROR_TYPE or name.startswith(_RESERVED):
        msg = (
            f"Cannot export the attribute {name!r}: that name says something of its own in the "
            "telemetry of a call. Label calls with another name, such as 'my.model'."
        )
        raise InvalidOptionError(msg, option="attributes")
    return name
