"""The Transformer of `memoria_sorting` without its memory: it sees one segment of 32 steps.

    python -m experiments.train transformer_sorting

Paper: a Transformer that sees a segment falls behind as sequences grow (a figure).
Here: the task, sizes and training of `memoria_sorting`.
Hardware: one CPU core, about 10 minutes.
Expected: little better than guessing from two segments on; guessing is 87.5 % wrong.
"""

import dataclasses

from experiments.configs import memoria_sorting

config = dataclasses.replace(memoria_sorting.config, memory=dataclasses.replace(memoria_sorting.config.memory, memory=None))
