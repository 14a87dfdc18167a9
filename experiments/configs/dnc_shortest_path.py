"""A DNC on the first two lessons of shortest path: up to 6 nodes and 12 edges, paths of 1 or 2, 10 steps of planning.

    python -m experiments.train dnc_shortest_path

Paper: 64.0 +- 3.5 % of answers right in its last lesson, 55.3 +- 6.4 % on the London Underground (4 steps), after a long
curriculum. `dnc_shortest_path_long` goes on from here.
Hardware: one CPU core, about a quarter of an hour.
Expected: all answers right in lesson 1, 83 % in lesson 2; with two read heads 80 %, and it learns half as fast.
"""

from dataclasses import replace

from diffmem.tasks import ShortestPath
from experiments.configs import dnc_traversal

config = replace(
    dnc_traversal.config,
    task=ShortestPath(max_length=2),
    memory=replace(dnc_traversal.config.memory, read_heads=5),
    steps=10_000,
)
