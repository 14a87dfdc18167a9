"""SDNC with an LSTM controller on copy, lengths 1 to 20, in a memory of 1,024 slots.

    python -m experiments.train sdnc_copy
    python -m experiments.evaluate runs/sdnc_copy --lengths 50 100 --slots 65536

Paper: no figures; SAM and the SDNC are shown to learn copy as fast as their dense selves (Rae et al. 2016, section 4.2).
Here: one head that looks at 4 slots and follows 8 links.
Hardware: one CPU core, about fifteen minutes.
Expected: no wrong bit at lengths 1 to 50, a fifth of one at 100 with 65,536 slots.
"""

from dataclasses import replace

from diffmem import SDNC
from experiments.configs import sam_copy

config = replace(sam_copy.config, memory=SDNC(input_size=64, slots=1024, width=16, heads=1, nearest=4))
