"""A DNC on bAbI, 10k questions a task, one model for all 20 tasks, five runs side by side.

    python -m experiments.train babi_dnc_10k_joint

Published: 16.7 +- 7.6 % mean error, best run 3.8 % (Graves et al. 2016, extended data table 1); 9.5 +- 1.6 % with masked lookup
and deallocation (Csordas & Schmidhuber 2019), which this one has, too; 6.3 +- 2.7 % without links, with bypass dropout and
layer norm (Franke et al. 2018), of which this one has the first two.
Here: an LSTM of 256 and 64 slots of 64; story and questions are streams of word vectors, answered at the end of each question.
Task 3 is trained on generated stories where the data set's own file is missing.
Hardware: one H200, 36 seconds an epoch and two minutes of compiling, all five runs together; days on CPU cores.
Expected: 10.5 +- 1.5 % after eight of the ten epochs, see docs/results.md.
"""

from diffmem import DNC, control
from experiments.config import Optimizer
from experiments.stories import StoryConfig

config = StoryConfig(
    memory=control(
        DNC(input_size=256, slots=64, width=64, read_heads=4, links=False, masked=True, deallocate=True), 128, clip=20.0
    ),
    bypass_dropout=0.1,
    epochs=10,
    batch=64,
    seeds=5,
    checkpoint_every=1,
    buckets=(10, 20, 40, 70, 130),
    optimizer=Optimizer("adam", learning_rate=1e-3, clip_norm=10.0, cooldown=0.5),
)
