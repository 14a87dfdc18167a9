"""The Transformer of `memoria_sorting` without its memory: it sees one segment of 32 steps.

python -m experiments.train transformer_sorting
"""

import dataclasses

from experiments.configs import memoria_sorting

config = dataclasses.replace(memoria_sorting.config, memory=dataclasses.replace(memoria_sorting.config.memory, memory=None))
