"""A small DNC on the first two lessons of inference: up to 6 people and 18 edges, relations of one or two steps.

    python -m experiments.train dnc_family
    python -m experiments.train dnc_family --task.max-length 7 --task.lengths 1 7 --memory.slots 128 --steps 1000000

Paper: 95.5 +- 2.2 % of answers right in its last lesson, 81.8 +- 13.5 % on a family tree (4 steps), after a long curriculum.
The second command has graphs of that size, for an accelerator; then
`python -m experiments.evaluate runs/dnc_family --graph family --path 4 --lengths 7`.
Hardware: one CPU core, about half an hour.
Expected: not run yet. Relations have to be learned by heart: 34 of them in these two lessons, 154 in all.
"""

from diffmem import DNC
from diffmem.tasks import Inference
from experiments.config import Config, Optimizer

config = Config(
    task=Inference(max_length=2),
    memory=DNC(input_size=128, slots=32, width=64, read_heads=2),
    clip=20.0,
    optimizer=Optimizer("adam", learning_rate=1e-3, clip_norm=10.0, cooldown=0.3),
    batch=32,
    steps=6000,
    log_every=100,
    checkpoint_every=1000,
    lengths=("1", "2", "3"),
    sequences=1000,
)
