"""Labels: what users attach to calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from tokenclock.errors import InvalidOptionError

AttributeValue = str | bool | int | float


class Attributes(dict[str, AttributeValue]):
    """
    Labels as results carry them: a dict that refuses to change.

    Unlike a ``MappingProxyType`` it can be pickled, copied and given to ``dataclasses.asdict``.
    """

    __slots__ = ()

    def _refuse(self: Any, *_: object, **__: object) -> NoReturn:
        msg = "Cannot change the attributes of a result: it is shared. Copy them: dict(attributes)."
        raise TypeError(msg)

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[Attributes], tuple[dict[str, AttributeValue]]]:
        return (Attributes, (dict(self),))


NO_ATTRIBUTES = Attributes()


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
