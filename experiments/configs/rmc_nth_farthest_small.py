"""A small RMC on nth farthest, 8 vectors of 16 numbers: how far a CPU core comes in an hour.

    python -m experiments.train rmc_nth_farthest_small

Paper: 91 % with a memory four times as wide and hundreds of times as many sequences (section 5.1); LSTM and DNC below 30 %.
Here: a curriculum. Distances of three vectors in one dimension, then in more, then three to 8 vectors of 16 numbers; a lesson
is left when the loss falls below 0.2 nats, where a guess at the unknown half has 0.3. Training asks after every vector, about
those so far, which gives a gradient long before the whole question does; what counts are the answers after the last vector.
Hardware: one CPU core, about 25 minutes.
Expected: one seed: 55 % of the answers wrong, and the curve still falls; chance without distances is 75 %.
"""

from diffmem import RMC
from diffmem.tasks import NthFarthest
from experiments.config import Config, Optimizer

config = Config(
    task=NthFarthest(every_step=True, by_lesson=True),
    memory=RMC(input_size=40, slots=8, width=64, heads=4),
    controller="none",
    hidden=(256, 256),
    optimizer=Optimizer("adam", learning_rate=1e-3, warmup=200, cooldown=0.2, clip_norm=1.0),
    curriculum=0.2,
    batch=128,
    steps=22_000,
    log_every=100,
    checkpoint_every=1000,
    lengths=("8",),
    sequences=5000,
)
