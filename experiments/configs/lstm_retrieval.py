"""LSTM, 50 units, on associative retrieval: the baseline of fast_weights_retrieval, with the same number of sequences.

    python -m experiments.train lstm_retrieval --seeds 3

Paper: 1.85 % wrong with 50 units, 60.8 % with 20 (section 4.1, table 1).
Hardware: one CPU core.
Expected: about 22 % wrong (16 to 25 %) after 640,000 sequences, and still falling.
"""

from diffmem import LSTM
from diffmem.tasks import AssociativeRetrieval
from experiments.config import Config, Optimizer

config = Config(
    task=AssociativeRetrieval(),
    memory=LSTM(input_size=37, hidden_size=50, forget_bias=1.0),
    controller="none",
    hidden=(100,),
    optimizer=Optimizer("adam", learning_rate=3e-3, clip_norm=5.0, cooldown=0.3),
    batch=32,
    steps=20_000,
    log_every=500,
    checkpoint_every=2000,
    sequences=20_000,
)
