"""Models: memories with encoders and heads."""

from diffmem.models.question import Answer, Bags, QuestionAnswering, Sentences, Stream, Words, bags
from diffmem.models.sequence import SequenceModel

__all__ = ["Answer", "Bags", "QuestionAnswering", "Sentences", "SequenceModel", "Stream", "Words", "bags"]
