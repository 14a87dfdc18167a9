"""LSTM, three layers of 256, on copy, lengths 1 to 20: the baseline of the NTM, at the NTM's number of sequences.

    python -m experiments.train lstm_copy --seeds 2

Paper: learns slowly (hundreds of thousands of sequences) and degrades right after length 20 (section 4.1, table 3).
Hardware: one CPU core, nine minutes per seed.
Expected: far from solved at this budget, 14 wrong bits of 85 in a sequence, where the NTM has long been perfect.
"""

from diffmem import LSTM
from diffmem.tasks import Copy
from experiments.config import Config, Optimizer

config = Config(
    task=Copy(max_length=20),
    memory=LSTM(input_size=9, hidden_size=256, forget_bias=1.0),
    controller="none",
    depth=3,
    optimizer=Optimizer("rmsprop", learning_rate=3e-5),
    batch=4,
    steps=7000,
    log_every=100,
    lengths=("1-20", "10", "20", "30", "50", "120"),
)
