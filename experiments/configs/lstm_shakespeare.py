"""LSTM, 128 units, on the characters of Tiny Shakespeare: the baseline for memories on text.

    python -m experiments.train lstm_shakespeare

Trained on windows of 64 characters at random places of the training split, evaluated on windows of the validation split. The
text is read from the folder tinyshakespeare in DIFFMEM_DATA, or from --task.path: a file, or a folder with both splits.
Hardware: one CPU core.
Expected: no published run yet. Windows start without context, so a text in one piece costs less; see `stream`.
"""

from diffmem import LSTM
from diffmem.tasks import CharacterModel
from experiments.config import Config, Optimizer

config = Config(
    task=CharacterModel(),
    memory=LSTM(input_size=66, hidden_size=128, forget_bias=1.0),
    controller="none",
    optimizer=Optimizer("adam", learning_rate=3e-3, clip_norm=5.0, cooldown=0.3),
    batch=32,
    steps=5000,
    log_every=100,
    sequences=2000,
)
