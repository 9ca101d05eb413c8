"""
What a contender is: a way of watching a function that streams, and what its run leaves behind.

An adapter in ``contenders/`` subclasses ``Contender`` and imports its package inside functions, so
that the file can be read where the package is not installed.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

HERE = Path(__file__).resolve().parent
ADAPTERS = HERE / "contenders"

# In the order of the table.
NAMES = (
    "tokenclock_observe",
    "tokenclock_sink",
    "tokenclock_pure",
    "byhand",
    "prometheus",
    "opentelemetry",
    "langfuse",
    "langsmith",
    "logfire",
    "traceloop",
    "mlflow",
    "opik",
    "openinference",
    "ddtrace",
    "weave",
)

Function = Callable[[int], Any]


@dataclass(frozen=True)
class Request:
    """One request that reached the edge of the network, as the contender sent it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Record:
    """
    What a contender says of one call, after the call.

    Attributes:
        outcome: Its own word for how the call ended, or "" where it has none.
        payload: All that it keeps or sends about the call, as plain dicts, lists and values.
        first_token: The part of the payload that it calls the first token's time, if it does; else
            any moment in the payload counts.
    """

    outcome: str
    payload: Any
    first_token: Any = None


class Contender(ABC):
    """
    One way of watching a function.

    Attributes:
        title: As the table shows it.
        distribution: Whose version the table shows; "" for what is written by hand.
        importing: The statement whose time is the import time.
        settings: Which documented settings were used and why, in one sentence.
        documentation: Where they are documented.
        answers: What the edge answers to paths that contain a key; anything else gets ``{}``.
    """

    title: ClassVar[str]
    distribution: ClassVar[str]
    importing: ClassVar[str]
    settings: ClassVar[str]
    documentation: ClassVar[str]
    answers: ClassVar[Mapping[str, Any]] = {}

    def environment(self, edge: str) -> Mapping[str, str]:
        """Give the variables that must be set before the package is imported."""
        del edge
        return {}

    def setup(self, edge: str) -> None:  # noqa: B027 - most have something to start, not all
        """Start the package, sending to the address *edge*."""

    @abstractmethod
    def decorate(self, function: Function) -> Any:
        """Watch a function, with the fastest documented settings."""

    def decorate_by_default(self, function: Function) -> Any:
        """Watch a function with no settings at all; the same where there are none."""
        return self.decorate(function)

    def inline(self, tokens: int) -> Mapping[str, Any]:
        """Give further cases to measure, where there is a way without a decorator."""
        del tokens
        return {}

    def flush(self) -> None:  # noqa: B027 - the same with something to send
        """Wait until what has ended has been sent."""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Look at what happens inside, for those that only tell whoever asks."""
        yield

    @abstractmethod
    def records(self, requests: Sequence[Request]) -> list[Record]:
        """Dig out what is known of the calls that ended since the last time."""

    def version(self) -> str:
        """Give the installed version."""
        return importlib.metadata.version(self.distribution) if self.distribution else ""


def load(name: str) -> Contender:
    """Load the adapter of a contender."""
    adapter: type[Contender] = importlib.import_module(f"peers.contenders.{name}").Adapter
    return adapter()


def home(name: str) -> str:
    """
    Give the name of a contender's environment; ours share one.

    >>> home("tokenclock_sink"), home("langfuse")
    ('tokenclock', 'langfuse')
    """
    return name.partition("_")[0]


def requirements(name: str) -> Path:
    """Give the file that pins what a contender needs."""
    return ADAPTERS / f"{home(name)}.txt"
