"""bAbI from files and through TFDS: what is read is what the files say, and what is missing or damaged is named."""

import gzip
import hashlib
import runpy
import sys
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download.checksums import UrlInfo
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

from diffmem.tasks.babi import builder, files
from diffmem.tasks.babi.text import Question, Story, count_questions, file_name, parse

REAL = files.CHECKOUT.parent / "shared" / "data" / "babi" / "train.tar.xz"
TEXT = """1 Mary moved to the bathroom.
2 John went to the hallway.
3 Where is Mary?\tbathroom\t1
4 Mary took the milk there.
5 Where is the milk?\tbathroom\t4 1
1 Sandra is in the attic.
2 Is Sandra in the attic?\tyes\t1
"""
STORIES = [
    Story(
        ("Mary moved to the bathroom.", "John went to the hallway.", "Mary took the milk there."),
        (Question("Where is Mary?", "bathroom", (0,), 2), Question("Where is the milk?", "bathroom", (2, 0), 3)),
    ),
    Story(("Sandra is in the attic.",), (Question("Is Sandra in the attic?", "yes", (0,), 1),)),
]
EXAMPLES = [  # task, story_id, story, question, answer, facts
    (0, ["Mary moved to the bathroom.", "John went to the hallway."], "Where is Mary?", "bathroom", [0]),
    (
        0,
        ["Mary moved to the bathroom.", "John went to the hallway.", "Mary took the milk there."],
        "Where is the milk?",
        "bathroom",
        [2, 0],
    ),
    (1, ["Sandra is in the attic."], "Is Sandra in the attic?", "yes", [0]),
]


def write(path, text=TEXT):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def copy(tmp_path):
    """A copy in the official layout: all tasks in en, two in en-valid, and en-10k as in the copy that lacks task 3."""
    top = tmp_path / "copy" / "tasks_1-20_v1-2"
    for task in range(1, 21):
        name = "kitchen" if task == 20 else "bathroom"  # so that one task differs
        write(top / "en" / file_name(task, "train"), TEXT.replace("bathroom", name))
        write(top / "en" / file_name(task, "test"))
        if task != 3:
            write(top / "en-10k" / file_name(task, "train"))
    for task in (1, 2):
        for split in ("train", "valid", "test"):
            write(top / "en-valid" / f"qa{task}_{split}.txt")
    write(top / "en-10k-partial" / "qa3_three-supporting-facts_train_partial.txt")
    return top.parent


@pytest.fixture
def archive(copy):
    path = copy.parent / "somewhere" / "tasks_1-20_v1-2.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        tar.add(copy / "tasks_1-20_v1-2", "tasks_1-20_v1-2")
    return path


@pytest.fixture(autouse=True)
def nothing_outside(monkeypatch, tmp_path):
    """Hides the data that this machine has."""
    monkeypatch.delenv(files.VARIABLE, raising=False)
    monkeypatch.setattr(files, "CHECKOUT", tmp_path / "checkout")
    tfds.disable_progress_bar()


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_folder_an_archive_and_a_folder_with_an_archive_read_alike(copy, archive):
    xz = copy.parent / "train.tar.xz"
    with tarfile.open(xz, "w:xz") as tar:
        tar.add(copy / "tasks_1-20_v1-2", ".")  # without the top folder
    for place in (copy, copy / "tasks_1-20_v1-2", copy / "tasks_1-20_v1-2" / "en", archive, archive.parent, xz, str(xz)):
        assert files.read(1, "test", "en", place) == STORIES
        assert files.read(20, "train", "en", place)[0].questions[0].answer == "kitchen"
    assert files.read(2, "valid", "en-valid", archive) == files.read(2, "valid", "en-valid", copy) == STORIES


def test_a_changed_archive_is_read_anew(archive):
    assert files.read(1, "test", "en", archive) == STORIES
    write(archive.parent / "new.txt", "1 A is in B.\n2 Where is A?\tB\t1\n")
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(archive.parent / "new.txt", "tasks_1-20_v1-2/en/qa1_test.txt")
    assert files.read(1, "test", "en", archive) == [Story(("A is in B.",), (Question("Where is A?", "B", (0,), 1),))]


def test_the_data_are_found_by_argument_then_variable_then_beside_the_checkout(monkeypatch, copy, archive, tmp_path):
    assert files.find() is None
    beside = tmp_path / "shared" / "data" / "babi" / "train.tar.xz"
    write(beside)
    assert files.find() == beside
    monkeypatch.setenv(files.VARIABLE, str(archive))
    assert files.find() == archive
    assert files.find(copy) == copy
    monkeypatch.setenv(files.VARIABLE, str(tmp_path / "typo"))
    with pytest.raises(FileNotFoundError, match=r"DIFFMEM_BABI is '.*typo', where there is nothing"):
        files.find()


def test_without_data_the_error_says_how_to_name_them(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data_dir or the environment variable DIFFMEM_BABI.*generate"):
        files.read(1, "train", "en")
    write(tmp_path / "empty" / "notes.txt")
    with pytest.raises(FileNotFoundError, match=r"no files such as qa1_single-supporting-fact_test.txt.* there is: notes.txt"):
        files.read(1, "train", "en", tmp_path / "empty")


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_missing_is_named_with_what_is_there(copy, archive, packed):
    source = archive if packed else copy
    with pytest.raises(FileNotFoundError, match="no valid split of en; it has: train, test"):
        files.read(1, "valid", "en", source)
    with pytest.raises(FileNotFoundError, match=r"no test file of task 5 \(three-arg-relations\) for en-valid; .*: 1, 2$"):
        files.read(5, "test", "en-valid", source)
    with pytest.raises(FileNotFoundError, match=r"task 3 .* for en-10k; .* 1, 2, 4, .*`generate\(3, 10_000\)`.* stands in"):
        files.read(3, "train", "en-10k", source)
    there = "en, en-10k, en-valid$" if packed else "tasks_1-20_v1-2"
    with pytest.raises(FileNotFoundError, match=f"no files of the setting en-valid-10k; there is: {there}"):
        files.read(1, "train", "en-valid-10k", source)


def test_whether_a_file_is_there(copy, archive):
    assert not files.has(1, "train", "en")
    for source in (copy, archive):
        assert files.has(3, "train", "en", source)
        assert not files.has(3, "train", "en-10k", source)
        assert not files.has(1, "train", "en-valid-10k", source)
        with pytest.raises(ValueError, match="split is 'dev'"):
            files.has(1, "dev", "en", source)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, "train", "en"), "task is 0; legal: 1 to 20"),
        ((1, "dev", "en"), "split is 'dev'; legal: train, valid, test"),
        ((1, "train", "hn"), "setting is 'hn'; legal: en, en-10k, en-valid, en-valid-10k"),
    ],
)
def test_illegal_names_are_refused(copy, arguments, message):
    with pytest.raises(ValueError, match=message):
        files.read(*arguments, copy)


def test_a_folder_of_one_setting_is_not_taken_for_another(copy):
    with pytest.raises(FileNotFoundError, match="no files of the setting en-10k"):
        files.read(1, "train", "en-10k", copy / "tasks_1-20_v1-2" / "en")


def test_a_damaged_archive_is_an_error(archive):
    whole = archive.read_bytes()
    flipped = bytearray(whole)
    flipped[-8] ^= 1  # in gzip's checksum, which lies behind everything that tar reads
    for damaged in (whole[: len(whole) // 2], whole[:-4], bytes(flipped), b"<html>404</html>", b""):
        archive.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"tasks_1-20_v1-2.tar.gz: damaged, or no .tar.gz or .tar.xz archive"):
            files.read(1, "test", "en", archive)
    archive.write_bytes(gzip.compress(gzip.decompress(whole)))
    assert files.read(1, "test", "en", archive) == STORIES


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\tbathroom\t4 1", "\tbathroom\t9", r"qa1_test.txt, line 5: expected supporting IDs"),
        ("2 John", "John", r"qa1_test.txt, line 2: expected 'ID text'"),
        (TEXT, "\ufeff1 Mary\n\udcff", r"qa1_test.txt, line 2: expected UTF-8 text, found the bytes b'\\xff'"),
        ("attic.", "attic\udcff.", r"qa1_test.txt, line 6: expected UTF-8 text, found the bytes b'\\xff'"),
        (TEXT, "1 Mary moved.\n", "qa1_test.txt, line 2: expected a question"),
        (TEXT, "", "qa1_test.txt, line 1: expected a question"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_damage_in_a_file_is_named_with_file_and_line(tmp_path, old, new, message, packed):
    assert old in TEXT
    folder = tmp_path / "en"
    folder.mkdir()
    (folder / "qa1_test.txt").write_bytes(TEXT.replace(old, new).encode(errors="surrogateescape"))
    source = folder
    if packed:
        source = tmp_path / "en.tar.gz"
        with tarfile.open(source, "w:gz") as tar:
            tar.add(folder, "en")
    with pytest.raises(ValueError, match=message):
        files.read(1, "test", "en", source)


def test_the_files_of_a_folder_by_task(tmp_path):
    for name in ("qa10_test.txt", "qa2_two-supporting-facts_test.txt", "qa2_train.txt", "qa21_test.txt", "qa3_test.txt.bak"):
        write(tmp_path / "some" / name)
    found = files.folder_tasks(tmp_path / "some")
    assert list(found) == [2, 10]
    assert found[2].name == "qa2_two-supporting-facts_test.txt"
    assert files.read_file(found[10]) == STORIES
    found[10].write_text(TEXT, "utf-8-sig")  # a byte order mark, as some editors write it
    assert files.read_file(found[10]) == STORIES
    with pytest.raises(FileNotFoundError, match=r"no files qa<task>_..._valid.txt in .*; there is: qa10_test.txt, qa21"):
        files.folder_tasks(tmp_path / "some", "valid")
    with pytest.raises(FileNotFoundError, match="is no folder"):
        files.folder_tasks(tmp_path / "nowhere")
    write(tmp_path / "some" / "qa2_test.txt")
    with pytest.raises(ValueError, match=r"two files for the test split of task 2: qa2_test.txt and qa2_two"):
        files.folder_tasks(tmp_path / "some")


@pytest.mark.skipif(not REAL.exists(), reason="the data set is not here")
def test_the_real_archive():
    stories = files.read(1, "train", "en", REAL)
    assert (len(stories), count_questions(stories)) == (200, 1000)
    with tarfile.open(REAL) as tar:
        text = tar.extractfile("./en/qa1_single-supporting-fact_train.txt").read()
    assert hashlib.sha256(text).hexdigest() == "c64ba9b1a49bbb111ffc4cd2ae4f129d25c012399dd7ade9679eea464b9afb05"
    assert stories == list(parse(text.decode().splitlines()))
    assert count_questions(files.read(18, "valid", "en-valid-10k", REAL)) == 1004
    with pytest.raises(FileNotFoundError, match=r"generate\(3, 10_000\)"):
        files.read(3, "train", "en-valid-10k", REAL)


# --- TFDS -------------------------------------------------------------------------------------------------------------


def plain(source):
    """What `EXAMPLES` has, without the tasks, which are returned too."""
    rows, tasks = [], []
    for example in source:
        story = [sentence.decode() for sentence in example["story"]]
        facts = [int(fact) for fact in example["facts"]]
        rows.append((int(example["story_id"]), story, example["question"].decode(), example["answer"].decode(), facts))
        tasks.append(int(example["task"]))
    return rows, tasks


def test_every_setting_has_a_config_for_all_tasks_and_for_each():
    configs = builder.Babi.builder_configs
    assert len(configs) == 5 * 21
    assert next(iter(configs)) == "generated"  # TFDS's default
    assert configs["en-10k_qa7"].setting == "en-10k"
    assert configs["en-10k_qa7"].tasks == (7,)
    assert configs["en-valid-10k"].tasks == tuple(range(1, 21))
    with pytest.raises(ValueError, match=r"config is 'en_qa21'; legal: generated, en, .* with _qa1 to _qa20 appended"):
        builder.load("en_qa21")


def test_one_task_from_a_local_copy(copy, archive, tmp_path, monkeypatch):
    splits = builder.load("en_qa7", data_dir=tmp_path / "built", manual_dir=copy)
    assert list(splits) == ["train", "test"]
    assert plain(splits["test"]) == (EXAMPLES, [7, 7, 7])
    assert splits["test"][2]["question"] == b"Is Sandra in the attic?"
    with pytest.raises(ValueError, match=r"split is 'valid'; .*copy has: train, test"):
        splits["valid"]
    monkeypatch.setenv(files.VARIABLE, str(archive))
    assert list(builder.load("en-valid_qa2", data_dir=tmp_path / "built")) == ["train", "valid", "test"]
    assert "tensorflow" not in sys.modules


def test_all_tasks_from_an_archive(archive, tmp_path):
    splits = builder.load("en", data_dir=tmp_path / "built", manual_dir=archive)
    rows, tasks = plain(splits["test"])
    assert rows == EXAMPLES * 20
    assert tasks == [task for task in range(1, 21) for _ in EXAMPLES]
    assert [splits["train"][place]["answer"] for place in (0, 56, 57)] == [b"bathroom", b"yes", b"kitchen"]
    with pytest.raises(FileNotFoundError, match=r"no train file of task 3 .* for en-10k"):
        builder.load("en-10k", data_dir=tmp_path / "built", manual_dir=archive)


def test_tfds_own_way_in(copy, tmp_path):
    config = tfds.download.DownloadConfig(manual_dir=copy)
    kwargs = {"download_and_prepare_kwargs": {"download_config": config}}
    assert plain(tfds.data_source("babi/en_qa1", split="test", data_dir=tmp_path / "built", **kwargs)) == (EXAMPLES, [1, 1, 1])


def test_another_source_is_prepared_anew_and_the_same_one_is_not(copy, archive, tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "URL", "http://127.0.0.1/unregistered")  # fails at once where it is asked for

    def load(manual_dir):
        return builder.load("en_qa1", data_dir=tmp_path / "built", manual_dir=manual_dir)

    def prepared():
        (info,) = (tmp_path / "built").glob("babi/en_qa1/*/dataset_info.json")
        return info.stat().st_mtime_ns

    assert list(load(archive)) == ["train", "test"]
    first = prepared()
    moved = archive.rename(archive.with_name("moved.tar.gz"))
    load(moved)
    load(None)  # no source now: what is there stays
    assert prepared() == first
    (copy / "tasks_1-20_v1-2" / "en" / file_name(1, "test")).unlink()
    splits = load(copy)
    assert prepared() != first
    assert list(splits) == ["train"]
    write(copy / "tasks_1-20_v1-2" / "en" / file_name(1, "train"), "1 A is in B.\n2 Where is A?\tB\t1\n")
    assert plain(load(copy)["train"])[0] == [(0, ["A is in B."], "Where is A?", "B", [0])]
    last = prepared()
    (copy / "tasks_1-20_v1-2" / "en" / file_name(1, "train")).unlink()
    with pytest.raises(FileNotFoundError, match="no train file of task 1"):
        load(copy)
    assert prepared() == last  # what cannot be replaced is kept


def test_damage_stops_the_build_with_file_and_line(copy, tmp_path):
    write(copy / "tasks_1-20_v1-2" / "en" / file_name(4, "train"), TEXT.replace("5 Where", "7 Where"))
    with pytest.raises(ValueError, match=r"qa4_two-arg-relations_train.txt, line 5: expected ID 5"):
        builder.load("en_qa4", data_dir=tmp_path / "built", manual_dir=copy)
    assert not list((tmp_path / "built").glob("babi/en_qa4/1.0.0"))


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(builder, "QUESTIONS", {"train": 3, "valid": 2, "test": 2})


def test_generated_data_by_default(monkeypatch, tmp_path, small):
    calls = []

    def generate(task, questions, *, seed=0):
        calls.append((task, questions, seed))
        question = Question("Where is A?", f"B{seed}", (0,), 1)
        return [Story(("A is in B.",), (question,))] * questions

    monkeypatch.setitem(sys.modules, "diffmem.tasks.babi.generate", SimpleNamespace(generate=generate))
    splits = builder.load(data_dir=tmp_path / "built")
    assert calls == [(task, n, seed) for n, seed in ((3, 0), (2, 1), (2, 2)) for task in range(1, 21)]
    assert {split: len(examples) for split, examples in splits.items()} == {"train": 60, "valid": 40, "test": 40}
    assert [splits[split][0]["answer"] for split in ("train", "valid", "test")] == [b"B0", b"B1", b"B2"]
    builder.load(data_dir=tmp_path / "built")
    assert len(calls) == 60
    monkeypatch.setattr(builder, "QUESTIONS", {"train": 4})
    assert len(builder.load(data_dir=tmp_path / "built")["train"]) == 80


def test_the_generator_fits(tmp_path, small):
    pytest.importorskip("diffmem.tasks.babi.generate")
    splits = builder.load("generated_qa3", data_dir=tmp_path / "built")
    assert len(splits["train"]) == 3
    rows, _ = plain(splits["test"])
    assert all(len(story) > max(facts) for _, story, _, _, facts in rows)


def test_the_official_archive_has_the_published_checksum():
    # huggingface/datasets, datasets/babi_qa/dataset_infos.json, download_checksums.
    info = builder.Babi.url_infos["http://www.thespermwhale.com/jaseweston/babi/tasks_1-20_v1-2.tar.gz"]
    assert builder.URL in builder.Babi.url_infos
    assert info.size == 15_719_851
    assert info.checksum == "0364ebde659f14d11bc21744516c5ec49d3d06cb692733f66680771244998898"
    assert Path(files.__file__).with_name("checksums.tsv").is_file()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def url(archive, monkeypatch):
    """The archive behind a URL, which stands for the official one."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=archive.parent)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/{archive.name}"
        monkeypatch.setattr(builder, "URL", address)
        yield address
        server.shutdown()
        thread.join()


def register(monkeypatch, url, content):
    info = UrlInfo(size=len(content), checksum=hashlib.sha256(content).hexdigest(), filename="tasks_1-20_v1-2.tar.gz")
    monkeypatch.setattr(builder.Babi, "url_infos", {url: info})


def test_the_archive_is_downloaded_and_checked(monkeypatch, tmp_path, archive, url):
    register(monkeypatch, url, archive.read_bytes())
    splits = builder.load("en_qa1", data_dir=tmp_path / "built")
    assert plain(splits["test"]) == (EXAMPLES, [1, 1, 1])
    archive.unlink()
    assert list(builder.load("en_qa1", data_dir=tmp_path / "built")) == ["train", "test"]  # from what is prepared
    assert list(builder.load("en-valid_qa1", data_dir=tmp_path / "built")) == ["train", "valid", "test"]  # and downloaded
    assert "tensorflow" not in sys.modules


def test_an_archive_with_another_checksum_is_refused(monkeypatch, tmp_path, archive, url):
    whole = archive.read_bytes()
    register(monkeypatch, url, whole)
    archive.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(NonMatchingChecksumError, match="has wrong checksum") as caught:
        builder.load("en_qa1", data_dir=tmp_path / "built")
    assert "DIFFMEM_BABI" in caught.value.__notes__[0]
    assert not list((tmp_path / "built").glob("babi/*/1.0.0"))


def test_a_url_without_a_checksum_is_refused(monkeypatch, tmp_path, url):
    # A URL of its own: TFDS remembers in a global table what other tests registered.
    monkeypatch.setattr(builder, "URL", url.replace("tasks", "unknown"))
    with pytest.raises(ValueError, match="Missing checksums url"):
        builder.load("en_qa1", data_dir=tmp_path / "built")


@pytest.mark.parametrize("missing", ["tensorflow_datasets", "importlib_resources"])
def test_a_missing_requirement_is_named_with_its_remedy(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ModuleNotFoundError, match=f"{missing} is missing.*pip install tensorflow-datasets importlib_resources"):
        runpy.run_path(builder.__file__)
