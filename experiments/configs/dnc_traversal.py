"""A small DNC on the first two lessons of traversal: up to 6 nodes and 12 edges, paths of 1 or 2.

    python -m experiments.train dnc_traversal
    python -m experiments.train dnc_traversal --task.max-length 7 --task.lengths 1 7 --memory.slots 128 --steps 1000000

Paper: 98.8 % of answers right in its last lesson, 98.8 +- 1.6 % on the London Underground (7 steps), after a long curriculum;
the best LSTM had 37 % in the first lesson after about two million sequences. The second command has graphs of that size, for
an accelerator; then `python -m experiments.evaluate runs/dnc_traversal --graph underground --path 7 --lengths 7`.
Hardware: one CPU core, about twenty minutes.
Expected: begun, not learned, when the budget of 192,000 sequences ends: 41 % of answers right in lesson 1, 18 % in lesson 2.
To name any other node that was shown would give 42 % and 17 %, and any neighbour of the source 75 % in lesson 1: sources and
edges are copied without fault, destinations are read as a mixture of slots.
"""

from diffmem import DNC
from diffmem.tasks import Traversal
from experiments.config import Config, Optimizer

config = Config(
    task=Traversal(max_length=2),
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
