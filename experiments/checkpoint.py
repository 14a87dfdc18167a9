"""Orbax checkpoints that survive a kill at any moment, and committed weights as one NumPy file."""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util


class Checkpoints:
    """The newest checkpoints of a run, written atomically: a folder is renamed into place once it is complete.

    Args:
        folder: where they go.
        keep: how many of the newest stay; more than one, so that a damaged one costs little.
    """

    def __init__(self, folder: Path, keep: int = 3):
        # Imported here: Orbax costs half a second that `--help` need not pay.
        from orbax.checkpoint import v1

        logging.getLogger("absl").setLevel(logging.ERROR)
        self.folder = folder
        # Orbax's policies and its own protocol for them disagree about the type of a checkpoint's metrics.
        self._checkpointer = v1.training.Checkpointer(
            str(folder.resolve()),
            save_decision_policy=v1.training.save_decision_policies.FixedIntervalPolicy(1),  # ty: ignore[invalid-argument-type]
            preservation_policy=v1.training.preservation_policies.LatestN(keep),  # ty: ignore[invalid-argument-type]
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._checkpointer.close()

    def steps(self) -> list[int]:
        """The steps of the stored checkpoints, in order."""
        return sorted(checkpoint.step for checkpoint in self._checkpointer.checkpoints)

    def save(self, step: int, state: Any) -> None:
        """Stores a NamedTuple of trees of arrays."""
        if step not in self.steps():
            self._checkpointer.save_checkpointables(step, {"state": _present(state)})

    def restore(self, step: int, like: Any) -> Any:
        """The NamedTuple stored at a step, with the structure, types and shapes of `like`.

        Raises:
            ValueError: there is none.
            WrongSizes: it holds arrays of other sizes; the message names the first.
            Damaged: it cannot be read.
        """
        if step not in self.steps():
            raise ValueError(f"{self.folder} has no checkpoint {step}; stored: {', '.join(map(str, self.steps())) or 'none'}")
        source = f"checkpoint {self.folder / str(step)}"
        try:
            stored = self._checkpointer.checkpointables_metadata(step).metadata["state"]
            check_shapes(named_shapes(stored), named_shapes(like), source)
            shape = lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding)  # noqa: E731
            abstract = jax.tree.map(shape, _present(like))
            return like._replace(**self._checkpointer.load_checkpointables(step, {"state": abstract})["state"])
        except WrongSizes:
            raise
        except Exception as error:  # whatever a damaged file makes the reader raise
            reason = str(error.__cause__ or error).strip().split("\n")[0][:200]
            raise Damaged(f"{source} is damaged ({reason})") from error

    def restore_newest(self, like: Any) -> tuple[int, Any] | None:
        """The newest checkpoint that can be read, or None; says which ones are damaged and falls back.

        Raises:
            WrongSizes: the newest readable one holds arrays of other sizes.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                return step, self.restore(step, like)
            except Damaged as error:
                print(f"{error}{': trying the one before' if step > steps[0] else ''}", file=sys.stderr)
        return None

    def find(self, like: Any, step: int | None = None) -> tuple[int, Any] | None:
        """The checkpoint of a step, or the newest for None, as `restore_newest`; errors as there and in `restore`."""
        return self.restore_newest(like) if step is None else (step, self.restore(step, like))

    def resume(self, fresh: Any) -> Any:
        """The tree that a run goes on with: the newest that can be read, or the fresh one; removes damaged ones after it.

        Raises:
            Damaged: there are checkpoints, but none can be read. They stay, as the reason may pass.
            WrongSizes: see `restore_newest`.
        """
        restored = self.restore_newest(fresh)
        if restored is None and self.steps():
            raise Damaged(f"no checkpoint in {self.folder} can be read; to start from scratch, remove the run's folder")
        step, state = restored or (-1, fresh)
        self.discard_after(step)
        return state

    def last_good(self, unit: str) -> str:
        """What a run that ends early says is left of it."""
        steps = self.steps()
        return f"the last good checkpoint is {unit} {steps[-1]}" if steps else "there is no checkpoint yet"

    def discard_after(self, step: int) -> None:
        """Removes the checkpoints after a step."""
        for later in [stored for stored in self.steps() if stored > step]:
            self._checkpointer.delete(later)


def rounded(params: Any, bits: int) -> Any:
    """The parameters with so many bits of their mantissas: with 8, as in bfloat16, they compress to half their size."""

    def one(array):
        mantissa, exponent = np.frexp(np.asarray(array))
        return np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits)

    return jax.tree.map(one, params)


def save_weights(path: Path, params: Any, meta: dict) -> None:
    """Writes parameters and a dictionary as one compressed .npz, arrays named by their path."""
    flat: dict[str, Any] = {key: np.asarray(value) for key, value in traverse_util.flatten_dict(params, sep="/").items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, meta=json.dumps(meta), **flat)


def load_weights(path: Path) -> tuple[Any, dict]:
    """What `save_weights` wrote."""
    with np.load(path, allow_pickle=False) as archive:
        flat = {key: archive[key] for key in archive.files}
    meta = json.loads(str(flat.pop("meta")))
    return traverse_util.unflatten_dict(flat, sep="/"), meta


class WrongSizes(ValueError):
    """Stored arrays do not fit the configuration."""


class Damaged(ValueError):
    """A checkpoint cannot be read."""


def check_shapes(stored: dict[str, tuple], expected: dict[str, tuple], source: str) -> None:
    """Raises WrongSizes naming the first array, parameters first, whose shape differs; a missing one is damage, not size."""
    for name in sorted(stored.keys() & expected.keys(), key=lambda name: (not name.startswith("params."), name)):
        if stored[name] != expected[name]:
            raise WrongSizes(f"{source} holds {stored[name]} for {name}, but this configuration needs {expected[name]}")


def _present(state: Any) -> dict[str, Any]:
    """The fields that hold something: one that may be None can join a state without a change to the checkpoints without it."""
    return {name: tree for name, tree in state._asdict().items() if tree is not None}


def taken_over(params: Any, fresh: Any, config: Any, source: str) -> Any:
    """The parameters of another run for one of this config that has these fresh ones, seed by seed.

    Raises:
        ValueError: fewer seeds there than here, or parameters of another model.
        WrongSizes: parameters of other sizes.
    """
    have, want = named_shapes(params), named_shapes(fresh)
    if have.keys() != want.keys():
        one = sorted(have.keys() ^ want.keys())[0]
        raise ValueError(f"{source} holds the parameters of another model: {one} is in one only")
    if (seeds := len(jax.tree.leaves(params)[0])) < config.seeds:
        raise ValueError(f"{type(config).__name__}.seeds is {config.seeds}, but {source} holds {seeds}")
    params = jax.tree.map(lambda a: jnp.asarray(a[: config.seeds]), params)
    check_shapes(named_shapes(params), want, source)
    return params


def named_shapes(tree: Any) -> dict[str, tuple]:
    """Shapes by path; a random key counts as the numbers it is stored as."""

    def shape(leaf):
        is_key = isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return tuple((jax.random.key_data(leaf) if is_key else leaf).shape)

    paths = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): shape(leaf) for path, leaf in paths}
