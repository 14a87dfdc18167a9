"""A DNC on the first two lessons of traversal: up to 6 nodes and 12 edges, paths of 1 or 2.

    python -m experiments.train dnc_traversal

Paper: 98.8 % of answers right in its last lesson, 98.8 +- 1.6 % on the London Underground (7 steps), after a long curriculum;
the best LSTM had 37 % in the first lesson after about two million sequences. `dnc_traversal_long` goes on from here.
Hardware: one CPU core, five minutes.
Expected: 99 % of answers right in both lessons. What it takes is room for the three labels of an edge, 90 numbers: with slots
of 64, an LSTM of 128 and no layer in front of the output it had not learned to look anything up after twice as many sequences.
"""

from diffmem import DNC
from diffmem.tasks import Traversal
from experiments.config import Config, Optimizer

config = Config(
    task=Traversal(max_length=2),
    memory=DNC(input_size=256, slots=16, width=128, read_heads=2),
    hidden=(256,),
    clip=20.0,
    optimizer=Optimizer("adam", learning_rate=1e-3, clip_norm=10.0, cooldown=0.3),
    batch=16,
    steps=6000,
    log_every=100,
    checkpoint_every=1000,
    lengths=("1-2", "1", "2", "3"),
    sequences=1000,
)
