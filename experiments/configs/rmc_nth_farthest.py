"""RMC on nth farthest, 8 vectors of 16 numbers, in the paper's size.

    python -m experiments.train rmc_nth_farthest

Paper: 91 %, after a long plateau and a jump; LSTM and DNC below 30 % (section 5.1). Sizes, MLP and optimiser as in the authors'
example and a PyTorch port that reached 91 %: 2,048 numbers in 8 slots, 8 heads, four hidden layers of 256, Adam at 1e-4.
Hardware: an accelerator; on a CPU take rmc_nth_farthest_small.
Expected: the paper's 9 % of errors with the full budget; not run yet.
"""

from diffmem import RMC
from diffmem.tasks import NthFarthest
from experiments.config import Config, Optimizer

config = Config(
    task=NthFarthest(),
    memory=RMC(input_size=40, slots=8, width=256, heads=8),
    controller="none",
    hidden=(256, 256, 256, 256),
    optimizer=Optimizer("adam", learning_rate=1e-4),
    batch=1600,
    steps=400_000,
    log_every=200,
    checkpoint_every=2000,
    sequences=10_000,
)
