"""Running a memory over a sequence: sequentially, in parallel, with resets, with bounded backpropagation memory."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from diffmem import layers
from diffmem.base import Array, Memory, Params, Readout, S

METHODS = ("auto", "scan", "parallel", "chunked")
CHUNK = 32  # steps at once, for a memory that leaves it open: as many as stay in a CPU's cache


def unroll(
    memory: Memory[S],
    params: Params,
    state: S | None,
    xs: Array,
    *,
    starts: Array | None = None,
    method: str = "auto",
    remat: int = 0,
) -> tuple[S, Readout]:
    """Runs `memory.step` over a sequence.

    Args:
        memory: any memory.
        params: its parameters.
        state: the state before the first step; None means `memory.init_state(params)`.
        xs: [T, input_size], one sequence. For a batch, wrap the call in `jax.vmap`. Integers and booleans count as numbers.
        starts: [T] bool, True where a new sequence begins: the state before that x is the initial one. Nothing crosses a
            start, in value or in gradient, not even a NaN.
        method: "scan", one step after another; "parallel", an associative scan, for a `ScanMemory`; "chunked", one chunk
            of steps after another, each at once, for a `ChunkMemory`; "auto", chunked for a `ChunkMemory`, else parallel
            for a `ScanMemory` on an accelerator, else sequential (on a CPU the plain scan was measured to be faster than
            the associative one).
        remat: backpropagation stores one state every `remat` steps and recomputes the others, so that its memory grows
            with T / remat instead of T. 0 stores every state. "chunked" rounds it up to whole chunks; "parallel" has none.

    Returns:
        The final state, and the readouts with a leading time axis: `value` [T, *read_shape].

    Raises:
        ValueError: a batch of sequences, a wrong width, numbers of a wider type than the parameters, a state of another
            memory, starts of another shape, an unknown method, a parallel method for a memory that has none, or a negative
            remat.

    Example:
        >>> import jax, diffmem
        >>> memory = diffmem.make("gru", input_size=3, hidden_size=5)
        >>> params = memory.init_params(jax.random.key(0))
        >>> state, readout = diffmem.unroll(memory, params, None, jax.numpy.ones((7, 3)))
        >>> readout.value.shape
        (7, 5)
    """
    xs = sequence_of(memory, params, xs)
    if starts is not None:
        starts = jnp.asarray(starts)
    if starts is not None and (starts.shape != xs.shape[:1] or starts.dtype != bool):
        raise ValueError(f"starts is {starts.dtype}{list(starts.shape)}; it must be bool[{xs.shape[0]}], one flag per x")
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; legal: {', '.join(map(repr, METHODS))}")
    if isinstance(remat, bool) or not isinstance(remat, int) or remat < 0:
        raise ValueError(f"remat is {remat!r}; it must be an integer >= 0 (0 stores every state)")
    if method == "parallel" and remat:
        raise ValueError(f"remat is {remat}, but method is 'parallel', which stores no chunks; use another method")
    able = {"parallel": hasattr(memory, "combine"), "chunked": hasattr(memory, "step_all")}
    if not able.get(method, True):
        kind = "ScanMemory" if method == "parallel" else "ChunkMemory"
        raise ValueError(f"method is {method!r}, but {type(memory).__name__} is not a {kind}; use 'scan' or 'auto'")

    initial = memory.init_state(params)
    state = initial if state is None else state
    check_state(memory, state, initial)
    if method == "auto":
        whole = jax.default_backend() != "cpu" and not remat and able["parallel"] and getattr(memory, "chunk", None) is None
        method = "parallel" if whole else "chunked" if able["chunked"] else "scan"
    if method == "chunked":
        return _in_chunks(memory, params, state, xs, starts, initial, remat)
    if method == "parallel":
        return _parallel(memory, params, state, xs, starts, initial)

    def step(state, inputs):
        x, start = inputs
        if start is not None:
            state = where(start, initial, state)
        return memory.step(params, state, x)

    return _chunked_scan(step, state, (xs, starts), xs.shape[0], remat)


def store(memory: Memory[S], params: Params, state: S | None, xs: Array, *, mask: Array | None = None) -> S:
    """Writes a whole sequence without reading: a story, a support set, a document.

    Args:
        memory: any memory.
        params: its parameters.
        state: the state before; None means the initial one.
        xs: [T, input_size].
        mask: [T] bool; where it is False the x is padding and the state stays as it is.

    Returns:
        The state after the last write.

    Raises:
        ValueError: a batch of sequences, a wrong width, numbers of a wider type than the parameters, or a mask of another
            shape.
    """
    xs = sequence_of(memory, params, xs)
    if mask is not None:
        mask = jnp.asarray(mask)
    if mask is not None and (mask.shape != xs.shape[:1] or mask.dtype != bool):
        raise ValueError(f"mask is {mask.dtype}{list(mask.shape)}; it must be bool[{xs.shape[0]}], one flag per x")
    state = memory.init_state(params) if state is None else state
    at_once: Any = getattr(memory, "write_all", None)
    if at_once is not None:
        return at_once(params, state, xs, jnp.ones(xs.shape[0], bool) if mask is None else mask)

    def write(state, inputs):
        x, keep = inputs
        written = memory.write(params, state, x)
        return (written if keep is None else where(keep, written, state)), None

    return lax.scan(write, state, (xs, mask))[0]


def where(flag: Array, yes: Any, no: Any) -> Any:
    """The tree `yes` if flag, else the tree `no`: a selection, so that what is not selected cannot leak, not even a NaN."""
    return jax.tree.map(partial(jnp.where, flag), yes, no)


def sequence_of(memory: Memory, params: Params, xs: Any) -> Array:
    """The sequence as an array of floating-point numbers.

    Raises:
        ValueError: it is not [T, input_size] for this memory with at least one step, or has numbers of a wider type than the
            parameters, which would make the states' type change.
    """
    xs = jnp.asarray(xs)
    if xs.ndim != 2:
        hint = "xs is [B, T, D]; diffmem functions take one sequence, wrap the call in jax.vmap" if xs.ndim == 3 else ""
        raise ValueError(f"xs has shape {list(xs.shape)}; it must be [T, input_size={memory.input_size}]. {hint}".strip())
    if xs.shape[0] == 0:
        raise ValueError(f"xs has shape {list(xs.shape)}: a sequence needs at least one step")
    if xs.shape[1] != memory.input_size:
        raise ValueError(
            f"xs has width {xs.shape[1]} (shape {list(xs.shape)}), but {type(memory).__name__}.input_size is "
            f"{memory.input_size}"
        )
    leaves = jax.tree.leaves(params)
    if not leaves:
        return xs
    xs = layers.numbers(xs, leaves[0])
    if jnp.promote_types(xs.dtype, leaves[0].dtype) != leaves[0].dtype:
        raise ValueError(f"xs is {xs.dtype}, the parameters are {leaves[0].dtype}: cast the one to the type of the other")
    return xs


def check_state(memory: Memory, state: Any, initial: Any) -> None:
    """Raises ValueError unless the state has the parts, shapes and types of the memory's initial one."""
    kind = type(memory).__name__
    if jax.tree.structure(state) != jax.tree.structure(initial):
        raise ValueError(f"state is a {type(state).__name__} with other parts than {kind}.init_state(params) gives")
    for (path, leaf), like in zip(jax.tree.leaves_with_path(state), jax.tree.leaves(initial), strict=True):
        have, want = (f"{jnp.result_type(one)}{list(jnp.shape(one))}" for one in (leaf, like))
        if have != want:
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            raise ValueError(f"state.{name} is {have}; with this {kind} and these params it is {want}")


def _chunked_scan(step, state, inputs, length, remat):
    """`lax.scan` that, in the backward pass, recomputes each chunk of `remat` steps from the state at its start."""
    if not remat:
        return lax.scan(step, state, inputs)
    chunks = length // remat
    whole = chunks * remat
    chunk = jax.checkpoint(partial(lax.scan, step), prevent_cse=False)
    head = jax.tree.map(lambda a: a[:whole].reshape(chunks, remat, *a.shape[1:]), inputs)
    state, outputs = lax.scan(chunk, state, head)
    outputs = jax.tree.map(lambda a: a.reshape(whole, *a.shape[2:]), outputs)
    if whole == length:
        return state, outputs
    state, rest = chunk(state, jax.tree.map(lambda a: a[whole:], inputs))
    return state, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), outputs, rest)


def _in_chunks(memory, params, state, xs, starts, initial, remat):
    """Runs `memory.step_all` over chunks.

    Products over a chunk mix its steps, so that a NaN would spread by 0 * NaN to steps that have nothing to do with it.
    Hence the memory sees finite numbers only, and what really depends on others is replaced afterwards.
    """
    length = xs.shape[0]
    fine = jnp.isfinite(xs).all(-1)
    carried = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    fine_before = jnp.stack(carried).all() if carried else jnp.bool_(True)
    step = jnp.arange(length)
    begun = -1 if starts is None else lax.cummax(jnp.where(starts, step, -1))
    failed = lax.cummax(jnp.where(fine, -1, step))
    spoiled = ((failed >= 0) & (failed >= begun)) | (~fine_before & (begun < 0))

    state = where(fine_before, state, initial)
    inputs = (jnp.where(fine[:, None], xs, 0), jnp.zeros(length, bool) if starts is None else starts)
    chunk = min(memory.chunk or CHUNK, length)
    whole = length // chunk * chunk

    def advance(state, inputs):
        return memory.step_all(params, state, *inputs)

    head = jax.tree.map(lambda a: a[:whole].reshape(-1, chunk, *a.shape[1:]), inputs)
    state, readouts = _chunked_scan(advance, state, head, whole // chunk, -(-remat // chunk))
    readouts = jax.tree.map(lambda a: a.reshape(whole, *a.shape[2:]), readouts)
    if whole < length:
        state, rest = advance(state, jax.tree.map(lambda a: a[whole:], inputs))
        readouts = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), readouts, rest)
    spoil = lambda flag, a: jnp.where(flag, jnp.nan, a) if jnp.issubdtype(a.dtype, jnp.inexact) else a  # noqa: E731
    return jax.tree.map(partial(spoil, spoiled[-1]), state), jax.tree.map(partial(jax.vmap(spoil), spoiled), readouts)


def _parallel(memory, params, state, xs, starts, initial):
    """Folds all writes with an associative scan, then reads every state at once."""
    elements = jax.vmap(partial(memory.element, params))(xs)
    flags = jnp.zeros(xs.shape[0], bool) if starts is None else starts

    def begin(flag, element, before):
        """The element with the state before it folded in where a sequence begins."""
        return where(flag, memory.combine(params, memory.lift(before), element), element)

    if starts is not None:
        elements = jax.vmap(begin, in_axes=(0, 0, None))(flags, elements, initial)
    first = jax.tree.map(lambda a: a[0], elements)
    before = where(flags[0], initial, state)  # chosen before it is combined, for the same reason as below
    first = where(flags[0], first, memory.combine(params, memory.lift(before), first))
    elements = jax.tree.map(lambda all, one: all.at[0].set(one), elements, first)

    def combine(a, b):
        (flag_a, a), (flag_b, b) = a, b
        if starts is None:
            return flag_a, memory.combine(params, a, b)
        # What lies before a start is replaced before it is combined, not only after: a NaN that is computed and then
        # deselected still poisons the gradient.
        return flag_a | flag_b, where(flag_b, b, memory.combine(params, where(flag_b, b, a), b))

    _, folded = lax.associative_scan(jax.vmap(combine), (flags, elements))
    states = jax.vmap(memory.drop)(folded)
    states, readouts = jax.vmap(partial(memory.read, params))(states, xs)
    return jax.tree.map(lambda a: a[-1], states), readouts
