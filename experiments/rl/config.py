"""What a run of PPO is: a frozen dataclass, whose fields are the launcher's options."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import tyro

import diffmem
from diffmem import envs
from diffmem.base import build, check_choice, check_counts, check_number, check_sizes, suggest
from diffmem.models import ActorCritic, FlatEncoder, GridEncoder
from experiments.config import parse_options

# Settings of a memory as an agent's core where they differ from the class's own: a recurrent state of a few hundred numbers,
# as GRU-256 and FFM with 32 traces of 4 periods have. `hidden_size` and `output_size` are the encoder's width.
CORES: dict[str, Mapping[str, Any]] = {
    "delta_rule": {"key_size": 16, "value_size": 16, "heads": 4},
    "dmn": {"slots": 16, "passes": 2},
    "dmnplus": {"slots": 16, "passes": 2, "attention": "soft", "fusion": False},
    "hebbian": {"key_size": 16, "value_size": 16, "heads": 4},
    "memn2n": {"slots": 16, "encoding": "bag"},
    "memnn": {"slots": 16, "encoding": "bag", "hard": False},
    "dnc": {"slots": 16, "width": 16, "read_heads": 4},
    "ntm": {"slots": 16, "width": 16, "read_heads": 4},
    "rmc": {"slots": 4, "width": 64, "heads": 4},
}

AT_LEAST_0 = ("a finite number >= 0", lambda x: 0 <= x < float("inf"))
ABOVE_0 = ("a number > 0", lambda x: x > 0)
FRACTION = ("a number from 0 to 1", lambda x: 0 <= x <= 1)
NUMBERS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "learning_rate": ("a finite number > 0", lambda x: 0 < x < float("inf")),
    **dict.fromkeys(("timescale_rate", "value_clip", "entropy", "value", "kl_stop"), AT_LEAST_0),
    **dict.fromkeys(("clip", "max_gradient"), ABOVE_0),
    **dict.fromkeys(("discount", "trace"), FRACTION),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """An agent with a memory and how it learns, wherever it acts: that is what a subclass adds, with `spaces`."""

    memory: str = "gru"
    """The memory's name in diffmem."""
    memory_options: tuple[str, ...] = ()
    """Its fields, such as slots=64."""
    controller: Literal["none", "lstm", "gru", "feedforward"] = "none"
    """What drives the memory and sees what it read; as wide as the encoder. "none": the encoder does."""
    width: int = 128
    """The encoder's width, and the hidden size of a memory that has one."""
    heads: tuple[int, ...] = (128,)
    """Hidden layers of the actor and of the critic."""
    skip: bool = False
    """Whether the heads see the encoder's output beside the memory's read."""
    remat: int = 0
    """Store one memory state every so many steps in backpropagation, 0: all; see diffmem.unroll."""
    envs: int = 64
    """Environments that run side by side."""
    rollout: int = 128
    """Steps of each environment between two rounds of learning."""
    chunk: int = 0
    """Steps that gradients go back; must divide rollout. 0: the whole rollout."""
    state: Literal["stored", "zero", "burn_in", "refresh"] = "stored"
    """The memory before a chunk. stored: as it was when the agent acted. refresh: recomputed before every epoch, from the
    rollout's first. burn_in: stored, but the first steps of a chunk only bring it up to date. zero: the initial one; every
    rollout begins with new episodes, which must fit into it, and is one chunk."""
    burn_in: int = 0
    """Steps of a chunk that are left out of the loss, and gradients, with state=burn_in."""
    epochs: int = 4
    """How often a rollout is used."""
    minibatches: int = 4
    """Parts of an epoch, each of whole chunks; they must divide envs * rollout / chunk."""
    learning_rate: float = 1e-3
    """Adam's."""
    anneal: bool = False
    """Whether the learning rate falls to 0 over the run."""
    timescales: tuple[str, ...] = ()
    """Names of the memory's parameters that learn at their own rate, such as decay."""
    timescale_rate: float = 0.1
    """That rate, as a fraction of the learning rate."""
    discount: float = 0.99
    """gamma."""
    trace: float = 0.95
    """lambda of the advantages."""
    clip: float = 0.2
    """How far the probability ratio may be from 1 before its gradient is cut."""
    value_clip: float = 0.0
    """How far a value may move from the old one before its gradient is cut; 0: as far as it likes."""
    entropy: float = 0.01
    """Weight of the entropy in the loss."""
    value: float = 0.5
    """Weight of the squared error of the values in the loss."""
    max_gradient: float = 0.5
    """The gradient is scaled down to this norm."""
    kl_stop: float = 0.0
    """A rollout is not used further once the policy has moved this far (estimated KL divergence, nats); 0: never."""
    steps: int = 500_000
    """Steps in the environments per seed; rounded up to whole rollouts."""

    def __post_init__(self):
        for field in ("memory_options", "timescales"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        check_sizes(self, "heads")
        positive = ("width", "envs", "rollout", "epochs", "minibatches", "steps")
        check_counts(self, **{name: getattr(self, name) for name in positive})
        check_counts(self, least=0, chunk=self.chunk, burn_in=self.burn_in, remat=self.remat)
        for field, (legal, within) in NUMBERS.items():
            check_number(self, field, legal, within)
        check_choice(self, "state", ("stored", "zero", "burn_in", "refresh"))
        check_choice(self, "controller", ("none", *diffmem.controller.CONTROLLERS))
        kind = type(self).__name__
        if self.rollout % self.length:
            raise ValueError(f"{kind}.chunk is {self.chunk}; it must divide rollout, {self.rollout}")
        if self.sequences % self.minibatches:
            raise ValueError(
                f"{kind}.minibatches is {self.minibatches}; it must divide the {self.sequences} chunks of a rollout "
                f"({self.envs} environments x {self.rollout // self.length}): minibatches hold whole chunks"
            )
        if (self.state == "burn_in") != (self.burn_in > 0) or self.burn_in >= self.length:
            raise ValueError(
                f"{kind}.burn_in is {self.burn_in} with state={self.state!r}; legal: 1 to {self.length - 1} (one less than a "
                "chunk) with state='burn_in', else 0"
            )
        if self.state == "refresh" and self.length == self.rollout:
            raise ValueError(
                f"{kind}.state is 'refresh', but a rollout of {self.rollout} steps is one chunk, whose first state is all "
                "there is: make chunk smaller than rollout, or use 'stored'"
            )
        if self.state == "zero" and self.length != self.rollout:
            raise ValueError(
                f"{kind}.state is 'zero', which needs whole episodes in a chunk: rollout is {self.rollout}, chunk "
                f"{self.length}; use chunk=0"
            )
        self._check_timescales()

    @property
    def length(self) -> int:
        """Steps of a chunk."""
        return self.chunk or self.rollout

    @property
    def sequences(self) -> int:
        """Chunks of a rollout, of all environments."""
        return self.envs * (self.rollout // self.length)

    @property
    def iterations(self) -> int:
        """Rollouts of the run."""
        return -(-self.steps // (self.envs * self.rollout))

    @property
    def spaces(self) -> tuple[Any, Any]:
        """Of observations and of actions."""
        raise NotImplementedError

    def model(self) -> ActorCritic:
        """The agent."""
        (observation_space, action_space), width = self.spaces, self.width
        cls: Any = diffmem.entry(self.memory).cls
        fields = {field.name for field in dataclasses.fields(cls)}
        as_wide = {name: width for name in ("hidden_size", "output_size") if name in fields}
        options = {"input_size": width, **as_wide, **CORES.get(self.memory, {}), **parse_options(self.memory_options)}
        if options["input_size"] != width:
            given, kind = options["input_size"], type(self).__name__
            raise ValueError(f"{kind}.memory_options has input_size={given!r}; it is {kind}.width, {width}: set that instead")
        memory = build(cls, options)
        if self.controller != "none":
            memory = diffmem.control(memory, width, self.controller)
        encoder = GridEncoder(width) if len(observation_space.shape) > 1 else FlatEncoder(width)
        others = {"heads": self.heads, "skip": self.skip, "remat": self.remat}
        return ActorCritic(observation_space, action_space, memory, encoder, **others)

    def _check_timescales(self) -> None:
        """Raises ValueError unless the model can be built and its memory has the parameters that are named."""
        model = self.model()
        if self.timescales:
            paths = jax.tree.flatten_with_path(jax.eval_shape(lambda: model.init_params(jax.random.key(0)))["memory"])[0]
            known = sorted({entry.key for path, _ in paths for entry in path if hasattr(entry, "key")})
            for name in self.timescales:
                if name not in known:
                    no_such = f"{name!r}, but {self.memory} has no such{suggest(name, known)}"
                    raise ValueError(f"{type(self).__name__}.timescales has {no_such}")


@dataclass(frozen=True)
class Config(Settings):
    """A run: an environment, an agent with a memory, and how the one learns on the other."""

    env: tyro.conf.Positional[str]
    """The environment's name, or name and difficulty in one: repeat_previous_easy."""
    difficulty: str | None = None
    """One of the environment's levels; none: the first."""
    env_options: tuple[str, ...] = ()
    """Fields of the environment that differ from the level, such as k=8."""
    check_ratio: bool = False
    """Stop where the first minibatch does not find the probabilities with which the agent acted, within 1e-5."""
    seeds: int = 1
    """Independent runs, side by side."""
    seed: int = 0
    """The first of them."""
    log_every: int = 5
    """Rollouts in one compiled call."""
    checkpoint_every: int = 50
    """Rollouts between checkpoints; a multiple of log_every."""

    def __post_init__(self):
        name, difficulty = envs.split_name(self.env)
        if difficulty and self.difficulty not in (None, difficulty):
            raise ValueError(f"Config.env is {self.env!r}, but Config.difficulty is {self.difficulty!r}; they must agree")
        object.__setattr__(self, "env", name)
        level = self.difficulty or difficulty or next(iter(envs.entry(name).levels))
        envs.make(name, level)  # says which levels there are
        object.__setattr__(self, "difficulty", level)
        object.__setattr__(self, "env_options", tuple(self.env_options))
        check_counts(self, seeds=self.seeds, log_every=self.log_every, checkpoint_every=self.checkpoint_every)
        check_counts(self, least=0, seed=self.seed)
        if self.checkpoint_every % self.log_every:
            raise ValueError(
                f"Config.checkpoint_every is {self.checkpoint_every}; it must be a multiple of log_every, {self.log_every}"
            )
        super().__post_init__()
        longest = self.environment().max_steps
        if self.state == "zero" and longest > self.rollout:
            raise ValueError(
                f"Config.state is 'zero', which needs whole episodes in a chunk: rollout is {self.rollout}, and an episode has "
                f"up to {longest} steps; use chunk=0 and rollout >= {longest}"
            )

    def environment(self) -> Any:
        """The environment."""
        found = envs.entry(self.env)
        return build(found.cls, {**found.levels[str(self.difficulty)], **parse_options(self.env_options)})

    @property
    def spaces(self) -> tuple[Any, Any]:
        env = self.environment()
        return env.observation_space, env.action_space

    def to_json(self) -> dict[str, Any]:
        """The config as plain numbers and strings."""
        return json.loads(json.dumps(dataclasses.asdict(self)))
