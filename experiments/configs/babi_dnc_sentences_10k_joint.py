"""A small DNC on bAbI that takes whole sentences, 10k questions a task, one model for all 20 tasks.

    python -m experiments.train babi_dnc_sentences_10k_joint

Published: see `babi_dnc_10k_joint`, whose DNCs take word after word, as all published ones do.
Here: an LSTM of 128 with layer norm and 64 slots of 32; sentence vectors of the DMN+ encoder with learned positions, every
question three times in a row, and a first epoch of task 1 alone: a lookup is learned there in a few hundred steps, and in the
mixture of tasks it was not in five thousand. An epoch has a fifth of the steps that words take.
Hardware: one CPU core, an hour.
Expected: 12.9 % mean error after 14 epochs, one run; tasks 16, 17 and 19 are not learned.
"""

from dataclasses import replace

from diffmem import DNC, control
from experiments.configs import babi_dnc_10k_joint

memory = control(
    DNC(input_size=128, slots=64, width=32, read_heads=4, links=False, masked=True, deallocate=True),
    128,
    clip=20.0,
    layer_norm=True,
)
config = replace(
    babi_dnc_10k_joint.config, memory=memory, moments=4, pondering=3, first=(1,), first_epochs=1, epochs=14, batch=32, seeds=1
)
