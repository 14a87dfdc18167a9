"""LSTM on nth farthest, 8 vectors of 16 numbers: the baseline of rmc_nth_farthest_small, with its training.

    python -m experiments.train lstm_nth_farthest --seeds 2

Paper: below 30 % (section 5.1).
Hardware: two CPU cores.
Expected: the paper's plateau, 70 % of errors or more.
"""

from diffmem import LSTM
from diffmem.tasks import NthFarthest
from experiments.config import Config, Optimizer

config = Config(
    task=NthFarthest(every_step=True),
    memory=LSTM(input_size=40, hidden_size=512, forget_bias=1.0),
    controller="none",
    hidden=(256, 256),
    optimizer=Optimizer("adam", learning_rate=5e-4, warmup=200, cooldown=0.2, clip_norm=1.0),
    batch=128,
    steps=36_000,
    log_every=100,
    checkpoint_every=1000,
    lengths=("8",),
    sequences=5000,
)
