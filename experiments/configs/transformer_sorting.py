"""The Transformer of `memoria_sorting` without its memory: it sees one segment of 32 steps.

    python -m experiments.train transformer_sorting

Paper: a Transformer that sees a segment falls behind as sequences grow (a figure).
Here: the task, sizes and training of `memoria_sorting`.
Hardware: one CPU core, about 7 minutes.
Expected: 70 % of the ranks wrong at two segments, 77 % from eight on; guessing is 87.5 % wrong.
"""

import dataclasses

from experiments.configs import memoria_sorting

config = dataclasses.replace(memoria_sorting.config, memory=dataclasses.replace(memoria_sorting.config.memory, memory=None))
