"""A memory whose slots are laid over several devices."""

from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from diffmem.base import Array, Params, Readout


@dataclass(frozen=True)
class SlotSharded:
    """Any memory with `slots`, its state cut along the slots and laid over one axis of a mesh. Itself a memory.

    The numbers are those of the memory alone, up to the rounding of sums that are taken in another order; each device holds
    and computes its part of the slots, and XLA exchanges what a softmax or a weighted sum needs.

    Args:
        memory: a memory with a field `slots`.
        mesh: the devices.
        axis: the mesh's axis for the slots.

    Raises:
        ValueError: the memory has no slots, the mesh no such axis, or the one does not divide by the other.

    Example:
        >>> import jax, diffmem
        >>> from diffmem.sharding import SlotSharded
        >>> mesh = jax.make_mesh((1,), ("slots",), axis_types=(jax.sharding.AxisType.Auto,))
        >>> memory = SlotSharded(diffmem.NTM(input_size=3, slots=8, width=4), mesh)
        >>> params = memory.init_params(jax.random.key(0))
        >>> diffmem.unroll(memory, params, None, jax.numpy.ones((5, 3)))[1].value.shape
        (5, 1, 4)
    """

    memory: Any
    mesh: Mesh
    axis: str = "slots"

    def __post_init__(self):
        slots = getattr(self.memory, "slots", None)
        if slots is None:
            raise ValueError(f"SlotSharded.memory is {type(self.memory).__name__}, which has no slots")
        if self.axis not in self.mesh.shape:
            raise ValueError(f"SlotSharded.axis is {self.axis!r}; legal: {', '.join(map(repr, self.mesh.shape))}")
        if slots % self.mesh.shape[self.axis]:
            raise ValueError(
                f"SlotSharded.memory has {slots} slots, which do not divide by the {self.mesh.shape[self.axis]} devices of "
                f"the axis {self.axis!r}"
            )

    @property
    def input_size(self) -> int:
        return self.memory.input_size

    @property
    def query_size(self) -> int:
        return self.memory.query_size

    @property
    def read_shape(self) -> tuple[int, ...]:
        return self.memory.read_shape

    @property
    def slots(self) -> int:
        return self.memory.slots

    def _lay(self, state: Any) -> Any:
        def one(leaf):
            place = next((i for i, size in enumerate(leaf.shape) if size == self.memory.slots), None)
            if place is None:
                return leaf
            spec = PartitionSpec(*[None] * place, self.axis)
            return jax.lax.with_sharding_constraint(leaf, NamedSharding(self.mesh, spec))

        return jax.tree.map(one, state)

    def init_params(self, key: Array) -> Params:
        return self.memory.init_params(key)

    def init_state(self, params: Params) -> Any:
        return self._lay(self.memory.init_state(params))

    def write(self, params: Params, state: Any, x: Array) -> Any:
        return self._lay(self.memory.write(params, state, x))

    def read(self, params: Params, state: Any, query: Any) -> tuple[Any, Readout]:
        state, readout = self.memory.read(params, state, query)
        return self._lay(state), readout

    def step(self, params: Params, state: Any, x: Array) -> tuple[Any, Readout]:
        state, readout = self.memory.step(params, state, x)
        return self._lay(state), readout
