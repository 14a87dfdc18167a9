"""NTM with a feed-forward controller on associative recall, 2 to 6 items."""

from diffmem import NTM
from diffmem.tasks import AssociativeRecall
from experiments.config import Config, Optimizer

config = Config(
    task=AssociativeRecall(),
    memory=NTM(input_size=256, slots=128, width=20, read_heads=4, write_heads=4),
    controller="feedforward",
    optimizer=Optimizer("rmsprop", learning_rate=1e-4),
    batch=4,
    steps=7500,
    lengths=("2-6", "6", "8", "10", "12", "15"),
)
