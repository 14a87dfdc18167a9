"""A Transformer over segments of 32 steps with Memoria, sorting 8 symbols by their frequency.

    python -m experiments.train memoria_sorting

Paper: Memoria stays ahead of Transformers with other memories as sequences grow from 1,000 to 32,000 symbols (a figure).
Here: one small Transformer, 8 symbols instead of 20, trained on 24 to 248 of them (8 segments), evaluated up to 2,040 (64).
A sequence of 32 n - 8 symbols fills n segments with its answer: the Transformer alone then sees the last 24 symbols.
Hardware: one CPU core, about 12 minutes.
Expected: half of the ranks wrong up to 504 symbols, 65 % at 2,040; `transformer_sorting`: 70 to 77 % from two segments on.
The abstractor and the attention to engrams are parameters too, 129,000 against 71,000: they explain the difference within one
segment, and only the store that beyond. It holds nothing from one segment to the next with the options
    memory.memory:memoria --memory.memory.lifespan 0.5 --memory.memory.reinforcement 0
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
    batch=16,
    steps=2000,
    log_every=50,
    lengths=("24", "56", "120", "248", "504", "1016", "2040"),
    sequences=200,
)
