"""
The door of tokenclock's pytest plugin.

Every pytest run of everybody who has tokenclock installed imports this module, so it imports
tokenclock only when it is used. pytest need not rewrite it: PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tokenclock.pytest_plugin import TokenMetrics


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option."""
    parser.getgroup("tokenclock").addoption(
        "--token-metrics",
        metavar="FILE",
        help="write what tokenclock measured in this run to FILE, as JSON Lines; begun anew",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Bring in the plugin where a file is asked for."""
    if config.getoption("token_metrics"):
        from tokenclock import pytest_plugin  # noqa: PLC0415 - only when used

        pytest_plugin.run_metrics(config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a worker of pytest-xdist measured for tests that have the fixture."""
    lines = getattr(node, "workeroutput", {}).get("tokenclock")
    if lines:
        from tokenclock import pytest_plugin  # noqa: PLC0415 - only when used

        pytest_plugin.run_metrics(node.config).add_lines(lines)


@pytest.fixture
def token_metrics(request: pytest.FixtureRequest) -> Iterator[TokenMetrics]:
    """Give what tokenclock measures during the test: .results, .last, .summary()."""
    from tokenclock import pytest_plugin  # noqa: PLC0415 - only when used

    yield from pytest_plugin.metrics_of_a_test(request.config)
