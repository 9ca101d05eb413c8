"""tokenclock as it is used when somebody may ask later."""

from peers.ours import Tokenclock


class Adapter(Tokenclock):
    """``@observe`` with nobody looking."""

    title = "tokenclock `@observe`"
    settings = (
        "No sink, nobody looks: everything is measured, no result is built before somebody asks; "
        "what it knows is asked through `capture()`."
    )
