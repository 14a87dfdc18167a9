"""RMC on memorisation: numbers of up to 10 digits, said again.

    python -m experiments.train rmc_lte_copy

Paper: 100 % of characters for copy and reverse, 99.8 % for double (table 1).
Here: a small memory, lengths mixed in training.
Hardware: two CPU cores; see the committed result for the minutes.
Expected: copy, one seed: 0.2 % of characters wrong over lengths 1 to 10, 1.25 % at length 10.
"""

from diffmem import RMC
from diffmem.tasks import Memorisation
from experiments.config import Config, Optimizer

config = Config(
    task=Memorisation("copy", max_length=10),
    memory=RMC(input_size=10, slots=4, width=64, heads=2),
    controller="none",
    hidden=(128,),
    optimizer=Optimizer("adam", learning_rate=1e-3, warmup=200, cooldown=0.2, clip_norm=1.0),
    batch=64,
    steps=20_000,
    log_every=100,
    checkpoint_every=1000,
    lengths=("1-10", "1", "5", "10"),
    sequences=2000,
)
