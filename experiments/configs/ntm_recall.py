"""NTM with a feed-forward controller on associative recall, 2 to 6 items.

    python -m experiments.train ntm_recall --seeds 3

Paper: four heads, 256 units, RMSProp 1e-4; near zero within 30,000 episodes, under 1 bit at 15 items (section 4.3, table 1).
Here: the same, four sequences per step, 30,000 episodes.
Hardware: two CPU cores, about two minutes per seed.
Expected: near zero at 2 to 6 items.
"""

from diffmem import NTM
from diffmem.tasks import AssociativeRecall
from experiments.config import Config, Optimizer

config = Config(
    task=AssociativeRecall(),
    memory=NTM(input_size=256, slots=128, width=20, read_heads=4, write_heads=4),
    controller="feedforward",
    optimizer=Optimizer("rmsprop", learning_rate=1e-4, cooldown=0.3),
    batch=4,
    steps=7500,
    log_every=100,
    lengths=("2-6", "6", "8", "10", "12", "15"),
)
