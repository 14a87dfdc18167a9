"""Tasks for memories: each draws batches of padded sequences and says what an answer costs."""

from diffmem.tasks.algorithmic import AssociativeRecall, Copy, PrioritySort, RepeatCopy
from diffmem.tasks.associative import MultiQueryRecall
from diffmem.tasks.base import (
    Batch,
    BitTask,
    Context,
    DigitTask,
    SymbolTask,
    Task,
    bits_per_sequence,
    cross_entropy,
    sample_lengths,
    wrong_bits_per_sequence,
)
from diffmem.tasks.graphs import ShortestPath, Traversal
from diffmem.tasks.inference import Inference
from diffmem.tasks.ngrams import NGrams
from diffmem.tasks.patterns import ImageCompletion, PatternCompletion
from diffmem.tasks.programs import Memorisation, Programs
from diffmem.tasks.relational import NthFarthest
from diffmem.tasks.retrieval import AssociativeRetrieval
from diffmem.tasks.sorting import FrequencySort
from diffmem.tasks.text import CharacterModel, WordModel

TASKS = {
    "copy": Copy,
    "repeat_copy": RepeatCopy,
    "associative_recall": AssociativeRecall,
    "associative_retrieval": AssociativeRetrieval,
    "character_model": CharacterModel,
    "frequency_sort": FrequencySort,
    "image_completion": ImageCompletion,
    "inference": Inference,
    "multi_query_recall": MultiQueryRecall,
    "memorisation": Memorisation,
    "ngrams": NGrams,
    "nth_farthest": NthFarthest,
    "pattern_completion": PatternCompletion,
    "priority_sort": PrioritySort,
    "programs": Programs,
    "shortest_path": ShortestPath,
    "traversal": Traversal,
    "word_model": WordModel,
}

__all__ = [
    "TASKS",
    "AssociativeRecall",
    "AssociativeRetrieval",
    "Batch",
    "BitTask",
    "CharacterModel",
    "Context",
    "Copy",
    "DigitTask",
    "FrequencySort",
    "ImageCompletion",
    "Inference",
    "Memorisation",
    "MultiQueryRecall",
    "NGrams",
    "NthFarthest",
    "PatternCompletion",
    "PrioritySort",
    "Programs",
    "RepeatCopy",
    "ShortestPath",
    "SymbolTask",
    "Task",
    "Traversal",
    "WordModel",
    "bits_per_sequence",
    "cross_entropy",
    "sample_lengths",
    "wrong_bits_per_sequence",
]
