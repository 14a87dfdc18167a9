"""NTM with a feed-forward controller on associative recall, 2 to 6 items, by Adam.

    python -m experiments.train ntm_recall_adam --seeds 3

Paper: four heads, 256 units, RMSProp 1e-4; near zero within 30,000 episodes, under 1 bit at 15 items (section 4.3, table 1).
Here: the paper's sizes; Adam, sixteen sequences per step, 128,000 in all.
Hardware: one CPU core, about five minutes per seed.
Expected: 0.01 bits at 15 items for two of the three seeds; the third is still on its way.
"""

from dataclasses import replace

from experiments.config import Optimizer
from experiments.configs import ntm_recall

config = replace(
    ntm_recall.config,
    optimizer=Optimizer("adam", learning_rate=1e-3, clip_norm=10.0, cooldown=0.3),
    batch=16,
    steps=8000,
)
