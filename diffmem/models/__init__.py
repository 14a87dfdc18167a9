"""Models: memories with encoders and heads."""

from diffmem.models.sequence import SequenceModel

__all__ = ["SequenceModel"]
