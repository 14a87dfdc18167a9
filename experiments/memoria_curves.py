"""Memoria's serial-position and retention curves: `python -m experiments.memoria_curves`.

Lists of random items go into an untrained Memoria, one at a step. After a list, each item, with noise, is called to mind in
turn from the state that the list left behind. The longest delays are those of the first items of a list alone. Writes
curves.json and curves.png under docs/pictures/memoria, and sorting.png from the committed results of `memoria_sorting` and
`transformer_sorting`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from diffmem import Memoria, viz
from diffmem.memories.memoria import EMPTY, LONG, SHORT
from experiments.publish import PICTURES
from experiments.runs import RESULTS
from experiments.runtime import environment, launch, set_up_compiler


@dataclass(frozen=True)
class Options:
    """Which lists go into which memory."""

    memory: Memoria = Memoria(16, slots=64, short_term=8, lifespan=12.0)  # noqa: RUF009 (frozen)
    items: int = 40
    """Items in a list."""
    lists: int = 500
    """Lists, each with items of its own."""
    noise: float = 0.3
    """Standard deviation of the noise in what is called to mind; that of the items is 1."""
    seed: int = 0
    out: Path = PICTURES / "memoria"


def measure(options: Options) -> dict[str, dict[str, list[float]]]:
    """The curves: {"position": label -> [items], "retention": label -> [items]}, shares of the lists.

    Raises:
        ValueError: a memory that takes more than one item at a step.
    """
    if options.memory.working != 1:
        raise ValueError(f"memory.working is {options.memory.working}; legal: 1, an item at a step")
    memory, items = options.memory, options.items
    params_key, *keys = jax.random.split(jax.random.key(options.seed), 1 + options.lists)
    params = memory.init_params(params_key)

    def one(key: jax.Array) -> Any:
        """Of one list: the kind of each item's engram, EMPTY where it is gone, after every step; and whether it is recalled."""
        items_key, noise_key = jax.random.split(key)
        xs = jax.random.normal(items_key, (items, memory.input_size))

        def step(carry, inputs):
            (state, names), (x, item) = carry, inputs
            written = memory.write(params, state, x)
            # An engram's slot is its own for life: an item is found again by the slot of what was the newest engram.
            names = names.at[written.id.argmax()].set(item)
            state, readout = memory.read(params, written, x)
            state = memory.settle(params, memory.reinforce(params, state, readout.weights))
            names = jnp.where(state.kind == EMPTY, -1, names)
            kinds = jnp.zeros(items, state.kind.dtype).at[jnp.where(names < 0, items, names)].set(state.kind, mode="drop")
            return (state, names), kinds

        begin = memory.init_state(params), jnp.full(memory.slots, -1)
        (state, names), kinds = jax.lax.scan(step, begin, (xs, jnp.arange(items)))
        probes = xs + options.noise * jax.random.normal(noise_key, xs.shape)

        def recalled(i, probe):
            return (memory.recall(state, probe[None])[1] & (names == i)).any()

        return kinds, jax.vmap(recalled)(jnp.arange(items), probes)

    kinds, recalled = jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(jnp.stack(keys)))
    written, now = np.arange(items), np.arange(items)[:, None]
    delays = {d: kinds[:, (now - written) == d] for d in range(items)}
    share = lambda flags: flags.mean(0).round(4).tolist()  # noqa: E731
    return {
        "position": {"recalled": share(recalled), "alive": share(kinds[:, -1] != EMPTY)},
        "retention": {
            label: [round(float(np.isin(delays[d], among).mean()), 4) for d in range(items)]
            for label, among in {"alive": (SHORT, LONG), "short-term": (SHORT,), "long-term": (LONG,)}.items()
        },
    }


def sorting() -> Any:
    """A figure of how many ranks were wrong against length, with memory and without, from the committed results."""
    found = {name: json.loads((RESULTS / f"{name}_sorting.json").read_text()) for name in ("memoria", "transformer")}
    errors = {
        name: {int(text): [seed["error_percent"][text] for seed in one["seeds"]] for text in one["error_percent"]}
        for name, one in found.items()
    }
    trained = tuple(found["memoria"]["config"]["task"]["lengths"])
    figure = viz.generalisation_curve(errors, trained=trained, xlabel="symbols to sort", ylabel="wrong ranks in percent")
    figure.axes[0].set(xscale="log", yscale="linear", ylim=(0, 100))
    return figure


def main(arguments: list[str]) -> None:
    """Measures, draws and writes."""
    options = tyro.cli(Options, args=arguments, prog="python -m experiments.memoria_curves", description=__doc__)
    set_up_compiler()
    curves = measure(options)
    options.out.mkdir(parents=True, exist_ok=True)
    settings = {"memory": repr(options.memory), "items": options.items, "lists": options.lists, "noise": options.noise}
    text = json.dumps({"command": "python -m experiments.memoria_curves", **settings, **environment(), **curves}, indent=1)
    (options.out / "curves.json").write_text(text + "\n")
    viz.recall_curves(**curves).savefig(options.out / "curves.png")
    sorting().savefig(options.out / "sorting.png")
    print(f"wrote curves.json, curves.png and sorting.png in {options.out}")


if __name__ == "__main__":
    launch(main)
