"""What checkers know of ``instrument``, ``uninstrument`` and the readers. Never run."""

from __future__ import annotations

from collections.abc import Iterator

from typing_extensions import assert_type

from tokenclock import instrument, observe, uninstrument
from tokenclock.readers import anthropic_sse, openai_sse
from tokenclock.testing import CollectingSink


class Client:
    """Any client."""

    def completion(self, model: str) -> list[str]:
        """Give an answer."""
        return [model]


client = Client()

# The client stays what it was.
assert_type(instrument(client), Client)
assert_type(uninstrument(client), Client)
assert_type(instrument(client, model="m", sinks=[CollectingSink()], attributes={"a": 1}), Client)
assert_type(instrument(client).completion("m"), list[str])

# Options that do not exist, or are of the wrong kind.
instrument(client, modle="m")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
instrument(client, streams=True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
instrument(client, model=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
instrument()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


# The readers are what read_chunk= takes.
@observe(read_chunk=openai_sse)
def lines() -> Iterator[str]:
    """Give lines as they come."""
    yield "data: [DONE]"


observe(lines, read_chunk=anthropic_sse)
