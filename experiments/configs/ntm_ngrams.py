"""NTM with an LSTM controller on dynamic 6-grams, 200 bits.

    python -m experiments.train ntm_ngrams --seeds 2

Paper: one head, 100 units, RMSProp 3e-5, a million sequences; 133.5 to 134 bits where the optimum is about 133, LSTM 136
(section 4.4, figure 13).
Here: the same sizes; a curriculum of contexts of one bit, then two, to all five, each left when it costs less than 132 bits; a
hidden layer between read and output, as log-odds are no linear function of counts; Adam, 384,000 sequences.
Hardware: one CPU core, about 40 minutes per seed.
Expected: see docs/results.md; compare with `optimal_bits_per_sequence`, the Bayes estimator on the same sequences.
"""

from diffmem import NTM
from diffmem.tasks import NGrams
from experiments.config import Config, Optimizer

config = Config(
    task=NGrams(by_lesson=True),
    memory=NTM(input_size=100, slots=128, width=20),
    hidden=(64,),
    # Without a limit to the gradient's norm the fourth lesson was lost again.
    optimizer=Optimizer("adam", learning_rate=1e-3, clip_norm=10.0, cooldown=0.6),
    curriculum=132.0,
    batch=16,
    steps=24_000,
    log_every=100,
    lengths=("200",),
    sequences=1000,
)
