"""Models: memories with encoders and heads."""

from diffmem.models.actor_critic import ActorCritic, Decision, FlatEncoder, GridEncoder
from diffmem.models.distributions import Categorical, Gaussian, MultiCategorical, distribution
from diffmem.models.question import Answer, Bags, QuestionAnswering, Sentences, Stream, Trace, Words, bags, recall, written
from diffmem.models.segment import SegmentTransformer, abstract
from diffmem.models.sequence import SequenceModel

__all__ = [
    "ActorCritic",
    "Answer",
    "Bags",
    "Categorical",
    "Decision",
    "FlatEncoder",
    "Gaussian",
    "GridEncoder",
    "MultiCategorical",
    "QuestionAnswering",
    "SegmentTransformer",
    "Sentences",
    "SequenceModel",
    "Stream",
    "Trace",
    "Words",
    "abstract",
    "bags",
    "distribution",
    "recall",
    "written",
]
