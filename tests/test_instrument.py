"""A whole client in one line."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from threading import Thread
from types import MethodType
from typing import Any, NoReturn
from unittest.mock import MagicMock

import pytest

from scripted_server import ScriptedServer
from sdk_clients import (
    CHAT,
    MESSAGES,
    RESPONSES,
    anthropic_client,
    chat_steps,
    message_steps,
    openai_client,
    response_steps,
    whole_chat,
    whole_message,
)
from tokenclock import MetricsResult, capture, instrument, metrics_of, observe, uninstrument
from tokenclock.errors import InvalidOptionError, NotMeasurableError
from tokenclock.testing import CollectingSink

with_sdks = pytest.mark.extras


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def openai(server: ScriptedServer) -> Iterator[Any]:
    with openai_client(server) as client:
        yield client


@pytest.fixture
def anthropic(server: ScriptedServer) -> Iterator[Any]:
    with anthropic_client(server) as client:
        yield client


def only(results: list[MetricsResult[Any]]) -> MetricsResult[Any]:
    (result,) = results
    return result


class Answers:
    """A client's resource, or a client: each method gives a text in pieces."""

    def __init__(self, *names: str) -> None:
        self.calls: list[str] = []
        for name in names:
            setattr(self, name, Answers())

    def create(self, *, model: str = "") -> Iterator[str]:
        self.calls.append("create")
        yield from "abc"

    def stream(self, *, model: str = "") -> list[str]:
        """Read ``create``, as OpenAI's ``stream`` does."""
        return list(self.create(model=model))

    def completion(self, model: str) -> list[str]:
        self.calls.append("completion")
        return [model]


# --- what is measured -----------------------------------------------------------------------------


@with_sdks
def test_every_way_to_generate_is_measured_once(server: ScriptedServer, openai: Any) -> None:
    """Streams, whole answers, helpers and raw views; each call gives one result."""
    assert instrument(openai) is openai
    with capture() as results:
        server.play([whole_chat()])
        openai.chat.completions.create(**CHAT)
        server.play(chat_steps("a", "b", usage=7))
        list(openai.chat.completions.create(**CHAT, stream=True))
        server.play(chat_steps("a", "b", usage=7))
        with openai.chat.completions.stream(**CHAT) as stream:
            stream.until_done()
        server.play(response_steps("a", "b"))
        list(openai.responses.create(**RESPONSES, stream=True))
        server.play(response_steps("a", "b"))
        with openai.responses.stream(**RESPONSES) as stream:
            stream.until_done()
        server.play([whole_chat()])
        openai.chat.completions.parse(**CHAT)
        server.play(chat_steps("a", "b", usage=7))
        list(openai.chat.completions.with_raw_response.create(**CHAT, stream=True).parse())
        server.play(chat_steps("a", "b", usage=7))
        streaming = openai.with_streaming_response.chat.completions.create(**CHAT, stream=True)
        with streaming as response:
            list(response.parse())
    assert [result.token_count for result in results] == [7] * 8
    assert {result.outcome for result in results} == {"completed"}
    assert {result.provider for result in results} == {"openai"}
    assert {result.operation for result in results} == {"chat"}
    assert {(result.request_model, result.model) for result in results} == {("asked", "scripted")}
    assert {result.parent_id for result in results} == {None}
    assert [result.function.rpartition(".")[2] for result in results] == [
        "create", "create", "stream", "create", "stream", "parse", "create", "create",
    ]  # fmt: skip
    assert server.unexpected == []


@with_sdks
def test_anthropics_client_likewise(server: ScriptedServer, anthropic: Any) -> None:
    """Messages, their helper and the beta twins."""
    instrument(anthropic)
    with capture() as results:
        for messages in (anthropic.messages, anthropic.beta.messages):
            server.play([whole_message()])
            messages.create(**MESSAGES)
            server.play(message_steps("a", "b"))
            list(messages.create(**MESSAGES, stream=True))
            server.play(message_steps("a", "b"))
            with messages.stream(**MESSAGES) as stream:
                assert stream.get_final_text() == "ab"
    assert [result.token_count for result in results] == [7] * 6
    assert {result.provider for result in results} == {"anthropic"}
    assert {(result.request_model, result.model) for result in results} == {("asked", "scripted")}


@with_sdks
@pytest.mark.asyncio
async def test_async_clients_likewise(server: ScriptedServer) -> None:
    """The async twins of both."""
    async with openai_client(server, is_async=True) as openai:
        instrument(openai)
        with capture() as results:
            server.play([whole_chat()])
            await openai.chat.completions.create(**CHAT)
            server.play(chat_steps("a", "b", usage=7))
            async for _ in await openai.chat.completions.create(**CHAT, stream=True):
                pass
            server.play(chat_steps("a", "b", usage=7))
            async with openai.chat.completions.stream(**CHAT) as stream:
                await stream.until_done()
    async with anthropic_client(server, is_async=True) as anthropic:
        instrument(anthropic)
        with capture() as more:
            server.play(message_steps("a", "b"))
            async for _ in await anthropic.messages.create(**MESSAGES, stream=True):
                pass
            server.play(message_steps("a", "b"))
            async with anthropic.messages.stream(**MESSAGES) as stream:
                assert await stream.get_final_text() == "ab"
    assert [result.token_count for result in (*results, *more)] == [7] * 5
    assert [result.provider for result in more] == ["anthropic"] * 2


@with_sdks
def test_other_clients_and_classes_are_not_touched(server: ScriptedServer, openai: Any) -> None:
    """Only this instance changes: nothing is patched for the whole process."""
    from openai.resources.chat import Completions  # noqa: PLC0415 - see sdk_clients

    before = Completions.__dict__["create"]
    instrument(openai)
    with openai_client(server) as other, capture() as results:
        server.play([whole_chat()])
        other.chat.completions.create(**CHAT)
    assert results == []
    assert Completions.__dict__["create"] is before


@with_sdks
def test_the_methods_stay_what_they_were(openai: Any) -> None:
    """Names and signatures answer as those of the bare methods."""
    import inspect  # noqa: PLC0415 - needed here alone

    bare = openai.chat.completions.create
    signature, name = inspect.signature(bare), bare.__qualname__
    create = instrument(openai).chat.completions.create
    assert inspect.signature(create) == signature
    assert (create.__qualname__, create.__doc__) == (name, bare.__doc__)
    assert inspect.ismethod(create)


@with_sdks
def test_clouds_have_provider_names_of_their_own() -> None:
    """The provider is that of the GenAI semantic conventions."""
    import openai as sdk  # noqa: PLC0415 - see sdk_clients

    azure: Any = sdk.AzureOpenAI(api_key="none", azure_endpoint="http://nowhere", api_version="1")
    sink = CollectingSink()
    instrument(azure, sinks=[sink])
    with pytest.raises(TypeError):
        azure.chat.completions.create()
    assert [result.provider for result in sink.results] == ["azure.ai.openai"]


# --- copies, twice and back -----------------------------------------------------------------------


@with_sdks
def test_copies_are_measured_too(server: ScriptedServer, openai: Any) -> None:
    """``with_options`` is how one call gets a timeout of its own: it stays measured."""
    sink = CollectingSink()
    instrument(openai, sinks=[sink], attributes={"tenant": "acme"})
    for client in (openai.with_options(timeout=5), openai.copy().with_options(max_retries=0)):
        server.play([whole_chat()])
        client.chat.completions.create(**CHAT)
    assert [result.attributes["tenant"] for result in sink.results] == ["acme"] * 2


@with_sdks
def test_a_copy_is_undone_on_its_own(server: ScriptedServer, openai: Any) -> None:
    """The client and its copies are instances like any others."""
    twin = uninstrument(instrument(openai).copy())
    server.play([whole_chat()])
    server.play([whole_chat()])
    with capture() as results:
        twin.chat.completions.create(**CHAT)
        assert results == []
        openai.chat.completions.create(**CHAT)
    assert len(results) == 1


@with_sdks
def test_undone_the_client_is_as_it_was(server: ScriptedServer, openai: Any) -> None:
    """No attribute of ours stays, on the client or its resources."""
    resources = (openai.chat.completions, openai.completions, openai.responses)
    before = [dict(vars(one)) for one in resources]
    names = set(vars(openai))
    instrument(openai)
    openai.chat.completions.with_raw_response  # noqa: B018 - it keeps the measured method
    assert uninstrument(openai) is openai
    assert [dict(vars(one)) for one in resources] == before
    assert set(vars(openai)) - names <= {"beta"}  # the SDK keeps what was looked at
    server.play([whole_chat()])
    with capture() as results:
        openai.chat.completions.with_raw_response.create(**CHAT).parse()
    assert results == []


@with_sdks
def test_views_made_before_are_measured_too(server: ScriptedServer, openai: Any) -> None:
    """The SDK keeps its raw view with the methods of the time; it is made anew."""
    openai.chat.completions.with_raw_response  # noqa: B018 - it keeps the bare method
    openai.with_raw_response.chat  # noqa: B018 - as above
    instrument(openai)
    with capture() as results:
        for client in (openai, openai.with_raw_response):
            server.play([whole_chat()])
            completions = client.chat.completions
            view = getattr(completions, "with_raw_response", completions)
            view.create(**CHAT).parse()
    assert len(results) == 2


@with_sdks
@pytest.mark.parametrize("view", ["with_raw_response", "with_streaming_response"])
def test_views_of_what_holds_a_resource_follow_too(openai: Any, view: str) -> None:
    """``client.chat.with_raw_response`` keeps the methods of ``client.chat.completions``."""

    def create() -> Any:
        return getattr(openai.chat, view).completions.create

    bare = create()
    instrument(openai)
    measured = create()
    assert measured is not bare
    uninstrument(openai)
    assert create() is not measured


def test_twice_is_once_with_the_newer_options() -> None:
    """A second call replaces the first, and undoing it leaves nothing."""
    client = Answers("messages")
    instrument(client, provider="one")
    instrument(client, provider="two")
    with capture() as results:
        list(client.messages.create())  # type: ignore[attr-defined]
    assert only(results).provider == "two"
    assert "create" not in vars(uninstrument(client).messages)  # type: ignore[attr-defined]


def test_uninstrument_leaves_alone_what_is_not_instrumented() -> None:
    """Neither a client that never was, nor any other object, changes."""
    client = Answers("messages")
    before = dict(vars(client))
    assert uninstrument(client) is client
    assert vars(client) == before
    assert uninstrument(3) == 3


def test_what_others_put_in_place_since_stays() -> None:
    """Undoing takes back what is ours, and nothing else."""
    client: Any = instrument(Answers("messages"))

    def theirs() -> None:
        raise AssertionError

    client.messages.create = theirs
    assert uninstrument(client).messages.create is theirs


def test_what_others_had_put_in_place_comes_back() -> None:
    """An attribute of the instance is restored, where a class's own is uncovered again."""
    client: Any = Answers("messages")

    def theirs() -> list[str]:
        return ["a"]

    client.messages.create = theirs
    with capture() as results:
        instrument(client).messages.create()
    assert only(results).token_count == 1
    assert uninstrument(client).messages.create is theirs


def test_a_method_that_was_decorated_stays_as_it_is() -> None:
    """It would be measured twice."""
    client: Any = Answers("messages")
    mine = client.messages.create = observe(client.messages.create, name="mine")
    with capture() as results:
        list(instrument(client).messages.create())
    assert only(results).function == "mine"
    assert uninstrument(client).messages.create is mine


def test_a_mock_that_others_put_in_place_since_stays() -> None:
    """Whatever a mock is asked for, it has: that is no sign that it is ours."""
    client: Any = instrument(Answers("messages"))
    client.messages.create = mock = MagicMock()
    uninstrument(client)
    assert client.messages.create is mock


def test_a_mocked_client_can_be_undone() -> None:
    """Its methods are there afterwards, and instrumenting it twice does not break it."""
    client = MagicMock()
    instrument(instrument(client))
    client.chat.completions.create(model="m")
    uninstrument(client)
    client.chat.completions.create(model="m")


def test_a_client_that_refuses_halfway_is_left_alone() -> None:
    """Half a client measured would be worse than none."""

    class Frozen(Answers):
        def __setattr__(self, name: str, value: object) -> None:
            if name == "create":
                msg = "frozen"
                raise AttributeError(msg)
            super().__setattr__(name, value)

    client: Any = Answers("messages", "responses")
    client.messages = Frozen()
    with pytest.raises(AttributeError, match="frozen"):
        instrument(client)
    assert "create" not in vars(client.responses)


def test_threads_that_instrument_one_client_do_not_meet() -> None:
    """However many do, undoing it once undoes it."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(20):
            client: Any = Answers("messages", "responses", "completions")
            threads = [Thread(target=instrument, args=(client,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            uninstrument(client)
            assert "create" not in vars(client.messages)
            assert "create" not in vars(client.completions)
    finally:
        sys.setswitchinterval(interval)


# --- the shapes of clients ------------------------------------------------------------------------


def test_any_client_with_the_same_paths_will_do() -> None:
    """Shape counts; the provider is the package that the client's class is from."""
    client: Any = instrument(Answers("messages", "completions"))
    with capture() as results:
        list(client.messages.create(model="asked"))
        list(client.completions.create())
    assert [result.provider for result in results] == [__name__] * 2
    assert [result.operation for result in results] == ["chat", "text_completion"]
    assert [result.request_model for result in results] == ["asked", None]


def test_a_method_that_calls_another_counts_as_one_call() -> None:
    """``stream`` calls ``self.create``: what the user called is what is measured."""
    client: Any = instrument(Answers("messages"))
    with capture() as results:
        assert client.messages.stream() == ["a", "b", "c"]
    assert only(results).function.endswith("Answers.stream")
    assert client.messages.calls == ["create"]


def test_what_a_method_keeps_in_its_object_is_kept_there() -> None:
    """A resource that counts its calls, or remembers the latest, goes on doing so."""

    class Counting(Answers):
        count = 0

        def create(self, *, model: str = "") -> Iterator[str]:
            self.count += 1
            self.latest = model
            return super().create(model=model)

    client: Any = Answers()
    client.messages = Counting()
    instrument(client)
    "".join(client.messages.create(model="a"))
    client.messages.stream(model="b")
    assert (client.messages.count, client.messages.latest) == (2, "b")
    assert type(client.messages) is Counting


def test_a_method_calls_what_others_put_in_place() -> None:
    """Whoever replaces ``create`` replaces it for ``stream`` too, before and after."""
    for is_late in (False, True):
        client: Any = Answers("messages")
        if is_late:
            instrument(client)
        client.messages.create = lambda **_: iter("xy")
        if not is_late:
            instrument(client)
        with capture() as results:
            assert client.messages.stream() == ["x", "y"]
        assert only(results).token_count == 2


def test_a_resource_that_cannot_be_copied_is_measured() -> None:
    """A method that calls another may then count as two."""

    class Locked(Answers):
        def __copy__(self) -> NoReturn:
            msg = "there is only one"
            raise TypeError(msg)

    client: Any = Answers()
    client.messages = Locked()
    with capture() as results:
        assert "".join(instrument(client).messages.create()) == "abc"
    assert only(results).token_count == 3


def test_functions_of_the_client_itself_are_measured() -> None:
    """As LiteLLM's ``completion``, whose model is given by position."""
    client = instrument(Answers())
    with capture() as results:
        assert client.completion("asked") == ["asked"]
    assert only(results).request_model == "asked"
    assert client.calls == ["completion"]


@pytest.mark.parametrize(
    ("base_url", "server"),
    [
        ("https://api.openai.com/v1/", {"server.address": "api.openai.com", "server.port": 443}),
        ("http://127.0.0.1:8080", {"server.address": "127.0.0.1", "server.port": 8080}),
        ("http://[::1]:99999", {}),
        ("unix:/tmp/model.sock", {}),
        ("", {}),
    ],
)
def test_calls_say_which_server_they_go_to(base_url: str, server: dict[str, object]) -> None:
    """Host and port of a client's base URL are labels of its calls; a bad URL breaks nothing."""
    client: Any = Answers("messages")
    client.base_url = base_url
    sink = CollectingSink()
    instrument(client, sinks=[sink], attributes={"tenant": "acme"})
    client.messages.stream()
    assert dict(sink.results[-1].attributes) == {**server, "tenant": "acme"}


def test_a_server_that_is_named_stays_named() -> None:
    """Behind a proxy only the user knows the server: what the user says wins."""
    client: Any = Answers("messages")
    client.base_url = "http://proxy:3128"
    sink = CollectingSink()
    named: dict[str, str | int] = {"server.address": "api.openai.com", "server.port": 443}
    instrument(client, sinks=[sink], attributes=named).messages.stream()
    assert dict(sink.results[-1].attributes) == named


def test_a_copy_says_its_own_server() -> None:
    """A copy with another base URL is labelled with that one."""
    client: Any = Answers("messages")
    client.base_url = "http://first:1"
    other: Any = Answers("messages")
    other.base_url = "http://second:2"
    client.copy = MethodType(lambda _: other, client)
    sink = CollectingSink()
    instrument(client, sinks=[sink]).copy().messages.stream()
    assert sink.results[-1].attributes["server.address"] == "second"


def test_options_are_those_of_observe() -> None:
    """Every call of the client carries them."""
    sink = CollectingSink()
    client: Any = instrument(
        Answers("messages"), name="answer", model="m", provider="p", operation="o",
        attributes={"a": 1}, sinks=(one for one in [sink]), count_tokens=lambda _chunk: 2,
    )  # fmt: skip
    list(client.messages.create())
    client.messages.stream()
    first = sink.results[0]
    said = (first.function, first.model, first.provider, first.operation)
    assert said == (
        "answer",
        "m",
        "p",
        "o",
    )
    assert (dict(first.attributes), first.token_count) == ({"a": 1}, 6)
    assert len(sink.results) == 2


def test_disabled_it_leaves_the_client_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``observe`` gives the function itself."""
    monkeypatch.setenv("TOKENCLOCK_DISABLED", "1")
    client: Any = Answers("messages")
    assert instrument(client) is client
    assert "create" not in vars(client.messages)


def test_deep_copies_of_a_client_are_measured() -> None:
    """A copy takes the measured methods with it, as it takes everything."""
    original: Any = instrument(Answers("messages"))
    original.messages.later = ["a"]
    client = copy.deepcopy(original)
    client.messages.create.__self__.later.append("b")
    assert (original.messages.later, client.messages.later) == (["a"], ["a", "b"])
    with capture() as results:
        list(client.messages.create())
        client.messages.stream()
    assert [result.token_count for result in results] == [3, 3]


# --- refusals -------------------------------------------------------------------------------------


def test_a_client_without_generating_methods_is_refused() -> None:
    """A wrong object is named at once."""
    with pytest.raises(
        NotMeasurableError,
        match=r"Cannot instrument a 'object': it has none of the methods that generate.* observe\(",
    ):
        instrument(object())


def test_a_class_is_refused() -> None:
    """A client has to be made first; undoing a class does nothing, as it never was done."""
    with pytest.raises(NotMeasurableError, match=r"the class .*Answers'.* instrument\(Answers\("):
        instrument(Answers)
    assert uninstrument(Answers) is Answers


@with_sdks
def test_a_part_of_a_client_is_refused(openai: Any) -> None:
    """Its methods would be taken for those of another path."""
    with pytest.raises(
        NotMeasurableError, match=r"it is only a part of a client\. Pass the client"
    ):
        instrument(openai.chat)


def test_a_sink_that_is_no_list_is_refused_as_elsewhere() -> None:
    """The message says what to pass."""
    wrong: Any = {"sinks": print}
    with pytest.raises(InvalidOptionError, match=r"Pass sinks=\[<built-in function print>\]"):
        instrument(Answers("messages"), **wrong)


def test_an_option_of_observe_alone_is_not_proposed() -> None:
    """A client's methods decide by themselves whether they stream."""
    wrong: Any = {"streams": True}
    with pytest.raises(InvalidOptionError, match="The options are attributes, clock"):
        instrument(Answers("messages"), **wrong)


def test_a_client_that_makes_its_parts_anew_is_refused() -> None:
    """A measured method put into a part that is thrown away would measure nothing."""

    class Fickle:
        @property
        def messages(self) -> Answers:
            return Answers()

    with pytest.raises(NotMeasurableError, match="none of the methods"):
        instrument(Fickle())


def test_wrong_options_are_refused_before_anything_changes() -> None:
    """An unknown option is named with the one that was meant."""
    client: Any = Answers("messages")
    wrong: Any = {"modle": "m"}
    with pytest.raises(InvalidOptionError, match=r"instrument\(modle=.*model="):
        instrument(client, **wrong)
    wrong = {"model": 3}
    with pytest.raises(InvalidOptionError, match="Cannot use model=3"):
        instrument(client, **wrong)
    assert "create" not in vars(client.messages)


def test_streams_of_an_instrumented_client_answer_metrics_of() -> None:
    """As every measured stream."""
    client: Any = instrument(Answers("messages"))
    stream = client.messages.create()
    assert "".join(stream) == "abc"
    result = metrics_of(stream)
    assert result is not None
    assert result.token_count == 3
