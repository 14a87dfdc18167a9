"""Agents with a memory."""

import json
from collections import Counter

import numpy as np

from experiments.runs import RESULTS, read_lines
from experiments.tables import markdown

LEVELS = ("easy", "medium", "hard")
# Mean return of random play, and of a player who forgets nothing, at each level: measured on POPGym's own environments, or
# exact. Normalised scores lie between the two.
RETURNS = {
    "repeat_first": ((-0.50, 1.0), (-0.51, 1.0), (-0.51, 1.0)),
    "repeat_previous": ((-0.49, 1.0), (-0.51, 1.0), (-0.46, 1.0)),
    "autoencode": ((-0.51, 1.0), (-0.54, 1.0), (-0.52, 1.0)),
    "count_recall": ((-0.92, 1.0), (-0.91, 1.0), (-0.89, 1.0)),
    "concentration": ((-0.19, 0.829), (-0.18, 0.821), (-0.82, 0.707)),
    "battleship": ((-0.45, 1.0), (-0.46, 1.0), (-0.39, 1.0)),
    "minesweeper": ((-0.33, 1.0), (-0.43, 1.0), (-0.44, 1.0)),
    "multiarmed_bandit": ((-0.01, 0.81), (-0.02, 0.91), (0.0, 0.94)),
    "position_only_cartpole": ((0.13, 1.0), (0.06, 1.0), (0.04, 1.0)),
    "noisy_position_only_cartpole": ((0.13, 1.0), (0.12, 1.0), (0.12, 1.0)),
    "position_only_pendulum": ((0.25, 0.908), (0.28, 0.908), (0.26, 0.908)),
    "noisy_position_only_pendulum": ((0.25, 0.908), (0.28, 0.908), (0.28, 0.908)),
}
LIMITS = {f"{env}_{level}": pair for env, pairs in RETURNS.items() for level, pair in zip(LEVELS, pairs, strict=True)}


def rl(file: str = "sweep.jsonl") -> str:
    """Agents, environment by memory, one table per budget, the largest first."""
    cells = read_lines(RESULTS / "rl" / file)
    budget = lambda cell: (cell["env_steps"], cell["config"]["seeds"])  # noqa: E731
    budgets = sorted({budget(cell) for cell in cells}, reverse=True)
    return "\n\n".join(agents([cell for cell in cells if budget(cell) == one]) for one in budgets)


def rebinding() -> str:
    """Agents whose memories hold equally many numbers, on recall of keys that are bound twice."""
    return rl("rebinding.jsonl")


def mazes() -> str:
    """Agents that were trained in a short T-maze, in longer ones: the median over the seeds, the best and the worst."""
    found = [json.loads(path.read_text()) for path in sorted((RESULTS / "rl").glob("t_maze_*.json"))]
    lengths = list(found[0]["on"])
    rows = []
    for one in found:
        seeds = [one["on"][length]["seeds"] for length in lengths]
        cells = (f"{np.median(each):.2f} [{max(each):.2f}, {min(each):.2f}]" for each in seeds)
        rows.append([f"`{one['memory']}`", *cells])
    return markdown(" | ".join(["memory", *(f"> {length}" for length in lengths)]), rows)


def agents(cells: list[dict]) -> str:
    """The best mean return of a rollout, mean and spread over seeds, of the agents of one budget."""
    environments = list(dict.fromkeys(cell["env"] for cell in cells))
    kind = lambda cell: (cell["memory"], *cell["config"]["memory_options"])  # noqa: E731
    kinds = list(dict.fromkeys(map(kind, cells)))
    of_name = Counter(name for name, *_ in kinds)
    columns = {  # options are told only where they tell columns apart
        " ".join(one if of_name[one[0]] > 1 else one[:1]): [cell for cell in cells if kind(cell) == one] for one in kinds
    }

    def median(number):
        return lambda mine: f"{np.median([number(cell) for cell in mine]):,.0f}"

    def published(cell):
        return "no episode ended" if cell["mmer"] is None else f"{cell['mmer']:.3f} ± {cell['mmer_spread'] or 0:.3f}"

    def score(env):
        return lambda mine: "".join(published(cell) for cell in mine if cell["env"] == env)

    def normalised(among):
        def write(mine):
            found = {cell["env"]: cell["mmer"] for cell in mine if cell["env"] in among and cell["mmer"] is not None}
            return f"{np.mean([_normalised(env, found[env]) for env in among]):.3f}" if len(found) == len(among) else ""

        return write

    rows = {f"`{env}`": score(env) for env in environments}
    scored = {level: [env for env in environments if env in LIMITS and env.endswith(f"_{level}")] for level in LEVELS}
    several = {f"{len(among)} {level}": among for level, among in scored.items() if len(among) > 1}
    if len(several) > 1:
        several[f"all {sum(map(len, several.values()))}"] = [env for among in several.values() for env in among]
    rows |= {f"normalised, mean of {which}": normalised(among) for which, among in several.items()}
    rows["parameters, median"] = median(lambda cell: cell["parameters"])
    rows["numbers in the state, median"] = median(lambda cell: cell["state_reals"])
    rows["CPU seconds a seed, median"] = median(lambda cell: cell["cpu_seconds"] / cell["config"]["seeds"])
    titles = " | ".join(["environment", *(f"> `{memory}`" for memory in columns)])
    table = markdown(titles, ([title, *map(write, columns.values())] for title, write in rows.items()))
    return f"{cells[0]['env_steps']:,} steps in the environments, {cells[0]['config']['seeds']} seeds:\n\n{table}"


def _normalised(env: str, mmer: float) -> float:
    """How far a memory comes from random play (0) to perfect play (1)."""
    least, most = LIMITS[env]
    return (mmer - least) / (most - least)
