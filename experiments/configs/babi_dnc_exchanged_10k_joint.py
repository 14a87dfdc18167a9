"""The DNC of `babi_dnc_parts_10k_joint`, trained on with names exchanged in the training stories; no supporting facts.

    python -m experiments.train babi_dnc_exchanged_10k_joint

Published, all word after word, on the stories as they are: 3.8 % mean error and 2 tasks failed (Graves et al. 2016, best of
20 runs), 2.9 % and 1 (SDNC, Rae et al. 2016, best of 15), 6.3 +- 2.7 % and 3.2 +- 0.5 % (Franke et al. 2018, the latter a
bidirectional DNC).
Here: a story comes with other names, places, things and colours each time, so that it cannot be known by heart. From the
start that would be too early: no lookup was learned.
Hardware: one CPU core, three quarters of an hour, after the hour and a half of `babi_dnc_parts_10k_joint`.
Expected: 3.8 % mean error, tasks 2, 3, 14 and 16 failed, one run. `babi_dnc_exchanged_long_10k_joint` goes on from here.
"""

from dataclasses import replace

from experiments.config import Optimizer
from experiments.configs import babi_dnc_parts_10k_joint

config = replace(
    babi_dnc_parts_10k_joint.config,
    start_from="babi_dnc_parts_10k_joint",
    exchange=True,
    first=(),
    first_epochs=0,
    epochs=13,
    optimizer=Optimizer("adam", learning_rate=5e-4, clip_norm=10.0, cooldown=0.8),
)
