"""MemNN on bAbI, 1k questions a task, one model for each task, taught with the supporting facts.

    python -m experiments.train babi_memnn_1k_single

Paper: margin ranking loss on the supporting facts, adaptive number of facts, N-grams, non-linearity; 6.7 % mean error, 4 tasks
failed (Weston et al. 2015, arXiv:1502.05698, table 3).
Here: word embeddings that are polynomials of the position instead of N-grams, a response that sees products of question and
picks, cross-entropy of the answer on true facts and on the memory's own picks, Adam with a cool-down.
Hardware: one CPU core, about ten minutes.
Expected: see docs/results.md.
"""

from diffmem import MemNN
from experiments.config import Optimizer
from experiments.stories import StoryConfig

config = StoryConfig(
    memory=MemNN(input_size=2, slots=230, width=50, hops=8),
    joint=False,
    setting="1k",
    moments=4,
    epochs=50,
    checkpoint_every=25,
    buckets=(10, 30, 80, 230),
    optimizer=Optimizer("adam", learning_rate=2e-3, cooldown=0.7),
)
