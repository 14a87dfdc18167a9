"""Tasks for memories: each draws batches of padded sequences and says what an answer costs."""

from diffmem.tasks.algorithmic import AssociativeRecall, Copy, PrioritySort, RepeatCopy
from diffmem.tasks.base import (
    Batch,
    BitTask,
    SymbolTask,
    Task,
    bits_per_sequence,
    cross_entropy,
    sample_lengths,
    wrong_bits_per_sequence,
)
from diffmem.tasks.ngrams import NGrams
from diffmem.tasks.programs import Memorisation, Programs
from diffmem.tasks.relational import NthFarthest

TASKS = {
    "copy": Copy,
    "repeat_copy": RepeatCopy,
    "associative_recall": AssociativeRecall,
    "ngrams": NGrams,
    "memorisation": Memorisation,
    "nth_farthest": NthFarthest,
    "priority_sort": PrioritySort,
    "programs": Programs,
}

__all__ = [
    "TASKS",
    "AssociativeRecall",
    "Batch",
    "BitTask",
    "Copy",
    "Memorisation",
    "NGrams",
    "NthFarthest",
    "PrioritySort",
    "Programs",
    "RepeatCopy",
    "SymbolTask",
    "Task",
    "bits_per_sequence",
    "cross_entropy",
    "sample_lengths",
    "wrong_bits_per_sequence",
]
