"""What a checker makes of the background and of what exporters share. Never run."""

from __future__ import annotations

from typing import Any

from typing_extensions import assert_type

from tokenclock import MetricsResult, Sink, add_sink, observe
from tokenclock.exporters import Background
from tokenclock.exporters._installing import Installable


def send(result: MetricsResult[Any]) -> None:
    """Never runs."""


def putting_behind(result: MetricsResult[list[str]]) -> None:
    with Background(send, max_queue=100) as background:
        assert_type(background, Background)
        a_sink: Sink = background
        add_sink(a_sink)
        background(result)
        assert_type(background.flush(1), bool)
    assert_type(background.close(timeout=0.5), bool)
    assert_type(background.dropped, int)
    assert_type(background.failed, int)
    assert_type(background.pending, int)
    observe(sinks=[background])
    background.dropped = 3  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    Background()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Background(send, 100)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Background("sink")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Background(send, max_queue="100")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    background.flush("5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    background("result")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Exporter(Installable):
    def _sink(self) -> Sink | None:
        return send


def installing() -> None:
    assert_type(Exporter().install(max_queue=5), Exporter)
    with Exporter() as exporter:
        assert_type(exporter, Exporter)
        assert_type(exporter.flush(1.5), bool)
    assert_type(exporter.uninstall(), bool)
    assert_type(exporter.dropped, int)
    assert_type(exporter.failed, int)
