"""The memories, one file each. Importing this package registers them all."""

from diffmem.memories.hebbian import Hebbian, HebbianState
from diffmem.memories.ntm import NTM, NTMState
from diffmem.memories.recurrent import GRU, LSTM, GRUState, LSTMState

__all__ = ["GRU", "LSTM", "NTM", "GRUState", "Hebbian", "HebbianState", "LSTMState", "NTMState"]
