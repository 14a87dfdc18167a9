"""LSTM, three layers of 256, on copy, lengths 1 to 20: the baseline of the NTM."""

from diffmem import LSTM
from diffmem.tasks import Copy
from experiments.config import Config, Optimizer

config = Config(
    task=Copy(max_length=20),
    memory=LSTM(input_size=9, hidden_size=256, forget_bias=1.0),
    controller="none",
    depth=3,
    optimizer=Optimizer("rmsprop", learning_rate=3e-5),
    batch=16,
    steps=4000,
    lengths=("1-20", "10", "20", "30", "50", "120"),
)
