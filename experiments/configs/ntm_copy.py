"""NTM with an LSTM controller on copy, lengths 1 to 20.

    python -m experiments.train ntm_copy --seeds 10

Paper: 128 x 20 slots, one head, 100 units; few mistakes at lengths 10 to 50, a few at 120 (sections 4.1, tables 1 and 2).
Here: the paper's sizes and its RMSProp with momentum, at 3e-4 with a cool-down instead of 1e-4, two sequences per step; and
writing has a small cost, so that the write head keeps still while the copy is read.
Hardware: two CPU cores, about a minute per seed.
Expected: no wrong bit at lengths 1 to 20 for any seed, and none at 120 for most.
"""

from diffmem import NTM
from diffmem.tasks import Copy
from experiments.config import Config, Optimizer

config = Config(
    task=Copy(max_length=20),
    memory=NTM(input_size=100, slots=128, width=20),
    optimizer=Optimizer("rmsprop", learning_rate=3e-4, cooldown=0.3),
    write_cost=1e-3,
    batch=2,
    steps=18_000,
    log_every=100,
    checkpoint_every=1000,
    lengths=("1-20", "10", "20", "30", "50", "120"),
)
