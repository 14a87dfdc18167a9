"""Delta rule, one matrix of 64 x 64, on multi-query associative recall, 4 to 64 pairs.

    python -m experiments.train delta_mqar --seeds 3

Paper: DeltaNet recalls perfectly in the hardest settings of Zoology (Yang et al. 2024, figure 2); no number for this state
is stated.
Here: a pair is one step (see `MultiQueryRecall`), keys and values from 256 and 64 symbols, 16,000 sequences.
Hardware: one CPU core, about two minutes per seed.
Expected: no wrong value up to 32 pairs, at most 1 % wrong at 64; `linear_mqar` is the same with linear attention.
"""

from diffmem import DeltaRule
from diffmem.tasks import MultiQueryRecall
from experiments.config import Config, Optimizer

config = Config(
    task=MultiQueryRecall(),
    memory=DeltaRule(input_size=320, key_size=64, value_size=64),
    controller="none",
    optimizer=Optimizer("adam", learning_rate=1e-2, cooldown=0.5),
    batch=16,
    steps=1000,
    log_every=50,
    lengths=("4-64", "4", "8", "16", "32", "64", "96", "128", "192", "256"),
    sequences=200,
)
