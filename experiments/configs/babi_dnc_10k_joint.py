"""A DNC on bAbI, 10k questions a task, one model for all 20 tasks.

    python -m experiments.train babi_dnc_10k_joint
    python -m experiments.train babi_dnc_10k_joint --memory.memory.masked --memory.memory.deallocate --memory.memory.sharpen

Published: 16.7 +- 7.6 % mean error, best run 3.8 % (Graves et al. 2016, extended data table 1); 11.0 +- 3.8 % with the three
improvements of the second line (Csordas & Schmidhuber 2019).
Here: an LSTM of 256, 128 slots; story and question are one stream of word vectors, answered at the end. Task 3 is trained on
generated stories where the data set's own file is missing.
Hardware: an accelerator; hundreds of hours on CPU cores.
Expected: not run yet.
"""

from diffmem import DNC, control
from experiments.config import Optimizer
from experiments.stories import StoryConfig

config = StoryConfig(
    memory=control(DNC(input_size=256, slots=128, width=64, read_heads=4), 64, clip=20.0),
    epochs=20,
    checkpoint_every=1,
    buckets=(10, 20, 40, 70),
    optimizer=Optimizer("adam", learning_rate=3e-4, clip_norm=10.0, cooldown=0.5),
)
