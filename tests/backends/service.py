"""
A service that streams answers, exports to Prometheus, and serves its metrics.

As ``backends.service:app`` it is what several worker processes run: with a scripted model, and
every result also written to the folder RESULTS, to compare with.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from prometheus_client import CollectorRegistry, make_asgi_app, multiprocess

from local_model import ScriptedModel
from tokenclock import MetricsResult, add_sink, observe
from tokenclock.exporters.prometheus import PrometheusMetrics

if TYPE_CHECKING:
    from local_model import Model

QUESTION = "Why is the sky blue?"


def make_app(model: Model, registry: CollectorRegistry) -> FastAPI:
    """Make an app whose ``/answer`` is measured and whose ``/metrics`` shows *registry*."""
    app = FastAPI()
    app.mount("/metrics", make_asgi_app(registry))
    answer = observe(model.achunks, name="answer", provider="llama.cpp")

    async def events(tokens: int) -> AsyncIterator[str]:
        async with aclosing(answer(QUESTION, max_tokens=tokens, ignore_eos=True)) as chunks:
            async for chunk in chunks:
                yield f"data: {json.dumps(chunk)}\n\n"

    @app.get("/answer")
    async def stream_answer(tokens: int) -> StreamingResponse:
        process = {"process": str(os.getpid())}
        return StreamingResponse(events(tokens), media_type="text/event-stream", headers=process)

    return app


def keep(result: MetricsResult[Any]) -> None:
    """Write a result down, one file for each process."""
    with Path(os.environ["RESULTS"], f"{os.getpid()}.jsonl").open("a") as file:
        file.write(json.dumps(result.to_dict()) + "\n")


def make_worker_app() -> FastAPI:
    """Make the app of one of several workers, or of the process that they are forked from."""
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    PrometheusMetrics(CollectorRegistry()).install()
    add_sink(keep)
    return make_app(ScriptedModel(first_wait=0.002, wait=0.001), registry)


if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    app = make_worker_app()
