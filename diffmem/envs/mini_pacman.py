"""Mini PacMan, of which only the surroundings are seen."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffmem.base import Array, check_choice, check_counts
from diffmem.envs.base import Box, Discrete, register
from diffmem.envs.draws import below, pick

_DRAWN = """
###################
#...#.........#...#
#.#.#.#######.#.#.#
#.................#
#.#.#.#######.#.#.#
#.#.............#.#
#.####.#####.####.#
#......#####......#
#.####.#####.####.#
#.#.............#.#
#.#.#.#######.#.#.#
#.................#
#.#.#.#######.#.#.#
#...#.........#...#
###################
"""
MAZE = _DRAWN.split()
WALLS = np.array([[char == "#" for char in row] for row in MAZE])
CELLS = np.argwhere(~WALLS).astype(np.int32)  # a place in the maze is a number: that of its row here
NUMBER = np.full(WALLS.shape, -1, np.int32)
NUMBER[tuple(CELLS.T)] = np.arange(len(CELLS))
STEPS = np.array([(0, 0), (0, 1), (-1, 0), (0, -1), (1, 0)], np.int32)  # stay, right, up, left, down
BACK = np.array([2, 3, 0, 1])  # the direction, 0 right to 3 down, against each
_NEXT = NUMBER[tuple((CELLS[:, None] + STEPS).transpose(2, 0, 1))]
NEXT = np.where(_NEXT < 0, np.arange(len(CELLS))[:, None], _NEXT)  # [cells, 5], where each action leads
PILLS, POWER, SAFE, SPEED, SPEED_UP, CAP = 2, 20, 5, 0.5, 0.1, 3000
PLANES = ("walls", "food", "pacman", "ghosts", "edible ghosts", "pills")


def _distances() -> np.ndarray:
    """[cells, cells] steps from each to each."""
    found = np.where(np.eye(len(CELLS), dtype=bool), 0, len(CELLS))
    for _ in range(len(CELLS)):
        nearer = np.minimum(found, found[:, NEXT].min(2) + 1)
        if (nearer == found).all():
            break
        found = nearer
    return found.astype(np.int32)


DISTANCES = _distances()
_AWAY = (np.abs(CELLS[:, None] - CELLS) > SAFE).any(2)  # [cells, cells]
AWAY = np.argsort(~_AWAY, axis=1, kind="stable").astype(np.int32)  # for each cell first those where ghosts may begin,
AWAY_COUNT = _AWAY.sum(1, dtype=np.int32)  # which are so many


class MiniPacManParams(NamedTuple):
    """Rewards, any of which may be traced: of each step, food, pill, eaten ghost and death; and how often ghosts err."""

    step: Any
    food: Any
    pill: Any
    ghost: Any
    death: Any
    random: Any = 0.05


MODES = {
    "regular": MiniPacManParams(0.0, 1.0, 2.0, 5.0, 0.0),
    "avoid": MiniPacManParams(0.1, -0.1, -5.0, -10.0, -20.0),
    "hunt": MiniPacManParams(0.0, 0.0, 1.0, 10.0, -20.0),
    "ambush": MiniPacManParams(0.0, -0.1, 0.0, 10.0, -20.0),
    "rush": MiniPacManParams(0.0, -0.1, 10.0, 0.0, 0.0),
}
LEVEL_ENDS = {"regular": "food", "avoid": "food", "hunt": "ghosts", "ambush": "ghosts", "rush": "pills"}
AVOID_STEPS = 128


class MiniPacManState(NamedTuple):
    """What is where; places are numbers of cells.

    Attributes:
        time: number of steps made.
        level: 1, 2, ...
        timer: number of steps made on this level.
        power: number of steps for which ghosts can still be eaten.
        pacman: place.
        food [cells]: whether there is some.
        pills [2], left [2]: places, and whether they are still there.
        ghosts, facing, alive [max_ghosts]: places, directions (0 right, 1 up, 2 left, 3 down), and which there are.
    """

    time: Array
    level: Array
    timer: Array
    power: Array
    pacman: Array
    food: Array
    pills: Array
    left: Array
    ghosts: Array
    facing: Array
    alive: Array


@register(
    "mini_pacman",
    source="Racanière et al. 2017, arXiv:1707.06203; with a view of the surroundings, Santoro et al. 2018, arXiv:1806.01822",
    levels=dict(easy=dict(view=9), medium=dict(view=7), hard=dict(view=5)),
)
@dataclass(frozen=True)
class MiniPacMan:
    """Eat food and pills in a maze, run from ghosts, and chase them while a pill's power lasts.

    Each step in turn: power wanes; pacman moves (stay, right, up, left, down) and eats food, then at most one pill, which
    gives power for 20 steps; each ghost touches pacman, or moves and then touches it. A touch is pacman's death, or with
    power the ghost's: then the ghosts after it do not move, so that at most one is eaten in a step.

    On level n there are 1 + (n-1)//2 ghosts, each of which moves with probability 0.5 + 0.1(n-1), half of that under power.
    Ghosts do not turn back; at a junction they go towards pacman, one time in twenty anywhere, or under power away from it.

        mode      step  food  pill  ghost  death   the next level comes
        regular    0     1     2      5      0     when all food is eaten
        avoid      0.1  -0.1  -5    -10    -20     when all food is eaten, or after 128 steps
        hunt       0     0     1     10    -20     when all ghosts are eaten
        ambush     0    -0.1   0     10    -20     when all ghosts are eaten
        rush       0    -0.1  10      0      0     when both pills are eaten

    A level begins with food everywhere, pacman and two pills anywhere and ghosts at least six rows or columns away. Death
    terminates the episode; after 3000 steps it is truncated. The observation has six planes: walls, food, pacman, ghosts (1
    less their edibility), edible ghosts (what is left of the power, from 1 to 0), pills.

    Args:
        view: side of the square around pacman that is seen, an odd number; 0: the whole maze, 15 x 19.
        mode: one of the five above.
        max_ghosts: room for so many; later levels have no more. 12 are enough for the longest episode of "avoid".

    Example:
        >>> import jax
        >>> from diffmem import envs
        >>> env = envs.make("mini_pacman", "hard", mode="hunt")
        >>> state, observation = env.reset(jax.random.key(0), env.init_params())
        >>> env.max_steps, observation.shape, env.action_space
        (3000, (5, 5, 6), Discrete(n=5))

    Raises:
        ValueError: an even or negative view, an unknown mode, or max_ghosts below 1.

    Differences from the paper:
        - The size of the view is ours; the rules are those of the authors' published code, with these exceptions.
        - A new level begins with the next step; there, its ghosts move already in the step that ends the old one.
        - Pacman dies once in a step, however many ghosts touch it.
        - Ghosts begin outside a symmetric square around pacman; there it is one cell shorter to the right and below.
    """

    view: int = 9
    mode: str = "regular"
    max_ghosts: int = 12

    def __post_init__(self):
        check_counts(self, least=0, view=self.view)
        check_counts(self, max_ghosts=self.max_ghosts)
        check_choice(self, "mode", tuple(MODES))
        if self.view and self.view % 2 == 0:
            raise ValueError(f"MiniPacMan.view is {self.view}; it must be odd, or 0 for the whole maze")

    action_space = property(lambda self: Discrete(len(STEPS)))
    max_steps = property(lambda self: CAP)

    @property
    def observation_space(self) -> Box:
        height, width = (self.view, self.view) if self.view else WALLS.shape
        return Box(0.0, 1.0, (height, width, len(PLANES)))

    def init_params(self) -> MiniPacManParams:
        return MODES[self.mode]

    def reset(self, key: Array, params: MiniPacManParams) -> tuple[MiniPacManState, Array]:
        state = self._begin(key, jnp.int32(0), jnp.int32(1))
        return state, self._observe(state)

    def advance(self, key: Array, params: MiniPacManParams, state: MiniPacManState, action: Array):
        ghost_key, level_key = jax.random.split(key)
        time, timer, power = state.time + 1, state.timer + 1, jnp.maximum(state.power - 1, 0)
        pacman = jnp.array(NEXT)[state.pacman, action]

        here = jnp.arange(len(CELLS)) == pacman
        fed, food = (state.food & here).any(), state.food & ~here
        taken = state.left & (state.pills == pacman)
        taken = taken & (jnp.cumsum(taken, dtype=jnp.int32) == 1)
        left, power = state.left & ~taken, jnp.where(taken.any(), POWER, power)

        moved, facing = self._move_ghosts(ghost_key, params, state, pacman, power)
        touched = state.alive & ((state.ghosts == pacman) | (moved == pacman))
        place = jnp.arange(self.max_ghosts)
        first = jnp.where(touched.any() & (power > 0), jnp.argmax(touched), self.max_ghosts)
        eaten, still = place == first, place > first
        ghosts, facing = jnp.where(still, state.ghosts, moved), jnp.where(still, state.facing, facing)
        died = touched.any() & (power == 0)

        rewards = [(fed, params.food), (taken.any(), params.pill), (eaten.any(), params.ghost), (died, params.death)]
        reward = jnp.float32(params.step) + sum(jnp.where(which, jnp.float32(value), 0) for which, value in rewards)
        alive = state.alive & ~eaten
        old = MiniPacManState(time, state.level, timer, power, pacman, food, state.pills, left, ghosts, facing, alive)
        done = ~dict(food=food, ghosts=alive, pills=left)[LEVEL_ENDS[self.mode]].any()
        if self.mode == "avoid":
            done = done | (timer == AVOID_STEPS)
        new = self._begin(level_key, time, state.level + 1)
        state = jax.tree.map(lambda a, b: jnp.where(done & ~died, a, b), new, old)
        return state, self._observe(state), reward, died, (time >= CAP) & ~died

    def oracle(self, params: MiniPacManParams, state: MiniPacManState) -> Array:
        """A reference policy: the shortest way to the nearest thing worth having, but no nearer than three steps to ghosts."""
        near = jnp.array(DISTANCES)[jnp.array(NEXT)[state.pacman]]  # [5, cells]
        far, hunting = len(CELLS), (state.power > 2) & (jnp.float32(params.ghost) > 0)
        pills_help = (jnp.float32(params.pill) > 0) | (jnp.float32(params.ghost) > 0)
        to_ghosts = jnp.where(state.alive, near[:, state.ghosts], far).min(1)
        to_pills = jnp.where(state.left & pills_help, near[:, state.pills], far).min(1)
        to_food = jnp.where(state.food & (jnp.float32(params.food) > 0), near, far).min(1)
        wanted = jnp.minimum(jnp.where(hunting, to_ghosts, far), jnp.minimum(to_pills, to_food))
        danger = jnp.where((state.power <= 2) | (jnp.float32(params.ghost) < 0), jnp.maximum(3 - to_ghosts, 0), 0)
        return jnp.argmin(wanted + 1000 * danger).astype(jnp.int32)

    def render(self, state: MiniPacManState) -> str:
        """The maze: @ pacman, G ghosts, g edible ones, o pills, . food."""
        rows = [list(row.replace(".", " ")) for row in MAZE]
        marks = [(cell, ".") for cell in np.flatnonzero(state.food)]
        marks += [(cell, "o") for cell, left in zip(state.pills, state.left, strict=True) if left]
        marks += [(cell, "g" if state.power else "G") for cell, alive in zip(state.ghosts, state.alive, strict=True) if alive]
        for cell, mark in [*marks, (state.pacman, "@")]:
            row, column = CELLS[int(cell)]
            rows[row][column] = mark
        return "\n".join("".join(row) for row in rows)

    def _begin(self, key: Array, time: Array, level: Array) -> MiniPacManState:
        """The beginning of a level."""
        uniforms, n = jax.random.uniform(key, (1 + PILLS + 2 * self.max_ghosts,)), self.max_ghosts
        pacman, pills = below(uniforms[0], len(CELLS)), below(uniforms[1 : 1 + PILLS], len(CELLS))
        places = below(uniforms[1 + PILLS : 1 + PILLS + n], jnp.array(AWAY_COUNT)[pacman])
        ghosts = jnp.array(AWAY)[pacman, places]
        alive = jnp.arange(n) < 1 + (level - 1) // 2
        food, left = jnp.ones(len(CELLS), bool), jnp.ones(PILLS, bool)
        zero = jnp.int32(0)
        return MiniPacManState(time, level, zero, zero, pacman, food, pills, left, ghosts, below(uniforms[-n:], 4), alive)

    def _move_ghosts(self, key: Array, params: MiniPacManParams, state: MiniPacManState, pacman: Array, power: Array):
        """Where each ghost would be and face after its move, were it not eaten before."""
        goes, errs, whither = jax.random.uniform(key, (3, self.max_ghosts))
        speed = (SPEED + SPEED_UP * (state.level - 1).astype(jnp.float32)) * jnp.where(power > 0, 0.5, 1.0)
        towards = jnp.array(CELLS)[pacman] - jnp.array(CELLS)[state.ghosts]  # [ghosts, 2]

        def one(place, facing, way, goes, errs, whither):
            beside = jnp.array(NEXT)[place, 1:]
            free = beside != place
            exits = free.sum(dtype=jnp.int32)
            free = free & ((jnp.arange(4) != jnp.array(BACK)[facing]) | (exits == 1))
            gain = jnp.array(STEPS)[1:] @ way * jnp.where(power > 0, -1, 1)
            best = jnp.argmax(jnp.where(free, jnp.where(exits > 2, gain, 0), -100)).astype(jnp.int32)
            strays = (errs < params.random) & (power == 0) & (exits > 2)
            turned = jnp.where(strays, pick(whither, free), best)
            return jnp.where(goes < speed, beside[turned], place), jnp.where(goes < speed, turned, facing)

        return jax.vmap(one)(state.ghosts, state.facing, towards, goes, errs, whither)

    def _observe(self, state: MiniPacManState) -> Array:
        if self.view:
            margin = self.view // 2
            numbers = jnp.array(np.pad(NUMBER, margin, constant_values=-1))
            row, column = jnp.array(CELLS)[state.pacman]
            numbers = jax.lax.dynamic_slice(numbers, (row, column), (self.view, self.view))
        else:
            numbers = jnp.array(NUMBER)
        ghosts = ((numbers[..., None] == state.ghosts) & state.alive).any(-1)
        pills = ((numbers[..., None] == state.pills) & state.left).any(-1)
        edible, harm = (x.astype(jnp.float32) / POWER for x in (state.power, POWER - state.power))
        walls, pacman = numbers < 0, numbers == state.pacman
        planes = [walls, state.food[numbers] & ~walls, pacman, ghosts, ghosts, pills]
        scale = jnp.stack([jnp.float32(1)] * 3 + [harm, edible, jnp.float32(1)])
        return jnp.where(jnp.stack(planes, -1), scale, 0)
