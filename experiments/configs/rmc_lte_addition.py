"""RMC on program evaluation, additions of numbers of up to 5 digits, one or two inside each other.

    python -m experiments.train rmc_lte_addition

Paper: 99.9 % of characters, LSTM 99.8 % (table 1).
Here: a quarter of the width, and a tenth of the batch, of the authors' example; lengths and nestings mixed in training.
Hardware: two CPU cores, hours; the budget is a guess.
Expected: errors in percent of characters, by the number of digits; not run yet.
"""

from diffmem import RMC
from diffmem.tasks import Programs
from experiments.config import Config, Optimizer

config = Config(
    task=Programs("addition", max_length=5, nestings=(1, 2)),
    memory=RMC(input_size=28, slots=4, width=128, heads=4),
    controller="none",
    hidden=(256, 256),
    optimizer=Optimizer("adam", learning_rate=5e-4, warmup=200, cooldown=0.2, clip_norm=1.0),
    batch=128,
    steps=20_000,
    log_every=100,
    checkpoint_every=1000,
    lengths=("1-5", "1", "2", "3", "4", "5"),
    sequences=2000,
)
