"""A DNC on the first two lessons of inference: up to 6 people and 18 edges, relations of one or two steps.

    python -m experiments.train dnc_family
    python -m experiments.train dnc_family --start-from dnc_family --task.max-length 7 --task.lengths 1 7 --memory.slots 128

Paper: 95.5 +- 2.2 % of answers right in its last lesson, 81.8 +- 13.5 % on a family tree (4 steps), after a long curriculum.
The second command has graphs of that size, for an accelerator; then
`python -m experiments.evaluate runs/dnc_family --graph family --path 4 --lengths 7`.
Hardware: one CPU core, about ten minutes.
Expected: not run yet. Relations have to be learned by heart: 34 of them in these two lessons, 154 in all.
"""

from dataclasses import replace

from diffmem.tasks import Inference
from experiments.configs import dnc_traversal

config = replace(
    dnc_traversal.config, task=Inference(max_length=2), memory=replace(dnc_traversal.config.memory, slots=24), steps=10_000
)
