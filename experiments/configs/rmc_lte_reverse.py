"""RMC on memorisation: numbers of up to 10 digits, said again backwards.

    python -m experiments.train rmc_lte_reverse

Paper: 100 % of characters (table 1).
Here: a small memory, lengths mixed in training, as in `rmc_lte_copy`.
Hardware: one CPU core, about 11 minutes.
Expected: see docs/results.md.
"""

from dataclasses import replace

from diffmem.tasks import Memorisation
from experiments.configs import rmc_lte_copy

config = replace(rmc_lte_copy.config, task=Memorisation("reverse", max_length=10))
