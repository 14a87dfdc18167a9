"""diffmem: differentiable memory networks for JAX behind one read/write addressing API."""

from diffmem.base import Memory, Readout, ScanMemory, entry, make, names, register
from diffmem.controller import Controlled, FeedForward, Stack, control
from diffmem.memories import GRU, LSTM, NTM, Hebbian
from diffmem.unroll import store, unroll

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "LSTM",
    "NTM",
    "Controlled",
    "FeedForward",
    "Hebbian",
    "Memory",
    "Readout",
    "ScanMemory",
    "Stack",
    "control",
    "entry",
    "make",
    "names",
    "register",
    "store",
    "unroll",
]
