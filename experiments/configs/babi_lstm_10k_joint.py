"""An LSTM on bAbI, 10k questions a task, one model for all 20 tasks: the baseline without a memory to look back into.

    python -m experiments.train babi_lstm_10k_joint

Published: 25.2 % mean error, 15 tasks failed, the best run (Graves et al. 2016, extended data table 1).
Here: one layer of 256 over the words of story and question, answered at the end; stories of more than 70 sentences lose their
oldest. Task 3 is trained on generated stories where the data set's own 10k file is missing.
Hardware: hours on CPU cores, as every word of a padded story is a step.
Expected: not run yet.
"""

from diffmem import LSTM
from experiments.config import Optimizer
from experiments.stories import StoryConfig

config = StoryConfig(
    memory=LSTM(input_size=64, hidden_size=256),
    epochs=20,
    checkpoint_every=1,
    buckets=(10, 20, 40, 70),
    optimizer=Optimizer("adam", learning_rate=1e-3, clip_norm=5.0, cooldown=0.7),
)
