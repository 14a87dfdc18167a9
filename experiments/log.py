"""Optional copies of the metrics: DIFFMEM_LOG=tensorboard,wandb (pip install "diffmem[log]")."""

import os
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def writer(folder: Path | None):
    """Yields a function that takes a line of metrics; it does nothing unless DIFFMEM_LOG asks for more, or without a folder.

    Raises:
        ValueError: DIFFMEM_LOG names something else than tensorboard and wandb.
    """
    chosen = [name for name in os.environ.get("DIFFMEM_LOG", "").split(",") if name and folder]
    known: dict[str, Callable] = {"tensorboard": _tensorboard, "wandb": _wandb}
    for name in chosen:
        if name not in known:
            raise ValueError(f"DIFFMEM_LOG names {name!r}; legal: {', '.join(map(repr, known))}")
    with ExitStack() as stack:
        logs = [known[name](folder, stack) for name in chosen]

        def write(line: dict) -> None:
            values = {f"loss/seed_{i}": loss for i, loss in enumerate(line["loss"])}
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
