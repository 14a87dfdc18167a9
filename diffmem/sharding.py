"""A batch over several devices, few sequences at a time, and a memory whose slots are laid over several devices."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from diffmem.base import Array, Params, Readout


def batch_grad(loss: Callable, mesh: Mesh | None = None, *, axis: str = "data", at_a_time: int | None = None) -> Callable:
    """Value and gradient of a mean over a batch, whose parts are taken by several devices, and one after the other.

    Up to rounding it is `jax.value_and_grad(loss)`. Parameters have their gradients summed over the devices once; where XLA
    alone cuts the batch, it does so at every step of time. Few sequences at a time take less memory, and on a CPU less time
    where the memories of more would not fit in a core's cache: a DNC of 256 x 64 trains twice as fast on two cores that are a
    device each and take two sequences at a time (`python -m experiments.bench dnc`).

    Args:
        loss: (params, *batches) -> a mean over the leading axis of the batches, all of whose sequences count alike.
        mesh: the devices; None: one.
        axis: the mesh's axis for the batch.
        at_a_time: sequences that each device takes at once; None: all of its part.

    Returns:
        A function of params and batches, to be jitted. Batches are arrays or trees of arrays with the same leading axis.

    Raises:
        ValueError: the mesh has no such axis; when called: the batch does not divide by devices and `at_a_time`.

    Example:
        >>> import jax, diffmem
        >>> from diffmem.sharding import batch_grad
        >>> gru = diffmem.GRU(input_size=3, hidden_size=5)
        >>> mean = lambda params, xs: jax.vmap(lambda x: diffmem.unroll(gru, params, None, x)[1].value)(xs).mean()
        >>> mesh = jax.make_mesh((1,), ("data",))
        >>> step = jax.jit(batch_grad(mean, mesh, at_a_time=2))
        >>> value, gradient = step(gru.init_params(jax.random.key(0)), jax.numpy.ones((4, 7, 3)))
    """
    if mesh is not None and axis not in mesh.shape:
        raise ValueError(f"axis is {axis!r}; legal: {', '.join(map(repr, mesh.shape))}, the axes of the mesh")
    if at_a_time is not None and at_a_time < 1:
        raise ValueError(f"at_a_time is {at_a_time}; legal: an integer >= 1, or None")
    devices = 1 if mesh is None else mesh.shape[axis]

    def part(params, batches):
        one = partial(jax.value_and_grad(loss), params)
        size = len(jax.tree.leaves(batches)[0])
        count = size // (at_a_time or size)
        if count == 1:
            return one(*batches)
        pieces = jax.tree.map(lambda a: a.reshape(count, -1, *a.shape[1:]), batches)
        like = jax.eval_shape(lambda: one(*jax.tree.map(lambda a: a[0], pieces)))
        none = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), like)
        total, _ = jax.lax.scan(lambda total, piece: (jax.tree.map(jnp.add, total, one(*piece)), None), none, pieces)
        return jax.tree.map(lambda a: a / count, total)

    def value_and_grad(params, *batches):
        size = len(jax.tree.leaves(batches)[0])
        if size % (devices * (at_a_time or 1)):
            each = "" if at_a_time is None else f" of {at_a_time} sequences at a time each"
            raise ValueError(f"the batch has {size} sequences, which do not divide by {devices} devices{each}")
        if mesh is None:
            return part(params, batches)
        places = PartitionSpec(), PartitionSpec(axis)
        if AxisType.Explicit in mesh.axis_types:
            params, batches = (jax.reshard(a, NamedSharding(mesh, at)) for a, at in zip((params, batches), places, strict=True))
        mean = lambda params, batches: jax.lax.pmean(part(params, batches), axis)  # noqa: E731
        return jax.shard_map(mean, mesh=mesh, in_specs=places, out_specs=PartitionSpec(), check_vma=False)(params, batches)

    return value_and_grad


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
