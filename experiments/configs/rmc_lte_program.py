"""RMC on program evaluation, programs of any kind: arithmetic, conditions and loops, with numbers of up to 5 digits.

    python -m experiments.train rmc_lte_program

Paper: 79.0 % of characters, LSTM 66.1 % (table 1).
Here: as in `rmc_lte_addition`, a third as many steps.
Hardware: one CPU core; see the committed result for the minutes.
Expected: see docs/results.md.
"""

from dataclasses import replace

from diffmem.tasks import Programs
from experiments.configs import rmc_lte_addition

config = replace(rmc_lte_addition.config, task=Programs("program", max_length=5, nestings=(1, 2)), steps=5000)
