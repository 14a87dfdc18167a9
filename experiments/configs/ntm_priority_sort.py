"""NTM with a feed-forward controller and 8 heads on priority sort, 20 vectors in, 16 out.

    python -m experiments.train ntm_priority_sort

Paper: eight heads, 512 units, RMSProp 3e-5; 18 to 20 bits after a million sequences, LSTM 58 (section 4.5, figure 18).
Here: the same sizes, Adam, four sequences per step, 32,000 of them: a thirtieth of that budget.
Hardware: two CPU cores, about six minutes.
Expected: see docs/results.md for how far this budget goes; the cost is still falling at its end.
"""

from diffmem import NTM
from diffmem.tasks import PrioritySort
from experiments.config import Config, Optimizer

config = Config(
    task=PrioritySort(),
    memory=NTM(input_size=512, slots=128, width=20, read_heads=8, write_heads=8),
    controller="feedforward",
    optimizer=Optimizer("adam", learning_rate=3e-4, clip_norm=10.0, cooldown=0.4),
    batch=4,
    steps=8000,
    log_every=100,
    lengths=("20",),
    sequences=1000,
)
