"""Data sets that are not part of the library: where a copy of them lies on this machine."""

import os
from pathlib import Path

VARIABLE = "DIFFMEM_DATA"
CHECKOUT = Path(__file__).parents[2]


def find(name: str, path: str | os.PathLike[str] | None = None) -> Path:
    """The file or folder with a data set: the argument, else the folder `name` in DIFFMEM_DATA, else beside the checkout.

    Args:
        name: of the data set's folder.
        path: the file or folder itself.

    Raises:
        FileNotFoundError: there is none; the message says where was looked and how to name one.
    """
    if path is not None:
        found, origin = Path(path).expanduser(), "path"
    elif os.environ.get(VARIABLE):
        found, origin = Path(os.environ[VARIABLE]).expanduser() / name, VARIABLE
    else:
        found, origin = CHECKOUT.parent / "shared" / "data" / name, "the checkout's neighbour"
    if found.exists():
        return found
    raise FileNotFoundError(
        f"no data set {name!r}: {origin} leads to {str(found)!r}, where there is nothing. Give the task a path, or set "
        f"{VARIABLE} to a folder that has {name!r} in it"
    )
