"""bAbI as a TFDS data set, without TensorFlow: array_record files, read at random access.

    splits = load("en-10k_qa1")
    splits["train"][0]  # {"task": 1, "story": [b"Mary moved to the bathroom.", ...], "question": b"Where is Mary?", ...}

Three of TFDS's ways need TensorFlow and are avoided: its default file format, its archive reader, and `as_dataset`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from diffmem.tasks.babi import files
from diffmem.tasks.babi.text import TASKS, Story

try:
    import importlib_resources  # noqa: F401  TFDS 4.9 imports it in the middle of a build, and declares it for Python 3.8
    import tensorflow_datasets as tfds
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"{error.name} is missing, a requirement of diffmem itself: pip install tensorflow-datasets importlib_resources",
        name=error.name,
    ) from error

# checksums.tsv has the SHA-256 that the `dataset_infos.json` of huggingface/datasets, datasets/babi_qa, publishes for this
# URL. The copy at s3.amazonaws.com/text-datasets is an older, smaller archive; no checksum of it was found published.
URL = f"http://www.thespermwhale.com/jaseweston/babi/{files.ROOT}.tar.gz"
GENERATED = "generated"
# Of each generated task: questions by split, and the seed of the generator.
QUESTIONS = {"train": 10_000, "valid": 1_000, "test": 1_000}
SEEDS = {"train": 0, "valid": 1, "test": 2}


@dataclass
class BabiConfig(tfds.core.BuilderConfig):
    """Which data: a setting of the data set or "generated", and the tasks."""

    setting: str = GENERATED
    tasks: tuple[int, ...] = tuple(range(1, len(TASKS) + 1))


def _configs() -> Iterator[BabiConfig]:
    for setting in (GENERATED, *files.SETTINGS):
        yield BabiConfig(name=setting, description=f"{setting}, all tasks", setting=setting)
        for task, name in enumerate(TASKS, 1):
            description = f"{setting}, task {task}: {name}"
            yield BabiConfig(name=f"{setting}_qa{task}", description=description, setting=setting, tasks=(task,))


class Babi(tfds.core.GeneratorBasedBuilder):
    """The bAbI tasks, one example a question, in the order of the files.

    `en`, `en-10k`, `en-valid`, `en-valid-10k` and `generated` have all 20 tasks, `en_qa1` and so on have one. `generated`
    runs `generate` and needs no data. The others read a local copy, if `DownloadConfig.manual_dir` or `files.find` names
    one, and else the official archive, which is downloaded and must have the registered checksum.

    Splits are those that the source has, for all tasks or not at all. Examples have the features

        task      int32, 1 to 20
        story_id  int32, the same for all questions of a story, from 0 in each task and split
        story     the sentences before the question
        question, answer
        facts     int32, the supporting sentences as indices into story

    What was prepared is prepared anew when its source is another one by now, going by the source's checksum.

    Source: Weston et al. 2015, arXiv:1502.05698.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012  TFDS declares it so
    BUILDER_CONFIGS = list(_configs())  # noqa: RUF012

    builder_config: BabiConfig
    _source: Path | None = None  # of the data; None: to be downloaded, or generated

    def __init__(self, *, file_format: Any = None, **options: Any):
        super().__init__(file_format=file_format or "array_record", **options)

    def _info(self) -> tfds.core.DatasetInfo:
        text = tfds.features.Text()
        features = {
            "task": np.int32,
            "story_id": np.int32,
            "story": tfds.features.Sequence(text),
            "question": text,
            "answer": text,
            "facts": tfds.features.Sequence(np.int32),
        }
        return self.dataset_info_from_configs(
            description="The 20 bAbI question answering tasks.",
            features=tfds.features.FeaturesDict(features),
            homepage="https://arxiv.org/abs/1502.05698",
            license="Creative Commons Attribution 3.0 Unported, Copyright (c) 2015-present, Facebook, Inc.",
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,
        )

    def download_and_prepare(self, *, download_config: Any = None, **options: Any) -> None:
        """As every builder's, but a URL without a registered checksum is always refused.

        Raises:
            ValueError: a damaged archive or line, or a URL without a checksum.
            FileNotFoundError: the local copy lacks the setting, or a split of some of the tasks.
            NonMatchingChecksumError: of TFDS; the download is not the registered archive.
        """
        config = replace(
            download_config or tfds.download.DownloadConfig(),
            force_checksums_validation=True,
            try_download_gcs=False,  # where the data set is not
        )
        if self.builder_config.setting != GENERATED:
            self._source = files.find(config.manual_dir)
        if self._source:
            self._splits(self._source)  # what is missing is said before anything is deleted
        wanted = self._identity()
        if wanted and self.data_path.exists() and wanted != self.info.metadata["identity"]:
            config = replace(config, download_mode=tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS)
        super().download_and_prepare(download_config=config, **options)

    def _identity(self) -> str | None:
        """Tells one source from another; None for the official archive before it is there."""
        if self.builder_config.setting == GENERATED:
            return f"{QUESTIONS} questions a task, seeds {SEEDS}"
        return files.digest(self._source, self.builder_config.setting) if self._source else None

    def _splits(self, source: Path) -> list[str]:
        """The splits that a source has for the tasks, or FileNotFoundError where it has one for some of them only."""
        setting, tasks = self.builder_config.setting, self.builder_config.tasks
        there = {split for task, split in files.contents(source, setting) if task in tasks}
        splits = [split for split in files.SPLITS if split in there]
        for task in tasks:
            for split in splits or files.SPLITS[:1]:
                files.locate(task, split, setting, source)
        return splits

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterable]:
        if self.builder_config.setting == GENERATED:
            source, splits = "generate", list(QUESTIONS)
        else:
            # Opened by `files`: TFDS's own archive reader needs TensorFlow.
            self._source = self._source or self._download(dl_manager)
            source, splits = str(self._source), self._splits(self._source)
        self.info.metadata.update(source=source, identity=self._identity())
        return {split: self._generate_examples(split) for split in splits}

    def _download(self, dl_manager: tfds.download.DownloadManager) -> Path:
        try:
            return Path(dl_manager.download(URL))
        except Exception as error:  # of the network, of requests or of TFDS
            error.add_note(f"Without a download: a copy named by manual_dir or {files.VARIABLE}, or the config {GENERATED!r}.")
            raise

    def _generate_examples(self, split: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
        key = 0
        for task in self.builder_config.tasks:
            for number, story in enumerate(self._stories(task, split)):
                for question in story.questions:
                    yield (
                        key,
                        {
                            "task": task,
                            "story_id": number,
                            "story": story.sentences[: question.seen],
                            "question": question.text,
                            "answer": question.answer,
                            "facts": question.facts,
                        },
                    )
                    key += 1

    def _stories(self, task: int, split: str) -> list[Story]:
        if self.builder_config.setting == GENERATED:
            from diffmem.tasks.babi.generate import generate

            return generate(task, QUESTIONS[split], seed=SEEDS[split])
        return files.read(task, split, self.builder_config.setting, self._source)


class Splits(dict[str, Sequence[Mapping[str, Any]]]):
    """Data sources by split; a split that is not there raises a ValueError which says why."""

    def __init__(self, splits: Mapping[str, Sequence[Mapping[str, Any]]], source: str):
        super().__init__(splits)
        self.source = source

    def __missing__(self, split: str) -> Sequence[Mapping[str, Any]]:
        raise ValueError(f"bAbI split is {split!r}; {self.source} has: {', '.join(self)}")


def load(config: str = GENERATED, *, data_dir: files.Place | None = None, manual_dir: files.Place | None = None) -> Splits:
    """Builds the data set, unless that has been done, and opens its splits.

    Args:
        config: "generated", "en", "en-10k", "en-valid", "en-valid-10k", or one task of these, such as "en-10k_qa7".
        data_dir: where TFDS keeps what it builds; None: its own place, ~/tensorflow_datasets.
        manual_dir: a local copy, see `files.find`.

    Returns:
        A sequence of examples for each split; text is bytes.

    Raises:
        ValueError: no such config; also as `Babi.download_and_prepare`.
    """
    if config not in Babi.builder_configs:
        settings = ", ".join((GENERATED, *files.SETTINGS))
        raise ValueError(f"bAbI config is {config!r}; legal: {settings}, and these with _qa1 to _qa{len(TASKS)} appended")
    builder = Babi(config=config, data_dir=data_dir)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=manual_dir))
    return Splits(builder.as_data_source(), builder.info.metadata["source"])
