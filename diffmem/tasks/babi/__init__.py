"""The 20 bAbI tasks: files, arrays, our own generator, and a TFDS builder (in `builder`, imported on demand)."""

from diffmem.tasks.babi.arrays import (
    PADDING,
    UNKNOWN,
    Examples,
    Streams,
    Vocabulary,
    buckets,
    examples,
    stream_buckets,
    streams,
)
from diffmem.tasks.babi.text import TASKS, Question, Story, file_name, format, parse, words

__all__ = [
    "PADDING",
    "TASKS",
    "UNKNOWN",
    "Examples",
    "Question",
    "Story",
    "Streams",
    "Vocabulary",
    "buckets",
    "examples",
    "file_name",
    "format",
    "parse",
    "stream_buckets",
    "streams",
    "words",
]
