"""Weave's decorator."""

# ruff: noqa: PLC0415 - only its own environment has the package

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from peers.contender import Contender, Function, Record, Request


class Adapter(Contender):
    """``@weave.op``."""

    title = "weave `op`"
    distribution = "weave"
    importing = "import weave"
    settings = (
        "No capture of code, system or client, no links printed, no implicit patching, no cache on "
        "disk; inputs and outputs are replaced by nothing through `postprocess_inputs` and "
        "`postprocess_output`."
    )
    documentation = "https://docs.wandb.ai/weave/guides/core-types/env-vars"

    answers: ClassVar[Mapping[str, Any]] = {
        "/obj/create": {"digest": "peers", "object_id": "call"},
        "/graphql": {"data": {"project": {"name": "peers"}, "viewer": {"username": "peers"}}},
        "/server_info": {"min_required_weave_python_version": "0.0.1"},
    }

    def __init__(self) -> None:
        self._client: Any = None

    def environment(self, edge: str) -> Mapping[str, str]:
        """Point it at the edge."""
        return {
            "WF_TRACE_SERVER_URL": edge,
            "WANDB_BASE_URL": edge,
            "WANDB_API_KEY": "0" * 40,
            "WANDB_ENTITY": "peers",
            "WANDB_ERROR_REPORTING": "false",
            "WEAVE_PRINT_CALL_LINK": "false",
            "WEAVE_CAPTURE_CODE": "false",
            "WEAVE_CAPTURE_CLIENT_INFO": "false",
            "WEAVE_CAPTURE_SYSTEM_INFO": "false",
            "WEAVE_IMPLICITLY_PATCH_INTEGRATIONS": "false",
            "WEAVE_USE_SERVER_CACHE": "false",
        }

    def setup(self, edge: str) -> None:
        """Initialise it."""
        del edge
        import weave

        self._client = weave.init("peers/peers")

    def decorate(self, function: Function) -> Any:
        """Make an op of it, without contents."""
        import weave

        return weave.op(
            name="call",
            postprocess_inputs=lambda _inputs: {},
            postprocess_output=lambda _output: None,
        )(function)

    def decorate_by_default(self, function: Function) -> Any:
        """Make an op of it, with contents."""
        import weave

        return weave.op(name="call")(function)

    def flush(self) -> None:
        """Send what is in the queue."""
        self._client.flush()

    def records(self, requests: Sequence[Request]) -> list[Record]:
        """Give the calls: what a start and an end say of one is put together."""
        calls: dict[str, dict[str, Any]] = {}
        for request in requests:
            for call in parts(request):
                known = {field: value for field, value in call.items() if value is not None}
                calls.setdefault(call["id"], {}).update(known)
        return [Record(outcome(call), call) for call in calls.values() if call.get("ended_at")]


def parts(request: Request) -> Iterator[dict[str, Any]]:
    """Give what is said of calls in a request."""
    if "/call" not in request.path:
        return
    tree = json.loads(request.body)
    for item in tree.get("batch", [{"req": tree}]):
        said = item.get("req", item)
        yield said.get("start") or said.get("end") or said


def outcome(call: dict[str, Any]) -> str:
    """Give its word for how the call ended: there is an exception, or there is none."""
    return "error" if call.get("exception") else "success"
