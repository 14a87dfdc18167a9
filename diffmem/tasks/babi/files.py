"""Reading bAbI files from a folder or from an archive that stays packed. `builder.py` hands the same stories to TFDS.

The official archive has the files as `tasks_1-20_v1-2/en/qa1_single-supporting-fact_train.txt`, and in `en-valid` and
`en-valid-10k`, which hold out a tenth of the training stories, as `qa1_valid.txt`. A folder may hold either kind.
"""

import hashlib
import os
import re
import tarfile
import zlib
from collections.abc import Iterable
from functools import lru_cache
from lzma import LZMAError
from pathlib import Path, PurePosixPath

from diffmem.tasks.babi.text import TASKS, Story, check_task, file_name, parse

SETTINGS = ("en", "en-10k", "en-valid", "en-valid-10k")
SPLITS = ("train", "valid", "test")
VARIABLE = "DIFFMEM_BABI"
ROOT = "tasks_1-20_v1-2"  # the folder that the official archive unpacks into
ARCHIVES = (f"{ROOT}.tar.gz", f"babi_{ROOT}.tar.gz", "train.tar.xz")  # looked for in a folder that holds no files itself
CHECKOUT = Path(__file__).parents[3]
NAME = re.compile(r"qa(\d+)(?:_.+)?_(train|valid|test)\.txt")

Place = str | os.PathLike[str]


def find(data_dir: Place | None = None) -> Path | None:
    """Where the data are: the argument, else the environment variable DIFFMEM_BABI, else a copy beside the checkout.

    Args:
        data_dir: an archive, a folder that holds one of `ARCHIVES`, the unpacked archive, or a folder with the files.

    Returns:
        The archive or folder; None when nothing was named and the checkout has no neighbour `shared/data/babi`.

    Raises:
        FileNotFoundError: what was named is not there, or is a folder without bAbI data.
    """
    given, origin = (data_dir, "data_dir") if data_dir is not None else (os.environ.get(VARIABLE), VARIABLE)
    if not given:
        beside = CHECKOUT.parent / "shared" / "data" / "babi" / "train.tar.xz"
        return beside if beside.exists() else None
    place = Path(given).expanduser()
    if not place.exists():
        raise FileNotFoundError(f"{origin} is {str(given)!r}, where there is nothing")
    if place.is_file() or any(folder.is_dir() for folder in _setting_folders(place).values()) or _index(_names(place)):
        return place
    for archive in ARCHIVES:
        if (place / archive).is_file():
            return place / archive
    raise FileNotFoundError(
        f"{origin} is {str(given)!r}, where there are no files such as {file_name(1, 'test')}, "
        f"no folder {' or '.join(SETTINGS)} and no archive {' or '.join(ARCHIVES)}; there is: {_some(_names(place))}"
    )


def read(task: int, split: str, setting: str = "en-10k", data_dir: Place | None = None) -> list[Story]:
    """The stories of one task.

    Args:
        task: 1 to 20.
        split: "train", "test", or "valid", which only the settings with "valid" have.
        setting: one of `SETTINGS`: 1,000 or 10,000 training questions, as they are or with a validation split held out.
        data_dir: see `find`. The files of a folder that holds them directly are taken for those of the setting.

    Raises:
        ValueError: no such task, split or setting; a damaged archive or line, with file and line number.
        FileNotFoundError: the data are not there, or lack the setting, split or task.
    """
    source = _source(task, split, setting, data_dir)
    name = locate(task, split, setting, source)
    text = _texts(source, setting)[name]
    return _parse(text, f"{source}/{setting}/{name}" if source.is_file() else str(text))


def has(task: int, split: str, setting: str = "en-10k", data_dir: Place | None = None) -> bool:
    """Whether `read` finds the file, without reading it; ValueError as there."""
    try:
        locate(task, split, setting, _source(task, split, setting, data_dir))
    except FileNotFoundError:
        return False
    return True


def read_file(path: Place) -> list[Story]:
    """The stories of one file; ValueError names the file and line of the first damage."""
    return _parse(Path(path), str(path))


def folder_tasks(folder: Place, split: str = "test") -> dict[int, Path]:
    """The files of a folder by task, in the order of the tasks: what an evaluation of that folder reads.

    Args:
        folder: has files named as in bAbI, long or short: qa1_single-supporting-fact_test.txt, qa1_test.txt.
        split: "train", "valid" or "test".

    Raises:
        FileNotFoundError: no such folder, or no such file in it; the message says what is there.
        ValueError: two files for one task.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"{str(folder)!r} is no folder")
    index = _index(_names(folder))
    found = {task: folder / name for (task, kind), name in sorted(index.items()) if kind == split}
    if not found:
        there = _some(_names(folder))
        raise FileNotFoundError(f"no files qa<task>_..._{split}.txt in {str(folder)!r}; there is: {there}")
    return found


def locate(task: int, split: str, setting: str, source: Path) -> str:
    """The name of one file, without reading it; errors as in `read`."""
    index = contents(source, setting)
    if (task, split) in index:
        return index[task, split]
    splits = [name for name in SPLITS if name in {there for _, there in index}]
    if split not in splits:
        raise FileNotFoundError(f"{source} has no {split} split of {setting}; it has: {', '.join(splits)}")
    tasks = ", ".join(str(number) for number, there in sorted(index) if there == split)
    lacks = f"{source} has no {split} file of task {task} ({TASKS[task - 1]}) for {setting}; it has those of: {tasks}"
    if task == 3 and split == "train" and setting.endswith("10k"):
        lacks += ". This copy lacks the largest file of the data set; `generate(3, 10_000)` of diffmem.tasks.babi stands in"
    raise FileNotFoundError(lacks)


def contents(source: Path, setting: str) -> dict[tuple[int, str], str]:
    """The names of a setting's files by task and split; errors as in `read`."""
    index = _index(_texts(source, check_setting(setting)))
    if index:
        return index
    if source.is_file():
        there = ", ".join(name for name in SETTINGS if _texts(source, name)) or "no bAbI file at all"
    else:
        there = _some(_names(source))
    raise FileNotFoundError(f"{source} has no files of the setting {setting}; there is: {there}")


def digest(source: Path, setting: str) -> str:
    """SHA-256 of an archive, or of the names and bytes of a setting's files in a folder."""
    if source.is_file():
        return hashlib.sha256(source.read_bytes()).hexdigest()
    together = hashlib.sha256()
    for name, path in sorted(_texts(source, setting).items()):
        together.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return together.hexdigest()


def check_setting(setting: str) -> str:
    """The setting, or ValueError."""
    if setting not in SETTINGS:
        raise ValueError(f"bAbI setting is {setting!r}; legal: {', '.join(SETTINGS)}")
    return setting


def _source(task: int, split: str, setting: str, data_dir: Place | None) -> Path:
    """Where to read, once the names are legal and there are data."""
    check_task(task)
    if split not in SPLITS:
        raise ValueError(f"bAbI split is {split!r}; legal: {', '.join(SPLITS)}")
    check_setting(setting)
    source = find(data_dir)
    if source is None:
        raise FileNotFoundError(
            f"no bAbI data: name an archive or folder with data_dir or the environment variable {VARIABLE}; "
            f"`diffmem.tasks.babi.generate` makes questions of the same kind without any"
        )
    return source


def _setting_folders(source: Path) -> dict[str, Path]:
    top = source / ROOT if (source / ROOT).is_dir() else source
    return {setting: top / setting for setting in SETTINGS}


def _texts(source: Path, setting: str) -> dict:
    """A setting's files: name -> path in a folder, name -> bytes in an archive."""
    if source.is_file():
        stamp = source.stat()
        return _unpack(source, stamp.st_mtime_ns, stamp.st_size)[setting]
    folder = _setting_folders(source)[setting]
    if not folder.is_dir():
        # A folder .../en given for en-10k is a mistake, and would pass for ten times the data that it has.
        if source.name in SETTINGS and source.name != setting:
            return {}
        folder = source
    return {name: folder / name for name in _names(folder) if NAME.fullmatch(name)}


@lru_cache(maxsize=1)
def _unpack(source: Path, mtime: int, size: int) -> dict[str, dict[str, bytes]]:
    """An archive's bAbI files by setting and name. `mtime` and `size` are there for the cache.

    One pass for all: an archive has no index, so that reading one file costs as much as reading it whole. The bytes are
    compressed again, one file at a time, or the cache would keep 90 MB.
    """
    texts: dict[str, dict[str, bytes]] = {setting: {} for setting in SETTINGS}
    try:
        with tarfile.open(source) as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if member.isfile() and path.parent.name in texts and NAME.fullmatch(path.name):
                    text = archive.extractfile(member)
                    texts[path.parent.name][path.name] = zlib.compress(text.read() if text else b"", 1)
            # Up to the very end, where gzip has its checksum.
            while archive.fileobj and archive.fileobj.read(1 << 20):
                pass
    except (tarfile.TarError, EOFError, zlib.error, LZMAError, OSError) as error:
        raise ValueError(f"{source}: damaged, or no .tar.gz or .tar.xz archive ({error})") from error
    return texts


def _parse(text: Path | bytes, name: str) -> list[Story]:
    content = zlib.decompress(text) if isinstance(text, bytes) else text.read_bytes()
    try:
        # Not splitlines, for which a form feed ends a line too.
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        found = error.object[error.start : error.end]
        raise ValueError(f"{name}, line {number}: expected UTF-8 text, found the bytes {found!r}") from error
    stories = list(parse(lines, name))
    if not any(story.questions for story in stories):
        raise ValueError(f"{name}, line {len(lines)}: expected a question by the end of the file, found none")
    return stories


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _index(names: Iterable[str]) -> dict[tuple[int, str], str]:
    """File names by task and split; names of no bAbI file are left out."""
    index: dict[tuple[int, str], str] = {}
    for name in names:
        match = NAME.fullmatch(name)
        if not match or not 1 <= int(match[1]) <= len(TASKS):
            continue
        key = int(match[1]), match[2]
        if key in index:
            raise ValueError(f"two files for the {key[1]} split of task {key[0]}: {index[key]} and {name}")
        index[key] = name
    return index


def _some(names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "nothing"
