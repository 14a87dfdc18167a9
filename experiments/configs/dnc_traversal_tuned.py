"""`dnc_traversal_full`, trained on with its last three lessons: up to 25 nodes and 125 edges, paths of up to 7.

    python -m experiments.train dnc_traversal_tuned
    python -m experiments.evaluate dnc_traversal_tuned --graph underground --path 4 --lengths 7

Paper: 98.8 % of answers right in its last lesson, 98.8 +- 1.6 % on the London Underground (7 steps).
Hardware: one CPU core, an hour and a half.
Expected: 99.2 % of answers right over the seven lessons, 94.3 % in lesson 7 (86.7 % before); 87 % of paths of four edges on the
Underground, 32 % of those of seven. `dnc_traversal_last` goes on from here.
"""

from dataclasses import replace

from diffmem.tasks import Traversal
from experiments.config import Optimizer
from experiments.configs import dnc_traversal_full

config = replace(
    dnc_traversal_full.config,
    task=Traversal(max_length=7, lengths=(5, 7)),
    optimizer=Optimizer("adam", learning_rate=2e-4, clip_norm=10.0, warmup=100, cooldown=0.9),
    start_from="dnc_traversal_full",
    batch=16,
    steps=8000,
    log_every=50,
    checkpoint_every=250,
    lengths=("1-7", "5-7", "4", "5", "6", "7"),
)
