"""Question answering about stories, a regime of its own beside sampled sequences: a finite data set, epochs, errors by task.

`experiments.train` and `experiments.evaluate` dispatch here for configs that are a `StoryConfig`.
"""

from experiments.stories.config import StoryConfig
from experiments.stories.data import load
from experiments.stories.evaluation import by_task, make_errors
from experiments.stories.training import initial_state, make_epoch, plan, train, train_part

__all__ = ["StoryConfig", "by_task", "initial_state", "load", "make_epoch", "make_errors", "plan", "train", "train_part"]
