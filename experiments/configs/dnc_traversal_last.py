"""`dnc_traversal_tuned`, trained on with the last two lessons, and 16 questions on each graph: paths of 3 to 7.

    python -m experiments.train dnc_traversal_last --mesh data=2
    python -m experiments.evaluate dnc_traversal_last --graph underground --path 4 --lengths 7

Paper: 98.8 % of answers right in its last lesson, 98.8 +- 1.6 % on the London Underground (7 steps).
Hardware: two CPU cores, an hour.
Expected: 99.7 % of answers right over the seven lessons, 98.7 % in lesson 7; 88 % of paths of four edges on the Underground,
47 % of those of seven.
"""

from dataclasses import replace

from diffmem.tasks import Traversal
from experiments.config import Optimizer
from experiments.configs import dnc_traversal_tuned

config = replace(
    dnc_traversal_tuned.config,
    task=Traversal(max_length=7, lengths=(6, 7)),
    optimizer=Optimizer("adam", learning_rate=4e-4, clip_norm=10.0, warmup=200, cooldown=0.9),
    start_from="dnc_traversal_tuned",
    batch=128,
    questions=16,
    steps=7000,
    checkpoint_every=200,
    lengths=("1-7", "6-7", "4", "5", "6", "7"),
)
