"""The NTM of `ntm_ngrams`, which had learned from contexts of all lengths, trained on dynamic 6-grams alone.

    python -m experiments.train ntm_ngrams_tuned --seeds 2

Paper: 133.5 to 134 bits where the optimum is about 133, after a million sequences (section 4.4, figure 13).
Here: begins with the committed weights of `ntm_ngrams`, half of whose last sequences had shorter contexts.
Hardware: one CPU core, about eight minutes per seed.
Expected: 0.6 bits above `optimal_bits_per_sequence`, the Bayes estimator on the same sequences.
"""

from dataclasses import replace

from diffmem.tasks import NGrams
from experiments.config import Optimizer
from experiments.configs import ntm_ngrams

config = replace(
    ntm_ngrams.config,
    task=NGrams(),
    start_from="ntm_ngrams",
    curriculum=0.0,
    optimizer=Optimizer("adam", learning_rate=5e-4, clip_norm=10.0, cooldown=1.0),
    steps=6000,
)
