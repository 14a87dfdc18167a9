from diffmem import DeltaRule
from diffmem.tasks import MultiQueryRecall
from experiments.config import Config, Optimizer

config = Config(
    task=MultiQueryRecall(),
    memory=DeltaRule(input_size=1, key_size=64, value_size=64),
    controller="none",
    optimizer=Optimizer("adam", learning_rate=1e-2, cooldown=0.5),
    batch=16,
    steps=1500,
    log_every=50,
    lengths=("4-64", "4", "8", "16", "32", "64", "96", "128", "192", "256"),
    sequences=500,
)
