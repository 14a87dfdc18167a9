"""NTM with a feed-forward controller and 8 heads on priority sort, 20 vectors in, 16 out.

    python -m experiments.train ntm_priority_sort

Paper: eight heads, 512 units, RMSProp 3e-5; 18 to 20 bits after a million sequences, LSTM 58 (section 4.5, figure 18).
Here: the same sizes, RMSProp 1e-4, four sequences per step, a fraction of that budget.
Hardware: two CPU cores, about eight minutes.
Expected: see docs/results.md for how far this budget goes.
"""

from diffmem import NTM
from diffmem.tasks import PrioritySort
from experiments.config import Config, Optimizer

config = Config(
    task=PrioritySort(),
    memory=NTM(input_size=512, slots=128, width=20, read_heads=8, write_heads=8),
    controller="feedforward",
    optimizer=Optimizer("rmsprop", learning_rate=1e-4, cooldown=0.2),
    batch=4,
    steps=16_000,
    log_every=100,
    lengths=("20",),
    sequences=1000,
)
