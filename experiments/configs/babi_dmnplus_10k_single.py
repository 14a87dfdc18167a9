"""DMN+ on bAbI, 10k questions a task, one model for each task, without supporting facts.

    python -m experiments.train babi_dmnplus_10k_single

Paper: 2.8 % mean error, 1 task failed; attention GRU, input fusion, three passes, dropout and weight decay, 256 epochs with an
early stop (Xiong et al. 2016, table 2).
Here: the paper's model, fewer epochs. Task 3 is trained on generated stories where the data set's own file is missing.
Hardware: one CPU core, about an hour without task 3.
Expected: see docs/results.md; `babi_best_10k_joint` is this memory with soft attention and supporting facts.
"""

from diffmem import DMNPlus
from experiments.config import Optimizer
from experiments.stories import StoryConfig

config = StoryConfig(
    memory=DMNPlus(input_size=80, slots=70),
    joint=False,
    dropout=0.2,
    weight_decay=1e-4,
    epochs=80,
    checkpoint_every=1,
    patience=2,
    optimizer=Optimizer("adam", learning_rate=1e-3, clip_norm=5.0, cooldown=0.5),
)
