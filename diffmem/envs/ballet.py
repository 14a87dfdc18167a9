"""Ballet in symbols: dancers dance one after another, and in the end one is asked for by its dance."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffmem.base import Array, check_counts
from diffmem.envs.base import Box, Discrete, NoParams, register
from diffmem.envs.draws import at, below, shuffle

# A direction is a digit, clockwise from north: 0 N, 1 NE, 2 E, 3 SE, 4 S, 5 SW, 6 W, 7 NW; as rows down and columns right.
DIRECTIONS = np.array([(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)], np.int32)
DANCES = {
    "circle_cw": "0244660022446602",
    "circle_ccw": "0644220066442206",
    "up_and_down": "0440044004400440",
    "left_and_right": "2662266226622662",
    "diagonal_uldr": "7337733773377337",
    "diagonal_urdl": "1551155115511551",
    "plus_cw": "0426406204264062",
    "plus_ccw": "0462402604624026",
    "times_cw": "1537517315375173",
    "times_ccw": "7351371573513715",
    "zee": "1662251552266151",
    "chevron_down": "7431051514570373",
    "chevron_up": "3075415150134737",
}
MOVES = 16
_STEPS = DIRECTIONS[np.array([[int(move) for move in dance] for dance in DANCES.values()])]
PLACES = np.concatenate([np.zeros_like(_STEPS[:, :1]), _STEPS.cumsum(1)], 1)  # [dances, moves made, 2], from where it began
ROOM, CENTRE = 9, 4
CELLS = np.array([(row, column) for row in (1, 4, 7) for column in (1, 4, 7) if (row, column) != (4, 4)], np.int32)
COLOURS, SHAPES = 19, 15


class BalletState(NamedTuple):
    """Who is where; the eight vectors are by cell.

    Attributes:
        time: number of steps made.
        agent [2]: row and column in the room.
        turn [8]: when the cell's dancer dances; nobody is there from `dancers` on.
        dance, colour, shape [8]: of the dancer.
        target: the cell whose dancer will be asked for.
    """

    time: Array
    agent: Array
    turn: Array
    dance: Array
    colour: Array
    shape: Array
    target: Array


@register(
    "ballet",
    source="Lampinen et al. 2021, arXiv:2105.14039",
    levels=dict(
        easy=dict(dancers=2, delay=16, steps=320),
        medium=dict(dancers=8, delay=16, steps=320),
        hard=dict(dancers=8, delay=48, steps=1024),
    ),
)
@dataclass(frozen=True)
class Ballet:
    """Go to the dancer who danced the dance named at the end.

        1 . . 2 . . 3      9 x 9 cells, dancers on some of eight of them, the agent @ in the middle
        . . . . . . .
        4 . . @ . . 5      dance 1 (16 moves), a pause, dance 2, a pause, ... and then the name of a dance
        . . . . . . .
        6 . . 7 . . 8

    Dancers dance in a random order, different dances of the thirteen, and have different colours and shapes, which mean
    nothing. Until all have danced the agent's actions do nothing. Then it moves in eight directions; when it reaches a dancer
    the episode terminates, with 1 if it is the right one, else 0. After `steps` it is truncated.

    The observation has, for each of the eight cells, whether a dancer belongs there, the dancer's place from the agent in
    eighths, and colour and shape one-hot; and the instruction one-hot: to watch, or one of the dances.

    Args:
        dancers: number of dancers.
        delay: number of steps from the last move of one dance to the first of the next.
        steps: number of steps after which the episode is cut off.

    Example:
        >>> import jax
        >>> from diffmem import envs
        >>> env = envs.make("ballet", "hard")
        >>> state, observation = env.reset(jax.random.key(0), env.init_params())
        >>> env.max_steps, observation.shape, env.action_space
        (1024, (310,), Discrete(n=8))

    Raises:
        ValueError: not 1 to 8 dancers, a delay below 1, or too few steps for all dances and the way.

    Differences from the paper:
        - Numbers instead of 99 x 99 pixels and words.
    """

    dancers: int = 2
    delay: int = 16
    steps: int = 320

    def __post_init__(self):
        check_counts(self, dancers=self.dancers, delay=self.delay, steps=self.steps)
        if self.dancers > len(CELLS):
            raise ValueError(f"Ballet.dancers is {self.dancers}; there is room for {len(CELLS)}")
        if self.steps < self._watch + 3:
            raise ValueError(f"Ballet.steps is {self.steps}; the dances and the way take {self._watch + 3}")

    observation_space = property(lambda self: Box(-1.0, 1.0, (len(CELLS) * (3 + COLOURS + SHAPES) + 1 + len(DANCES),)))
    action_space = property(lambda self: Discrete(len(DIRECTIONS)))
    max_steps = property(lambda self: self.steps)
    _period = property(lambda self: MOVES - 1 + self.delay)
    _watch = property(lambda self: self.dancers * self._period)

    def init_params(self) -> NoParams:
        return NoParams()

    def reset(self, key: Array, params: NoParams) -> tuple[BalletState, Array]:
        cells, dances, colours, shapes = len(CELLS), len(DANCES), COLOURS, SHAPES
        uniforms = jax.random.uniform(key, (cells + dances + colours + shapes + 1,))
        parts = jnp.split(uniforms[:-1], np.cumsum([cells, dances, colours]))
        turn, dance, colour, shape = (shuffle(part)[:cells] for part in parts)
        target = jnp.argmax(turn == below(uniforms[-1], self.dancers)).astype(jnp.int32)
        state = BalletState(jnp.int32(0), jnp.full(2, CENTRE, jnp.int32), turn, dance, colour, shape, target)
        return state, self._observe(state)

    def advance(self, key: Array, params: NoParams, state: BalletState, action: Array):
        place = state.agent + jnp.array(DIRECTIONS)[action]
        may_move = (state.time >= self._watch) & ((place >= 0) & (place < ROOM)).all()
        agent, time = jnp.where(may_move, place, state.agent), state.time + 1
        met = (jnp.array(CELLS) == agent).all(1) & (state.turn < self.dancers)
        reward = jnp.where(met & (jnp.arange(len(CELLS)) == state.target), jnp.float32(1), jnp.float32(0)).sum()
        state, terminated = state._replace(time=time, agent=agent), met.any()
        return state, self._observe(state), reward, terminated, (time >= self.steps) & ~terminated

    def oracle(self, params: NoParams, state: BalletState) -> Array:
        """Straight to the dancer, in one of the eight directions."""
        way = jnp.sign(jnp.array(CELLS)[state.target] - state.agent)
        return jnp.argmax((jnp.array(DIRECTIONS) == way).all(1)).astype(jnp.int32)

    def render(self, state: BalletState) -> str:
        """The room; @ the agent, dancers by the number of their turn, and who dances or is asked for."""
        room, places = [["."] * ROOM for _ in range(ROOM)], np.asarray(self._places(state))
        for cell in np.flatnonzero(np.asarray(state.turn) < self.dancers):
            room[places[cell][0]][places[cell][1]] = str(int(state.turn[cell]) + 1)
        room[int(state.agent[0])][int(state.agent[1])] = "@"
        names, turn = list(DANCES), min(int(state.time) // self._period, self.dancers - 1)
        dance = names[int(state.dance[int(jnp.argmax(state.turn == turn))])]
        told = names[int(state.dance[state.target])] if state.time >= self._watch else f"watch; {turn + 1}: {dance}"
        return "\n".join([*map(" ".join, room), told])

    def _places(self, state: BalletState) -> Array:
        """Where the dancers are, [8, 2]."""
        moves = jnp.clip(state.time + 1 - self._period * state.turn, 0, MOVES)
        return jnp.array(CELLS) + jnp.array(PLACES)[state.dance, moves]

    def _observe(self, state: BalletState) -> Array:
        present = state.turn < self.dancers
        away = (self._places(state) - state.agent).astype(jnp.float32) / (ROOM - 1)
        looks = [jax.nn.one_hot(state.colour, COLOURS), jax.nn.one_hot(state.shape, SHAPES)]
        dancers = jnp.concatenate([jnp.ones((len(CELLS), 1)), away, *looks], 1)
        told = jnp.where(state.time >= self._watch, 1 + at(state.dance, state.target), 0)
        return jnp.concatenate([jnp.where(present[:, None], dancers, 0).ravel(), jax.nn.one_hot(told, 1 + len(DANCES))])
