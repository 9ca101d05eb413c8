"""Summaries as data frames. The only room that imports pandas and Polars."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tokenclock._metrics import METRICS, GroupKey, group_name
from tokenclock._statistics import PERCENTILES
from tokenclock.errors import MissingPackageError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from tokenclock._summaries.summary import Summary

_COUNTS = ("count", "left_out")
_NUMBERS = ("mean", "standard_deviation", "minimum", *PERCENTILES, "maximum")


def pandas_frame(summary: Summary) -> pd.DataFrame:
    """Give the table of ``Summary.to_pandas``."""
    try:
        import pandas as pd  # noqa: PLC0415 - only who asks for a data frame needs it
    except ImportError as error:
        raise MissingPackageError("A data frame needs", "pandas") from error
    columns = _columns(summary)
    for name in _NUMBERS:  # a column of nothing but None would be one of objects
        columns[name] = [math.nan if number is None else number for number in columns[name]]
    frame: pd.DataFrame = pd.DataFrame(columns)  # untyped where there are no stubs
    return frame


def polars_frame(summary: Summary) -> pl.DataFrame:
    """Give the table of ``Summary.to_polars``."""
    try:
        import polars as pl  # noqa: PLC0415 - only who asks for a data frame needs it
    except ImportError as error:
        raise MissingPackageError("A data frame needs", "polars") from error
    return pl.DataFrame(_columns(summary), schema_overrides=dict.fromkeys(_NUMBERS, pl.Float64))


def _columns(summary: Summary) -> dict[str, list[Any]]:
    rows = list(_rows(summary))
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    if "group" in columns:
        columns["group"] = _of_one_type(columns["group"])
    return columns


def _rows(summary: Summary) -> Iterator[dict[str, Any]]:
    if not summary.groups:
        yield from _rows_of(summary)
    for key, group in summary.groups.items():
        for row in _rows_of(group):
            yield {"group": key, **row}


def _rows_of(summary: Summary) -> Iterator[dict[str, Any]]:
    for metric in METRICS:
        statistics = summary.statistics(metric.name)
        unsupported = ", ".join(statistics.unsupported)
        row = {**statistics.__dict__, "unsupported": unsupported}
        yield {"metric": metric.name, "unit": metric.unit, **row}


def _of_one_type(keys: list[GroupKey]) -> list[GroupKey]:
    """Give the keys as they are if a column can hold them, else their names."""
    types = {type(key) for key in keys if key is not None}
    return list(map(_writable, keys if len(types) == 1 else map(group_name, keys)))


def _writable(key: GroupKey) -> GroupKey:
    """Replace half a surrogate pair, which a column of Polars cannot hold."""
    return key.encode(errors="replace").decode() if isinstance(key, str) else key
