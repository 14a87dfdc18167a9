"""MemN2N on bAbI, 10k questions a task, one model for all 20 tasks.

    python -m experiments.train babi_memn2n_10k_joint --seeds 2

Paper: 3 hops, width 50, position encoding, linear start, random noise, SGD; 7.5 % mean error, 6 tasks failed (table 2, PE LS RN
joint, 10k), the best of ten restarts.
Here: the same sizes and learning rates, 60 epochs of which 8 without softmax. Task 3 is trained on generated stories where the
data set's own 10k file is missing.
Hardware: two CPU cores, about 15 minutes a seed.
Expected: see docs/results.md.
"""

from diffmem import MemN2N
from experiments.config import Optimizer
from experiments.stories import StoryConfig

config = StoryConfig(
    memory=MemN2N(input_size=2, slots=50, width=50),
    linear_start=8,
    noise=0.1,
    epochs=60,
    # The authors' rate of 0.01 and norm of 40 are for the sum over a batch of 32.
    optimizer=Optimizer("sgd", learning_rate=0.32, momentum=0.0, clip=1e9, clip_norm=1.25, halvings=3),
)
