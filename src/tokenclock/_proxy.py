"""Objects that stand in for others: same answers, same protocols, and no more of them."""

# Private names of others are ruff's business (SLF001), which wants a reason for each.
# pyright: reportPrivateUsage=false
# What is wrapped is Any, and pyright does not know the type() of that.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from tokenclock._hooks import last_hold

if TYPE_CHECKING:
    from tokenclock._hooks import LastHold
    from tokenclock._runs import Run

# Special methods that Python looks up on the type. A stand-in gets those that its original has.
_FORWARDED = (  # noqa: SIM905 - as a list it would be eighty lines
    "abs add aenter aexit aiter and anext await bool bytes call ceil complex contains copy "
    "deepcopy delitem divmod enter eq exit float floor floordiv format fspath ge getitem "
    "getnewargs getnewargs_ex gt hash iadd iand ifloordiv ilshift imatmul imod imul index int "
    "invert ior ipow irshift isub iter itruediv ixor le len length_hint lshift lt matmul "
    "missing mod mul ne neg next or pos pow radd rand rdivmod repr reversed rfloordiv rlshift "
    "rmatmul rmod rmul ror round rpow rrshift rshift rsub rtruediv rxor setitem str sub truediv "
    "trunc xor"
).split()
FORWARDED = tuple(f"__{name}__" for name in _FORWARDED)


class Proxy:
    """
    Stands in for the object in ``_tc_original``, whose run is ``_tc_run``.

    Attributes of ours start with ``_tc_``, and a base beside this one keeps them; every other one
    is the original's.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        _tc_original: Any
        _tc_run: Run
        _tc_observed: bool
        # Who has to be dropped for the run to end; None where that is this object itself.
        _tc_owner: object
    else:
        # Checkers do not see it: to mypy, what has it offers every protocol that there is.
        def __getattr__(self, name: str) -> Any:
            if name.startswith("_tc_"):  # half-built: do not look for the original in itself
                raise AttributeError(name)
            return getattr(self._tc_original, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._tc_original, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._tc_original, name)

    @property  # type: ignore[misc]  # isinstance() asks here, and the original answers
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]  # as above
        kind: type = self._tc_original.__class__
        return kind

    def __dir__(self) -> list[str]:
        return sorted({*dir(self._tc_original), *self._tc_additions()})

    def _tc_additions(self) -> tuple[str, ...]:
        return ()

    def __repr__(self) -> str:
        return repr(self._tc_original)

    def __str__(self) -> str:
        return str(self._tc_original)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Copied and pickled as the original is, or refused as it is.
        return self._tc_original.__reduce_ex__(protocol)


class StandIn(Proxy):
    """A stand-in that keeps our attributes in slots; that of the compiled driver does so in C."""

    __slots__ = (
        "__weakref__", "_tc_anext", "_tc_next", "_tc_observed", "_tc_original", "_tc_owner",
        "_tc_run", "_tc_watch",
    )  # fmt: skip

    if TYPE_CHECKING:
        # With a tracer, what holds the original last: slots are cleared in alphabetical order.
        _tc_watch: LastHold | None

    def __init__(self, original: object, run: Run, *, observed: bool, owner: object = None) -> None:
        scopes = run.scopes
        put = object.__setattr__
        put(self, "_tc_original", original)
        put(self, "_tc_run", run)
        put(self, "_tc_observed", observed)
        put(self, "_tc_owner", owner)
        if scopes is not None:
            put(self, "_tc_watch", last_hold(scopes, original))

    def __del__(self) -> None:
        try:
            run, owner = self._tc_run, self._tc_owner
        except AttributeError:
            return
        if owner is None and run.end_ns is None:
            run.stopped(in_finaliser=True)


def offers(kind: type, name: str) -> bool:
    """Whether a type has a method of its own; ``None`` is how one says that it has none."""
    return defined(kind, name) is not None


def defined(kind: type, name: str, default: object = None) -> object:
    """Give what a type defines under a name, apart from what ``object`` defines for it."""
    for base in kind.__mro__:
        if name in base.__dict__ and base is not object:
            return base.__dict__[name]
    return default


def bound(original: Any, name: str) -> Any:
    """Give a special method of an object, looked up on its type and bound as Python would."""
    kind = type(original)
    for base in kind.__mro__:
        if name in base.__dict__:
            found = base.__dict__[name]
            bind = getattr(type(found), "__get__", None)
            return found if bind is None else bind(found, original, kind)
    raise AttributeError(name)


_COMPARISONS = frozenset({"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"})


def forward(name: str) -> Callable[..., Any]:
    """Make a method that asks the original, as Python would: by its type."""
    is_comparison = name in _COMPARISONS

    def forwarded(self: Proxy, /, *args: Any, **kwargs: Any) -> Any:
        # Two stand-ins compare as their originals do; elsewhere an argument is what it is.
        given = [_bare(one) for one in args] if is_comparison else args
        return bound(self._tc_original, name)(*given, **kwargs)

    forwarded.__name__ = name
    return forwarded


def _bare(argument: Any) -> Any:
    return argument._tc_original if isinstance(argument, Proxy) else argument  # noqa: SLF001 - ours


_HEAP_TYPE = 1 << 9  # in C, Py_TPFLAGS_HEAPTYPE: a type that was made at run time

# In place of a hand: the base of the compiled driver has it.
INHERITED = object()


class ClassesByOriginal:
    """
    Makes, once for each type of original, the class of the stand-ins for it.

    Of the hands that *hands_for* gives, it gets those whose name is a method of the original.
    """

    def __init__(
        self,
        bases_for: Callable[[type], tuple[type, ...]],
        hands_for: Callable[[type], Mapping[str, Any]],
    ) -> None:
        self._bases_for = bases_for
        self._hands_for = hands_for
        self._made: WeakKeyDictionary[type, type[Any]] = WeakKeyDictionary()
        self._made_for_good: dict[type, type[Any]] = {}

    def __call__(self, kind: type) -> type[Any]:
        """Give the class for originals of type *kind*."""
        made = self._made_for_good.get(kind) or self._made.get(kind)
        if made is None:
            made = self._make(kind)
            # Types of Python's own live as long as it does, and are quicker to find.
            known: Any = self._made if kind.__flags__ & _HEAP_TYPE else self._made_for_good
            known[kind] = made
        return made

    def _make(self, kind: type) -> type[Any]:
        bases = self._bases_for(kind)
        namespace: dict[str, Any] = {
            "__slots__": (),
            "__module__": kind.__module__,
            "__qualname__": kind.__qualname__,
            "__doc__": kind.__doc__,
        }
        for name in FORWARDED:
            if offers(kind, name):
                namespace[name] = forward(name)
            elif defined(kind, name, default=kind) is None:  # as in __hash__ = None
                namespace[name] = None
        hands = self._hands_for(kind)
        namespace.update({name: hand for name, hand in hands.items() if offers(kind, name)})
        namespace = {name: one for name, one in namespace.items() if one is not INHERITED}
        # Some programs know an SDK's stream by its type's name.
        return type(kind.__name__, bases, namespace)
