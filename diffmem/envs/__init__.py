"""Memory environments for reinforcement learning in pure JAX: everything runs on the device, under `jit` and `vmap`."""

from diffmem.envs.associative_recall import AssociativeRecall
from diffmem.envs.ballet import Ballet
from diffmem.envs.bandit import MultiarmedBandit
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
    split_name,
    step,
)
from diffmem.envs.boards import Battleship, MineSweeper
from diffmem.envs.cards import Autoencode, RepeatFirst, RepeatPrevious
from diffmem.envs.chains import MemoryChain, Umbrella
from diffmem.envs.concentration import Concentration
from diffmem.envs.control import CartPole, Pendulum
from diffmem.envs.counting import CountRecall, HigherLower
from diffmem.envs.mini_pacman import MiniPacMan
from diffmem.envs.t_maze import TMaze

__all__ = [
    "AssociativeRecall",
    "Autoencode",
    "Ballet",
    "Battleship",
    "Box",
    "CartPole",
    "Concentration",
    "CountRecall",
    "Discrete",
    "Environment",
    "HigherLower",
    "MemoryChain",
    "MineSweeper",
    "MiniPacMan",
    "MultiDiscrete",
    "MultiarmedBandit",
    "NoParams",
    "Pendulum",
    "RepeatFirst",
    "RepeatPrevious",
    "Space",
    "Step",
    "TMaze",
    "Umbrella",
    "check_action",
    "entry",
    "make",
    "names",
    "register",
    "split_name",
    "step",
]
