"""`dnc_shortest_path`, trained on with lessons 1 to 4: up to 12 nodes and 36 edges, paths of up to 3, 10 steps of planning.

    python -m experiments.train dnc_shortest_path_long
    python -m experiments.train dnc_shortest_path_long --task.max-length 7 --task.lengths 1 7 --memory.slots 128

Paper: 64.0 +- 3.5 % of answers right in its last lesson, 55.3 +- 6.4 % on the London Underground (4 steps). The second command
has graphs of that size, for an accelerator; then
`python -m experiments.evaluate runs/dnc_shortest_path_long --graph underground --path 4 --lengths 7`.
Hardware: one CPU core, about fifty minutes.
Expected: 98, 95 and 52 % of answers right in lessons 2, 3 and 4.
"""

from dataclasses import replace

from diffmem.tasks import ShortestPath
from experiments.configs import dnc_traversal_long

config = replace(dnc_traversal_long.config, task=ShortestPath(max_length=4), start_from="dnc_shortest_path", steps=6000)
