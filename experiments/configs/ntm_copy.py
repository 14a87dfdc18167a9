"""NTM with an LSTM controller on copy, lengths 1 to 20."""

from diffmem import NTM
from diffmem.tasks import Copy
from experiments.config import Config, Optimizer

config = Config(
    task=Copy(max_length=20),
    memory=NTM(input_size=100, slots=128, width=20),
    optimizer=Optimizer("rmsprop", learning_rate=1e-4),
    steps=2000,
    lengths=("1-20", "10", "20", "30", "50", "120"),
)
