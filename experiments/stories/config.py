"""What a run on stories is: one frozen dataclass, whose fields are the launchers' options."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Generic, Literal

import jax

from diffmem import DMN, DMNPlus, MemN2N, MemNN
from diffmem.base import build, check_counts
from diffmem.models import Bags, QuestionAnswering, Sentences, Stream, Words, written
from diffmem.models.dropout import check_chance
from diffmem.tasks.babi import Vocabulary
from experiments.config import MemoryT, Optimizer, parse_options

ALL = tuple(range(1, 21))


@dataclass(frozen=True)
class StoryConfig(Generic[MemoryT]):
    """A run on bAbI: a memory, and how it is trained on which tasks."""

    memory: MemoryT
    """Its input_size is the width d of a DMN, DMN+ or LSTM; for MemN2N and MemNN it follows from the vocabulary."""
    tasks: tuple[int, ...] = ALL
    """Task numbers."""
    joint: bool = True
    """One model for all tasks; otherwise one for each."""
    again: tuple[int, ...] = ()
    """Tasks whose questions come once more in every epoch, as often as they stand here."""
    first: tuple[int, ...] = ()
    """Tasks that have the first `first_epochs` to themselves, in as many steps as other epochs have; one that stands here twice
    comes twice as often."""
    first_epochs: int = 0
    setting: Literal["1k", "10k"] = "10k"
    """Training questions per task."""
    moments: int = 0
    """Word embeddings that are learned polynomials of the position with so many terms, 0: a position encoding (DMN+, MemNN).
    Of memories that take one input after another (LSTM, DNC), 0: word after word, otherwise sentence after sentence."""
    pondering: int = 0
    """How often the last input of a question comes where memories take sentence after sentence."""
    chunk: int = 0
    """Words in an input where memories take sentence after sentence; 0: all of the sentence's."""
    supervision: float = 0.0
    """Weight of the loss that teaches the supporting facts: to the attention of each hop or pass, or, where a memory takes
    sentence after sentence, to what its first head reads each time that the question's last input comes."""
    margin: float = 0.1
    """Of the ranking loss (MemNN)."""
    linear_start: int = 0
    """First epochs without softmax in the hops (MemN2N)."""
    noise: float = 0.0
    """Chance of an empty memory behind each sentence in training, so that recency encodings generalise."""
    dropout: float = 0.0
    """Chance that a number of an encoded sentence, or of what a stream puts in, is dropped, in training."""
    bypass_dropout: float = 0.0
    """Chance that a number of the controller's output is dropped on its way past the memory, in training."""
    exchange: bool = False
    """Whether names, places, things, animals, colours, shapes and opposite directions are exchanged for others of their kind in
    every training story (`diffmem.tasks.babi.kinds`), anew each time, once the first `first_epochs` are over."""
    weight_decay: float = 0.0
    """Times the parameters, added to their gradients."""
    optimizer: Optimizer = field(default_factory=lambda: Optimizer("adam", learning_rate=1e-3))
    start_from: str = ""
    """Run or name of committed weights whose parameters training begins with, model by model, seed by seed. "": fresh ones."""
    batch: int = 32
    """Questions per step; of memories that take one input after another, stories with all their questions."""
    epochs: int = 60
    seeds: int = 1
    """Independent runs, trained side by side on the same order of questions."""
    seed: int = 0
    """The first of them."""
    task_options: tuple[str, ...] = ()
    """Fields of the memory that differ in a task's own model, such as 16:tying=adjacent; only with a model for each task."""
    restarted: tuple[int, ...] = ()
    """Tasks whose model is trained from one more seed, as often as they stand here; only with a model for each task."""
    checkpoint_every: int = 5
    """Epochs between checkpoints and between two looks at the validation questions."""
    patience: int = 0
    """Stop after so many looks in a row without a wrong validation answer; 0: never."""
    buckets: tuple[int, ...] = (10, 20, 40, 70)
    """Stories are padded to these lengths; the last one is cut at memory.slots."""

    def __post_init__(self):
        counts = ("batch", "epochs", "seeds", "checkpoint_every")
        check_counts(self, **{name: getattr(self, name) for name in counts})
        if not self.tasks or not all(task in ALL for task in self.tasks):
            raise ValueError(f"StoryConfig.tasks is {self.tasks!r}; legal: task numbers from 1 to 20")
        if not set(self.again) <= set(self.tasks):
            raise ValueError(f"StoryConfig.again is {self.again!r}; legal: numbers of its tasks, {self.tasks}")
        misplaced = not set(self.first) <= set(self.tasks) or (self.first and not self.joint)
        if misplaced or bool(self.first) != bool(self.first_epochs) or self.first_epochs < 0:
            raise ValueError(
                f"StoryConfig.first is {self.first!r} for first_epochs {self.first_epochs!r}; legal: numbers of its tasks, "
                f"{self.tasks}, in a joint run with first_epochs > 0, or neither"
            )
        if not set(self.restarted) <= set(ALL) or (self.restarted and self.joint):
            raise ValueError(
                f"StoryConfig.restarted is {self.restarted!r}; legal: task numbers from 1 to 20, with joint=False, or none"
            )
        for option in self.task_options:
            task = option.partition(":")[0]
            if self.joint or task not in map(str, ALL):
                raise ValueError(
                    f"StoryConfig.task_options has {option!r}; legal: a task from 1 to 20, a colon, and a field of the memory "
                    "with its value, such as 16:tying=adjacent, with joint=False"
                )
            self.memory_of(int(task))
        for name in ("noise", "dropout", "bypass_dropout"):
            check_chance(self, name)
        kind = f"{self.memory_name} {'takes one input after another' if self.streamed else 'stores sentences'}"
        if self.pondering < 0 or bool(self.pondering) != (self.streamed and bool(self.moments)):
            raise ValueError(
                f"StoryConfig.pondering is {self.pondering!r}, moments is {self.moments!r}, and {kind}; legal: pondering > 0 "
                "with moments > 0 and a memory that takes one input after another, 0 otherwise"
            )
        if self.chunk < 0 or (self.chunk and not self.pondering):
            raise ValueError(
                f"StoryConfig.chunk is {self.chunk!r} with pondering {self.pondering!r}; legal: a number of words where "
                "pondering > 0, or 0"
            )
        for name in ("noise",) if self.streamed else ("bypass_dropout", "exchange"):
            if value := getattr(self, name):
                raise ValueError(f"StoryConfig.{name} is {value!r}, but {kind}; legal: {False if value is True else 0}")
        if self.supervision and self.streamed and not (self.pondering and self.says_where_it_writes()):
            raise ValueError(
                f"StoryConfig.supervision is {self.supervision!r} with pondering {self.pondering!r}, and {kind}; legal: 0, or, "
                "with pondering > 0, a memory whose state says where it wrote: DNC, NTM"
            )

    def says_where_it_writes(self) -> bool:
        """Whether the memory's state does, so that what is read can be told to be what was written when."""
        memory: Any = self.memory
        return jax.eval_shape(lambda: written(memory.init_state(memory.init_params(jax.random.key(0))))) is not None

    def model(self, vocabulary: Vocabulary) -> QuestionAnswering:
        """The memory with its paper's encoder and answer, in the vocabulary's sizes."""
        size = len(vocabulary)
        memory: Any = self.memory
        if isinstance(memory, MemNN):
            if self.moments:
                memory = dataclasses.replace(memory, encoding="bag")
            kind, bags = ("bag", self.moments or 1) if memory.encoding == "bag" else ("memn2n", 2)
            sized = dataclasses.replace(memory, input_size=bags * size)
            return QuestionAnswering(Bags(size, kind, self.moments), sized, "dense", vocabulary.spelling())
        if isinstance(memory, MemN2N):
            bag = memory.encoding == "bag"
            sized = dataclasses.replace(memory, input_size=size if bag else 2 * size)
            tied = memory.tying == "adjacent"
            return QuestionAnswering(Bags(size, "bag" if bag else "memn2n"), sized, "tied" if tied else "dense")
        if isinstance(memory, DMNPlus):
            return QuestionAnswering(Sentences(size, memory.input_size, self.moments), memory, "dense_query")
        if isinstance(memory, DMN):
            return QuestionAnswering(Words(size, memory.input_size), memory, "gru")
        encoder = Stream(size, memory.input_size, self.moments, self.pondering or 1, self.chunk, self.dropout)
        return QuestionAnswering(encoder, memory, "dense", bypass_dropout=self.bypass_dropout)

    def sizes(self) -> list[int]:
        """The lengths that stories are padded to; the last one is what the memory has room for."""
        longest = getattr(self.memory, "slots", max(self.buckets))
        return sorted({min(size, longest) for size in self.buckets} | {longest})

    @property
    def streamed(self) -> bool:
        """Whether the memory takes one input after another: words, or sentences."""
        return not isinstance(self.memory, MemNN | MemN2N | DMN | DMNPlus)

    @property
    def memory_name(self) -> str:
        """What tables call the memory; its controller is not said."""
        return type(getattr(self.memory, "memory", self.memory)).__name__

    def memory_of(self, task: int) -> MemoryT:
        """The memory of a task's own model."""
        own = tuple(option.partition(":")[2] for option in self.task_options if option.startswith(f"{task}:"))
        memory: Any = self.memory
        shared = {f.name: getattr(memory, f.name) for f in dataclasses.fields(memory)}
        return build(type(self.memory), shared | parse_options(own))

    def parts(self) -> dict[str, "StoryConfig"]:
        """The run of each model that is trained, with its own tasks and seeds, by name: "joint", or "qa1", "qa2", .."""
        if self.joint:
            return {"joint": self}

        def alone(task: int) -> "StoryConfig":
            seeds, again = self.seeds + self.restarted.count(task), (task,) * self.again.count(task)
            own = {"memory": self.memory_of(task), "tasks": (task,), "seeds": seeds, "again": again}
            return dataclasses.replace(self, **own, restarted=(), task_options=())

        return {f"qa{task}": alone(task) for task in self.tasks}

    def to_json(self) -> dict[str, Any]:
        """The config as plain numbers and strings."""
        return json.loads(json.dumps(dataclasses.asdict(self)))
