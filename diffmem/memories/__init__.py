"""The memories, one file each. Importing this package registers them all."""

from diffmem.memories.delta_rule import DeltaRule
from diffmem.memories.dmn import DMN
from diffmem.memories.dmnplus import DMNPlus
from diffmem.memories.dnc import DNC, DNCState
from diffmem.memories.fast_weights import FastWeights
from diffmem.memories.ffm import FFM
from diffmem.memories.hebbian import Hebbian
from diffmem.memories.linear_attention import LinearAttention, LinearAttentionState
from diffmem.memories.lru import LRU
from diffmem.memories.memn2n import MemN2N
from diffmem.memories.memnn import MemNN
from diffmem.memories.memoria import Memoria, MemoriaState
from diffmem.memories.ntm import NTM, NTMState
from diffmem.memories.plastic import Plastic
from diffmem.memories.recurrent import GRU, LSTM, GRUState, LSTMState
from diffmem.memories.rmc import RMC, RMCState
from diffmem.memories.sam import SAM, SAMState
from diffmem.memories.sdnc import SDNC, SDNCState

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
    "DMNPlus",
    "DNCState",
    "DeltaRule",
    "FastWeights",
    "GRUState",
    "Hebbian",
    "LSTMState",
    "LinearAttention",
    "LinearAttentionState",
    "MemN2N",
    "MemNN",
    "Memoria",
    "MemoriaState",
    "NTMState",
    "Plastic",
    "RMCState",
    "SAMState",
    "SDNCState",
]
