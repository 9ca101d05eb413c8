"""LangSmith's decorator."""

# ruff: noqa: PLC0415 - only its own environment has the package

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from email import message_from_bytes
from typing import Any, ClassVar

from peers.contender import Contender, Function, Record, Request


class Adapter(Contender):
    """``@traceable``."""

    title = "langsmith `@traceable`"
    distribution = "langsmith"
    importing = "from langsmith import traceable"
    settings = (
        "`run_type='llm'`, which is what makes it note the first token, inputs and outputs hidden "
        "by a client with `hide_inputs=True, hide_outputs=True`."
    )
    documentation = "https://docs.langchain.com/langsmith/mask-inputs-outputs"
    answers: ClassVar[Mapping[str, Any]] = {
        "/info": {
            "batch_ingest_config": {
                "use_multipart_endpoint": True,
                "size_limit": 100,
                "size_limit_bytes": 20_971_520,
                "scale_up_nthreads_limit": 16,
                "scale_up_qsize_trigger": 1000,
                "scale_down_nempty_trigger": 4,
            }
        }
    }

    def __init__(self) -> None:
        self._client: Any = None
        self._default: Any = None

    def environment(self, edge: str) -> Mapping[str, str]:
        """Point it at the edge."""
        return {
            "LANGSMITH_TRACING": "true",
            "LANGSMITH_ENDPOINT": edge,
            "LANGSMITH_API_KEY": "lsv2_pt_peers",
        }

    def setup(self, edge: str) -> None:
        """Make the two clients."""
        del edge
        from langsmith import Client

        self._client = Client(hide_inputs=True, hide_outputs=True)
        self._default = Client()

    def decorate(self, function: Function) -> Any:
        """Trace without contents."""
        from langsmith import traceable

        return traceable(run_type="llm", client=self._client)(function)

    def decorate_by_default(self, function: Function) -> Any:
        """Trace with contents."""
        from langsmith import traceable

        return traceable(run_type="llm", client=self._default)(function)

    def flush(self) -> None:
        """Send what is in the queues."""
        self._client.flush()
        self._default.flush()

    def records(self, requests: Sequence[Request]) -> list[Record]:
        """Give the runs: what a start and an end say of one is put together."""
        runs: dict[str, dict[str, Any]] = {}
        for request in requests:
            for run, field, value in parts(request):
                merge(runs.setdefault(run, {}), field, value)
        return [Record(outcome(run), run) for run in runs.values() if run.get("end_time")]


def parts(request: Request) -> Iterator[tuple[str, str, Any]]:
    """Give every part of a multipart request: the run's id, which field, and what it is."""
    head = f"Content-Type: {request.headers.get('content-type')}\n\n".encode()
    for part in message_from_bytes(head + unpacked(request)).walk():
        name = str(part.get_param("name", header="content-disposition"))
        if name.startswith(("post.", "patch.")):
            _, run, *field = name.split(".")
            content = part.get_payload(decode=True)
            yield run, ".".join(field), json.loads(content if isinstance(content, bytes) else b"")


def unpacked(request: Request) -> bytes:
    """Give the body of a request as it was before it was compressed."""
    if request.headers.get("content-encoding") != "zstd":
        return request.body
    import zstandard

    return bytes(zstandard.ZstdDecompressor().stream_reader(request.body).read())


def merge(run: dict[str, Any], field: str, value: Any) -> None:
    """Put a part of a run to the others."""
    run.update({field: value} if field else {key: one for key, one in value.items() if one})


def outcome(run: dict[str, Any]) -> str:
    """Give its word for how the run ended: there is an error, or there is none."""
    return "error" if run.get("error") else "success"
