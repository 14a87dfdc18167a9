"""A small DNC on the first two lessons of shortest path: up to 6 nodes and 12 edges, paths of 1 or 2, 10 steps of planning.

    python -m experiments.train dnc_shortest_path
    python -m experiments.train dnc_shortest_path --task.max-length 7 --task.lengths 1 7 --memory.slots 128 --steps 1000000

Paper: 64.0 +- 3.5 % of answers right in its last lesson, 55.3 +- 6.4 % on the London Underground (4 steps), after a long
curriculum. The second command has graphs of that size, for an accelerator; then
`python -m experiments.evaluate runs/dnc_shortest_path --graph underground --path 4 --lengths 7`.
Hardware: one CPU core, about forty minutes.
Expected: not run yet.
"""

from diffmem import DNC
from diffmem.tasks import ShortestPath
from experiments.config import Config, Optimizer

config = Config(
    task=ShortestPath(max_length=2),
    memory=DNC(input_size=128, slots=32, width=64, read_heads=2),
    clip=20.0,
    optimizer=Optimizer("adam", learning_rate=1e-3, clip_norm=10.0, cooldown=0.3),
    batch=32,
    steps=6000,
    log_every=100,
    checkpoint_every=1000,
    lengths=("1", "2", "3"),
    sequences=1000,
)
