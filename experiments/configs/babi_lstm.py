"""An LSTM on bAbI, 1k questions a task, one model for all 20 tasks: the baseline without a memory to look back into.

    python -m experiments.train babi_lstm

Published: 51.3 % mean error, all 20 tasks failed, one model a task (Weston et al. 2015, table 3).
Here: one layer of 128 over the words of story and question, answered at the end; stories of more than 70 sentences lose their
oldest.
Hardware: one CPU core, about half an hour.
Expected: see docs/results.md.
"""

from diffmem import LSTM
from experiments.config import Optimizer
from experiments.stories import StoryConfig

config = StoryConfig(
    memory=LSTM(input_size=64, hidden_size=128),
    setting="1k",
    epochs=30,
    checkpoint_every=2,
    optimizer=Optimizer("adam", learning_rate=1e-3, clip_norm=5.0, cooldown=0.5),
)
