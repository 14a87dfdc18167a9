"""Any memory as a `flax.nnx` module or recurrent cell."""

from typing import Any

import jax
from flax import nnx

from diffmem import adapters
from diffmem.base import Array, Memory, Params, Readout


class _Holder(nnx.Module):
    """What module and cell share: the core's parameters as `nnx.Param`s, one per array, in the core's own tree."""

    def __init__(self, memory: Memory, *, rngs: nnx.Rngs | None = None, params: Params | None = None):
        if params is None:
            if rngs is None:
                raise ValueError(f"{type(self).__name__} needs rngs=nnx.Rngs(seed) for fresh parameters, or params=")
            params = memory.init_params(rngs.params())
        self.memory = memory
        self.params = nnx.data(jax.tree.map(nnx.Param, params))

    def pure_params(self) -> Params:
        """The parameters as the core takes them: a nested dict of arrays."""
        return jax.tree.map(lambda p: p[...], self.params, is_leaf=lambda leaf: isinstance(leaf, nnx.Param))


class MemoryModule(_Holder):
    """A memory over whole sequences: `diffmem.unroll` as an NNX module.

    Args:
        memory: any memory.
        method: see `diffmem.unroll`.
        remat: see `diffmem.unroll`.
        rngs: for fresh parameters, from its stream "params".
        params: the parameters, instead of fresh ones.

    Call with xs [*batch, T, input_size], and optionally a state with the same batch axes and starts [*batch, T] bool; returns
    the final state and the `Readout` of every step, as `diffmem.unroll` does.

    Raises:
        ValueError: neither rngs nor params; a wrong width or shape, as `diffmem.unroll`.

    Example:
        >>> import jax, diffmem
        >>> from flax import nnx
        >>> from diffmem.adapters.nnx import MemoryModule
        >>> module = MemoryModule(diffmem.GRU(input_size=3, hidden_size=5), rngs=nnx.Rngs(0))
        >>> state, readout = module(jax.numpy.ones((2, 7, 3)))
        >>> readout.value.shape
        (2, 7, 5)
    """

    def __init__(
        self,
        memory: Memory,
        *,
        method: str = "auto",
        remat: int = 0,
        rngs: nnx.Rngs | None = None,
        params: Params | None = None,
    ):
        super().__init__(memory, rngs=rngs, params=params)
        self.method, self.remat = method, remat

    def __call__(self, xs: Array, state: Any = None, starts: Array | None = None) -> tuple[Any, Readout]:
        params = self.pure_params()
        return adapters.module_call(self.memory, params, xs, state, starts, method=self.method, remat=self.remat)


class MemoryCell(_Holder, nnx.RNNCellBase):
    """A memory as a recurrent cell for `nnx.RNN`.

    Args:
        memory: any memory.
        rngs: for fresh parameters, from its stream "params".
        params: the parameters, instead of fresh ones.

    Carry, inputs and output as in `diffmem.adapters.linen.MemoryCell`.

    Raises:
        ValueError: neither rngs nor params; inputs of another width than the memory's input_size.

    Example:
        >>> import jax, diffmem
        >>> from flax import nnx
        >>> from diffmem.adapters.nnx import MemoryCell
        >>> rnn = nnx.RNN(MemoryCell(diffmem.NTM(input_size=3, slots=8, width=4), rngs=nnx.Rngs(0)))
        >>> rnn(jax.numpy.ones((2, 7, 3))).shape
        (2, 7, 4)
    """

    def __call__(self, carry: Any, inputs: Any) -> tuple[Any, Array]:
        return adapters.cell_step(self.memory, self.pure_params(), carry, inputs)

    def initialize_carry(self, input_shape: tuple[int, ...], rngs: Any = None, carry_init: Any = None) -> Any:
        return adapters.initial_carry(self.memory, self.pure_params(), input_shape)

    @property
    def num_feature_axes(self) -> int:
        return 1
