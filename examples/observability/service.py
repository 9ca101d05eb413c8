"""
A service whose streamed answers show up in Prometheus and, if you have one, an OTLP receiver.

    python service.py                   then: http://127.0.0.1:8000/answer?question=Hello
    curl 127.0.0.1:8000/metrics         what Prometheus scrapes, see prometheus.yml

With OTEL_EXPORTER_OTLP_ENDPOINT set, spans and metrics also go there by OTLP over HTTP, and each
histogram's exemplars name the trace that a number belongs to.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import ExitStack, aclosing, asynccontextmanager, closing, contextmanager

from tokenclock import labels, observe
from tokenclock.demo import Model, load_model, text_of

try:
    import uvicorn
    from fastapi import FastAPI, Request, Response
    from fastapi.responses import StreamingResponse
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from prometheus_client import REGISTRY
    from prometheus_client.exposition import choose_encoder

    from tokenclock.exporters.opentelemetry import OpenTelemetryMetrics, OpenTelemetrySpans
    from tokenclock.exporters.prometheus import PrometheusMetrics
except ImportError:
    sys.exit(
        "This example needs a web framework, Prometheus' client and OpenTelemetry's SDK: "
        "pip install fastapi uvicorn prometheus-client opentelemetry-exporter-otlp-proto-http"
    )

TOKENS = 24
# A tenant's name comes from outside. Beyond so many it is "other", or the database would drown.
TENANTS = 20
# Once for the process: a registry has room for one.
PROMETHEUS = PrometheusMetrics(labels=["tenant"], max_label_values=TENANTS, exemplars=True)


def make_app(model: Model) -> FastAPI:
    """Make an app with one endpoint that streams answers, and one for Prometheus."""
    app = FastAPI(lifespan=lifespan)
    answer = observe(model.achunks, name="answer", model=model.name, provider="llama_cpp")

    async def events(question: str, tenant: str) -> AsyncIterator[str]:
        with labels(tenant=tenant):
            chunks = answer(question, max_tokens=TOKENS)
        async with aclosing(chunks):
            async for chunk in chunks:
                if text := text_of(chunk):
                    yield f"data: {json.dumps(text)}\n\n"
        yield "data: [DONE]\n\n"

    @app.get("/answer")
    async def stream_answer(question: str, tenant: str = "") -> StreamingResponse:
        return StreamingResponse(events(question, tenant), media_type="text/event-stream")

    @app.get("/metrics")
    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(REGISTRY), headers={"content-type": content_type})

    return app


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncGenerator[None, None]:
    """Export while the app runs. Uvicorn ends by the signal that it got: nothing comes later."""
    with telemetry():
        yield


@contextmanager
def telemetry() -> Generator[None, None, None]:
    """Export every measured call while the block runs, and what still waits at its end."""
    with ExitStack() as installed:
        if "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ:
            # The endpoint and the service's name, OTEL_SERVICE_NAME, come from the environment.
            spans = TracerProvider()
            spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            metrics = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
            installed.callback(spans.shutdown)
            installed.callback(metrics.shutdown)
            installed.enter_context(OpenTelemetrySpans(spans, attributes=["tenant"]))
            installed.enter_context(OpenTelemetryMetrics(metrics, attributes=["tenant"]))
        installed.enter_context(PROMETHEUS)
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve measured answers.")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    listener = socket.create_server(("127.0.0.1", parser.parse_args().port))
    with closing(load_model()) as model:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        server = uvicorn.Server(uvicorn.Config(make_app(model), log_level="warning"))
        server.run([listener])


if __name__ == "__main__":
    main()
