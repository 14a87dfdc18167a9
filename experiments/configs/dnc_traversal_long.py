"""`dnc_traversal`, trained on with lessons 1 to 4: up to 12 nodes and 36 edges, paths of up to 4.

    python -m experiments.train dnc_traversal_long

Paper: 98.8 % of answers right in its last lesson, after a long curriculum. `dnc_traversal_full` goes on from here.
Hardware: one CPU core, about half an hour.
Expected: 99 % of answers right over the four lessons, 96 % in lesson 4.
"""

from dataclasses import replace

from diffmem.tasks import Traversal
from experiments.config import Optimizer
from experiments.configs import dnc_traversal

config = replace(
    dnc_traversal.config,
    task=Traversal(max_length=4),
    memory=replace(dnc_traversal.config.memory, slots=48),
    optimizer=Optimizer("adam", learning_rate=5e-4, clip_norm=10.0, cooldown=0.3),
    start_from="dnc_traversal",
    steps=8000,
    lengths=("1-4", "1", "2", "3", "4"),
)
