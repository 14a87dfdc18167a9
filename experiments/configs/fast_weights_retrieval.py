"""Fast weights, 50 units, on associative retrieval: four letter-digit pairs and a letter.

    python -m experiments.train fast_weights_retrieval --seeds 3

Paper: decay 0.95, fast learning rate 0.5, one inner step; Adam, batches of 128; 0 % wrong (section 4.1, table 1).
Here: the same sizes, smaller batches, gradients scaled down to norm 5, a cool-down.
Hardware: one CPU core.
Expected: 0.2 % wrong for two of three seeds, 4 % for the third, which was slow to begin; LSTM of the same size: lstm_retrieval.
"""

from diffmem import FastWeights
from diffmem.tasks import AssociativeRetrieval
from experiments.config import Config, Optimizer

config = Config(
    task=AssociativeRetrieval(),
    memory=FastWeights(input_size=37, hidden_size=50),
    controller="none",
    hidden=(100,),
    optimizer=Optimizer("adam", learning_rate=1e-3, clip_norm=5.0, cooldown=0.3),
    batch=32,
    steps=20_000,
    log_every=500,
    checkpoint_every=2000,
    sequences=20_000,
)
