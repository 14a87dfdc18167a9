"""NTM with a feed-forward controller and 8 heads on priority sort, 20 vectors in, 16 out."""

from diffmem import NTM
from diffmem.tasks import PrioritySort
from experiments.config import Config, Optimizer

config = Config(
    task=PrioritySort(),
    memory=NTM(input_size=512, slots=128, width=20, read_heads=8, write_heads=8),
    controller="feedforward",
    optimizer=Optimizer("rmsprop", learning_rate=3e-5),
    batch=16,
    steps=20000,
    lengths=("20",),
    sequences=1000,
)
