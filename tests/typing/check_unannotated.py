"""What a checker makes of functions without annotations: they stay usable. Never run."""

# Annotations are what this file is without. To mypy, what observe() gives stays untyped too.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# ruff: noqa: ANN001, ANN201, ANN205, ANN206

from __future__ import annotations

from tokenclock import metrics_decorator, metrics_of, observe


@metrics_decorator
def value(text):
    return [text]


@metrics_decorator(name="stream")
def stream(text):
    yield text


@metrics_decorator
async def coroutine(text):
    return text


@observe
def observed(text):
    yield text


@observe(name="observed")
def observed_with_options(text):
    return text


class Model:
    @metrics_decorator
    def method(self, text):
        return [text]

    @metrics_decorator
    @classmethod
    def of_class(cls, text):
        yield text

    @observe
    @staticmethod
    def static(text):
        return text


async def calls_are_no_errors() -> list[object]:
    tokens: list[object] = [*stream("a"), *observed("a"), *Model.of_class("a")]
    tokens += [value("a").value, value("a").throughput, stream("a").metrics]
    tokens += [(await coroutine("a")).value, metrics_of(observed("a"))]
    tokens += [observed_with_options("a"), Model().method("a").value, Model.static("a")]
    return tokens
