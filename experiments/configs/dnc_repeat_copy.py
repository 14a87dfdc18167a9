"""DNC with an LSTM controller on repeat copy, lengths 1 to 4, repeats 1 to 3.

    python -m experiments.train dnc_repeat_copy --seeds 3

Paper: none; DeepMind's code trains 16 slots of 16 numbers, 4 read heads and 64 units on sequences of 1 or 2 vectors of 4 bits,
repeated once or twice. Here longer sequences, one read head, and Adam.
Hardware: one CPU core, about two minutes per seed.
Expected: not run yet.
"""

from diffmem import DNC
from diffmem.tasks import RepeatCopy
from experiments.config import Config, Optimizer

config = Config(
    task=RepeatCopy(bits=4, max_length=4, max_repeats=3),
    memory=DNC(input_size=64, slots=16, width=16, read_heads=1),
    clip=20.0,
    optimizer=Optimizer("adam", learning_rate=1e-3, clip_norm=10.0, cooldown=0.3),
    batch=8,
    steps=6000,
    log_every=100,
    checkpoint_every=1000,
    lengths=("1-4", "4", "6", "8"),
)
