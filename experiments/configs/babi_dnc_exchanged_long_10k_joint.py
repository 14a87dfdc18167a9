"""The DNC of `babi_dnc_exchanged_10k_joint`, trained on in the same way for 30 epochs; no supporting facts.

    python -m experiments.train babi_dnc_exchanged_long_10k_joint

Published, all word after word, on the stories as they are: see `babi_dnc_exchanged_10k_joint`.
Here: tasks 2, 14, 16 and 17 come twice in an epoch; before, 17 came four times and 19, paths, which are found by now, twice.
Hardware: one CPU core, two hours, after the hour and a half of `babi_dnc_parts_10k_joint` and three quarters of the other's.
Expected: 2.8 % mean error, task 16 failed, one run.
"""

from dataclasses import replace

from experiments.configs import babi_dnc_exchanged_10k_joint

config = replace(
    babi_dnc_exchanged_10k_joint.config,
    start_from="babi_dnc_exchanged_10k_joint",
    again=(2, 14, 16, 17),
    epochs=30,
    optimizer=replace(babi_dnc_exchanged_10k_joint.config.optimizer, cooldown=0.5),
)
