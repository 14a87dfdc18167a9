"""`dnc_traversal_full`, trained on with edges that share labels, as they do on the Underground, in lessons 4 to 7.

    python -m experiments.train dnc_traversal_lines
    python -m experiments.evaluate dnc_traversal_lines --graph underground --path 7 --lengths 7

Paper: 98.8 % of answers right in its last lesson, 98.8 +- 1.6 % on the London Underground (7 steps).
"""

from dataclasses import replace

from diffmem.tasks import Traversal
from experiments.config import Optimizer
from experiments.configs import dnc_traversal_full

config = replace(
    dnc_traversal_full.config,
    task=Traversal(max_length=7, lengths=(4, 7), edge_labels=30),
    optimizer=Optimizer("adam", learning_rate=5e-4, clip_norm=10.0, cooldown=0.5),
    start_from="dnc_traversal_full",
    batch=16,
    steps=5400,
    remat=12,
    lengths=("4-7", "4", "5", "6", "7"),
)
