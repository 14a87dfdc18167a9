"""T-maze: a sign seen at the beginning says which way to turn at the end of a corridor."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from diffmem.base import Array, check_counts
from diffmem.envs.base import Box, Discrete, NoParams, register

RIGHT, UP, LEFT, DOWN = range(4)
MOVES = ((1, 0), (0, 1), (-1, 0), (0, -1))


class TMazeState(NamedTuple):
    """Where the agent is and where it should go.

    Attributes:
        time: number of steps made.
        x, y: the cell; the sign's is (0, 0).
        goal: 1 for the upper arm, -1 for the lower.
        seen: whether the sign has been seen.
    """

    time: Array
    x: Array
    y: Array
    goal: Array
    seen: Array


_LEVELS = dict(easy=50, medium=250, hard=1000)


@register(
    "t_maze",
    source="Ni et al. 2023, arXiv:2307.03864; after Bakker 2001",
    levels={name: dict(length=length, active=False) for name, length in _LEVELS.items()},
)
@register(
    "active_t_maze",
    source="Ni et al. 2023, arXiv:2307.03864; after Bakker 2001",
    levels={name: dict(length=length, active=True) for name, length in _LEVELS.items()},
)
@dataclass(frozen=True)
class TMaze:
    """Walk down a corridor and turn to the side that a sign named long ago.

        passive                 #          active                  #
             ############.             ############.
             S...........J             oS..........J        S start, o sign, J junction
             ############.             ############.       the passive start is the sign
                         #                         #

    Observations are two numbers: (0, goal) at the sign, at the first visit only; (0, 0) in the corridor and at the sign
    later; (1, y) at the junction and in the arms, y in -1, 0, 1. The actions are right, up, left, down; a step into a wall
    stays. The episode lasts length + 1 steps, or length + 3 when active, whatever happens. A step earns -1/length if it
    ends behind the best schedule, that is x < time, counted from the sign and after the active detour; the last step earns
    instead 1 in the right arm and 0 elsewhere. The best return is 1.

    The passive maze needs a memory of `length` steps, and rewards every single step. In the active one the step to the
    sign pays off only at the end: credit has to reach as far back as the memory does.

    Args:
        length: number of cells from the start to the junction.
        active: whether the sign is one step left of the start.

    Example:
        >>> import jax
        >>> from diffmem import envs
        >>> env = envs.make("active_t_maze", length=10)
        >>> state, observation = env.reset(jax.random.key(0), env.init_params())
        >>> print(env.max_steps, observation)
        13 [0. 0.]

    Raises:
        ValueError: a length below 1.
    """

    length: int = 50
    active: bool = False

    def __post_init__(self):
        check_counts(self, length=self.length)

    observation_space = property(lambda self: Box(-1.0, 1.0, (2,)))
    action_space = property(lambda self: Discrete(4))
    max_steps = property(lambda self: self.length + 2 * self._start + 1)
    _start = property(lambda self: int(self.active))
    _junction = property(lambda self: self.length + self._start)

    def init_params(self) -> NoParams:
        return NoParams()

    def reset(self, key: Array, params: NoParams) -> tuple[TMazeState, Array]:
        goal = jnp.where(jax.random.bernoulli(key), 1, -1)
        start = TMazeState(jnp.int32(0), jnp.int32(self._start), jnp.int32(0), goal, jnp.bool_(False))
        return self._look(start)

    def advance(self, key: Array, params: NoParams, state: TMazeState, action: Array):
        move = jnp.array(MOVES)[action]
        x, y = state.x + move[0], state.y + move[1]
        free = jnp.where(y == 0, (x >= 0) & (x <= self._junction), (x == self._junction) & (jnp.abs(y) == 1))
        x, y, time = jnp.where(free, x, state.x), jnp.where(free, y, state.y), state.time + 1
        ended = time == self.max_steps
        late = x < time - self._start
        reward = jnp.where(ended, jnp.where(y == state.goal, 1.0, 0.0), jnp.where(late, -1 / self.length, 0.0))
        state, observation = self._look(state._replace(time=time, x=x, y=y))
        return state, observation, reward, ended, jnp.bool_(False)

    def oracle(self, params: NoParams, state: TMazeState) -> Array:
        """To the sign, to the junction, into the right arm."""
        turn = jnp.where(state.goal > 0, UP, DOWN)
        return jnp.where(~state.seen, LEFT, jnp.where(state.x < self._junction, RIGHT, turn))

    def render(self, state: TMazeState) -> str:
        """The maze: @ agent, o sign, + the right arm."""
        blank = " " * self._junction
        rows = [list(blank + "."), list("o" + "." * self._junction), list(blank + ".")]
        rows[1 - int(state.goal)][-1] = "+"
        rows[1 - int(state.y)][int(state.x)] = "@"
        return "\n".join(map("".join, rows))

    def _look(self, state: TMazeState) -> tuple[TMazeState, Array]:
        """What there is to see, and the state that remembers whether the sign was."""
        at_sign, at_end = state.x == 0, state.x == self._junction
        shown = jnp.where(at_sign & ~state.seen, state.goal, 0)
        observation = jnp.stack([at_end.astype(jnp.int32), jnp.where(at_end, state.y, shown)])
        return state._replace(seen=state.seen | at_sign), observation.astype(jnp.float32)
