"""What frameworks decide by looking at a function they decide as before, on the real ones."""

from __future__ import annotations

import inspect
import json
import multiprocessing
import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tokenclock
from tokenclock import MetricsResult, capture, metrics_decorator, observe
from tokenclock.testing import FakeClock

Decorator = Callable[..., Any]

extras = pytest.mark.extras
both_loops = pytest.mark.parametrize("backend", ["asyncio", "trio"])


# --- FastAPI and Starlette -----------------------------------------------------------------------


@observe
def sync_value(text: str, count: int = 1) -> list[str]:
    return [text] * count


@observe
async def async_value(text: str, count: int = 1) -> list[str]:
    return [text] * count


@observe
def sync_dependency() -> Iterator[str]:
    yield "dependency"


@observe
async def async_dependency() -> AsyncIterator[str]:
    yield "dependency"


@extras
@pytest.mark.parametrize("function", [sync_value, async_value])
def test_fastapi_reads_parameters_and_responses_as_before(function: Any) -> None:
    """FastAPI finds the parameters, converts them, and documents what it did."""
    from fastapi import FastAPI  # noqa: PLC0415 - an extra
    from fastapi.testclient import TestClient  # noqa: PLC0415 - an extra

    def app_over(endpoint: Any) -> Any:
        app = FastAPI()
        app.get("/tokens")(endpoint)
        return app

    bare, measured = app_over(inspect.unwrap(function)), app_over(function)
    with capture(), TestClient(measured) as client:
        response = client.get("/tokens", params={"text": "a", "count": "2"})
        wrong = client.get("/tokens", params={"count": "many"})

    assert response.json() == ["a", "a"]
    assert wrong.status_code == 422
    assert measured.openapi() == bare.openapi()


@extras
@pytest.mark.parametrize("dependency", [sync_dependency, async_dependency])
def test_fastapi_takes_a_decorated_generator_as_a_dependency(dependency: Any) -> None:
    """A dependency with yield is recognised, entered and left."""
    from fastapi import Depends, FastAPI  # noqa: PLC0415 - an extra
    from fastapi.testclient import TestClient  # noqa: PLC0415 - an extra

    app = FastAPI()

    @app.get("/")
    def endpoint(given: str = Depends(dependency)) -> str:  # noqa: FAST002, RUF100 - as programs write it
        return given

    with TestClient(app) as client:
        assert client.get("/").json() == "dependency"


@extras
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_starlette_streams_a_measured_stream(kind: str, clock: FakeClock) -> None:
    """StreamingResponse sends every chunk of a measured stream, and the run is completed."""
    from starlette.applications import Starlette  # noqa: PLC0415 - an extra
    from starlette.requests import Request  # noqa: PLC0415, TC002 - an extra
    from starlette.responses import StreamingResponse  # noqa: PLC0415 - an extra
    from starlette.routing import Route  # noqa: PLC0415 - an extra
    from starlette.testclient import TestClient  # noqa: PLC0415 - an extra

    results: list[MetricsResult[Any]] = []

    def stream() -> Iterator[str]:
        yield "a"
        yield "b"

    async def astream() -> AsyncIterator[str]:
        yield "a"
        yield "b"

    function: Any = stream if kind == "sync" else astream
    measured = observe(function, clock=clock, sinks=[results.append])

    async def endpoint(request: Request) -> StreamingResponse:
        return StreamingResponse(measured())

    with TestClient(Starlette(routes=[Route("/", endpoint)])) as client:
        assert client.get("/").text == "ab"

    assert [(result.outcome, result.chunk_count) for result in results] == [("completed", 2)]


@extras
def test_starlette_takes_decorated_endpoints() -> None:
    """An endpoint is recognised as function or coroutine function, and runs where it did."""
    from starlette.applications import Starlette  # noqa: PLC0415 - an extra
    from starlette.requests import Request  # noqa: PLC0415, TC002 - an extra
    from starlette.responses import PlainTextResponse  # noqa: PLC0415 - an extra
    from starlette.routing import Route  # noqa: PLC0415 - an extra
    from starlette.testclient import TestClient  # noqa: PLC0415 - an extra

    @observe
    def sync(request: Request) -> PlainTextResponse:
        return PlainTextResponse("sync")

    @observe
    async def later(request: Request) -> PlainTextResponse:
        return PlainTextResponse("async")

    app = Starlette(routes=[Route("/sync", sync), Route("/async", later)])
    with TestClient(app) as client:
        assert client.get("/sync").text == "sync"
        assert client.get("/async").text == "async"


# --- Gradio --------------------------------------------------------------------------------------


@extras
def test_gradio_decides_as_before() -> None:
    """Gradio takes an observed function for the generator or coroutine function that it is."""
    # In a process of its own: importing it leaves loops and sockets open.
    output = _run_python(
        """
        import asyncio, json, gradio
        from tokenclock import observe

        def value(text, history=None):
            return text

        def stream(text, history=None):
            yield text

        async def coroutine(text, history=None):
            return text

        async def astream(text, history=None):
            yield text

        def decisions(function):
            with gradio.Blocks() as demo:
                box = gradio.Textbox()
                gradio.Button().click(function, box, box)
                answer = asyncio.run(demo.call_function(demo.fns[0], ["a"]))
            chat = gradio.ChatInterface(function)
            return [
                demo.fns[0].types_generator, answer["prediction"], answer["iterator"] is not None,
                chat.is_async, chat.is_generator,
            ]

        functions = [value, stream, coroutine, astream]
        print(json.dumps([[decisions(one), decisions(observe(one))] for one in functions]))
        """,
        warnings="ignore",
    )

    bare, measured = zip(*json.loads(output), strict=True)
    assert measured == bare
    assert list(measured) == [
        [False, "a", False, False, False],
        [True, "a", True, False, True],
        [False, "a", False, True, False],
        [True, "a", True, True, True],
    ]


# --- pytest --------------------------------------------------------------------------------------

DECORATED_TESTS = """
import pytest
from tokenclock import observe

events = []

@pytest.fixture
@observe
def resource():
    events.append("set up")
    yield "resource"
    events.append("torn down")

@observe
def test_function(resource):
    assert resource == "resource"

@pytest.mark.parametrize("number", [1, 2])
@observe
def test_numbers(number, resource):
    assert number

class TestMethods:
    @observe
    def test_method(self, resource):
        assert resource

    @observe
    @staticmethod
    def test_static(resource):
        assert resource

def test_events():
    assert events == ["set up", "torn down"] * 5
"""


def test_pytest_decides_as_before(tmp_path: Path) -> None:
    """Decorated tests are collected with their fixtures, decorated yield fixtures are torn down."""
    file = tmp_path / "test_decorated.py"
    file.write_text(DECORATED_TESTS)

    output = _run_python(
        """
        import sys, pytest

        sys.exit(pytest.main(["-q", "-p", "no:asyncio", "-p", "no:cacheprovider", sys.argv[1]]))
        """,
        str(file),
    )

    assert "6 passed" in output


# --- anyio and trio ------------------------------------------------------------------------------


@extras
@both_loops
@pytest.mark.parametrize("decorator", [observe, metrics_decorator])
def test_cancel_scopes_work_inside_a_measured_async_generator(
    decorator: Decorator, backend: str
) -> None:
    """An anyio cancel scope in the body of an async generator cancels the body, nothing else."""
    import anyio  # noqa: PLC0415 - an extra

    async def body() -> AsyncIterator[str]:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.sleep(60)
        yield "cancelled" if scope.cancelled_caught else "not cancelled"
        with anyio.move_on_after(0):
            await anyio.sleep(60)
        yield "moved on"

    async def main() -> list[str]:
        return [chunk async for chunk in decorator(body, clock=FakeClock())()]

    assert anyio.run(main, backend=backend) == ["cancelled", "moved on"]


@extras
@both_loops
def test_a_cancelled_reader_leaves_a_cancelled_result(backend: str) -> None:
    """Cancelling whoever reads is the run's outcome, under asyncio and under trio."""
    import anyio  # noqa: PLC0415 - an extra

    async def body() -> AsyncIterator[str]:
        yield "a"
        await anyio.sleep_forever()

    async def main() -> None:
        with anyio.CancelScope() as scope:
            async for _ in observe(body, clock=FakeClock())():
                scope.cancel()
        assert scope.cancelled_caught

    with capture() as results:
        anyio.run(main, backend=backend)

    assert [(result.outcome, result.chunk_count) for result in results] == [("cancelled", 1)]


@extras
@both_loops
def test_a_measured_coroutine_is_cancelled_by_its_scope(backend: str) -> None:
    """A cancel scope around and inside a measured coroutine works, and task groups take it."""
    import anyio  # noqa: PLC0415 - an extra

    async def inside() -> str:
        with anyio.move_on_after(0):
            await anyio.sleep_forever()
        return "moved on"

    async def main() -> list[Any]:
        given: list[Any] = []
        measured = observe(inside, clock=FakeClock())

        async def collect() -> None:
            given.append(await measured())

        async with anyio.create_task_group() as group:
            group.start_soon(collect)
            group.start_soon(observe(anyio.sleep, clock=FakeClock()), 0)
        with anyio.move_on_after(0) as scope:
            await observe(anyio.sleep_forever, clock=FakeClock(), name="forever")()
        given.append(scope.cancelled_caught)
        return given

    with capture() as results:
        assert anyio.run(main, backend=backend) == ["moved on", True]

    outcomes = {result.function: result.outcome for result in results}
    assert outcomes["forever"] == "cancelled"


@extras
def test_trio_runs_decorated_functions() -> None:
    """trio.run and a nursery take decorated async functions for what they are."""
    import trio  # noqa: PLC0415 - an extra

    events = []

    @observe
    async def child(name: str) -> None:
        await trio.lowlevel.checkpoint()
        events.append(name)

    @observe
    async def main() -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, "child")
        return "done"

    with capture() as results:
        assert trio.run(main) == "done"

    assert events == ["child"]
    assert sorted(result.outcome for result in results) == ["completed", "completed"]


# --- other processes -----------------------------------------------------------------------------


@observe
def spawned(text: str) -> list[str]:
    return [text, text]


@metrics_decorator
def spawned_decorated(text: str) -> list[str]:
    return [text, text]


class Spawned:
    def __init__(self, name: str) -> None:
        self.name = name

    @observe
    def method(self, text: str) -> list[str]:
        return [self.name, text]


def measured_in_child(function: Any) -> tuple[Any, int]:
    """Call the function that arrived in this process; give its value and how often it counted."""
    with capture() as results:
        given = function("a")
    return given, len(results)


def test_decorated_functions_and_methods_travel_to_spawned_processes() -> None:
    """Under multiprocessing's spawn, functions and bound methods arrive, and are measured there."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        assert pool.map(spawned, ["a"]) == [["a", "a"]]
        assert pool.apply(measured_in_child, (spawned,)) == (["a", "a"], 1)
        assert pool.apply(measured_in_child, (Spawned("x").method,)) == (["x", "a"], 1)
        result = pool.apply(spawned_decorated, ("a",))
        pool.close()
        pool.join()

    assert result.value == ["a", "a"]
    assert result.token_count == 2


def _run_python(source: str, *arguments: str, warnings: str = "error") -> str:
    """Run a program of its own, whose functions are those of __main__."""
    path = [str(Path(tokenclock.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(  # noqa: S603 - our own source
        [sys.executable, "-W", warnings, "-c", textwrap.dedent(source), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@extras
def test_cloudpickle_takes_decorated_functions_by_value(tmp_path: Path) -> None:
    """Functions, classes and closures of __main__ arrive in another process, still measured."""
    pickled = tmp_path / "pickled"
    _run_python(
        """
        import sys, cloudpickle
        from tokenclock import metrics_decorator, observe

        SUFFIX = "!"

        @observe(name="function")
        def function(text):
            return [text + SUFFIX]

        @metrics_decorator(model="m")
        def stream(text):
            yield text
            yield SUFFIX

        @observe
        async def coroutine(text):
            return [text]

        def make(suffix):
            @observe(name="closure", count_tokens=lambda given: 7)
            def closure(text):
                return [text, suffix]
            return closure

        class Model:
            def __init__(self, name):
                self.name = name

            @observe(name="method")
            def method(self, text):
                return [self.name, text]

            @classmethod
            @observe(name="class method")
            def class_method(cls, text):
                return [cls.__name__, text]

            @observe(name="static method")
            @staticmethod
            def static(text):
                return [text]

        class Derived(Model):
            @observe(name="derived")
            def method(self, text):
                return ["derived", *super().method(text)]

        with open(sys.argv[1], "wb") as file:
            cloudpickle.dump(
                [function, stream, coroutine, make("?"), Model("x"), Model("x").method,
                 Model.class_method, Model, Derived("y"),
                 observe(lambda text: [text], name="lambda")],
                file,
            )
        """,
        str(pickled),
    )

    seen = json.loads(
        _run_python(
            """
            import asyncio, json, pickle, sys
            from tokenclock import capture

            with open(sys.argv[1], "rb") as file:
                (function, stream, coroutine, closure, model, method, class_method, Model, derived,
                 anonymous) = pickle.load(file)
            with capture() as results:
                given = [
                    function("a"), stream("a").collect().value, asyncio.run(coroutine("a")),
                    closure("a"), model.method("a"), method("a"), class_method("a"),
                    Model.static("a"), derived.method("a"), anonymous("a"),
                ]
            counted = [[result.function, result.token_count] for result in results]
            print(json.dumps([given, counted, results[1].request_model]))
            """,
            str(pickled),
        )
    )

    assert seen == [
        [
            ["a!"],
            ["a", "!"],
            ["a"],
            ["a", "?"],
            ["x", "a"],
            ["x", "a"],
            ["Model", "a"],
            ["a"],
            ["derived", "y", "a"],
            ["a"],
        ],
        [
            ["function", 1],
            ["__main__.stream", 2],
            ["__main__.coroutine", 1],
            ["closure", 7],
            ["method", 2],
            ["method", 2],
            ["class method", 2],
            ["static method", 1],
            ["method", 2],
            ["derived", 3],
            ["lambda", 1],
        ],
        "m",
    ]


@extras
def test_cloudpickle_takes_importable_functions_by_reference() -> None:
    """A decorated function of an importable module is found again by its name."""
    import cloudpickle  # noqa: PLC0415 - an extra

    found = cloudpickle.loads(cloudpickle.dumps(spawned))
    method = cloudpickle.loads(cloudpickle.dumps(Spawned.method))

    assert found is spawned
    assert method is Spawned.method
    assert cloudpickle.loads(cloudpickle.dumps(Spawned("x").method))("a") == ["x", "a"]
