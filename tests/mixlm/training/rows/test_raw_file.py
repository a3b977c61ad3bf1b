"""A raw file gives the same rows from memory, from the processes that tokenise it, and from the cache."""

import json
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mixlm.data.samples import read_samples
from mixlm.data.tables import in_memory, row_table, rows_digest
from mixlm.data.template import Template
from mixlm.data.tokenization import tokenize_samples
from mixlm.encoding.options import EncodingOptions
from mixlm.encoding.tokens import token_cache
from mixlm.encoding.tokens.token_cache import KEPT_DAYS, cache_folder, remove_old
from mixlm.encoding.tokens.tokenizer_pool import ProcessDied, TokenizerPool
from mixlm.errors import InputError
from mixlm.model.tokenizers import build_tokenizer
from mixlm.training.rows import raw_file
from mixlm.training.rows.data import TrainingData
from mixlm.training.rows.raw_file import read_raw_file
from tests.tiny_data import raw_rows


TEXTS = ["1 + 2 ? so it is ### 3"]
READING = EncodingOptions(valid_fraction=0.0, shard_rows=15)


class Case:
    """A file of rows, a validation file, a tokenizer, and what reading them says and tokenises."""

    def __init__(self, folder: Path, monkeypatch) -> None:
        self.folder, self.said, self.tokenised = folder, [], []
        self.file, self.valid, self.model = folder / "rows.jsonl", folder / "valid.jsonl", folder / "model"
        write(
            self.file, [{**row, **({"hard": "yes"} if place > 25 else {})} for place, row in enumerate(raw_rows(40))]
        )
        write(self.valid, raw_rows(3))
        build_tokenizer(TEXTS, 300).save_pretrained(self.model)
        tables = TokenizerPool.tables

        def counted(pool, shards):
            shards = [*shards]
            self.tokenised += [shard.name for shard in shards]
            return tables(pool, shards)

        monkeypatch.setattr(TokenizerPool, "tables", counted)

    def read(self, **changes) -> TrainingData:
        self.said, self.tokenised = [], []
        reading = replace(READING, **{"valid": str(self.valid), **changes})
        return read_raw_file(str(self.file), str(self.model), reading, self.said.append)

    @property
    def kept(self) -> list[Path]:
        return sorted(cache_folder().glob("*/*.arrow"))


def write(file: Path, rows: list[dict]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def case(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(raw_file, "WORTH_A_PROCESS", 10)
    return Case(tmp_path, monkeypatch)


def test_rows_are_those_of_their_samples_wherever_they_come_from(case, monkeypatch):
    raw = case.read()
    kept = case.read()
    monkeypatch.setattr(raw_file, "WORTH_A_PROCESS", 1000)
    few = case.read()
    for split, file in (("train", case.file), ("valid", case.valid)):
        rows = in_memory(row_table(tokenize_samples(raw.tokenizer, Template(), read_samples(file))))
        for found in (raw, kept, few):
            assert getattr(found, split).to_list() == rows.to_list()
            assert getattr(found, split).features == rows.features
            assert rows_digest(getattr(found, split)) == rows_digest(rows)
    assert raw.check == few.check


def test_few_rows_are_not_kept(case, monkeypatch):
    monkeypatch.setattr(raw_file, "WORTH_A_PROCESS", 1000)
    case.read()
    assert not cache_folder().exists() and case.said == []
    monkeypatch.setattr(raw_file, "SMALL_FILE", 1000)
    case.read()
    assert len(case.kept) == 4


def test_a_second_command_tokenises_nothing_and_the_first_says_where_rows_are(case):
    first = case.read()
    assert case.tokenised == [f"train-0000{n}.parquet" for n in range(3)] + ["valid-00000.parquet"]
    assert case.said == [f"tokenising 43 rows, kept for the next run in {case.kept[0].parent}"]
    case.file = case.file.rename(case.folder / "moved.jsonl")
    assert case.read().train.to_list() == first.train.to_list()
    assert case.tokenised == [] and case.said == []


@pytest.mark.parametrize(
    "change",
    [
        lambda case: case.file.write_text(case.file.read_text().replace("?", "!", 1)) and {},
        lambda case: case.valid.write_text(case.valid.read_text() + case.valid.read_text()) and {},
        lambda case: {"template": Template(separator=" ; ")},
        lambda case: {"answer_pattern": "[0-9]+"},
        lambda case: build_tokenizer(["3 4 5"], 261).save_pretrained(case.model) and {},
        lambda case: {"valid": None},
    ],
    ids=["rows", "validation rows", "template", "pattern", "tokenizer", "no validation rows"],
)
def test_of_anything_else_nothing_is_taken(case, change):
    case.read()
    raw = case.read(**change(case))
    assert len(case.tokenised) >= 3
    assert len(raw.train) == 40


def test_of_other_code_nothing_is_taken(case, monkeypatch):
    case.read()
    monkeypatch.setattr(token_cache, "_code_digest", lambda: "another version")
    case.read()
    assert len(case.tokenised) == 4


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "about"])
def test_what_is_damaged_is_made_anew(case, damage):
    first, file = case.read().train.to_list(), case.kept[1]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "about":
        (file.parent / "about.json").write_text("{")
    elif damage == "gone":
        file.unlink()
    else:
        file.write_bytes(content if damage == "flipped" else content[:100])
    assert case.read().train.to_list() == first
    assert len(case.tokenised) == (4 if damage == "about" else 1)


@pytest.mark.parametrize("place", ["a file", "no home", "relative"])
def test_without_a_place_rows_are_read_all_the_same(case, monkeypatch, place):
    first = case.read()
    if place == "a file":
        monkeypatch.setenv("XDG_CACHE_HOME", str(case.file))
    elif place == "no home":
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", str(case.folder / "nobody"))
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", "cache")
        monkeypatch.setenv("HOME", "/")
    assert case.read().train.to_list() == first.train.to_list()
    assert case.said[0].startswith("note: tokenized rows are not kept for the next run (")
    assert len(case.tokenised) == 4 and not (case.folder / "nobody").exists() and not Path("cache").exists()


def test_a_file_that_changes_while_it_is_read_is_told_and_nothing_of_it_kept(case, monkeypatch):
    fill = raw_file.TokenStore.fill

    def changing(store, *rest):
        fill(store, *rest)
        case.file.write_text(case.file.read_text() + case.file.read_text())

    monkeypatch.setattr(raw_file.TokenStore, "fill", changing)
    with pytest.raises(InputError, match=r"rows.jsonl: has changed while it was read; give the command again"):
        case.read()
    assert case.kept == []


def test_two_that_begin_at_once_tokenise_once(case):
    found = []
    threads = [threading.Thread(target=lambda: found.append(Case.read(case).train.to_list())) for _ in range(3)]
    case.tokenised, again = [], case.read
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and found[0] == found[1] == found[2] and len(case.kept) == 4
    again()
    assert case.tokenised == []


def test_a_process_of_ours_does_not_wait_for_the_one_that_waits_for_it(case, monkeypatch):
    """As where a program starts processes at its top, and each of those runs it from the beginning."""
    first = case.read()
    descriptor = os.open(case.kept[0].parent, os.O_RDONLY)
    token_cache.lock(descriptor)
    monkeypatch.setattr(token_cache.multiprocessing, "parent_process", lambda: "parent")
    assert case.read().train.to_list() == first.train.to_list() and len(case.tokenised) == 4
    assert case.said[0] == "note: tokenized rows are not kept for the next run (another process fills it)"
    os.close(descriptor)
    case.read()
    assert case.tokenised == []


def test_if_a_process_dies_this_one_goes_on(case, monkeypatch):
    first, dead = case.read(), []
    tables = TokenizerPool.tables

    def dying(pool, shards):
        if not dead:
            dead.append(1)
            raise ProcessDied("a process that tokenises has died")
        return tables(pool, shards)

    monkeypatch.setattr(TokenizerPool, "tables", dying)
    assert case.read(template=Template(separator="\n\n")).train["question"][:] == first.train["question"][:]
    assert dead and any("has died" in line for line in case.said) and len(case.kept) == 8


def test_a_malformed_row_is_told_without_an_option_that_training_does_not_have(case):
    case.file.write_text(case.file.read_text() + '{"question": "?"}\n')
    with pytest.raises(InputError, match=r"rows.jsonl:41: .*") as error:
        case.read()
    assert "--skip-bad-rows" not in str(error.value)


def test_what_a_tokenizer_from_scratch_learned_is_kept_unless_it_is_damaged(case, monkeypatch):
    case.model = case.folder / "scratch.yaml"
    case.model.write_text("model_type: gpt2\nn_embd: 8\nn_layer: 1\nn_head: 1\ntokenizer: {vocab_size: 300}\n")
    texts, read = raw_file._Shelf._texts, []
    monkeypatch.setattr(
        raw_file._Shelf, "_texts", lambda *told: map(lambda text: read.append(1) or text, texts(*told))
    )
    first = case.read()
    assert len(read) == 40
    assert case.read().train.to_list() == first.train.to_list() and len(read) == 40
    (kept,) = cache_folder().glob("*/tokenizer.json")
    kept.write_text(kept.read_text().replace("vocab", "vacob"))
    assert case.read().train.to_list() == first.train.to_list() and len(read) == 80


def test_old_entries_go_and_those_that_there_is_no_room_for(tmp_path, monkeypatch):
    monkeypatch.setattr(token_cache, "KEPT_BYTES", 250)
    now = time.time()
    for name, days in (("used", 0), ("yesterday", 1), ("filling", 2), ("before", 3), ("old", KEPT_DAYS + 1)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows").write_bytes(b"1" * (10 if name == "old" else 100))
        os.utime(tmp_path / name, (now - days * 86400,) * 2)
    descriptor = os.open(tmp_path / "filling", os.O_RDONLY)
    token_cache.lock(descriptor)
    remove_old(tmp_path, tmp_path / "used")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["filling", "used", "yesterday"]
    os.close(descriptor)
    remove_old(tmp_path, tmp_path / "used")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["used", "yesterday"]
