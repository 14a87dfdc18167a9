"""Optional copies of the metrics: DIFFMEM_LOG=tensorboard,wandb (pip install "diffmem[log]")."""

import os
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from pathlib import Path


def writers() -> list[str]:
    """The names in DIFFMEM_LOG.

    Raises:
        ValueError: something else than tensorboard and wandb.
    """
    names = [name for name in os.environ.get("DIFFMEM_LOG", "").split(",") if name]
    for name in names:
        if name not in KNOWN:
            raise ValueError(f"DIFFMEM_LOG names {name!r}; legal: {', '.join(map(repr, KNOWN))}")
    return names


@contextmanager
def writer(folder: Path | None):
    """Yields a function that takes a line of metrics; it does nothing unless DIFFMEM_LOG asks for more, or without a folder.

    Raises:
        ValueError: see `writers`, which launchers call before there is a folder.
    """
    with ExitStack() as stack:
        logs = [KNOWN[name](folder, stack) for name in writers()] if folder else []

        def write(line: dict) -> None:
            shown = {name: line[name] for name in ("loss", "valid_error_percent") if name in line}
            values = {f"{name}/seed_{i}": value for name, seeds in shown.items() for i, value in enumerate(seeds)}
            for log in logs:
                log(values, line["step"])

        yield write


def _tensorboard(folder: Path, stack: ExitStack):
    from tensorboardX import SummaryWriter

    board = stack.enter_context(SummaryWriter(str(folder / "tensorboard")))
    return lambda values, step: [board.add_scalar(name, value, step) for name, value in values.items()]


def _wandb(folder: Path, stack: ExitStack):
    import wandb

    run = stack.enter_context(wandb.init(project="diffmem", name=folder.name, dir=str(folder)))
    return lambda values, step: run.log(values, step=step)


KNOWN: dict[str, Callable] = {"tensorboard": _tensorboard, "wandb": _wandb}
