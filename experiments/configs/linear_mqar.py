"""Linear attention, one matrix of 64 x 64, on multi-query associative recall, 4 to 64 pairs.

    python -m experiments.train linear_mqar --seeds 3

Paper: linear attention falls behind attention as pairs are added (Arora et al. 2023, figure 2).
Here: the task, sizes and training of `delta_mqar`; the feature map is elu + 1, with the normaliser.
Hardware: one CPU core, about two minutes per seed.
Expected: clearly worse than `delta_mqar` at equal state.
"""

from diffmem import LinearAttention
from diffmem.tasks import MultiQueryRecall
from experiments.config import Config, Optimizer

config = Config(
    task=MultiQueryRecall(),
    memory=LinearAttention(input_size=320, key_size=64, value_size=64),
    controller="none",
    optimizer=Optimizer("adam", learning_rate=1e-2, cooldown=0.5),
    batch=16,
    steps=1000,
    log_every=50,
    lengths=("4-64", "4", "8", "16", "32", "64", "96", "128", "192", "256"),
    sequences=200,
)
