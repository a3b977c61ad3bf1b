import pytest
import torch
from torch.utils.data import DataLoader

from mixlm.errors import InputError
from mixlm.methods import build_method
from mixlm.model.special_tokens import SpecialIds
from mixlm.training.rows.mixed_dataset import EpochSampler, MeasuredDataset, MixedDataset
from tests.coded_rows import fixed


SPECIAL = SpecialIds(eos=0, bo_latent=100, eo_latent=101, first_latent=102, codebook_size=8)
ROWS = [
    {
        "row": row,
        "prompt_ids": [row + 1],
        "trace_ids": [50 + i for i in range(16)],
        "solution_ids": [0],
        "codes": [row % 8] * 8,
        "code_ends": list(range(2, 17, 2)),
    }
    for row in range(23)
]


def dataset(**options: object) -> MixedDataset:
    method = build_method("assorted", {"mix": "uniform"}).bind(SPECIAL, fixed(2))
    return MixedDataset(ROWS, method, batch_size=4, **options)


def read(data: MixedDataset, workers: int) -> list[list[int]]:
    loader = DataLoader(data, batch_size=4, sampler=EpochSampler(data), num_workers=workers, collate_fn=list)
    return [feature["input_ids"] for batch in loader for feature in batch]


def test_epochs_differ_in_order_and_draw_and_repeat_exactly() -> None:
    data = dataset()
    first = read(data, 0)
    data.set_epoch(1)
    second = read(data, 0)
    assert [ids[0] for ids in first] != [ids[0] for ids in second]
    by_prompt = {ids[0]: ids for ids in first}
    changed = [ids for ids in second if ids[0] in by_prompt and by_prompt[ids[0]] != ids]
    assert len(changed) > 10  # 9 in 10 draws differ
    data.set_epoch(0)
    assert read(data, 0) == first
    assert read(dataset(seed=1), 0) != first


def test_workers_read_what_one_process_reads_in_every_epoch() -> None:
    data = dataset()
    for epoch in range(2):
        data.set_epoch(epoch)
        assert read(data, 2) == read(data, 0)


def test_living_workers_see_the_epoch_change() -> None:
    data = dataset()
    loader = DataLoader(data, batch_size=23, num_workers=1, collate_fn=list, persistent_workers=True)
    for epoch in range(3):
        data.set_epoch(epoch)
        assert next(iter(loader)) == [data[index] for index in range(23)]


def test_an_epoch_is_whole_batches() -> None:
    data = dataset()
    sampler = EpochSampler(data)
    assert data.steps_per_epoch == 5 and len(sampler) == 20
    assert len(set(sampler)) == 20


def test_progress_counts_the_optimizer_step_of_each_row() -> None:
    data = dataset()
    data.set_epoch(2)
    for place, index in enumerate(EpochSampler(data)):
        assert data.progress(index).step == 10 + place // 4
        assert data.progress(index).epoch == 2


@pytest.mark.parametrize("on_prompt", [True, False])
def test_the_prompt_is_learned_only_when_asked(on_prompt: bool) -> None:
    row = {"row": 0, "prompt_ids": [7, 8], "trace_ids": [9], "solution_ids": [0], "codes": []}
    method = build_method("cot", {}).bind(SPECIAL)
    feature = MixedDataset([row], method, loss_on_prompt=on_prompt)[0]
    assert feature["input_ids"] == [7, 8, 9, 0]
    assert feature["labels"] == [-100, 8 if on_prompt else -100, 9, 0]


def test_learning_the_prompt_is_not_learning_what_only_fills_a_place() -> None:
    row = {"row": 0, "prompt_ids": [7, 8], "trace_ids": [9], "solution_ids": [0], "codes": [], "step_lengths": [1]}
    for name, options in (("pause", {"count": 2}), ("coconut-no-curriculum", {"stages": 1, "thoughts_per_step": 2})):
        method = build_method(name, options).bind(SpecialIds(0, pause=1, bo_thought=2, thought=3, eo_thought=4))
        plain, learned = (MixedDataset([row], method, loss_on_prompt=given)[0] for given in (False, True))
        assert learned["input_ids"] == plain["input_ids"] and len(plain["input_ids"]) > 4
        assert learned["labels"] == [-100, 8, *plain["labels"][2:]] and -100 in plain["labels"][2:]


def test_rows_that_fill_up_are_the_first_ones_without_a_label() -> None:
    method = build_method("cot", {}).bind(SPECIAL)
    data = MeasuredDataset(ROWS[:5], method, 1)
    before = [data[index] for index in range(5)]
    data.fill_up(4)
    assert len(data) == 8 and [data[index] for index in range(5)] == before
    for index in (5, 6, 7):
        assert data[index]["input_ids"] == before[index - 5]["input_ids"] and {*data[index]["labels"]} == {-100}
    thinking = build_method("coconut-no-curriculum", {"stages": 1, "thoughts_per_step": 1})
    row = {"row": 0, "prompt_ids": [7], "trace_ids": [9], "solution_ids": [0], "codes": [], "step_lengths": [1]}
    data = MeasuredDataset([row], thinking.bind(SpecialIds(0, bo_thought=2, thought=3, eo_thought=4)), 1)
    data.fill_up(2)
    assert any(data[0]["thoughts"]) and not any(data[1]["thoughts"])


def test_fewer_rows_than_a_batch_is_said() -> None:
    with pytest.raises(InputError, match="3 training samples are fewer than one batch of 4"):
        MixedDataset(ROWS[:3], build_method("cot", {}).bind(SPECIAL), batch_size=4)


def test_a_dataset_of_arrow_rows_reads_the_same() -> None:
    from datasets import Dataset

    method = build_method("assorted", {"mix": "uniform"}).bind(SPECIAL, fixed(2))
    arrow = MixedDataset(Dataset.from_list(ROWS), method, batch_size=4)
    assert [arrow[index] for index in range(23)] == [dataset()[index] for index in range(23)]
    assert torch.equal(torch.tensor(arrow.order()), torch.tensor(dataset().order()))
