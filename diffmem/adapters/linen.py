"""Any memory as a `flax.linen` module or recurrent cell."""

from typing import Any

import flax.linen as nn
import jax

from diffmem import adapters
from diffmem.base import Array, Memory, Params, Readout


def _params(module: Any) -> Params:
    """The memory's parameters, as variables of the module under the core's own names.

    They are declared on the scope and not by `module.param`, which would refuse a parameter that is called like a field.
    """
    scope, memory = module.scope, module.memory
    names = jax.eval_shape(memory.init_params, jax.random.key(0))
    if names and not scope.has_variable("params", next(iter(names))):
        fresh = memory.init_params(scope.make_rng("params")) if scope.is_mutable_collection("params") else names
        return {name: scope.param(name, lambda _, name=name: fresh[name]) for name in names}
    return {name: scope.get_variable("params", name) for name in names}


class MemoryModule(nn.Module):
    """A memory over whole sequences: `diffmem.unroll` as a Linen module.

    Args:
        memory: any memory.
        method: see `diffmem.unroll`.
        remat: see `diffmem.unroll`.

    Call with xs [*batch, T, input_size], and optionally a state with the same batch axes and starts [*batch, T] bool; returns
    the final state and the `Readout` of every step, as `diffmem.unroll` does.

    Raises:
        ValueError: a wrong width or shape, as `diffmem.unroll`.

    Example:
        >>> import jax, diffmem
        >>> from diffmem.adapters.linen import MemoryModule
        >>> module = MemoryModule(diffmem.GRU(input_size=3, hidden_size=5))
        >>> xs = jax.numpy.ones((2, 7, 3))
        >>> variables = module.init(jax.random.key(0), xs)
        >>> state, readout = module.apply(variables, xs)
        >>> readout.value.shape
        (2, 7, 5)
    """

    memory: Memory
    method: str = "auto"
    remat: int = 0

    @nn.compact
    def __call__(self, xs: Array, state: Any = None, starts: Array | None = None) -> tuple[Any, Readout]:
        return adapters.module_call(self.memory, _params(self), xs, state, starts, method=self.method, remat=self.remat)


class MemoryCell(nn.RNNCellBase):
    """A memory as a recurrent cell, for `nn.RNN`, `nn.Bidirectional` and agents that scan a cell by themselves.

    Args:
        memory: any memory.

    The carry is the memory's state with leading batch axes; the output is the read as one vector [*batch, size]. Inputs are
    x [*batch, input_size], or the pair (x, start) with start [*batch] bool: where it is True, the initial state stands before
    this x. `initialize_carry` returns the initial state, learned or not, so it needs the module's variables: inside
    `nn.RNN` that is seen to; outside, use `module.apply(variables, key, shape, method="initialize_carry")`.

    `nn.RNN(..., return_carry=True)` with `seq_lengths` keeps the states of all steps, T times the memory: use
    `MemoryModule` there.

    Raises:
        ValueError: inputs of another width than the memory's input_size.

    Example:
        >>> import jax, diffmem, flax.linen as nn
        >>> from diffmem.adapters.linen import MemoryCell
        >>> rnn = nn.RNN(MemoryCell(diffmem.NTM(input_size=3, slots=8, width=4)))
        >>> rnn.init_with_output(jax.random.key(0), jax.numpy.ones((2, 7, 3)))[0].shape
        (2, 7, 4)
    """

    memory: Memory

    def __call__(self, carry: Any, inputs: Any) -> tuple[Any, Array]:
        return adapters.cell_step(self.memory, _params(self), carry, inputs)

    def initialize_carry(self, rng: Array, input_shape: tuple[int, ...]) -> Any:
        return adapters.initial_carry(self.memory, _params(self), input_shape)

    @property
    def num_feature_axes(self) -> int:
        return 1
