"""Real back ends to export to, each for one test, and the real model to make calls of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.receiver import Receiver, received
from backends.servers import victoria_metrics as started_victoria_metrics
from backends.tap import Tap, tapped
from local_model import LocalModel


@pytest.fixture(scope="module")
def model() -> Iterator[LocalModel]:
    loaded = LocalModel()
    yield loaded
    loaded.close()


@pytest.fixture
def tap() -> Iterator[Tap]:
    """An OTLP receiver that keeps what it is sent."""
    with tapped() as tap:
        yield tap


@pytest.fixture
def victoria_metrics(tmp_path: Path) -> Iterator[str]:
    """The URL of an empty VictoriaMetrics."""
    with started_victoria_metrics(tmp_path) as url:
        yield url


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that does as it is told: takes what comes, refuses it, or hangs."""
    with received() as receiver:
        yield receiver
