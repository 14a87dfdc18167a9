"""A Transformer over segments of 32 steps with Memoria, sorting 8 symbols by their frequency in up to 2,000 steps.

python -m experiments.train memoria_sorting
"""

from diffmem import Memoria
from diffmem.models import SegmentTransformer
from diffmem.tasks import FrequencySort
from experiments.config import Config, Optimizer

config = Config(
    task=FrequencySort(symbols=8, max_length=248, lengths=(24, 248)),
    memory=SegmentTransformer(
        input_size=16,
        output_size=8,
        memory=Memoria(
            input_size=2 * 64, working=2, slots=96, short_term=32, short_reminded=32, long_reminded=32, lifespan=40.0
        ),
        segment=32,
        width=64,
        hidden=128,
        blocks=2,
    ),
    controller="none",
    optimizer=Optimizer("adam", learning_rate=2e-3, warmup=100, cooldown=0.5, clip_norm=1.0),
    batch=32,
    steps=2000,
    log_every=50,
    lengths=("24", "56", "120", "248", "504", "1016", "2040"),
    sequences=200,
)
