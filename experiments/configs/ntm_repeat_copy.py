"""NTM with an LSTM controller on repeat copy, lengths 1 to 10, repeats 1 to 10."""

from diffmem import NTM
from diffmem.tasks import RepeatCopy
from experiments.config import Config, Optimizer

config = Config(
    task=RepeatCopy(),
    memory=NTM(input_size=100, slots=128, width=20),
    optimizer=Optimizer("rmsprop", learning_rate=1e-4),
    batch=4,
    steps=20000,
    lengths=("1-10", "10", "15", "20"),
)
