"""Board games of POPGym of which the board is not shown: battleship and minesweeper.

Source: Morad, Kortvelesy, Bettini, Liwicki, Prorok 2023, POPGym: Benchmarking Partially Observable Reinforcement Learning,
arXiv:2303.01859, and the authors' package popgym 1.0.7, which the tests compare with step by step.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from diffmem.base import Array, check_counts, check_sizes
from diffmem.envs.base import POPGYM, Discrete, MultiDiscrete, NoParams, register
from diffmem.envs.draws import below


def square(size: int, action: Array) -> Array:
    """bool[size, size], true at the action's row and column."""
    row, column = action
    return (jnp.arange(size, dtype=jnp.int32)[:, None] == row) & (jnp.arange(size, dtype=jnp.int32) == column)


def first(board: Array) -> Array:
    """int32[2], row and column of the first square [size, size] that is true."""
    place = jnp.argmax(board.ravel()).astype(jnp.int32)
    return jnp.stack([place // len(board), place % len(board)])


def draw(board: Array, characters: str) -> str:
    """A board of small integers in characters."""
    return "\n".join(" ".join(characters[value] for value in row) for row in board.tolist())


class BattleshipState(NamedTuple):
    """ships, shots: bool[size, size], where ships lie and what was shot at. time: steps taken."""

    ships: Array
    shots: Array
    time: Array


@register("battleship", source=POPGYM, levels=dict(easy=dict(size=8), medium=dict(size=10), hard=dict(size=12)))
@dataclass(frozen=True)
class Battleship:
    """Sink hidden ships.

    Observation: whether the last shot was a new hit, 0 or 1. Action: row and column; +1/h for a new hit, where h squares have
    ships, else -1/(n² - h), also for a second shot at the same square. It ends with the last hit; after n² steps the clock
    cuts. The observation does not say where the shot went: the agent needs its previous action as an input.

    Ships are placed one after another, each uniformly among the places where it overlaps none before it; they may touch.

    Args:
        size: length n of the board's side, at most 32.
        ships: lengths of the ships, in the order of placing.

    Example:
        >>> import diffmem.envs
        >>> env = diffmem.envs.make("battleship", "easy")
        >>> env.max_steps, env.observation_space, env.action_space
        (64, Discrete(n=2), MultiDiscrete(counts=(8, 8)))

    Source: POPGym's Battleship.

    Differences from the paper: none.
    """

    size: int = 10
    ships: tuple[int, ...] = (2, 3, 3, 4)

    def __post_init__(self):
        check_counts(self, size=self.size)
        check_sizes(self, "ships")
        if not self.ships or max(self.ships) > self.size or self.size > 32:
            raise ValueError(
                f"Battleship.ships is {self.ships!r} on a board of size {self.size}; there must be at least one, none longer "
                "than the board's side, and that at most 32"
            )
        for i, length in enumerate(self.ships):
            # A square occupies one of the disjoint stretches of a row at most, so that a place is left whatever the others are.
            if sum(self.ships[:i]) >= self.size * (self.size // length):
                raise ValueError(
                    f"Battleship.ships is {self.ships!r}: ship {i} may find no place on a board of size {self.size}"
                )

    observation_space = Discrete(2)
    action_space = property(lambda self: MultiDiscrete((self.size, self.size)))
    max_steps = property(lambda self: self.size**2)

    def init_params(self) -> NoParams:
        return NoParams()

    def reset(self, key: Array, params: NoParams) -> tuple[BattleshipState, Array]:
        lines = jnp.zeros(2 * self.size, jnp.uint32)
        uniforms = jax.random.uniform(key, (len(self.ships),), jnp.float32)
        for uniform, length in zip(uniforms, self.ships, strict=True):
            lines = place(uniform, lines, length)
        ships = (lines[: self.size, None] >> jnp.arange(self.size, dtype=jnp.uint32)) & 1 > 0
        zero = jnp.zeros((), jnp.int32)
        return BattleshipState(ships, jnp.zeros_like(ships), zero), zero

    def advance(self, key: Array, params: NoParams, state: BattleshipState, action: Array) -> tuple[Any, ...]:
        target, hits = square(self.size, action), sum(self.ships)
        hit = (target & state.ships & ~state.shots).any()
        reward = jnp.where(hit, jnp.float32(1 / hits), jnp.float32(-1 / (self.size**2 - hits)))
        state = BattleshipState(state.ships, state.shots | target, state.time + 1)
        sunk = ~(state.ships & ~state.shots).any()
        return state, hit.astype(jnp.int32), reward, sunk, state.time == self.max_steps

    def oracle(self, params: NoParams, state: BattleshipState) -> Array:
        """The first square of a ship that has not been hit."""
        return first(state.ships & ~state.shots)

    def render(self, state: BattleshipState) -> str:
        """# a ship, X a hit, o a miss."""
        return draw(jnp.where(state.ships, 1, 0) + jnp.where(state.shots, 2, 0), ".#oX")


def place(uniform: Array, lines: Array, length: int) -> Array:
    """Places a ship uniformly among the places where it overlaps nothing.

    Args:
        uniform: a number of [0, 1) that stands for the place.
        lines: uint32[2n], the occupied squares of every row and then of every column, bit i for square i of the line.
        length: the ship's.

    Returns:
        The lines with the ship.
    """
    n = len(lines) // 2
    word, index, bits = jnp.uint32, jnp.arange(2 * n, dtype=jnp.int32), jnp.arange(n, dtype=jnp.uint32)
    free = ~lines & word(2**n - 1)
    starts = free  # where a ship may start in each line: `length` free squares follow
    for i in range(1, length):
        starts &= free >> i
    counts = lax.population_count(starts).astype(jnp.int32)
    through = jnp.cumsum(counts)
    wanted = below(uniform, through[-1])
    line = (through <= wanted).sum(dtype=jnp.int32)
    wanted -= through[line] - counts[line]  # now the number of the start within its line
    before = lax.population_count(starts[line] & ((word(2) << bits) - 1)).astype(jnp.int32)
    start = (before <= wanted).sum(dtype=jnp.int32)

    along = jnp.where(index == line, word(2**length - 1) << start.astype(word), 0)
    crossing = index - jnp.where(line < n, n, 0) - start
    across = jnp.where((crossing >= 0) & (crossing < length), word(1) << (line % n).astype(word), 0)
    return lines | along | across


class MineSweeperState(NamedTuple):
    """mines, seen: bool[size, size], where mines lie and what has been uncovered. time: steps taken."""

    mines: Array
    seen: Array
    time: Array


@register(
    "minesweeper",
    source=POPGYM,
    levels=dict(easy=dict(size=4, mines=2), medium=dict(size=6, mines=6), hard=dict(size=8, mines=10)),
)
@dataclass(frozen=True)
class MineSweeper:
    """Uncover every square of a board but the mines.

    Observation: how many mines lie in the 3 by 3 squares around the last one. Action: row and column. With c = n² - mines clear
    squares: +1/c for a new one, -0.5/(c - 2) for one uncovered before, -0.5 - 1/c for a mine, which ends the episode, as
    does the last clear square. After c steps the clock cuts. The observation does not say which square it was: the agent needs
    its previous action as an input.

    Args:
        size: length n of the board's side.
        mines: number of mines; at least 3 squares are clear.

    Example:
        >>> import diffmem.envs
        >>> env = diffmem.envs.make("minesweeper", "hard")
        >>> env.max_steps, env.observation_space, env.action_space
        (54, Discrete(n=10), MultiDiscrete(counts=(8, 8)))

    Source: POPGym's MineSweeper.

    Differences from the paper: none.
    """

    size: int = 4
    mines: int = 2

    def __post_init__(self):
        check_counts(self, size=self.size, mines=self.mines)
        if self.max_steps < 3:
            raise ValueError(f"MineSweeper.mines is {self.mines} on {self.size**2} squares; at least 3 must be clear")

    observation_space = property(lambda self: Discrete(min(self.mines, 9) + 1))
    action_space = property(lambda self: MultiDiscrete((self.size, self.size)))
    max_steps = property(lambda self: self.size**2 - self.mines)

    def init_params(self) -> NoParams:
        return NoParams()

    def reset(self, key: Array, params: NoParams) -> tuple[MineSweeperState, Array]:
        squares = jnp.arange(self.size**2, dtype=jnp.int32)
        mines = jnp.zeros(self.size**2, bool)
        # Floyd's sample without replacement: one of the first n squares, or the n-th itself where that one is taken.
        uniforms = jax.random.uniform(key, (self.mines,), jnp.float32)
        for i, uniform in enumerate(uniforms):
            n = self.size**2 - self.mines + i + 1
            drawn = below(uniform, n)
            mines |= squares == jnp.where(mines[drawn], n - 1, drawn)
        mines = mines.reshape(self.size, self.size)
        zero = jnp.zeros((), jnp.int32)
        return MineSweeperState(mines, jnp.zeros_like(mines), zero), zero

    def advance(self, key: Array, params: NoParams, state: MineSweeperState, action: Array) -> tuple[Any, ...]:
        target, clear = square(self.size, action), self.max_steps
        row, column = abs(jnp.arange(self.size, dtype=jnp.int32)[:, None] - action).T
        near = (row < 2)[:, None] & (column < 2)
        count = (near & state.mines).sum(dtype=jnp.int32)
        exploded, again = (target & state.mines).any(), (target & state.seen).any()
        reward = jnp.where(again, jnp.float32(-0.5 / (clear - 2)), jnp.float32(1 / clear))
        reward = jnp.where(exploded, jnp.float32(-0.5 - 1 / clear), reward)
        state = MineSweeperState(state.mines, state.seen | (target & ~state.mines), state.time + 1)
        terminated = exploded | (state.mines | state.seen).all()
        return state, count, reward, terminated, (state.time == self.max_steps) & ~terminated

    def oracle(self, params: NoParams, state: MineSweeperState) -> Array:
        """The first clear square that is not uncovered."""
        return first(~state.mines & ~state.seen)

    def render(self, state: MineSweeperState) -> str:
        """* a mine, o an uncovered square."""
        return draw(jnp.where(state.mines, 1, 0) + jnp.where(state.seen, 2, 0), ".*o")
