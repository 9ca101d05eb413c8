"""Labels: what users attach to calls."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tokenclock.errors import InvalidOptionError

AttributeValue = str | bool | int | float

NO_ATTRIBUTES: Mapping[str, AttributeValue] = MappingProxyType({})


def checked_attributes(attributes: Mapping[Any, object]) -> dict[str, AttributeValue]:
    """Copy labels, refusing what cannot travel to a log, a file or a dashboard."""
    if not isinstance(attributes, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = (
            f"Cannot label calls with attributes={attributes!r}: it is no mapping. "
            "Pass a dict of names to str, bool, int or float."
        )
        raise InvalidOptionError(msg, option="attributes")
    checked: dict[str, AttributeValue] = {}
    for name, value in attributes.items():
        if not isinstance(name, str) or not isinstance(value, str | bool | int | float):
            msg = (
                f"Cannot label calls with {name!r}: a {type(value).__name__} is no label. "
                "Names are str; values are str, bool, int or float."
            )
            raise InvalidOptionError(msg, option="attributes")
        checked[name] = value
    return checked
