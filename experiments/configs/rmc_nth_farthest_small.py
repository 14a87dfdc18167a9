"""A small RMC on nth farthest, 8 vectors of 16 numbers: how far two CPU cores come in an hour.

    python -m experiments.train rmc_nth_farthest_small --seeds 2

Paper: 91 % with a memory four times as wide and hundreds of times as many sequences (section 5.1); LSTM and DNC below 30 %.
Here: training asks after every vector, about those so far, which gives a gradient long before the whole question does; what
counts are the answers after the last vector.
Hardware: two CPU cores, about an hour for both seeds.
Expected: see the committed result.
"""

from diffmem import RMC
from diffmem.tasks import NthFarthest
from experiments.config import Config, Optimizer

config = Config(
    task=NthFarthest(every_step=True),
    memory=RMC(input_size=40, slots=8, width=64, heads=4),
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
