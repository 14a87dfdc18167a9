"""A run's folder: claiming it, keeping its metrics consistent, finding it again."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from diffmem.base import suggest
from experiments import config as configs
from experiments.checkpoint import Checkpoints, load_weights
from experiments.config import Config

RESULTS = Path(__file__).parent / "results"


def claim(folder: Path, name: str, config: Any, **more: str) -> None:
    """Makes a run's folder, or checks that an existing one holds this very run.

    Args:
        folder: the run's.
        name: of the config.
        config: of the run.
        more: what else config.json says, and a run that goes on must agree with.

    Raises:
        ValueError: the folder holds another run, or something that is no run.
    """
    path = folder / "config.json"
    wanted = {"name": name, "config": config.to_json(), **more}
    if there := claimed(folder):
        there = {**there, "config": _with_defaults(there["config"], config)}
        if different := _differences(there, wanted):
            raise ValueError(
                f"{folder} holds another run, which differs in {'; '.join(different)}: "
                "choose another --out, or remove the folder"
            )
    elif folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty and holds no run: choose another --out")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / "config.json.tmp"
        temporary.write_text(json.dumps(wanted, indent=1))
        temporary.replace(path)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """A file of JSON lines, such as a run's metrics, without a last one that a kill cut short; ValueError names any other."""
    lines, found = path.read_text().splitlines(), []
    for number, line in enumerate(lines, 1):
        try:
            found.append(json.loads(line))
        except ValueError as error:
            if number < len(lines):
                raise ValueError(f"{path}, line {number} is damaged: {error}") from None
    return found


def check_writable(path: Path | None) -> None:
    """Makes the folder for a file, and raises OSError unless the file can be written: before the work, not after it."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    there = path.exists()
    path.open("a").close()
    if not there:
        path.unlink()


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Writes the result of an evaluation; `check_writable` made the folder for it."""
    path.write_text(json.dumps(result, indent=1) + "\n")


def _with_defaults(stored: dict[str, Any], config: Any) -> dict[str, Any]:
    """A stored config with the defaults of fields that it was stored without: they are younger than the run."""
    filled = dict(stored)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name not in stored and field.default is not dataclasses.MISSING:
            filled[field.name] = json.loads(json.dumps(field.default))
        elif dataclasses.is_dataclass(value) and isinstance(stored.get(field.name), dict):
            filled[field.name] = _with_defaults(stored[field.name], value)
    return filled


def _differences(stored: Any, wanted: Any, prefix: str = "") -> list[str]:
    if not isinstance(stored, dict) or not isinstance(wanted, dict):
        return [] if stored == wanted else [f"{prefix} ({stored!r} there, {wanted!r} here)"]
    return [
        difference
        for key in sorted(set(stored) | set(wanted))
        for difference in _differences(stored.get(key), wanted.get(key), f"{prefix}.{key}" if prefix else key)
    ]


def keep_lines_up_to(metrics: Path, step: int) -> None:
    """Drops what an interrupted run logged after its last checkpoint: those steps are run, and logged, again."""
    if not metrics.exists():
        return
    kept = []
    for line in metrics.read_text().splitlines():
        try:
            if json.loads(line)["step"] > step:
                break
        except ValueError:  # a line that a kill cut short
            break
        kept.append(line + "\n")
    metrics.write_text("".join(kept))


def claimed(folder: Path) -> dict[str, Any] | None:
    """What a folder is a run of: its name and its config; None where no run has claimed it.

    Raises:
        ValueError: config.json is damaged.
    """
    path = folder / "config.json"
    if not path.exists():
        return None
    stored = read_json(path)
    if not isinstance(stored, dict) or not {"name", "config"} <= stored.keys():
        raise ValueError(f"{path} is damaged: it must hold a run's name and config")
    return stored


def read_json(path: Path) -> Any:
    """What a file of JSON holds; ValueError names a damaged one."""
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def committed(run: str) -> Path | None:
    """The committed weights of this name; None where there are none, or a folder of this name holds a run."""
    weights = RESULTS / f"{run}.npz"
    return weights if weights.exists() and claimed(Path(run)) is None else None


def no_run(run: str, stories: bool = False) -> ValueError:
    """The error for what is neither a run's folder nor has committed weights; it names those that have, or those on stories."""
    known = sorted(p.stem for p in RESULTS.glob("*.npz") if not stories or is_story(p.stem))
    neither = "neither a folder with a config.json nor one of those with committed weights"
    return ValueError(f"{run!r} is no run: {neither}{suggest(run, known)}")


def no_checkpoint(run: str, stored: bool) -> ValueError:
    """The error for a run of which nothing can be read, though perhaps something is stored."""
    return ValueError(f"{run!r} has {'checkpoints, but none is readable' if stored else 'no checkpoint yet'}")


def at_step(run: str) -> tuple[Path, int | None]:
    """RUN/checkpoints/500 as RUN and 500; any other path as it is, with None."""
    path = Path(run)
    if path.name.isdigit() and path.parent.name == "checkpoints":
        return path.parents[1], int(path.name)
    return path, None


def _name(run: str) -> str:
    """What a run's folder, or that of a checkpoint, says it is a run of; anything else names itself."""
    folder, step = at_step(run)
    stored = claimed(folder) or (claimed(folder.parent) if step is not None else None)  # a run on stories has parts
    return (stored or {"name": run})["name"]


def is_story(run: str) -> bool:
    """Whether this is a run, or the name of a config, that answers questions about stories."""
    name = _name(run)
    return name in configs.known() and not isinstance(configs.load(name), Config)


def is_agent(run: str) -> bool:
    """Whether this is the folder of a run of `experiments.ppo`."""
    return _name(run).startswith("ppo ")


def find(run: str) -> tuple[str, Config, Any, str]:
    """The config name, config and trained parameters (leading axis: seeds) of a run, and where they came from.

    Args:
        run: a run's folder, one checkpoint in it, or the name of a config whose weights are committed.

    Raises:
        ValueError: nothing of that kind, no checkpoint yet, or a checkpoint of other sizes.
    """
    from experiments.train import initial_state  # the structure that checkpoints are read into

    if weights := committed(run):
        params, meta = load_weights(weights)
        return (
            meta["name"],
            configs.from_json(meta["name"], meta["config"]),
            params,
            f"committed weights {weights.name}",
        )
    path, step = at_step(run)
    stored = claimed(path)
    if stored is None:
        raise no_run(run)
    config = configs.from_json(stored["name"], stored["config"])
    state = initial_state(config)
    with Checkpoints(path / "checkpoints") as checkpoints:
        restored = checkpoints.find(state, step)
        if restored is None:
            raise no_checkpoint(run, bool(checkpoints.steps()))
    return stored["name"], config, restored[1].params, f"{path} at step {restored[0]}"
