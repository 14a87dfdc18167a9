"""SAM with an LSTM controller on associative recall, 2 to 6 items, in a memory of 4,096 slots.

    python -m experiments.train sam_recall --seeds 3
    python -m experiments.evaluate runs/sam_recall --lengths 6 20 --slots 65536

Paper: SAM learns associative recall with millions of slots, by a curriculum (section 4.3, figure 3); no table.
Here: a curriculum of 2 to 6 items, each left when its cost falls below 2 bits; more slots cost little, as K = 4 are read.
Hardware: one CPU core, about 20 minutes for a seed.
Expected: three items are learned, the lesson of up to four is at 6 bits when the budget ends; see docs/results.md.
"""

from diffmem import SAM
from diffmem.tasks import AssociativeRecall
from experiments.config import Config, Optimizer

config = Config(
    task=AssociativeRecall(),
    memory=SAM(input_size=100, slots=4096, width=32, heads=4, nearest=4, lookup="hashed"),
    optimizer=Optimizer("adam", learning_rate=1e-3, clip_norm=10.0, cooldown=0.3),
    curriculum=2.0,
    batch=8,
    steps=25_000,
    log_every=100,
    checkpoint_every=1000,
    lengths=("2-6", "6", "10", "15"),
)
