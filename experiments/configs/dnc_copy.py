"""DNC with an LSTM controller on copy, lengths 1 to 10.

    python -m experiments.train dnc_copy --seeds 3

Paper: no figures; copy is the NTM paper's. The DNC paper only shows how slots are allocated and freed on it.
Here: 32 slots, so that there is room for sequences three times as long as those trained on.
Hardware: one CPU core, about two minutes per seed.
Expected: no wrong bit at lengths 1 to 10; see experiments/results/dnc_copy.json for the lengths beyond.
"""

from diffmem import DNC
from diffmem.tasks import Copy
from experiments.config import Config, Optimizer

config = Config(
    task=Copy(max_length=10),
    memory=DNC(input_size=64, slots=32, width=16, read_heads=1),
    clip=20.0,
    optimizer=Optimizer("adam", learning_rate=1e-3, clip_norm=10.0, cooldown=0.3),
    batch=8,
    steps=6000,
    log_every=100,
    checkpoint_every=1000,
    lengths=("1-10", "10", "15", "20", "30"),
)
