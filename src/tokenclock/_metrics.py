"""The six numbers by which calls are condensed, compared and drawn, and whose calls count."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tokenclock._result import MetricsResult
from tokenclock.errors import InvalidOptionError

Result = MetricsResult[Any]
Nested = Literal["innermost", "all"]
GroupKey = str | bool | int | float | None
Group = str | Callable[[Result], GroupKey]
Unit = Literal["s", "tokens/s"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """
    One number of a call.

    Attributes:
        name: The field of ``MetricsResult``; ``inter_token_latency`` is one gap of many.
        label: What people read.
        unit: ``"s"`` or ``"tokens/s"``.
        higher_is_better: Whether more of it is better.
        streamed_only: Whether only streamed calls have it. A value's first-token time is its
            whole latency; among those of streams it would be a lie.
        completed_only: Whether only calls count that ran to their end.
    """

    name: str
    label: str
    unit: Unit = "s"
    higher_is_better: bool = False
    streamed_only: bool = True
    completed_only: bool = False

    def of(self, result: Result) -> float | None:
        """Give the number of a call that counts, else ``None``. Not for gaps: a call has many."""
        if not self.counts(result):
            return None
        number: float | None = getattr(result, self.name)
        return number

    def counts(self, result: Result) -> bool:
        """Whether a call may have this number at all."""
        if self.streamed_only and not result.streamed:
            return False
        return not self.completed_only or result.outcome == "completed"


FIRST_TOKEN = Metric(name="time_to_first_token", label="time to first token")
FIRST_OUTPUT_TOKEN = Metric(name="time_to_first_output_token", label="time to first output")
PER_OUTPUT_TOKEN = Metric(name="time_per_output_token", label="time per output token")
GAP = Metric(name="inter_token_latency", label="gaps between chunks")
LATENCY = Metric(
    name="generation_latency",
    label="generation latency",
    streamed_only=False,
    completed_only=True,
)
THROUGHPUT = Metric(
    name="throughput",
    label="throughput",
    unit="tokens/s",
    higher_is_better=True,
    streamed_only=False,
    completed_only=True,
)
METRICS = (FIRST_TOKEN, FIRST_OUTPUT_TOKEN, PER_OUTPUT_TOKEN, GAP, LATENCY, THROUGHPUT)

# The fields by which calls are grouped; any other name is that of a label.
GROUP_FIELDS = (
    "error", "finish_reason", "function", "model", "operation", "outcome", "provider",
    "request_model", "streamed", "token_source",
)  # fmt: skip


def results_in(given: Iterable[Result], *, cannot: str, option: str) -> Iterator[Result]:
    """
    Give the results in *given* one by one.

    Args:
        given: What a user passed.
        cannot: How the message begins, such as "Cannot compare with a baseline".
        option: The argument's name.

    Raises:
        InvalidOptionError: If it is no iterable, or at whatever in it is no result.
    """
    try:
        passing = iter(given)
    except TypeError as error:
        what = f"of type {type(given).__name__!r}: it is no iterable"
        raise _no_results(f"{cannot} {what}", option) from error
    for result in passing:
        if not isinstance(result, MetricsResult):  # pyright: ignore[reportUnnecessaryIsInstance]
            kind = type(result).__name__
            what = f"that holds a {kind!r}: it may hold MetricsResult objects only"
            raise _no_results(f"{cannot} {what}", option)
        yield result


def _no_results(what: str, option: str) -> InvalidOptionError:
    msg = (
        f"{what}. Pass the results themselves: a list of them, the results of a ResultLog, or "
        "read_records(path)."
    )
    return InvalidOptionError(msg, option=option)


def taken(results: Collection[Result], nested: Nested = "innermost") -> list[Result]:
    """
    Give the calls whose numbers count, in their order.

    The tokens of a measured call inside another are counted by both, so by default those that
    have another of *results* inside them are left out. A call counts once, as it was last seen.
    """
    check_nested(nested)
    calls = as_last_seen(results)
    if nested == "all":
        return calls
    outer = {result.parent_id for result in results if result.parent_id != result.call_id}
    return [result for result in calls if result.call_id not in outer]


def as_last_seen(results: Collection[Result]) -> list[Result]:
    """Leave out the snapshots of running calls of which something later is among *results*."""
    running = [result for result in results if result.outcome == "running"]
    if not running:
        return list(results)
    running.sort(key=lambda result: (result.generation_latency, result.token_count or 0))
    latest = {result.call_id: result for result in running}
    latest.update((one.call_id, one) for one in results if one.outcome != "running")
    return [one for one in results if one.outcome != "running" or latest[one.call_id] is one]


def check_nested(nested: str) -> None:
    """Refuse what is neither of the two ways."""
    if nested not in {"innermost", "all"}:
        msg = (
            f"Cannot take calls by nested={nested!r}: it is neither 'innermost', which leaves out "
            "calls that have measured calls inside them, nor 'all'. Pass one of the two."
        )
        raise InvalidOptionError(msg, option="nested")


def group_by(by: Group) -> Callable[[Result], GroupKey]:
    """
    Give the function that names a call's group.

    Args:
        by: A field of a result, the name of a label, or a function from a result to a key.

    Raises:
        InvalidOptionError: If *by* is neither a name nor a function.
    """
    if callable(by):
        return lambda result: checked_key(by(result))
    if not isinstance(by, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = (
            f"Cannot group calls by {by!r}: it is neither a name nor a function. Pass a field of "
            "a result, such as by='model', the name of a label, or a function from a result to "
            "a key."
        )
        raise InvalidOptionError(msg, option="by")
    if by in GROUP_FIELDS:
        return lambda result: getattr(result, by)
    return lambda result: checked_key(result.attributes.get(by))


def checked_key(key: Any) -> GroupKey:
    """
    Give the key of a group as JSON can hold it: a number that is not finite becomes text.

    Raises:
        InvalidOptionError: If it is neither text nor a number nor ``None``.

    >>> checked_key("llama"), checked_key(float("inf"))
    ('llama', 'inf')
    """
    if isinstance(key, float) and not math.isfinite(key):
        return str(key)
    if key is None or isinstance(key, str | int | float):
        return key
    msg = (
        f"Cannot group calls by a key of type {type(key).__name__!r}: it is neither text nor a "
        "number nor None. Have the function given as by= return one, such as "
        "f'{result.model}, {result.operation}'."
    )
    raise InvalidOptionError(msg, option="by")


def grouped(results: Iterable[Result], by: Group) -> dict[GroupKey, list[Result]]:
    """
    Sort calls into groups, in the order in which groups first appear.

    Raises:
        InvalidOptionError: If *by* is a name that no call knows.
    """
    key_of = group_by(by)
    groups: dict[GroupKey, list[Result]] = {}
    for result in results:
        groups.setdefault(key_of(result), []).append(result)
    check_group_is_known(by, groups)
    return groups


def check_group_is_known(by: Group, keys: Collection[GroupKey]) -> None:
    """Refuse a name that no call knows; where there are no calls, any name will do."""
    if isinstance(by, str) and by not in GROUP_FIELDS and list(keys) == [None]:
        raise unknown_group(by)


def group_name(key: GroupKey) -> str:
    """
    Give the name of a group for people.

    >>> group_name("llama"), group_name(True), group_name(None)
    ('llama', 'True', '(none)')
    """
    return "(none)" if key is None else str(key)


def unknown_group(by: str) -> InvalidOptionError:
    """Give the error for a name that no call knows: a slip, most likely."""
    msg = (
        f"Cannot group calls by {by!r}: that is no field to group by, and no call has a label of "
        f"that name. Pass one of {', '.join(GROUP_FIELDS)}, or a label."
    )
    return InvalidOptionError(msg, option="by")
