"""The labels of the Prometheus metrics: which there are, and that no label gets too many values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

from tokenclock import _log
from tokenclock._reading import bounded_text
from tokenclock.errors import InvalidOptionError
from tokenclock.exporters._forking import call_lock

if TYPE_CHECKING:
    from tokenclock._attributes import AttributeValue

C = TypeVar("C")

OTHER = "other"
ALWAYS = ("function", "model", "provider")
RESERVED = {*ALWAYS, "consumer_limited", "direction", "le", "outcome"}

_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")


class Labels:
    """
    The labels of one exporter.

    Attributes:
        names: ``function``, ``model``, ``provider``, then those that the user named.
    """

    def __init__(self, attributes: Iterable[str], max_values: int) -> None:
        label_of = _labels_of(attributes)
        _check_max_values(max_values)
        self.names = (*ALWAYS, *label_of.values())
        self._attributes = tuple(label_of)
        self._values = tuple(_Values(name, max_values) for name in self.names)

    def of(
        self,
        function: str | None,
        model: str | None,
        provider: str | None,
        attributes: Mapping[str, AttributeValue],
    ) -> tuple[str, ...]:
        """Give the values for one call, in the order of the names; ``""`` for what is unknown."""
        named = [attributes.get(name, "") for name in self._attributes]
        given = (function or "", model or "", provider or "", *named)
        return tuple(map(_Values.admitted, self._values, given))


class _Values:
    """The values of one label: as many as are allowed, then ``other``."""

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._known: set[str] = set()
        self._has_warned = False

    def admitted(self, value: AttributeValue) -> str:
        """Give the value that is exported for *value*."""
        if type(value) is str and value in self._known:
            return value
        text = label_text(value)
        return text if text in self._known or self._admits(text) else OTHER

    def _admits(self, text: str) -> bool:
        with call_lock:
            if text in self._known or len(self._known) < self._limit:
                self._known.add(text)
                return True
            warns = not self._has_warned and text != OTHER
            self._has_warned = self._has_warned or warns
        if warns:  # not under the lock: whoever shows the warning may take locks of its own
            _log.warn(
                f"The label {self._name!r} of a Prometheus exporter has {self._limit} values; "
                f"further ones are exported as {OTHER!r}, since each value makes new time series. "
                "Raise max_label_values=, or label calls with what has fewer values."
            )
        return False


class Children(Generic[C]):
    """
    One metric's child for each set of label values, kept: the client takes a while to find it.

    Args:
        make: Gives the child of these values; the same one whenever it is asked.
    """

    def __init__(self, make: Callable[..., C]) -> None:
        self._make = make
        self._children: dict[tuple[str, ...], C] = {}

    def of(self, *values: str) -> C:
        """Give the child of these values."""
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._make(*values)
        return child

    def __contains__(self, values: tuple[str, ...]) -> bool:
        return values in self._children

    def __iter__(self) -> Iterator[C]:
        return iter(list(self._children.values()))


def label_text(value: AttributeValue) -> str:
    r"""
    Give a label's value as text: no control characters, at most 200 characters.

    >>> label_text(True), label_text(3), label_text(0.5), label_text("a\nb")
    ('true', '3', '0.5', 'ab')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return bounded_text(value) or ""
    # Their own methods: an enumeration that is a number says its value here.
    return float.__repr__(value) if isinstance(value, float) else int.__repr__(value)


def _labels_of(attributes: Iterable[str]) -> dict[str, str]:
    """Give the label of each attribute, refusing what Prometheus or we cannot tell apart."""
    if isinstance(attributes, str | bytes) or not isinstance(attributes, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = (
            f"Cannot export labels={attributes!r}: it is no list of names. "
            "Pass the names of attributes, such as labels=['tenant']."
        )
        raise InvalidOptionError(msg, option="labels")
    attribute_of: dict[str, str] = {}
    for attribute in attributes:
        label = _label_of(attribute)
        if attribute_of.get(label, attribute) != attribute:
            msg = (
                f"Cannot export the attribute {attribute!r} as the label {label!r}: the "
                f"attribute {attribute_of[label]!r} is that label already. Name one of the two."
            )
            raise InvalidOptionError(msg, option="labels")
        attribute_of[label] = attribute
    return {attribute: label for label, attribute in attribute_of.items()}


def _label_of(attribute: object) -> str:
    """Give the label of one attribute: OpenTelemetry's dots become underscores."""
    label = attribute.replace(".", "_") if isinstance(attribute, str) else ""
    if not _NAME.fullmatch(label):
        msg = (
            f"Cannot export {attribute!r} as a label: a label of Prometheus is made of letters, "
            "digits and underscores, and begins with no digit and no two underscores. Give the "
            "attribute such a name; dots in it become underscores."
        )
        raise InvalidOptionError(msg, option="labels")
    if label in RESERVED:
        msg = (
            f"Cannot export the attribute {attribute!r} as a label: the exporter sets the label "
            f"{label!r} itself. Give the attribute another name."
        )
        raise InvalidOptionError(msg, option="labels")
    return label


def _check_max_values(max_values: object) -> None:
    if type(max_values) is int and max_values > 0:
        return
    msg = (
        f"Cannot allow max_label_values={max_values!r} values of a label: it is no positive "
        "whole number. Pass one, such as 100."
    )
    raise InvalidOptionError(msg, option="max_label_values")
