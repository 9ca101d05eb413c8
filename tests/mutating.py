"""Chunks with something odd in them: what a provider may send one day."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from tokenclock._providers import ProviderReader, read_response
from tokenclock._reading import NOTHING, checked

ODD: tuple[Any, ...] = (
    None, True, 0, -1, 2.5, float("nan"), 10**30, "", "odd", "\x1b", b"\xff", [], [None], [[1]],
    {}, {"type": []}, {"": None}, (), object(),
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, chunks: Sequence[Any]) -> Any:
    """Give one of these chunks with up to three of its fields replaced by something odd."""
    chunk = copy.deepcopy(draw(st.sampled_from(chunks)))
    for _ in range(draw(st.integers(1, 3))):
        places = _places_in(chunk)
        if not places:
            break
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        holder[key] = copy.deepcopy(draw(st.sampled_from(ODD)))
    return chunk


def _places_in(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        keys: list[Any] = list(value)
    elif isinstance(value, list):
        keys = list(range(len(value)))
    else:
        return []
    places = [(value, key) for key in keys]
    for key in keys:
        places.extend(_places_in(value[key]))
    return places


def assert_harmless(chunks: Sequence[Any]) -> None:
    """Read chunks of one stream, and each as a whole response: every reading is in order."""
    reader = ProviderReader()
    for chunk in chunks:
        for reading in (reader.read(chunk), read_response(chunk)):
            assert checked(reading or NOTHING) == (reading or NOTHING)
