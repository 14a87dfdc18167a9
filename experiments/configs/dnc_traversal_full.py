"""`dnc_traversal_long`, trained on with all seven lessons: up to 25 nodes and 125 edges, paths of up to 7.

    python -m experiments.train dnc_traversal_full
    python -m experiments.evaluate dnc_traversal_full --graph underground --path 4 --lengths 7

Paper: 98.8 % of answers right in its last lesson, 98.8 +- 1.6 % on the London Underground (7 steps).
Hardware: one H200, three minutes.
Expected: 98.0 % of answers right over the seven lessons, 86.7 % in lesson 7, where it was still learning.
`dnc_traversal_tuned` goes on from here.
"""

from dataclasses import replace

from diffmem.tasks import Traversal
from experiments.configs import dnc_traversal, dnc_traversal_long

config = replace(
    dnc_traversal_long.config,
    task=Traversal(max_length=7),
    memory=replace(dnc_traversal_long.config.memory, slots=128),
    optimizer=replace(dnc_traversal.config.optimizer, cooldown=0.4),
    start_from="dnc_traversal_long",
    batch=256,
    steps=1700,
    checkpoint_every=300,
    lengths=("1-7", "4", "5", "6", "7"),
)
