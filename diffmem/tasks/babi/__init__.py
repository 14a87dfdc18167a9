"""The 20 bAbI tasks: files, arrays, our own generator, and a TFDS builder (in `builder`, imported on demand)."""

from diffmem.tasks.babi.arrays import PADDING, UNKNOWN, Examples, Vocabulary, buckets, examples
from diffmem.tasks.babi.text import TASKS, Question, Story, file_name, format, parse, words

__all__ = [
    "PADDING",
    "TASKS",
    "UNKNOWN",
    "Examples",
    "Question",
    "Story",
    "Vocabulary",
    "buckets",
    "examples",
    "file_name",
    "format",
    "parse",
    "words",
]
