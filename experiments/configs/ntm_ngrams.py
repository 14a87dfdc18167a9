"""NTM with a feed-forward controller on dynamic 6-grams, 200 bits."""

from diffmem import NTM
from diffmem.tasks import NGrams
from experiments.config import Config, Optimizer

config = Config(
    task=NGrams(),
    memory=NTM(input_size=100, slots=128, width=20),
    controller="feedforward",
    optimizer=Optimizer("rmsprop", learning_rate=3e-5),
    batch=16,
    steps=12000,
    lengths=("200",),
    sequences=1000,
)
