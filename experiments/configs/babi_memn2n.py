"""MemN2N on bAbI, 1k questions a task, one model for all 20 tasks: the quick one.

    python -m experiments.train babi_memn2n --seeds 10

Paper: 3 hops, width 50, position encoding, linear start, random noise; 12.4 % mean error, 11 tasks failed (table 1, PE LS RN
joint).
Here: the same, 80 epochs of which 16 without softmax; ten restarts, chosen by validation error.
Hardware: two CPU cores, about ten minutes.
Expected: see docs/results.md.
"""

from diffmem import MemN2N
from experiments.config import Optimizer
from experiments.stories import StoryConfig

config = StoryConfig(
    memory=MemN2N(input_size=2, slots=50, width=50),
    setting="1k",
    linear_start=16,
    noise=0.1,
    epochs=80,
    # The authors' rate of 0.01 and norm of 40 are for the sum over a batch of 32.
    optimizer=Optimizer("sgd", learning_rate=0.32, momentum=0.0, clip=1e9, clip_norm=1.25, halvings=3),
)
