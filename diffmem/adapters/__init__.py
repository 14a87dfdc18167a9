"""Any memory as a Flax module, `diffmem.adapters.linen` and `diffmem.adapters.nnx`, and environments of other libraries in
and out, `diffmem.adapters.gymnasium` and `diffmem.adapters.gymnax`; each loaded when it is imported.

The modules' parameters are the core's own tree: `variables["params"]` of a Linen module, `module.params` of an NNX module
and what `memory.init_params` returns go where each other went, and into the same checkpoint, without conversion.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffmem.base import Array, Memory, Params
from diffmem.unroll import unroll, where


def over_batch(function, dims: int):
    """`function` under one `vmap` for each leading batch axis."""
    for _ in range(dims):
        function = jax.vmap(function)
    return function


def initial_carry(memory: Memory, params: Params, input_shape: tuple[int, ...]) -> Any:
    """The initial state, repeated over the batch axes of input_shape [*batch, input_size]."""
    batch = input_shape[:-1]
    return jax.tree.map(lambda a: jnp.broadcast_to(a, (*batch, *a.shape)), memory.init_state(params))


def cell_step(memory: Memory, params: Params, carry: Any, inputs: Any) -> tuple[Any, Array]:
    """One step over any batch axes: x [*batch, input_size], or (x, start [*batch]), to the read as one vector."""
    x, start = inputs if isinstance(inputs, tuple) else (inputs, None)
    if x.shape[-1] != memory.input_size:
        raise ValueError(
            f"inputs have width {x.shape[-1]} (shape {list(x.shape)}), but {type(memory).__name__}.input_size is "
            f"{memory.input_size}"
        )

    def one(carry, x, *start):
        if start:
            carry = where(start[0], memory.init_state(params), carry)
        carry, readout = memory.step(params, carry, x)
        return carry, readout.value.ravel()

    flags = () if start is None else (start,)
    return over_batch(one, x.ndim - 1)(carry, x, *flags)


def module_call(
    memory: Memory, params: Params, xs: Array, state: Any, starts: Array | None, *, method: str, remat: int
) -> tuple[Any, Any]:
    """`unroll` over any batch axes: xs [*batch, T, input_size]."""
    dims = xs.ndim - 2
    if dims < 0:
        raise ValueError(f"xs has shape {list(xs.shape)}; it must be [*batch, T, input_size={memory.input_size}]")
    if state is None:
        state = initial_carry(memory, params, (*xs.shape[:-2], memory.input_size))
    run = partial(unroll, memory, params, method=method, remat=remat)
    if starts is None:
        return over_batch(lambda state, xs: run(state, xs), dims)(state, xs)
    return over_batch(lambda state, xs, starts: run(state, xs, starts=starts), dims)(state, xs, starts)


def bound(values: Any) -> Any:
    """Bounds of a box: one number where all are the same, else nested tuples, which can be hashed."""
    array = np.asarray(values, np.float32)
    if (array == array.flat[0]).all():
        return float(array.flat[0])
    return _nested(array.tolist())


def _nested(values: Any) -> Any:
    return tuple(map(_nested, values)) if isinstance(values, list) else values
