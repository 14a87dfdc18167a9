"""`dnc_shortest_path_long`, trained on with all seven lessons: up to 25 nodes and 125 edges, paths of up to 5.

    python -m experiments.train dnc_shortest_path_full
    python -m experiments.evaluate dnc_shortest_path_full --graph underground --path 4 --lengths 7

Paper: 64.0 +- 3.5 % of answers right in its last lesson, 55.3 +- 6.4 % on the London Underground (4 steps).
Hardware: one H200, six minutes.
Expected: 96.7, 85.6, 59.2 and 28.6 % of answers right in lessons 4 to 7, where it was still learning.
"""

from dataclasses import replace

from diffmem.tasks import ShortestPath
from experiments.configs import dnc_shortest_path_long, dnc_traversal_full

config = replace(
    dnc_traversal_full.config,
    task=ShortestPath(max_length=7),
    memory=replace(dnc_shortest_path_long.config.memory, slots=128),
    start_from="dnc_shortest_path_long",
    steps=3900,
    checkpoint_every=100,
)
