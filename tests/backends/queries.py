"""What a database answers to PromQL."""

from __future__ import annotations

import json
import math
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from time import monotonic, sleep
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

PATIENCE = 30.0  # seconds; only a failing test waits as long
PAUSE = 0.1

# What listens on the loopback is not reached through a proxy.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Sample(NamedTuple):
    """One value of an instant vector."""

    labels: Mapping[str, str]
    value: float


def get(url: str, **parameters: str) -> Any:
    """Fetch JSON."""
    question = f"{url}?{urllib.parse.urlencode(parameters)}" if parameters else url
    with DIRECT.open(question, timeout=PATIENCE) as response:
        return json.load(response)


def vector(url: str, expression: str) -> list[Sample]:
    """Evaluate *expression* now, at the database under *url*."""
    answer = get(f"{url}/api/v1/query", query=expression)
    assert answer["status"] == "success", answer
    found = answer["data"]["result"]
    return [Sample(one["metric"], float(one["value"][1])) for one in found]


def number(url: str, expression: str) -> float:
    """Evaluate an expression that has one value; NaN where it has none yet."""
    found = vector(url, expression)
    if not found:
        return math.nan
    (sample,) = found
    return sample.value


def eventually(look: Callable[[], T], is_right: Callable[[T], bool]) -> T:
    """Look again until it is right, or until patience ends; give what was seen last."""
    patience_ends = monotonic() + PATIENCE
    while not is_right(seen := look()) and monotonic() < patience_ends:
        sleep(PAUSE)
    return seen
