"""`dnc_shortest_path`, trained on with lessons 1 to 5: up to 16 nodes and 48 edges, paths of up to 4, 10 steps of planning.

    python -m experiments.train dnc_shortest_path_long

Paper: 64.0 +- 3.5 % of answers right in its last lesson, after a long curriculum. `dnc_shortest_path_full` goes on from here.
Hardware: one H200, one minute.
Expected: 99.7, 99.3, 89.4 and 68.8 % of answers right in lessons 2 to 5.
"""

from dataclasses import replace

from diffmem.tasks import ShortestPath
from experiments.configs import dnc_shortest_path

config = replace(
    dnc_shortest_path.config,
    task=ShortestPath(max_length=5),
    memory=replace(dnc_shortest_path.config.memory, slots=56),
    start_from="dnc_shortest_path",
    batch=256,
    steps=2000,
    checkpoint_every=300,
    lengths=("1-5", "1", "2", "3", "4", "5"),
)
