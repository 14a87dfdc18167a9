"""Memory environments for reinforcement learning in pure JAX: everything runs on the device, under `jit` and `vmap`."""

from diffmem.envs.base import (
    Box,
    Discrete,
    Environment,
    MultiDiscrete,
    NoParams,
    Space,
    Step,
    check_action,
    entry,
    make,
    names,
    register,
    step,
)
from diffmem.envs.cards import RepeatFirst, RepeatPrevious

__all__ = [
    "Box",
    "Discrete",
    "Environment",
    "MultiDiscrete",
    "NoParams",
    "RepeatFirst",
    "RepeatPrevious",
    "Space",
    "Step",
    "check_action",
    "entry",
    "make",
    "names",
    "register",
    "step",
]
