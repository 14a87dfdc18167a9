"""RMC on program evaluation, additions of numbers of up to 5 digits, one or two inside each other.

    python -m experiments.train rmc_lte_addition

Paper: 99.9 % of characters, LSTM 99.8 % (table 1).
Here: a small memory; numbers of one digit first, then up to two, .. five, each when it costs less than a nat a digit.
Hardware: one CPU core; see the committed result for the minutes.
Expected: see docs/results.md.
"""

from diffmem import RMC
from diffmem.tasks import Programs
from experiments.config import Config, Optimizer

config = Config(
    task=Programs("addition", max_length=5, nestings=(1, 2)),
    memory=RMC(input_size=28, slots=4, width=64, heads=4),
    controller="none",
    hidden=(256, 256),
    optimizer=Optimizer("adam", learning_rate=1e-3, warmup=200, cooldown=0.2, clip_norm=1.0),
    curriculum=1.0,
    batch=64,
    steps=16_000,
    log_every=100,
    checkpoint_every=1000,
    lengths=("1-5", "1", "2", "3", "4", "5"),
    sequences=2000,
)
