"""SDNC with an LSTM controller on copy, lengths 1 to 20, in a memory of 1,024 slots.

    python -m experiments.train sdnc_copy
    python -m experiments.evaluate runs/sdnc_copy --lengths 50 100 --slots 65536

Paper: no figures; SAM and the SDNC are shown to learn copy as fast as their dense selves (Rae et al. 2016, section 4.2).
Here: one head that looks at 4 slots and follows 8 links.
Hardware: one CPU core, about fifteen minutes.
Expected: no wrong bit at lengths 1 to 50, a fifth of one at 100 with 65,536 slots.
"""

from diffmem import SDNC
from diffmem.tasks import Copy
from experiments.config import Config, Optimizer

config = Config(
    task=Copy(max_length=20),
    memory=SDNC(input_size=64, slots=1024, width=16, heads=1, nearest=4),
    clip=20.0,
    optimizer=Optimizer("adam", learning_rate=1e-3, clip_norm=10.0, cooldown=0.3),
    batch=8,
    steps=6000,
    log_every=100,
    checkpoint_every=1000,
    lengths=("1-20", "10", "20", "30", "50"),
)
