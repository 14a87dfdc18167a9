"""`dnc_shortest_path_supervised`, trained on with the last three lessons: up to 25 nodes and 125 edges, paths of up to 5.

    python -m experiments.train dnc_shortest_path_supervised_full --mesh data=2
    python -m experiments.evaluate dnc_shortest_path_supervised_full --graph underground --path 4 --lengths 7

Paper: 64.0 +- 3.5 % of answers right in its last lesson, 55.3 +- 6.4 % on the London Underground (4 steps).
Hardware: two CPU cores.
Expected: to be measured.
"""

from dataclasses import replace

from diffmem.tasks import ShortestPath
from experiments.config import Optimizer
from experiments.configs import dnc_shortest_path_supervised

config = replace(
    dnc_shortest_path_supervised.config,
    task=ShortestPath(max_length=7, lengths=(5, 7), planning=4),
    memory=replace(dnc_shortest_path_supervised.config.memory, slots=128),
    optimizer=Optimizer("adam", learning_rate=1e-3, clip_norm=10.0, warmup=100, cooldown=0.97),
    start_from="dnc_shortest_path_supervised",
    batch=128,
    questions=32,
    steps=4000,
    lengths=("1-7", "4", "5", "6", "7"),
)
