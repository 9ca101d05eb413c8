"""
Real clients on a scripted server, and the frames that their streaming helpers need.

SDKs are imported when they are asked for: the bare run collects tests without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scripted_server import (
    Head,
    Reply,
    ScriptedServer,
    Step,
    block_delta,
    block_start,
    chat,
    done,
    frame,
    message,
    message_end,
    message_start,
)

CHAT: dict[str, Any] = {"model": "asked", "messages": [{"role": "user", "content": "Hello?"}]}
MESSAGES: dict[str, Any] = {**CHAT, "max_tokens": 9}
RESPONSES: dict[str, Any] = {"model": "asked", "input": "Hello?"}


def openai_client(server: ScriptedServer, *, is_async: bool = False) -> Any:
    import openai  # noqa: PLC0415 - see above

    kind = openai.AsyncOpenAI if is_async else openai.OpenAI
    return kind(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def anthropic_client(server: ScriptedServer, *, is_async: bool = False) -> Any:
    import anthropic  # noqa: PLC0415 - see above

    kind = anthropic.AsyncAnthropic if is_async else anthropic.Anthropic
    return kind(base_url=server.url, api_key="none", max_retries=0)


def chat_steps(*texts: str, usage: int | None = None) -> list[Step]:
    """Give the frames of a chat completion; the first and the last carry no text."""
    frames = [chat({"role": "assistant", "content": None}), *(chat({"content": t}) for t in texts)]
    frames.append(chat({}, finish="stop"))
    if usage is not None:
        counts = {"prompt_tokens": 5, "completion_tokens": usage, "total_tokens": 5 + usage}
        frames.append({**chat({}), "choices": [], "usage": counts})
    return [Head(), *(frame(one) for one in frames), *done()]


def message_steps(*texts: str, usage: int = 7) -> list[Step]:
    """Give the frames of a message of Anthropic's."""
    return [
        Head(),
        message_start({"input_tokens": 5, "output_tokens": 1}),
        block_start({"type": "text", "text": ""}),
        *(block_delta({"type": "text_delta", "text": text}) for text in texts),
        message("content_block_stop", index=0),
        *message_end({"output_tokens": usage}),
        *done()[1:],
    ]


def response_steps(*texts: str, usage: int = 7) -> list[Step]:
    """Give the events of a response of OpenAI's."""
    place = {"item_id": "item-1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    item = {"id": "item-1", "type": "message", "role": "assistant", "status": "in_progress"}
    said = {**part, "text": "".join(texts)}
    whole = {**item, "status": "completed", "content": [said]}
    events: Sequence[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": response("in_progress")}),
        ("response.output_item.added", {"output_index": 0, "item": {**item, "content": []}}),
        ("response.content_part.added", {**place, "part": part}),
        *(("response.output_text.delta", {**place, "delta": t, "logprobs": []}) for t in texts),
        ("response.output_text.done", {**place, "text": said["text"], "logprobs": []}),
        ("response.content_part.done", {**place, "part": said}),
        ("response.output_item.done", {"output_index": 0, "item": whole}),
        ("response.completed", {"response": response("completed", [whole], usage)}),
    ]
    numbered = (
        message(name, sequence_number=number, **fields)
        for number, (name, fields) in enumerate(events)
    )
    return [Head(), *numbered, *done()[1:]]


def response(status: str, output: Sequence[Any] = (), usage: int | None = None) -> dict[str, Any]:
    """Give a response of OpenAI's, as far as it is."""
    counts = None if usage is None else {
        "input_tokens": 5, "input_tokens_details": {"cached_tokens": 2},
        "output_tokens": usage, "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 5 + usage,
    }  # fmt: skip
    return {
        "id": "response-1", "object": "response", "created_at": 1, "status": status,
        "model": "scripted", "output": list(output), "parallel_tool_calls": True,
        "tool_choice": "auto", "tools": [], "usage": counts,
    }  # fmt: skip


def whole_chat(usage: int = 7) -> Reply:
    """Give a whole chat completion, which is not streamed."""
    choice = {
        "index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"},
    }  # fmt: skip
    counts = {"prompt_tokens": 5, "completion_tokens": usage, "total_tokens": 5 + usage}
    body = {
        "id": "chat-1", "object": "chat.completion", "created": 1, "model": "scripted",
        "choices": [choice], "usage": counts,
    }  # fmt: skip
    return Reply(200, body)


def whole_message(usage: int = 7) -> Reply:
    """Give a whole message of Anthropic's."""
    body = {
        "id": "msg-1", "type": "message", "role": "assistant", "model": "scripted",
        "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn",
        "stop_sequence": None, "usage": {"input_tokens": 5, "output_tokens": usage},
    }  # fmt: skip
    return Reply(200, body)
