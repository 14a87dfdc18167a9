"""DNC with an LSTM controller on copy, lengths 1 to 20.

    python -m experiments.train dnc_copy --seeds 3

Paper: no figures; copy is the NTM paper's. The DNC paper only shows how slots are allocated and freed on it.
Here: 64 units and 64 slots, room for sequences more than twice as long as those trained on.
Hardware: one CPU core, a few minutes per seed.
Expected: no wrong bit at lengths 1 to 20, about one at 30 for some seeds, far from solved at 50.
"""

from diffmem import DNC
from diffmem.tasks import Copy
from experiments.config import Config, Optimizer

config = Config(
    task=Copy(max_length=20),
    memory=DNC(input_size=64, slots=64, width=16, read_heads=1),
    clip=20.0,
    optimizer=Optimizer("adam", learning_rate=1e-3, clip_norm=10.0, cooldown=0.3),
    batch=8,
    steps=4000,
    log_every=100,
    checkpoint_every=1000,
    lengths=("1-20", "10", "20", "30", "50"),
)
