"""MetricsResult: everything that was observed of one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from tokenclock import _texts
from tokenclock._attributes import Attributes, AttributeValue
from tokenclock._reading import TokenSource  # noqa: TC001 - typing.get_type_hints needs it
from tokenclock._service_level import ServiceLevel, check_service_level, meets
from tokenclock._timeline import NO_GAPS, Timeline, TokenGaps
from tokenclock.errors import InvalidRecordError

T_co = TypeVar("T_co", covariant=True)

Outcome = Literal["completed", "stopped", "failed", "cancelled", "unconsumed", "running"]


@dataclass(frozen=True, kw_only=True)
class MetricsResult(Generic[T_co]):
    """
    What was observed of one call, from its start to its end.

    Times are seconds, rates are tokens per second. What was not observed is ``None``, never 0.
    Start is when the function's own code could first run: the call for an ordinary function,
    the first await for a coroutine function, the first request for a generator function.
    End is when the value was returned, the stream was exhausted or it raised; a stream that the
    caller stopped early ended at the last thing it produced.
    ``str(result)`` is the three-line text.

    Attributes:
        function: What ran: ``module.qualname``, or the option ``name``.
        call_id: This call's id, unique across processes.
        parent_id: The id of the measured call inside which this one started, else ``None``.
        started_at: Aware UTC time of the start (of the call, if it never started).
        streamed: Whether the call gave a stream; ``False`` for a value.
        outcome: ``"completed"``, ``"stopped"`` (the caller closed, broke out or dropped it),
            ``"failed"``, ``"cancelled"``, ``"unconsumed"`` (never asked) or ``"running"``
            (a snapshot of a stream that goes on).
        error: Qualified name of the type of the exception that ended it, else ``None``.
        generation_latency: End - start, elapsed.
        time_to_first_chunk: First item of any kind - start. ``None`` without an item, and for a
            value.
        time_to_first_token: First token-bearing chunk, reasoning included, - start. For a
            value that is ``generation_latency``. ``None`` without a token.
        time_to_first_output_token: First token-bearing chunk that is not reasoning - start.
            ``None`` without one, and for a value.
        time_to_last_token: Last token-bearing chunk - start. ``None`` without one, and for a
            value.
        throughput: ``token_count / generation_latency``. ``None`` if tokens are unknown or no
            time passed.
        token_count: Tokens generated, reasoning included; ``None`` if unknown.
        token_source: Who counted: ``"counted"`` (``count_tokens`` or ``read_chunk``),
            ``"usage"`` (the provider), ``"length"`` (of a returned list), ``"chunks"``
            (token-bearing chunks) or ``"items"`` (chunks, of which some had no known shape).
        chunk_count: Items of any kind; 0 for a value.
        token_chunk_count: Token-bearing items; 0 for a value.
        time_per_output_token: ``(time_to_last_token - time_to_first_token)`` divided by
            ``token_count`` less the tokens of the first token-bearing chunk (1 where unknown)
            and less the reasoning tokens that only usage reports. ``None`` with fewer than two
            token-bearing chunks, where nothing is left to divide by, and for a value.
        inter_token_latencies: Gaps between neighbouring token-bearing chunks, in order. A gap
            is per chunk: where chunks carry several tokens, read ``time_per_output_token``.
            Covers the chunks that the timeline keeps.
        consumer_time: Time the stream was in the caller's hands: from being handed the stream
            (once the run has started) or a chunk until asking for the next.
        consumer_time_before_first_token: The part of it before the first token arrived;
            ``None`` without a token.
        producer_time: ``generation_latency - consumer_time``: time spent waiting in the source.
        idle_before_start: Time between the call and the start: 0 for an ordinary function,
            ``None`` if it never started.
        input_token_count: Tokens read, as the provider reports; cached ones included.
        reasoning_token_count: The part of the output that is reasoning, as reported.
        cached_token_count: The part of the input that came from a cache, as reported.
        model: The model as reported, else the option ``model``.
        request_model: The option ``model``, else the call's ``model=`` argument.
        provider: The option ``provider``, which ``instrument`` fills in.
        operation: The option ``operation``.
        finish_reason: Why the model stopped, as reported.
        attributes: Labels, from the option ``attributes`` and from ``labels()``.
        value: What the function returned, or what ``collect()`` read; only on the copy that
            the caller gets. Sinks and ``capture`` get ``None``.
        timeline: Chunk by chunk; ``None`` for a value.
        timeline_complete: Whether *timeline* holds every chunk (the first 65,536 are kept).
            Counts and sums are exact beyond.

    .. versionadded:: 0.1.0
    """

    function: str
    call_id: str
    parent_id: str | None = None
    started_at: datetime
    streamed: bool
    outcome: Outcome
    error: str | None = None
    generation_latency: float
    time_to_first_chunk: float | None = None
    time_to_first_token: float | None = None
    time_to_first_output_token: float | None = None
    time_to_last_token: float | None = None
    throughput: float | None = None
    token_count: int | None = None
    token_source: TokenSource | None = None
    chunk_count: int = 0
    token_chunk_count: int = 0
    time_per_output_token: float | None = None
    inter_token_latencies: Sequence[float] = field(
        default=NO_GAPS, repr=False, compare=False, hash=False
    )
    consumer_time: float = 0.0
    consumer_time_before_first_token: float | None = None
    producer_time: float = 0.0
    idle_before_start: float | None = None
    input_token_count: int | None = None
    reasoning_token_count: int | None = None
    cached_token_count: int | None = None
    model: str | None = None
    request_model: str | None = None
    provider: str | None = None
    operation: str | None = None
    finish_reason: str | None = None
    attributes: Mapping[str, AttributeValue] = field(
        default_factory=dict[str, AttributeValue], hash=False
    )
    value: T_co = field(
        # A copy without a value is a MetricsResult[None].
        default=None,  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
        repr=False,
        compare=False,
        hash=False,
    )
    timeline: Timeline | None = field(default=None, repr=False, compare=False, hash=False)
    timeline_complete: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", Attributes(self.attributes))

    def __str__(self) -> str:
        return _texts.three_lines(self)

    def report(self) -> str:
        """
        Give the longer text for people, for a terminal of 80 columns.

        Returns:
            Lines without a trailing newline. Gap percentiles interpolate linearly.

        .. versionadded:: 0.1.0
        """
        return _texts.report(self)

    def meets(self, slo: ServiceLevel) -> bool | None:
        """
        Tell whether this call was good enough.

        Args:
            slo: The limits; ``tokenclock.summary.ServiceLevel`` says when one is broken.

        Returns:
            ``False`` if the call failed or broke a limit, else ``None`` if a limit is
            undetermined, else ``True``.

        Raises:
            InvalidOptionError: If *slo* is no ``ServiceLevel``.

        .. versionadded:: 0.1.0
        """
        check_service_level(slo)
        return meets(self, slo)

    def to_dict(
        self, *, include_value: bool = False, include_timeline: bool = False
    ) -> dict[str, Any]:
        """
        Give every field as plain data, ready for ``json.dumps``.

        Args:
            include_value: Also give ``value``, as it is: whether that is ready for JSON is up
                to the function that made it.
            include_timeline: Also give ``timeline``, as four lists.

        Returns:
            Times in seconds; ``started_at`` in ISO 8601; ``inter_token_latencies`` as a list.

        .. versionadded:: 0.1.0
        """
        record = dict(self.__dict__)
        value, timeline = record.pop("value"), record.pop("timeline")
        record["started_at"] = self.started_at.isoformat()
        record["inter_token_latencies"] = list(self.inter_token_latencies)
        record["attributes"] = dict(self.attributes)
        if include_value:
            record["value"] = value
        if include_timeline:
            record["timeline"] = None if timeline is None else timeline.to_dict()
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> MetricsResult[Any]:
        """
        Restore what ``to_dict`` gave.

        Fields that this version does not know are passed over; optional fields that are missing
        get their defaults. Values are not checked one by one.

        Raises:
            InvalidRecordError: If a required field is missing, or if the start, the gaps, the
                labels or the timeline cannot be read.

        .. versionadded:: 0.1.0
        """
        if not isinstance(record, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            msg = (
                f"Cannot read a result from an object of type {type(record).__name__!r}: it is "
                "no mapping. Pass what MetricsResult.to_dict() gave, or json.loads() of its text."
            )
            raise InvalidRecordError(msg)
        values = {name: record[name] for name in _FIELD_NAMES if name in record}
        missing = sorted(_REQUIRED - values.keys())
        if missing:
            msg = (
                f"Cannot read a result from this record: {', '.join(missing)} missing. "
                "Pass what MetricsResult.to_dict() gave."
            )
            raise InvalidRecordError(msg)
        try:
            _restore(values)
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            msg = (
                f"Cannot read a result from this record: {error}. "
                "Pass what MetricsResult.to_dict() gave."
            )
            raise InvalidRecordError(msg) from error
        return cls(**values)


def _restore(values: dict[str, Any]) -> None:
    """Turn the plain data of a record back into what the fields hold."""
    values["started_at"] = datetime.fromisoformat(values["started_at"])
    if "inter_token_latencies" in values:
        values["inter_token_latencies"] = TokenGaps.of(values["inter_token_latencies"])
    if "attributes" in values:
        values["attributes"] = dict(values["attributes"])
    if values.get("timeline") is not None:
        values["timeline"] = Timeline.from_dict(values["timeline"])


_RESULT: type[MetricsResult[Any]] = MetricsResult


def result_of(values: dict[str, Any]) -> MetricsResult[Any]:
    """Build a result from a complete set of fields, in a quarter of the time of ``__init__``."""
    result = object.__new__(_RESULT)
    object.__setattr__(result, "__dict__", values)
    return result


_FIELD_NAMES = tuple(one.name for one in fields(MetricsResult))
_REQUIRED = {
    "function", "call_id", "started_at", "streamed", "outcome", "generation_latency"
}  # fmt: skip
