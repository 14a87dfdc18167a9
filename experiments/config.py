"""What a run is: one frozen dataclass, whose fields are the launchers' options."""

import ast
import dataclasses
import importlib
import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import optax

import diffmem
from diffmem.base import Memory, check_choice, check_counts, check_number, check_sizes, suggest
from diffmem.models import SegmentTransformer, SequenceModel
from diffmem.tasks import Task
from diffmem.tasks.graphs import GraphTask
from experiments.supervision import check_guided

TaskT = TypeVar("TaskT", bound=Task)
MemoryT = TypeVar("MemoryT", bound=Memory | SegmentTransformer)
CONFIGS = Path(__file__).parent / "configs"


def length_range(text: str) -> tuple[int, int]:
    """Reads a length or a range of lengths: 20 becomes (20, 20), 1-20 becomes (1, 20).

    Raises:
        ValueError: anything else.
    """
    ends = text.split("-")
    if len(ends) > 2 or not all(end.isdigit() for end in ends) or int(ends[0]) > int(ends[-1]) or int(ends[0]) < 1:
        raise ValueError(f"length {text!r}; legal: a positive integer such as 20, or a range such as 1-20")
    return int(ends[0]), int(ends[-1])


def parse_options(options: tuple[str, ...]) -> dict[str, Any]:
    """Fields from strings such as "slots=64" or "order=write_read".

    Raises:
        ValueError: there is no "=".
    """
    fields = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals:
            raise ValueError(f"option {option!r} has no value; legal: name=value, such as slots=64")
        try:
            read = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            read = {"true": True, "false": False}.get(value, value)
        fields[name.replace("-", "_")] = read
    return fields


def split_options(text: str) -> tuple[str, ...]:
    """Options from a text such as "decay_limits=(1e-6,2.0),trace_size=9": only a comma before a name and "=" parts them."""
    return tuple(re.split(r",(?=[\w-]+=)", text)) if text else ()


@dataclass(frozen=True)
class Optimizer:
    """How parameters move. "rmsprop" is the paper's: centred, with momentum."""

    name: Literal["rmsprop", "adam", "sgd"] = "rmsprop"
    learning_rate: float = 1e-4
    momentum: float = 0.9
    """Of rmsprop, and adam's first moment."""
    clip: float = 10.0
    """Gradients are clipped to +-clip, element by element."""
    clip_norm: float | None = None
    """Gradients are also scaled down to this norm, all of them together."""
    warmup: int = 0
    """Steps over which the learning rate rises from 0."""
    cooldown: float = 0.0
    """Last fraction of the steps, over which the learning rate falls to 0."""
    halvings: int = 0
    """How often the learning rate is halved, at equal distances."""

    def __post_init__(self):
        check_choice(self, "name", ("rmsprop", "adam", "sgd"))
        check_number(self, "learning_rate", "a number > 0", lambda rate: 0 < rate < math.inf)
        check_number(self, "momentum", "a number, 0 <= momentum < 1", lambda momentum: 0 <= momentum < 1)
        check_number(self, "clip", "a number > 0", lambda clip: clip > 0)
        if self.clip_norm is not None:
            check_number(self, "clip_norm", "a number > 0, or None", lambda norm: norm > 0)
        check_counts(self, least=0, warmup=self.warmup, halvings=self.halvings)
        check_number(self, "cooldown", "a number from 0 to 1", lambda fraction: 0 <= fraction <= 1)

    def build(self, steps: int) -> optax.GradientTransformation:
        """The optax transformation for a run of this many steps."""
        schedule = self.learning_rate
        if self.warmup or self.cooldown:
            falling = max(int(self.cooldown * steps), 1)
            pieces = [
                optax.linear_schedule(0.0 if self.warmup else self.learning_rate, self.learning_rate, max(self.warmup, 1)),
                optax.linear_schedule(self.learning_rate, 0.0 if self.cooldown else self.learning_rate, falling),
            ]
            schedule = optax.join_schedules(pieces, [steps - falling if self.cooldown else self.warmup])
        if self.halvings:
            every = max(steps // (self.halvings + 1), 1)
            halved: Any = optax.exponential_decay(1.0, every, 0.5, staircase=True)
            before: Any = schedule if callable(schedule) else optax.constant_schedule(schedule)
            schedule = lambda step: halved(step) * before(step)  # noqa: E731
        if self.name == "rmsprop":
            rule = optax.rmsprop(schedule, decay=0.95, eps=1e-4, centered=True, momentum=self.momentum)
        elif self.name == "adam":
            rule = optax.adam(schedule, b1=self.momentum)
        else:
            rule = optax.sgd(schedule, momentum=self.momentum or None)
        norm = () if self.clip_norm is None else (optax.clip_by_global_norm(self.clip_norm),)
        return optax.chain(optax.clip(self.clip), *norm, rule)


@dataclass(frozen=True)
class Config(Generic[TaskT, MemoryT]):
    """A run: a task, a memory, and how the one is trained on the other."""

    task: TaskT
    memory: MemoryT
    controller: Literal["none", "lstm", "gru", "feedforward"] = "lstm"
    """What drives the memory and sees what it read; as wide as the memory's input. "none": the memory stands alone."""
    depth: int = 1
    """Layers of the controller, or of a memory that stands alone."""
    skip: bool = False
    """Whether what reaches the controller also goes past it to the memory, see `diffmem.Controlled`."""
    layer_norm: bool = False
    """Whether an LSTM controller is normalised, see `diffmem.LSTM`."""
    clip: float | None = None
    """Outputs are clipped to +-clip."""
    hidden: tuple[int, ...] = ()
    """Sizes of hidden ReLU layers between the memory's read and the output."""
    bypass_dropout: float = 0.0
    """Chance, in training, that a number of the controller's output is dropped on its way past the memory."""
    optimizer: Optimizer = field(default_factory=Optimizer)
    write_cost: float = 0.0
    """Weight of how much writing changes the slots, per sequence, beside the loss; see experiments.effort."""
    supervision: float = 0.0
    """Weight of the loss that says what read heads should read, beside the task's; see experiments.supervision."""
    curriculum: float = 0.0
    """Loss below which training goes on to the next length: it begins with the shortest one. 0: all lengths from the start."""
    start_from: str = ""
    """Run, checkpoint or name of committed weights whose parameters training begins with, seed by seed. "": fresh ones."""
    batch: int = 16
    """Sequences per step."""
    questions: int = 1
    """How many of these have their graph in common, which is then read once for all of them."""
    steps: int = 1000
    """Parameter updates."""
    seeds: int = 1
    """Independent runs, trained side by side."""
    seed: int = 0
    """The first of them."""
    log_every: int = 50
    """Steps between two lines of metrics; the unit of one compiled call."""
    checkpoint_every: int = 500
    """Steps between checkpoints; a multiple of log_every."""
    remat: int = 0
    """Store one state every so many time steps in backpropagation, 0: all; see diffmem.unroll."""
    lengths: tuple[str, ...] = ()
    """Lengths to evaluate at the end, such as 20 or 1-20 for a range; none: the training range and its longest."""
    sequences: int = 200
    """Fresh sequences per length in that evaluation."""

    def __post_init__(self):
        counts = ("batch", "steps", "seeds", "log_every", "checkpoint_every", "sequences", "depth", "questions")
        check_counts(self, **{name: getattr(self, name) for name in counts})
        check_counts(self, least=0, remat=self.remat)
        check_sizes(self, "hidden")
        if self.clip is not None:
            check_number(self, "clip", "a number > 0, or None", lambda clip: clip > 0)
        for text in self.lengths:
            length_range(text)
        ignored = [name for name in ("layer_norm", "clip", "hidden", "bypass_dropout", "remat", "skip") if getattr(self, name)]
        ignored += ["questions"] * (self.questions > 1)
        if ignored and isinstance(self.memory, SegmentTransformer):
            raise ValueError(f"Config.{ignored[0]} is {getattr(self, ignored[0])}; a SegmentTransformer has no use for it")
        if self.layer_norm and self.controller != "lstm":
            raise ValueError(f"Config.layer_norm is True, but Config.controller is {self.controller!r}; legal: 'lstm'")
        check_number(self, "write_cost", "a number >= 0", lambda cost: cost >= 0)
        if self.write_cost and (not hasattr(self.memory, "slots") or (self.controller == "none" and self.depth > 1)):
            raise ValueError(f"Config.write_cost is {self.write_cost}; legal: 0, or one memory with slots, not {self.memory}")
        if self.questions > 1 and not isinstance(self.task, GraphTask):
            raise ValueError(f"Config.questions is {self.questions}; legal: 1, as {type(self.task).__name__} has no graphs")
        if self.batch % self.questions:
            raise ValueError(f"Config.questions is {self.questions}, which does not divide the batch, {self.batch}")
        if self.skip and self.controller == "none":
            raise ValueError("Config.skip is True, but there is nothing to go past: Config.controller is 'none'")
        check_number(self, "supervision", "a number >= 0", lambda weight: weight >= 0)
        if self.supervision:
            check_guided(self)
        check_number(self, "curriculum", "a loss >= 0", lambda loss: loss >= 0)
        if self.checkpoint_every % self.log_every:
            raise ValueError(
                f"Config.checkpoint_every is {self.checkpoint_every}; it must be a multiple of log_every, {self.log_every}"
            )

    def model(self) -> Any:
        """The memory, its controller and a linear output, in the task's sizes; or the Transformer in the memory's place."""
        if isinstance(self.memory, SegmentTransformer):
            return dataclasses.replace(self.memory, input_size=self.task.input_size, output_size=self.task.output_size)
        memory, size = self._memory(), self.task.output_size
        return SequenceModel(memory, size, self.clip, self.remat, self.hidden, self.bypass_dropout)

    def _memory(self) -> Memory:
        memory: Any = self.memory
        if self.controller != "none":
            options = {"layer_norm": True} if self.layer_norm else {}
            return diffmem.control(memory, self.task.input_size, self.controller, self.depth, self.skip, **options)
        bottom = dataclasses.replace(memory, input_size=self.task.input_size)
        if self.depth == 1:
            return bottom
        above = dataclasses.replace(memory, input_size=sum(bottom.read_shape))
        return diffmem.Stack((bottom, *[above] * (self.depth - 1)))

    def with_longest(self, length: int) -> "Config":
        """The same run with a task that has room for sequences of this length."""
        task: Any = self.task
        return dataclasses.replace(self, task=dataclasses.replace(task, **{task.longest: length}))

    def to_json(self) -> dict[str, Any]:
        """The config as plain numbers and strings."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


def known() -> list[str]:
    """The names of the committed configs."""
    return sorted(path.stem for path in CONFIGS.glob("*.py") if path.stem != "__init__")


def load(name: str) -> Any:
    """The config in `experiments/configs/<name>.py`: a `Config`, or a `StoryConfig`.

    Raises:
        ValueError: there is none; the message suggests the nearest.
    """
    if name not in known():
        raise ValueError(f"unknown config {name!r}{suggest(name, known())}")
    return importlib.import_module(f"experiments.configs.{name}").config


def from_json(name: str, stored: dict[str, Any]) -> Any:
    """A config of this name with the stored values.

    Raises:
        ValueError: a stored field that this version does not have.
    """

    def rebuild(default, values):
        fields = {f.name for f in dataclasses.fields(default)}
        for key in values:
            if key not in fields:
                raise ValueError(f"stored {type(default).__name__} has the field {key!r}{suggest(key, fields)}")
        changes = {}
        for key, value in values.items():
            old = getattr(default, key)
            if dataclasses.is_dataclass(old):
                value = rebuild(old, value)
            elif isinstance(value, list):
                value = tuple(value)
            changes[key] = value
        return dataclasses.replace(default, **changes)

    return rebuild(load(name), stored)
