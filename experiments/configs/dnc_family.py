"""A DNC on the first two lessons of inference: up to 6 people and 18 edges, relations of one or two steps.

    python -m experiments.train dnc_family

Paper: 95.5 +- 2.2 % of answers right in its last lesson, 81.8 +- 13.5 % on a family tree (4 steps), after a long curriculum.
Graphs of that size need an accelerator, and --start-from dnc_family --task.max-length 7 --task.lengths 1 7 --memory.slots 128.
Hardware: one CPU core, about ten minutes.
Expected: 99.9 % of answers right in lesson 1, 73 % in lesson 2. Relations have to be learned by heart:
34 of them in these two lessons, 154 in all.
"""

from dataclasses import replace

from diffmem.tasks import Inference
from experiments.configs import dnc_traversal

config = replace(
    dnc_traversal.config, task=Inference(max_length=2), memory=replace(dnc_traversal.config.memory, slots=24), steps=10_000
)
