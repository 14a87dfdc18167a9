"""Plastic net, 24 units, on completing patterns: three patterns of 16 bits, each shown twice, then half of one.

    python -m experiments.train plastic_patterns --seeds 3

Paper: 1,000 bits and as many neurons, 5 patterns, Hebb's rule; completed almost perfectly, which fixed weights cannot do at
this size (section 4.1). Here: small enough for minutes.
Hardware: one CPU core.
Expected: 0.9 of 16 bits wrong. Without memory 4 of the 16 bits are wrong: the hidden half is guessed.
"""

from diffmem import Plastic
from diffmem.tasks import PatternCompletion
from experiments.config import Config, Optimizer

config = Config(
    task=PatternCompletion(max_length=3, bits=16, show=2),
    memory=Plastic(input_size=16, hidden_size=24),
    controller="none",
    optimizer=Optimizer("adam", learning_rate=3e-3, clip_norm=5.0, cooldown=0.3),
    batch=16,
    steps=6000,
    log_every=250,
    checkpoint_every=1000,
    sequences=2000,
)
