"""A sparse DNC on bAbI, 10k questions a task, one model for all 20 tasks.

    python -m experiments.train babi_sdnc_10k_joint

Published: 6.4 +- 2.5 % mean error, best run 2.9 % (Rae et al. 2016, supplementary table 1).
Here: an LSTM of 256, 1,024 slots, four heads; story and question are one stream of word vectors, answered at the end. Task 3 is
trained on generated stories where the data set's own file is missing.
Hardware: an accelerator; hundreds of hours on CPU cores.
Expected: not run yet.
"""

from dataclasses import replace

from diffmem import SDNC, control
from experiments.configs import babi_dnc_10k_joint

memory = control(SDNC(input_size=256, slots=1024, width=32, heads=4), 64, clip=20.0)
config = replace(babi_dnc_10k_joint.config, memory=memory, bypass_dropout=0.0, epochs=20, batch=32, seeds=1)
