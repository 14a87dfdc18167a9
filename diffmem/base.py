"""The contract that every memory keeps, and the registry that finds memories by name.

A memory is three nouns and three verbs. The nouns: a config (a frozen dataclass), params (a nested dict of arrays) and a
state (a NamedTuple of arrays with fixed shapes). The verbs: `write`, `read` and `step`. All are pure functions of ONE
sequence; `jax.vmap` is the batch.
"""

import dataclasses
import difflib
import numbers
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

import jax

Array = jax.Array
Params = Any  # a nested dict of arrays; keys are words
S = TypeVar("S")
C = TypeVar("C", bound=type)
E = TypeVar("E")


class Readout(NamedTuple):
    """What a read returns.

    Attributes:
        value: [*read_shape], what was read.
        weights: where it came from, a distribution over the slots for each head or hop (each memory documents its shape),
            or None for a memory without slots.
    """

    value: Array
    weights: Any = None


class Memory(Protocol[S]):
    """A memory of one sequence. Implementations are frozen, hashable dataclasses whose constructor validates.

    Attributes:
        input_size: length of the vectors that `write` and `step` take.
        query_size: length of the vectors that `read` takes; 0 means that `read` ignores its query (pass None).
        read_shape: shape of `Readout.value`.
    """

    @property
    def input_size(self) -> int: ...

    @property
    def query_size(self) -> int: ...

    @property
    def read_shape(self) -> tuple[int, ...]: ...

    def init_params(self, key: Array) -> Params:
        """Fresh parameters: a nested dict of arrays."""
        ...

    def init_state(self, params: Params) -> S:
        """The state before the first step. It may be learned, so it takes the parameters."""
        ...

    def write(self, params: Params, state: S, x: Array) -> S:
        """Stores x [input_size]."""
        ...

    def read(self, params: Params, state: S, query: Any) -> tuple[S, Readout]:
        """Answers query [query_size]. Reading may move something, so it returns a state."""
        ...

    def step(self, params: Params, state: S, x: Array) -> tuple[S, Readout]:
        """One time step in the published order of reading and writing; carry first, as `lax.scan` wants it."""
        ...


class ScanMemory(Memory[S], Protocol[S, E]):
    """A memory whose writes can be folded in any grouping, so that a sequence can be written in parallel.

    Laws: `combine` is associative, `write(s, x) == drop(combine(lift(s), element(x)))`, and
    `step(s, x) == read(write(s, x), x)`.
    """

    def element(self, params: Params, x: Array) -> E:
        """What writing x does to any state."""
        ...

    def combine(self, params: Params, a: E, b: E) -> E:
        """First a, then b."""
        ...

    def lift(self, state: S) -> E:
        """The element that leads from nothing to this state."""
        ...

    def drop(self, element: E) -> S:
        """The state that a lifted element leads to."""
        ...


class ChunkMemory(Memory[S], Protocol[S]):
    """A memory that takes a chunk of steps at once, as a few large products instead of many small ones.

    Law: `step_all` is a loop of `step`, where the initial state stands before every x with starts[t].

    Attributes:
        chunk: how many steps are taken at once; None: as many as suit the platform, see `diffmem.unroll`.
    """

    @property
    def chunk(self) -> int | None: ...

    def step_all(self, params: Params, state: S, xs: Array, starts: Array) -> tuple[S, Readout]:
        """The steps over xs [L, input_size] with starts [L]: the last state, and the readouts with a leading L.

        L is any number of steps up to `chunk`, and everything is finite: `unroll` sees to both.
        """
        ...


class Registry(dict[str, Any]):
    """Entries by name: what `register` adds and `make` finds. Each has a `cls`; `kind` says in errors what they are."""

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind

    def add(self, name: str, entry: Any) -> None:
        """Raises ValueError where another class has the name."""
        taken = self.get(name)
        if taken and taken.cls.__qualname__ != entry.cls.__qualname__:
            raise ValueError(f"{self.kind} name {name!r} is taken by {taken.cls.__qualname__}; choose another")
        self[name] = entry

    def find(self, name: str) -> Any:
        """Raises ValueError for an unknown name, and suggests the nearest."""
        if name not in tuple(self):  # a tuple: anything can be looked for, hashable or not
            raise ValueError(f"unknown {self.kind} {name!r}{suggest(name, sorted(self))}")
        return self[name]


class Entry(NamedTuple):
    """A registered memory: its class, the paper it comes from, and small settings at which it can be tested."""

    cls: type
    paper: str
    small: Mapping[str, Any]


_REGISTRY = Registry("memory")


def register(name: str, *, paper: str, small: Mapping[str, Any]) -> Callable[[C], C]:
    """Class decorator that makes a memory known to `make`, and with it to the laws, the launchers and the benchmark.

    Args:
        name: what `make` calls it.
        paper: authors, title and year.
        small: settings of a small instance whose sizes are pairwise distinct: the laws are checked on it.

    Raises:
        ValueError: the name is taken by another class.
    """

    def add(cls: C) -> C:
        _REGISTRY.add(name, Entry(cls, paper, dict(small)))
        return cls

    return add


def names() -> tuple[str, ...]:
    """The names that `make` knows, sorted."""
    return tuple(sorted(_REGISTRY))


def entry(name: str) -> Entry:
    """The registry's entry for a name.

    Raises:
        ValueError: no memory has this name; the message suggests the nearest.
    """
    return _REGISTRY.find(name)


def make(name: str, **config) -> Any:
    """Builds a memory by name: `make("ntm", input_size=100, slots=128)`.

    Raises:
        ValueError: unknown name or unknown field (with the nearest one suggested), or an illegal value.
    """
    return build(entry(name).cls, config)


def build(cls: Any, fields: Mapping[str, Any]) -> Any:
    """An object of a dataclass with these fields.

    Raises:
        ValueError: an unknown field, with the nearest one suggested, a field that is missing, or an illegal value.
    """
    known = {f.name: f for f in dataclasses.fields(cls) if f.init}
    for field, value in fields.items():
        if field not in known:
            raise ValueError(f"{cls.__name__} has no field {field!r}{suggest(field, known)}")
        if known[field].type is bool and not isinstance(value, bool):
            raise ValueError(f"{cls.__name__}.{field} is {value!r}; legal: True, False")
    for name, f in known.items():
        if name not in fields and f.default is f.default_factory is dataclasses.MISSING:
            raise ValueError(f"{cls.__name__}.{name} is missing: it has no default")
    return cls(**fields)


def suggest(word: str, known) -> str:
    """The end of an error message: the nearest known word, and all of them."""
    near = difflib.get_close_matches(str(word).lower(), known, n=1, cutoff=0.5)
    return (f"; did you mean {near[0]!r}?" if near else ";") + f" known: {', '.join(known)}"


def check_counts(config, *, least: int = 1, **fields) -> None:
    """Raises ValueError unless every field, given by name and value, is an int of at least `least`."""
    for field, value in fields.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
            raise ValueError(f"{type(config).__name__}.{field} is {value!r}; it must be an integer >= {least}")


def check_number(config, field: str, legal: str, within: Callable[[float], bool]) -> None:
    """Raises ValueError unless the field holds a real number for which `within` is true; `legal` says which those are."""
    value = getattr(config, field)
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not within(float(value)):
        raise ValueError(f"{type(config).__name__}.{field} is {value!r}; it must be {legal}")


def check_sizes(config, field: str) -> None:
    """Makes a list a tuple; raises ValueError unless the field then holds a tuple of integers >= 1."""
    sizes = getattr(config, field)
    if not isinstance(sizes, (tuple, list)):
        raise ValueError(f"{type(config).__name__}.{field} is {sizes!r}; it must be a tuple of integers >= 1, such as (3, 2)")
    object.__setattr__(config, field, tuple(sizes))
    check_counts(config, **{f"{field}[{i}]": size for i, size in enumerate(sizes)})


def check_range(config, field: str, legal: str, within: Callable[[float, float], bool]) -> None:
    """Makes a list a tuple; raises ValueError unless the field then holds a pair of real numbers for which `within` is true."""
    pair = getattr(config, field)
    numeric = isinstance(pair, (tuple, list)) and all(isinstance(x, numbers.Real) and not isinstance(x, bool) for x in pair)
    if not (numeric and len(pair) == 2 and within(*map(float, pair))):
        raise ValueError(f"{type(config).__name__}.{field} is {pair!r}; it must be {legal}")
    object.__setattr__(config, field, tuple(pair))


def check_choice(config, field: str, legal) -> None:
    """Raises ValueError unless the field holds one of the legal values."""
    value = getattr(config, field)
    if value not in legal:
        raise ValueError(f"{type(config).__name__}.{field} is {value!r}; legal: {', '.join(map(repr, legal))}")


def check_heads(config, field: str) -> None:
    """Raises ValueError unless config.heads divides the field."""
    size = getattr(config, field)
    if size % config.heads:
        raise ValueError(f"{type(config).__name__}.heads is {config.heads}; it must divide {field}, which is {size}")
