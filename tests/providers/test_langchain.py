"""What LangChain's models give: messages, generations and results."""

from __future__ import annotations

import functools
import importlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutating import assert_harmless, mutated
from stepping import every_shape, finished, script_at
from tokenclock import MeasuredStream, Usage, metrics_decorator, metrics_of, observe
from tokenclock._providers import ProviderReader, read_response

if TYPE_CHECKING:
    from tokenclock.testing import CollectingSink, FakeClock

extras = pytest.mark.extras

TOLD = {"finish_reason": "stop", "model_name": "a-model"}
COUNTS = {
    "input_tokens": 9,
    "output_tokens": 7,
    "total_tokens": 16,
    "input_token_details": {"cache_read": 5, "cache_creation": 1},
    "output_token_details": {"reasoning": 3},
}


def call(**parts: Any) -> dict[str, Any]:
    return {"type": "tool_call_chunk", "id": None, "name": None, "args": None, "index": 0, **parts}


# Fields of an AIMessageChunk, and what they say.
CHUNKS: list[tuple[Any, ...]] = [
    ({"content": "Hi"}, 1, "text", None, None, None),
    ({"content": ""}, 0, None, None, None, None),
    ({"content": []}, 0, None, None, None, None),
    ({"content": ["Hi"]}, 1, "text", None, None, None),
    ({"content": [{"type": "text", "text": "Hi", "index": 0}]}, 1, "text", None, None, None),
    ({"content": [{"type": "text", "text": ""}]}, 0, None, None, None, None),
    ({"content": [{"text": "Hi"}]}, 1, "text", None, None, None),
    ({"content": [{"type": "refusal", "refusal": "No"}]}, 1, "text", None, None, None),
    ({"content": [{"type": "thinking", "thinking": "hm"}]}, 1, "reasoning", None, None, None),
    ({"content": [{"type": "thinking", "signature": "c2ln"}]}, 0, None, None, None, None),
    ({"content": [{"type": "redacted_thinking", "data": "x"}]}, 0, None, None, None, None),
    ({"content": [{"type": "reasoning", "reasoning": "hm"}]}, 1, "reasoning", None, None, None),
    (
        {"content": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}]},
        1, "reasoning", None, None, None,
    ),
    (
        {"content": [{"type": "reasoning_content", "reasoning_content": {"text": "hm"}}]},
        1, "reasoning", None, None, None,
    ),
    (
        {"content": [{"type": "reasoning_content", "reasoning_content": {"signature": "c2ln"}}]},
        0, None, None, None, None,
    ),
    ({"content": [{"type": "tool_use", "id": "t", "name": "n"}]}, 1, "tool", None, None, None),
    (
        {"content": [{"type": "input_json_delta", "partial_json": "{"}]},
        1, "tool", None, None, None,
    ),
    (
        {"content": [{"type": "input_json_delta", "partial_json": ""}]},
        0, None, None, None, None,
    ),
    (
        {"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi"}]},
        1, "text", None, None, None,
    ),
    (
        {"content": "", "tool_call_chunks": [call(id="t", name="n", args="")]},
        1, "tool", None, None, None,
    ),
    ({"content": "", "tool_call_chunks": [call(args='{"a"')]}, 1, "tool", None, None, None),
    ({"content": "", "tool_call_chunks": [call(args="")]}, 0, None, None, None, None),
    (
        {"content": "", "additional_kwargs": {"reasoning_content": "hm"}},
        1, "reasoning", None, None, None,
    ),
    (
        {"content": "", "usage_metadata": COUNTS, "response_metadata": TOLD},
        0, None, Usage(9, 7, 3, 5), "a-model", "stop",
    ),
    (
        {"content": "", "response_metadata": {"stop_reason": "end_turn", "model": "b"}},
        0, None, None, "b", "end_turn",
    ),
    ({"content": "", "response_metadata": {"done_reason": "load"}}, 0, None, None, None, "load"),
]  # fmt: skip

ODD = [
    {"content": 5},
    {"content": [5, None, {"type": 5, "text": "a"}]},
    {"content": [{"type": "text", "text": 5}]},
    {"content": [{"type": "reasoning_content", "reasoning_content": "hm"}]},
    {"content": "", "tool_call_chunks": "t"},
    {"content": "", "tool_call_chunks": [{"args": {"a": 1}}]},
    {"content": "", "additional_kwargs": [1]},
    {"content": "", "response_metadata": {"model_name": 5, "finish_reason": ["stop"]}},
    {"content": "", "response_metadata": "stop"},
]


def as_dict(fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "AIMessageChunk", **fields}


def messages() -> Any:
    return importlib.import_module("langchain_core.messages")


def outputs() -> Any:
    return importlib.import_module("langchain_core.outputs")


# --- single chunks ----------------------------------------------------------------------------


@pytest.mark.parametrize(("fields", "tokens", "channel", "usage", "model", "finish"), CHUNKS)
def test_what_a_chunk_says(  # noqa: PLR0917 - a row of the table
    fields: Any,
    tokens: int,
    channel: str | None,
    usage: Usage | None,
    model: str | None,
    finish: str | None,
) -> None:
    """A chunk that says, thinks or calls something is a token of its most visible channel."""
    reading = ProviderReader().read(as_dict(fields))
    assert reading == (tokens, None, 0, channel, usage, model, finish)


@extras
def test_the_real_chunks_say_the_same() -> None:
    """An AIMessageChunk is read as its fields are, alone and in a generation."""
    for fields, *_ in CHUNKS:
        message = messages().AIMessageChunk(**fields)
        expected = ProviderReader().read(as_dict(fields))
        assert ProviderReader().read(message) == expected
        generation = outputs().ChatGenerationChunk(message=message)
        assert ProviderReader().read(generation) == expected


@pytest.mark.parametrize("fields", ODD)
def test_odd_fields_are_no_tokens(fields: Any) -> None:
    """A field that holds something else than it should is no token."""
    reading = ProviderReader().read(as_dict(fields))
    assert reading == (0, None, 0, None, None, None, None)


@extras
def test_text_without_a_message() -> None:
    """The chunks of a model that completes text have their words beside it."""
    chunk = outputs().GenerationChunk
    reader = ProviderReader()
    told = {"done_reason": "stop", "model": "a-model"}
    assert reader.read(chunk(text="Hi")) == (1, None, 0, "text", None, None, None)
    assert reader.read(chunk(text="")) == (0, None, 0, None, None, None, None)
    assert reader.read(chunk(text="", generation_info=told)) == (
        0, None, 0, None, None, "a-model", "stop",
    )  # fmt: skip


@extras
def test_messages_of_others_are_no_tokens() -> None:
    """What a person or a tool says in a graph's stream is no output of a model."""
    reader = ProviderReader()
    for message in (
        messages().HumanMessage("Hi"),
        messages().ToolMessage("12 degrees", tool_call_id="t"),
        messages().ToolMessageChunk(content="12", tool_call_id="t"),
        messages().SystemMessage("Be kind"),
    ):
        assert reader.read(message) == (0, None, 0, None, None, None, None)
    assert reader.read(messages().AIMessage("Hi")) == (1, None, 0, "text", None, None, None)


@extras
def test_what_is_no_message_is_of_no_known_shape() -> None:
    """Prompts and documents of LangChain are no output of a model."""
    prompt = importlib.import_module("langchain_core.prompt_values").StringPromptValue(text="Hi")
    document = importlib.import_module("langchain_core.documents").Document("Hi")
    addable = importlib.import_module("langchain_core.runnables.utils").AddableDict
    for chunk in (prompt, document, addable(answer="Hi"), {"type": "ai", "content": "Hi"}):
        assert ProviderReader().read(chunk) is None


@extras
def test_a_graph_streams_messages_beside_their_metadata() -> None:
    """Pairs of a message and its metadata are read as the message; other pairs are unknown."""
    reader = ProviderReader()
    chunk = messages().AIMessageChunk("Hi")
    node = {"langgraph_node": "agent"}
    assert reader.read((chunk, node)) == (1, None, 0, "text", None, None, None)
    tool = messages().ToolMessage("12 degrees", tool_call_id="t")
    assert reader.read((tool, node)) == (0, None, 0, None, None, None, None)
    for pair in (("messages", node), (chunk, chunk), (chunk, node, node), ()):
        assert reader.read(pair) is None
    reading = read_response((messages().AIMessage("Hi", usage_metadata=COUNTS), node))
    assert reading is not None
    assert reading.usage == Usage(9, 7, 3, 5)


def test_usage_is_the_sum_of_what_the_chunks_tell() -> None:
    """LangChain's chunks add up, so the counts of each are added to those before."""
    reader = ProviderReader()
    opening = {"input_tokens": 9, "output_tokens": 0, "input_token_details": {"cache_read": 5}}
    usages = []
    for usage in (opening, {"input_tokens": 0, "output_tokens": 4}, {"output_tokens": 3}):
        reading = reader.read(as_dict({"content": "Hi", "usage_metadata": usage}))
        assert reading is not None
        usages.append(reading.usage)
    assert usages == [Usage(9, 0, None, 5), Usage(9, 4, None, 5), Usage(9, 7, None, 5)]


@given(st.lists(mutated([as_dict(row[0]) for row in CHUNKS]), max_size=4))
def test_no_chunk_raises(chunks: list[Any]) -> None:
    """Whatever a chunk holds, its reading is in order."""
    assert_harmless(chunks)


@every_shape
def test_a_stream_of_chunks(shape: str, clock: FakeClock) -> None:
    """A whole stream has the numbers of its chunks."""
    chunks: dict[float, Any] = {
        100: as_dict({"content": "", "usage_metadata": {"input_tokens": 9, "output_tokens": 1}}),
        200: as_dict({"content": [{"type": "thinking", "thinking": "hm"}]}),
        300: as_dict({"content": "Hi"}),
        400: as_dict(
            {
                "content": "",
                "usage_metadata": {"input_tokens": 0, "output_tokens": 6},
                "response_metadata": TOLD,
            }
        ),
    }
    result = finished(shape, script_at(clock, chunks, end=500))

    assert result.time_to_first_token == 0.2
    assert result.time_to_first_output_token == 0.3
    assert result.generation_latency == 0.5
    assert (result.token_count, result.token_source) == (7, "usage")
    assert result.input_token_count == 9
    assert (result.model, result.finish_reason) == ("a-model", "stop")


# --- whole responses --------------------------------------------------------------------------


@extras
def test_a_whole_message() -> None:
    """A message tells usage, model and the reason to stop."""
    message = messages().AIMessage("Hi", usage_metadata=COUNTS, response_metadata=TOLD)

    def invoke() -> Any:
        return message

    result = metrics_decorator(invoke)()
    assert result.value is message
    assert (result.token_count, result.token_source) == (7, "usage")
    assert (result.input_token_count, result.cached_token_count) == (9, 5)
    assert result.reasoning_token_count == 3
    assert (result.model, result.finish_reason) == ("a-model", "stop")


@extras
def test_a_whole_message_may_tell_usage_as_its_server_did() -> None:
    """Where LangChain gives no usage of its own, that of the server is taken."""
    told = {"token_usage": {"prompt_tokens": 9, "completion_tokens": 7}, **TOLD}
    reading = read_response(messages().AIMessage("Hi", response_metadata=told))
    assert reading == (0, None, 0, None, Usage(9, 7), "a-model", "stop")
    bare = read_response(messages().AIMessage("Hi"))
    assert bare == (0, None, 0, None, None, None, None)


@extras
def test_results_are_the_sum_of_their_generations() -> None:
    """A result for several prompts has the usage of all; one of mere text that of its server."""
    message = messages().AIMessage("Hi", usage_metadata=COUNTS, response_metadata=TOLD)
    generation = outputs().ChatGeneration(message=message)
    expected = (0, None, 0, None, Usage(18, 14, 6, 10), "a-model", "stop")
    many = outputs().LLMResult(generations=[[generation], [generation]])
    assert read_response(many) == expected
    assert read_response(outputs().ChatResult(generations=[generation, generation])) == expected

    text = outputs().Generation(text="Hi", generation_info={"finish_reason": "length"})
    counts = {"prompt_tokens": 9, "completion_tokens": 7}
    output = {"token_usage": counts, "model_name": "a-model"}
    completed = outputs().LLMResult(generations=[[text]], llm_output=output)
    assert read_response(completed) == (0, None, 0, None, Usage(9, 7), "a-model", "length")
    assert read_response(text) == (0, None, 0, None, None, None, "length")


# --- a real model -----------------------------------------------------------------------------


@functools.cache
def model_class() -> Any:
    """Make a model of LangChain's that says what it is told to, a quarter of a second apart."""
    models = importlib.import_module("langchain_core.language_models")

    class Scripted(models.BaseChatModel):  # type: ignore[misc, name-defined]  # the base is Any
        clock: Any
        chunks: Sequence[Any]

        @property
        def _llm_type(self) -> str:
            return "scripted"

        def _generate(self, *_: Any, **__: Any) -> Any:
            self.clock.advance(0.5)
            message = messages().AIMessage("Hi", usage_metadata=COUNTS, response_metadata=TOLD)
            return outputs().ChatResult(generations=[outputs().ChatGeneration(message=message)])

        def _stream(self, *_: Any, **__: Any) -> Iterator[Any]:
            for fields in self.chunks:
                self.clock.advance(0.25)
                message = messages().AIMessageChunk(**fields)
                yield outputs().ChatGenerationChunk(message=message)

        async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
            for chunk in self._stream():
                yield chunk

    return Scripted


SAYS = (
    {"content": "", "usage_metadata": {"input_tokens": 9, "output_tokens": 0, "total_tokens": 9}},
    {"content": [{"type": "thinking", "thinking": "hm"}]},
    {"content": "Hi"},
    {
        "content": "",
        "usage_metadata": {"input_tokens": 0, "output_tokens": 7, "total_tokens": 7},
        "response_metadata": TOLD,
    },
)


def model_over(clock: FakeClock) -> Any:
    return model_class()(clock=clock, chunks=SAYS)


def assert_streamed(stream: Any) -> None:
    result = metrics_of(stream)
    assert result is not None
    assert result.outcome == "completed"
    assert result.time_to_first_chunk == 0.25
    assert result.time_to_first_token == 0.5
    assert result.time_to_first_output_token == 0.75
    assert (result.token_count, result.token_source) == (7, "usage")
    assert result.input_token_count == 9
    assert (result.model, result.finish_reason) == ("a-model", "stop")


@extras
def test_a_models_stream_is_measured(clock: FakeClock) -> None:
    """The chunks of a model's stream are its own, and add up as ever."""
    stream = observe(model_over(clock).stream, clock=clock)("Hi")
    chunks = list(stream)
    total = functools.reduce(lambda one, other: one + other, chunks)

    assert isinstance(total, messages().AIMessageChunk)
    assert total.text == "Hi"
    assert total.usage_metadata["output_tokens"] == 7
    assert_streamed(stream)


@extras
@pytest.mark.asyncio
async def test_a_models_async_stream_is_measured(clock: FakeClock) -> None:
    """The same with ``astream``."""
    stream = observe(model_over(clock).astream, clock=clock)("Hi")
    assert "".join([chunk.text async for chunk in stream]) == "Hi"
    assert_streamed(stream)


@extras
@pytest.mark.parametrize("name", ["invoke", "ainvoke"])
@pytest.mark.asyncio
async def test_a_models_whole_answer_gives_its_usage(name: str, clock: FakeClock) -> None:
    """``invoke`` gives a message, with its usage."""
    given = metrics_decorator(getattr(model_over(clock), name), clock=clock)("Hi")
    result = await given if name == "ainvoke" else given

    assert isinstance(result.value, messages().AIMessage)
    assert (result.token_count, result.token_source) == (7, "usage")
    assert (result.input_token_count, result.cached_token_count) == (9, 5)
    assert (result.model, result.finish_reason) == ("a-model", "stop")
    assert result.generation_latency == 0.5


@extras
def test_pipes_work_with_a_measured_function_in_them(
    clock: FakeClock, sink: CollectingSink
) -> None:
    """In a chain, an observed function that gives a stream is one part among others."""
    runnables = importlib.import_module("langchain_core.runnables")
    parser = importlib.import_module("langchain_core.output_parsers").StrOutputParser()
    model = model_over(clock)

    @observe(clock=clock)
    def answer(said: Iterator[Any]) -> Iterator[Any]:
        yield from model.stream(next(said))

    chain = runnables.RunnableGenerator(answer) | parser
    assert "".join(chain.stream("Hi")) == "Hi"
    assert [result.token_count for result in sink.results] == [7]
    assert sink.results[0].time_to_first_token == 0.5

    stream = observe(chain.stream, clock=clock)("Hi")
    assert issubclass(type(stream), MeasuredStream)
    assert "".join(stream) == "Hi"


@extras
def test_a_model_whose_methods_are_observed_is_a_model_still(
    clock: FakeClock, sink: CollectingSink
) -> None:
    """A model with an observed ``stream`` of its own is one to LangChain."""
    parser = importlib.import_module("langchain_core.output_parsers").StrOutputParser()
    kind: Any = model_class()

    class Observed(kind):  # type: ignore[misc]  # it is made when it is asked for
        @observe(clock=clock)
        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
            return super()._stream(*args, **kwargs)  # type: ignore[no-any-return]  # Any

    model = Observed(clock=clock, chunks=SAYS)
    assert isinstance(model, importlib.import_module("langchain_core.runnables").Runnable)
    assert "".join((model | parser).stream("Hi")) == "Hi"
    assert [result.token_count for result in sink.results] == [7]
    assert sink.results[0].time_to_first_token == 0.5


@extras
def test_a_fake_model_of_langchains_own(clock: FakeClock) -> None:
    """LangChain's own fake model gives words and blanks, a token each."""
    fake = importlib.import_module("langchain_core.language_models.fake_chat_models")
    model = fake.GenericFakeChatModel(messages=iter(["how fast is it"]))
    stream = observe(model.stream, clock=clock)("Hi")
    assert "".join(chunk.text for chunk in stream) == "how fast is it"
    result = metrics_of(stream)
    assert result is not None
    assert (result.token_count, result.token_source) == (7, "chunks")
