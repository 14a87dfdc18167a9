"""A DNC that is told what to read while it plans, on the first four lessons of shortest path: up to 12 nodes and 36 edges.

    python -m experiments.train dnc_shortest_path_supervised

Hardware: one CPU core, twenty minutes.
Expected: 100, 99.2, 98.2 and 80.1 % of answers right in lessons 1 to 4. Not told (`--supervision 0`), it has a
loss of 2.5 after 192,000 questions, told 1.3.
"""

from diffmem import DNC
from diffmem.tasks import ShortestPath
from experiments.config import Config, Optimizer

config = Config(
    task=ShortestPath(max_length=4, planning=4),
    memory=DNC(input_size=160, slots=48, width=96, read_heads=5, links=False, masked=True),
    skip=True,
    hidden=(256,),
    clip=20.0,
    optimizer=Optimizer("adam", learning_rate=2e-3, clip_norm=10.0, warmup=200, cooldown=0.3),
    supervision=0.2,
    batch=64,
    questions=8,
    steps=5000,
    log_every=20,
    checkpoint_every=200,
    lengths=("1-4", "1", "2", "3", "4"),
    sequences=1000,
)
