"""NTM with an LSTM controller on repeat copy, lengths 1 to 10, repeats 1 to 10.

    python -m experiments.train ntm_repeat_copy --seeds 2

Paper: one head, 100 units, RMSProp 1e-4; solved on the training range, generalises in length (section 4.2, table 2).
Here: the paper's sizes, RMSProp 3e-4 with a cool-down, two sequences per step.
Hardware: two CPU cores, about three minutes per seed.
Expected: see docs/results.md.
"""

from diffmem import NTM
from diffmem.tasks import RepeatCopy
from experiments.config import Config, Optimizer

config = Config(
    task=RepeatCopy(),
    memory=NTM(input_size=100, slots=128, width=20),
    optimizer=Optimizer("rmsprop", learning_rate=3e-4, cooldown=0.4),
    batch=2,
    steps=12000,
    log_every=100,
    lengths=("1-10", "10", "15", "20"),
)
