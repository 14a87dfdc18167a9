"""NTM with a feed-forward controller on dynamic 6-grams, 200 bits.

    python -m experiments.train ntm_ngrams --seeds 2

Paper: one head, 100 units, RMSProp 3e-5; 133.5 to 134 bits where the optimum is about 133, LSTM 136 (section 4.4, figure 13).
Here: the same sizes, RMSProp 1e-4 with a cool-down, eight sequences per step, 48,000 sequences.
Hardware: two CPU cores, about four minutes per seed.
Expected: see docs/results.md; compare with `optimal_bits_per_sequence`, the Bayes estimator on the same sequences.
"""

from diffmem import NTM
from diffmem.tasks import NGrams
from experiments.config import Config, Optimizer

config = Config(
    task=NGrams(),
    memory=NTM(input_size=100, slots=128, width=20),
    controller="feedforward",
    optimizer=Optimizer("rmsprop", learning_rate=1e-4, cooldown=0.3),
    batch=8,
    steps=6000,
    log_every=100,
    lengths=("200",),
    sequences=1000,
)
