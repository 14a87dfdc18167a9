"""diffmem: differentiable memory networks for JAX behind one read/write addressing API."""

from diffmem.append import AppendMemory, AppendState
from diffmem.base import ChunkMemory, Memory, Readout, ScanMemory, entry, make, names, register
from diffmem.controller import Controlled, FeedForward, Stack, control
from diffmem.diagonal import DiagonalMemory, DiagonalState
from diffmem.matrix import MatrixState
from diffmem.memories import (
    DMN,
    DNC,
    FFM,
    GRU,
    LRU,
    LSTM,
    NTM,
    RMC,
    SAM,
    SDNC,
    DeltaRule,
    DMNPlus,
    FastWeights,
    Hebbian,
    LinearAttention,
    MemN2N,
    MemNN,
    Memoria,
    Plastic,
)
from diffmem.unroll import store, unroll

__version__ = "0.1.0"

__all__ = [
    "DMN",
    "DNC",
    "FFM",
    "GRU",
    "LRU",
    "LSTM",
    "NTM",
    "RMC",
    "SAM",
    "SDNC",
    "AppendMemory",
    "AppendState",
    "ChunkMemory",
    "Controlled",
    "DMNPlus",
    "DeltaRule",
    "DiagonalMemory",
    "DiagonalState",
    "FastWeights",
    "FeedForward",
    "Hebbian",
    "LinearAttention",
    "MatrixState",
    "MemN2N",
    "MemNN",
    "Memoria",
    "Memory",
    "Plastic",
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
