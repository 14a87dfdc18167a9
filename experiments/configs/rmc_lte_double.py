"""RMC on memorisation: numbers of up to 10 digits, said again twice.

    python -m experiments.train rmc_lte_double

Paper: 99.8 % of characters (table 1).
Here: a small memory, lengths mixed in training, as in `rmc_lte_copy`.
Hardware: one CPU core, about 17 minutes.
Expected: see docs/results.md.
"""

from dataclasses import replace

from diffmem.tasks import Memorisation
from experiments.configs import rmc_lte_copy

config = replace(rmc_lte_copy.config, task=Memorisation("double", max_length=10))
