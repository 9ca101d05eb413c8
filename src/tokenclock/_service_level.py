"""What a call is to be like to be good enough, and whether it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from tokenclock.errors import InvalidOptionError

if TYPE_CHECKING:
    from tokenclock._result import MetricsResult


@dataclass(frozen=True, kw_only=True)
class ServiceLevel:
    """
    The times that a call must keep to be good enough; equal to the limit is good enough.

    A call that failed never meets it. A limit is broken as soon as the observed time exceeds it,
    or, where the moment has not come, as soon as the time so far does. Limits on the first
    token, the first output token and the time per output token are undetermined for a call that
    gave a value, and wherever there is no such number; one on the latency is undetermined for
    a call that did not run to its end.

    Args:
        time_to_first_token: Seconds; ``None`` for no limit, here and below.
        time_to_first_output_token: Seconds to the first token that is not reasoning.
        time_per_output_token: Seconds per token after the first chunk.
        generation_latency: Seconds from start to end.

    Raises:
        InvalidOptionError: If there is no limit, or if one is not a positive, finite number.

    >>> ServiceLevel(time_to_first_token=0.5, generation_latency=10)
    ServiceLevel(time_to_first_token=0.5, generation_latency=10)

    .. versionadded:: 0.1.0
    """

    time_to_first_token: float | None = None
    time_to_first_output_token: float | None = None
    time_per_output_token: float | None = None
    generation_latency: float | None = None

    def __post_init__(self) -> None:
        limits = self.limits()
        for name, limit in limits.items():
            _check(name, limit)
        if not limits:
            msg = (
                "Cannot judge calls by a service level without a limit: every call would meet "
                "it. Pass one, such as time_to_first_token=0.5, in seconds."
            )
            raise InvalidOptionError(msg)

    def limits(self) -> dict[str, float]:
        """
        Give the limits there are, in seconds, by the name of the field.

        .. versionadded:: 0.1.0
        """
        limits = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: limit for name, limit in limits.items() if limit is not None}

    def __repr__(self) -> str:
        limits = ", ".join(f"{name}={limit!r}" for name, limit in self.limits().items())
        return f"{type(self).__name__}({limits})"


def _check(name: str, limit: object) -> None:
    is_number = isinstance(limit, int | float) and not isinstance(limit, bool)
    if not is_number or not 0 < limit < math.inf:  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
        msg = (
            f"Cannot take {name}={limit!r} as a limit: it is not a positive, finite number. Pass "
            f"seconds, such as {name}=0.5."
        )
        raise InvalidOptionError(msg, option=name)


def check_service_level(slo: object) -> None:
    """Refuse what is no service level."""
    if not isinstance(slo, ServiceLevel):
        msg = (
            f"Cannot judge calls by an object of type {type(slo).__name__!r}: it is no "
            "ServiceLevel. Pass one, such as ServiceLevel(time_to_first_token=0.5)."
        )
        raise InvalidOptionError(msg, option="slo")


def meets(result: MetricsResult[Any], slo: ServiceLevel) -> bool | None:
    """Tell whether a call met every limit; ``None`` where that cannot be told."""
    if result.outcome == "failed":
        return False
    verdicts = set(_verdicts(result, slo))
    if False in verdicts:
        return False
    return None if None in verdicts else True


def _verdicts(result: MetricsResult[Any], slo: ServiceLevel) -> Iterator[bool | None]:
    for name, limit in slo.limits().items():
        if name == "generation_latency":
            yield _is_kept(result.generation_latency, limit, final=result.outcome == "completed")
        elif not result.streamed:
            yield None
        elif name == "time_per_output_token":
            is_over = result.outcome != "running"
            yield _is_kept(result.time_per_output_token, limit, final=is_over)
        else:
            yield _is_first_in_time(result, getattr(result, name), limit)


def _is_first_in_time(result: MetricsResult[Any], first: float | None, limit: float) -> bool | None:
    if first is None:  # it comes later than now, if it comes
        return _is_kept(result.generation_latency, limit, final=False)
    return _is_kept(first, limit, final=True)


def _is_kept(seconds: float | None, limit: float, *, final: bool) -> bool | None:
    if seconds is None:
        return None
    if seconds > limit:
        return False
    return True if final else None
