"""A fake clock, collected results, and a clean slate around each test."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from backends import leave_out_missing
from tokenclock import _driver, _hooks, _sinks, add_sink
from tokenclock._runs import live_runs
from tokenclock.testing import CollectingSink, FakeClock

# A busy machine is no failure, and CI tries the same examples every time.
settings.register_profile(
    "tokenclock",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tokenclock")

# The driver under test is to be held to exact times, too.
_driver.reads_any_clock = True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a back end that this platform does not offer; ``make test`` said so."""
    leave_out_missing(config, items)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def sink() -> CollectingSink:
    """A sink of the whole process that keeps every result of the test."""
    collecting = CollectingSink()
    add_sink(collecting)
    return collecting


@pytest.fixture(autouse=True)
def clean_slate(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees another's sinks, hooks, open runs or labels."""
    monkeypatch.delenv("TOKENCLOCK_DISABLED", raising=False)
    monkeypatch.setattr(_sinks, "global_sinks", ())
    monkeypatch.setattr(_hooks, "call_hooks", ())
    yield
    if live_runs:  # a full collection after every test would take most of the time
        gc.collect()
    _sinks.later.flush()
    live_runs.clear()


@pytest.fixture(autouse=True)
def no_unexpected_failure(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """A failure of ours that was logged fails the test, unless it is what the test is about."""
    yield
    if request.node.get_closest_marker("logs_failures"):
        return
    records = [
        record
        for when in ("setup", "call")
        for record in caplog.get_records(when)
        if record.name == "tokenclock" and record.levelno >= logging.ERROR
    ]
    assert [record.getMessage() for record in records] == []
