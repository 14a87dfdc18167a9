"""A small sparse DNC on bAbI that takes whole sentences, 10k questions a task, one model for all 20 tasks.

    python -m experiments.train babi_sdnc_10k_joint

Published: 6.4 +- 2.5 % mean error, best run 2.9 % (Rae et al. 2016, supplementary table 1), word after word.
Here: as `babi_dnc_sentences_10k_joint`, with two heads that read and write four slots each, and links of two.
Hardware: one CPU core, half an hour.
Expected: 16.0 % mean error after 12 epochs, one run; tasks 16, 17 and 19 are not learned, and 3 and 15 not yet.
"""

from dataclasses import replace

from diffmem import SDNC, control
from experiments.configs import babi_dnc_sentences_10k_joint

memory = control(SDNC(input_size=128, slots=64, width=32, heads=2, nearest=4, links=2), 128, clip=20.0, layer_norm=True)
config = replace(babi_dnc_sentences_10k_joint.config, memory=memory, epochs=12)
