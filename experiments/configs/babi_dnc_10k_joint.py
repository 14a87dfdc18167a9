"""A small DNC on bAbI, 10k questions a task, one model for all 20 tasks.

    python -m experiments.train babi_dnc_10k_joint

Published: 16.7 +- 7.6 % mean error, best run 3.8 % (Graves et al. 2016, extended data table 1); 9.5 +- 1.6 % with masked lookup
and deallocation (Csordas & Schmidhuber 2019), which this one has, too.
Here: an LSTM of 128, 32 slots of 32, and two epochs; the published ones had 256, and 256 slots of 64 or 32. Story and question
are one stream of word vectors, answered at the end. Task 3 is trained on generated stories where the data set's own file is
missing.
Hardware: one CPU core, about half an hour.
Expected: see docs/results.md.
"""

from diffmem import DNC, control
from experiments.config import Optimizer
from experiments.stories import StoryConfig

config = StoryConfig(
    memory=control(DNC(input_size=128, slots=32, width=32, read_heads=2, masked=True, deallocate=True), 64, clip=20.0),
    epochs=2,
    checkpoint_every=1,
    optimizer=Optimizer("adam", learning_rate=1e-3, clip_norm=10.0, cooldown=0.5),
)
