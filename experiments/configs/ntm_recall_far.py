"""The NTM of `ntm_recall_adam`, tuned to write as little as it can, so that it recalls from longer lists.

    python -m experiments.train ntm_recall_far --seeds 3

Paper: under 1 bit at 15 items, trained on 2 to 6 (section 4.3).
Here: begins with the weights of `ntm_recall_adam`; writing has a small cost, which would be in the way from the start.
Hardware: one CPU core, about two minutes per seed.
Expected: see docs/results.md.
"""

from dataclasses import replace

from experiments.config import Optimizer
from experiments.configs import ntm_recall_adam

config = replace(
    ntm_recall_adam.config,
    start_from="ntm_recall_adam",
    write_cost=1e-3,
    optimizer=Optimizer("adam", learning_rate=5e-4, clip_norm=10.0, cooldown=0.5),
    steps=3000,
)
