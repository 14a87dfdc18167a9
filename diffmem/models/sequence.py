"""From a sequence to a sequence: a memory and a linear output."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from diffmem import layers
from diffmem.base import Array, Memory, Params, Readout, check_counts, check_sizes
from diffmem.models.dropout import check_bypass, drop_bypass
from diffmem.unroll import unroll


@dataclass(frozen=True)
class SequenceModel:
    """A memory whose reads are mapped to outputs, step by step: y_t = W [read_t] + b, or an MLP in place of W.

    Args:
        memory: any memory; for an NTM, one behind a controller.
        output_size: length of y, logits for a binary target or for symbols.
        clip: if not None, outputs are clipped to +-clip.
        remat: see `diffmem.unroll`.
        hidden: sizes of hidden ReLU layers between the read and the output.
        bypass_dropout: chance that a number of the controller's output is dropped on its way past the memory to the output
            layer, so that answers have to come from the memory; needs a `Controlled` memory, and a key at each call in
            training. Source: Franke, Niehues & Waibel 2018, Robust and Scalable Differentiable Neural Computer, section 3.2.

    Example:
        >>> import jax, diffmem
        >>> from diffmem.models import SequenceModel
        >>> model = SequenceModel(diffmem.control(diffmem.NTM(input_size=100), input_size=9), output_size=8)
        >>> params = model.init_params(jax.random.key(0))
        >>> batch = jax.numpy.ones((16, 41, 9))
        >>> jax.vmap(lambda xs: model(params, xs)[1])(batch).shape
        (16, 41, 8)
    """

    memory: Memory
    output_size: int
    clip: float | None = None
    remat: int = 0
    hidden: tuple[int, ...] = ()
    bypass_dropout: float = 0.0

    def __post_init__(self):
        check_counts(self, output_size=self.output_size)
        check_bypass(self)
        check_sizes(self, "hidden")

    def init_params(self, key: Array) -> Params:
        """Parameters of the memory and of the output."""
        memory, output = jax.random.split(key)
        sizes = (layers.size_of(self.memory.read_shape), *self.hidden, self.output_size)
        return {"memory": self.memory.init_params(memory), **layers.init_mlp(output, sizes)}

    def __call__(
        self, params: Params, xs: Array, state: Any = None, starts: Array | None = None, key: Array | None = None
    ) -> tuple[Any, Array, Readout]:
        """Runs one sequence.

        Args:
            params: from `init_params`.
            xs: [T, input_size].
            state: the memory's state before; None means the initial one.
            starts: [T] bool, see `diffmem.unroll`.
            key: of what is dropped; None: nothing is.

        Returns:
            The final state, the outputs [T, output_size], and the memory's readouts [T, ...].
        """
        state, readout = unroll(self.memory, params["memory"], state, xs, starts=starts, remat=self.remat)
        values = readout.value.reshape(xs.shape[0], -1)
        values = drop_bypass(self, values, key)
        outputs = layers.mlp(params, values)
        return state, outputs if self.clip is None else jnp.clip(outputs, -self.clip, self.clip), readout
