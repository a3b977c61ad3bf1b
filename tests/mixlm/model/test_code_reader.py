"""A language model that reads codes, against its definition: one text at a time, no cache, no padding."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from mixlm.errors import InputError
from mixlm.model.code_reader import END, END_ASKED, Continuation, LanguageModelReader, Read, open_reader, plain_logits


WIDTH, CODE = 32, 6
LLAMA = {"hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA |= {"num_key_value_heads": 2, "vocab_size": 40, "initializer_range": 0.25}
CONFIGS = {
    "llama": lambda: LlamaConfig(**LLAMA),
    "gpt2": lambda: GPT2Config(
        n_embd=WIDTH, n_layer=2, n_head=2, n_positions=64, vocab_size=40, initializer_range=0.25
    ),
    "qwen2": lambda: Qwen2Config(**LLAMA),
    "qwen3": lambda: Qwen3Config(**LLAMA, head_dim=8),
}


def random_reader(family: str = "llama", rank: int = 0) -> LanguageModelReader:
    """A reader whose every weight matters; an adapter would start as nothing, so it is moved."""
    torch.manual_seed(0)
    if rank:
        pytest.importorskip("peft")
    reader = LanguageModelReader(AutoModelForCausalLM.from_config(CONFIGS[family]()).eval(), CODE, rank)
    for parameter in reader.learned().values():
        parameter.data.normal_(std=0.3)
    return reader


def make_batch(seed: int = 0) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """Three samples with 2, 3 and 1 codes; padding is garbage, and one step has no next."""
    generator = torch.Generator().manual_seed(seed)
    ids = {name: torch.randint(40, shape, generator=generator) for name, shape in SHAPES.items()}
    counts = torch.tensor([2, 3, 1])
    lengths = {"prompt_lengths": torch.tensor([4, 1, 5]), "next_lengths": torch.tensor([3, 2, 4, 1, 0, 2])}
    batch = {**ids, **lengths, "solution_lengths": torch.tensor([1, 3, 2]), "sample": torch.tensor([0, 0, 1, 1, 1, 2])}
    return batch, torch.randn(3, 3, CODE, generator=generator), counts


SHAPES = {"prompt_ids": (3, 5), "next_ids": (6, 4), "solution_ids": (3, 3)}


def plain_nats(reader: LanguageModelReader, prompt, vectors, end: int, text) -> torch.Tensor:
    """What one text costs after [prompt, begin, codes, end], with the last code added from the end on."""
    embed = reader.lm.get_input_embeddings()
    begin, closed = reader.delimiters[0][None], reader.delimiters[end][None]
    codes = reader.from_code(vectors)
    row = torch.cat([embed(prompt), begin, codes, closed + codes[-1], embed(text) + codes[-1]])[None]
    logits = reader.lm(inputs_embeds=row, use_cache=False).logits[0, -len(text) - 1 : -1]
    return F.cross_entropy(logits, text, reduction="sum")


def plain_losses(reader: LanguageModelReader, batch, vectors, chosen) -> tuple[torch.Tensor, torch.Tensor]:
    found, seen = ([], []), [0, 0, 0]
    for code, sample in enumerate(batch["sample"].tolist()):
        seen[sample] += 1
        if not chosen[code]:
            continue
        prompt = batch["prompt_ids"][sample, : batch["prompt_lengths"][sample]]
        following = batch["next_ids"][code, : batch["next_lengths"][code]]
        solution = batch["solution_ids"][sample, : batch["solution_lengths"][sample]]
        for kind, (end, text) in enumerate([(1, following), (2, solution)]):
            if len(text):
                found[kind].append(plain_nats(reader, prompt, vectors[sample, : seen[sample]], end, text))
    return tuple(sum(nats) / int(chosen.sum()) for nats in found)


@pytest.mark.parametrize(("family", "rank"), [("llama", 0), ("gpt2", 0), ("qwen2", 0), ("qwen3", 0), ("llama", 2)])
def test_losses_and_gradients_are_those_of_the_definition_code_by_code(family: str, rank: int) -> None:
    reader, (batch, vectors, counts) = random_reader(family, rank), make_batch()
    for chosen in (*torch.eye(6, dtype=torch.bool), torch.ones(6, dtype=torch.bool)):
        ours, theirs = vectors.clone().requires_grad_(), vectors.clone().requires_grad_()
        losses, expected = reader(batch, ours, counts, chosen), plain_losses(reader, batch, theirs, chosen)
        for loss, plain in zip(losses, expected, strict=True):
            torch.testing.assert_close(loss, torch.as_tensor(plain, dtype=loss.dtype), rtol=1e-5, atol=1e-5)
    learned = list(reader.learned().values())
    found = torch.autograd.grad(sum(losses), [ours, *learned])
    wanted = torch.autograd.grad(sum(expected), [theirs, *learned])
    for gradient, plain in zip(found, wanted, strict=True):
        assert torch.allclose(gradient, plain, atol=1e-4 * float(plain.abs().max()), rtol=1e-4)
        assert plain.abs().max() > 0


@pytest.mark.parametrize(("bound", "most"), [("CHUNKS", 2), ("NUMBERS", 2 * 9 * 2 * 2 * WIDTH // 2)])
def test_where_nothing_is_learned_texts_are_written_some_at_a_time(monkeypatch, bound: str, most: int) -> None:
    """Each has a copy of keys and values: of 9 places in 2 layers, here of half the width. Losses are the same."""
    reader, (batch, vectors, counts), written = random_reader(), make_batch(), []
    every, logits = torch.ones(6, dtype=torch.bool), reader.logits

    def told(context: Read, texts: Continuation, end: int) -> torch.Tensor:
        written.append(len(texts.ids))
        return logits(context, texts, end)

    monkeypatch.setattr(reader, "logits", told)
    whole = reader(batch, vectors, counts, every)
    monkeypatch.setattr(f"vqvae.model.chunks.{bound}", most)
    with torch.no_grad():
        parts = reader(batch, vectors, counts, every)
    assert written == [5, 6] + [2, 2, 1] + [2, 2, 2]
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_what_follows_each_of_several_codes_is_what_the_definition_says_of_each(family: str) -> None:
    reader, (batch, vectors, _) = random_reader(family), make_batch()
    one = {name: batch[name][1:2] for name in ("prompt_ids", "prompt_lengths", "solution_ids", "solution_lengths")}
    one |= {name: batch[name][2:5] for name in ("next_ids", "next_lengths")} | {"sample": torch.zeros(3).long()}
    prompt = one["prompt_ids"][0, : one["prompt_lengths"][0]]
    texts = [(END, one["next_ids"][1, :1]), (END_ASKED, one["solution_ids"][0, :2])]  # the next step has one token
    with torch.no_grad():
        for (end, text), found in zip(texts, reader.following(one, vectors[:, :2], 2), strict=True):
            wanted = torch.stack([plain_logits(reader, prompt, codes, text, end) for codes in vectors[:, :2]])
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
        assert len([*reader.following(one, vectors, 2)]) == 1  # nothing but the solution follows the last code


def test_a_code_is_trained_by_what_follows_it_and_padding_by_nothing() -> None:
    reader, (batch, vectors, counts) = random_reader(), make_batch()
    for code, (sample, place) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 0)]):
        given = vectors.clone().requires_grad_()
        sum(reader(batch, given, counts, torch.arange(6) == code)).backward()
        reached = (given.grad != 0).any(-1)
        assert reached[sample].tolist() == [other <= place for other in range(3)] and reached.sum() == place + 1


def test_what_learns_is_small_and_the_model_stays_frozen() -> None:
    assert set(random_reader().learned()) == {"delimiters", "from_code.weight", "from_code.bias"}
    adapted = set(random_reader(rank=2).learned()) - set(random_reader().learned())
    assert adapted and all("lora_" in name for name in adapted)


def test_of_a_prompt_that_leaves_no_room_the_end_is_read() -> None:
    """GPT-2 has 64 places: 4 tokens of text, the two delimiters and 2, 3 and 1 codes leave 56, 55 and 57."""
    reader, (batch, vectors, counts) = random_reader("gpt2"), make_batch()
    chosen = torch.ones(6, dtype=torch.bool)
    long = torch.randint(40, (3, 90), generator=torch.Generator().manual_seed(1))
    lengths, left = torch.tensor([90, 55, 90]), torch.tensor([56, 55, 57])
    cut = torch.stack(
        [F.pad(row[size - kept : size], (0, 57 - kept)) for row, size, kept in zip(long, lengths, left, strict=True)]
    )
    whole = reader({**batch, "prompt_ids": long, "prompt_lengths": lengths}, vectors, counts, chosen)
    short = reader({**batch, "prompt_ids": cut, "prompt_lengths": left}, vectors, counts, chosen)
    assert torch.equal(torch.stack(whole), torch.stack(short))


def test_what_a_sample_reads_of_its_prompt_does_not_depend_on_another_with_more_codes() -> None:
    reader, (batch, vectors, counts) = random_reader("gpt2"), make_batch()
    batch |= {"prompt_ids": torch.randint(40, (3, 50)), "prompt_lengths": torch.tensor([50, 5, 50])}
    more, chosen = F.pad(vectors, (0, 0, 0, 20)), torch.ones(6, dtype=torch.bool)  # 50 + 23 codes are beyond 64 places
    wanted, found = (torch.stack(reader(batch, given, counts, chosen)) for given in (vectors, more))
    torch.testing.assert_close(found, wanted)


def test_a_context_that_codes_and_a_text_do_not_fit_into_is_refused(tmp_path: Path) -> None:
    AutoModelForCausalLM.from_config(CONFIGS["gpt2"]()).save_pretrained(tmp_path)
    open_reader(str(tmp_path), None, CODE, longest=(57, 4, 0))
    with pytest.raises(InputError, match="has room for 64 tokens, and codes of a trace with a text take 64; "):
        open_reader(str(tmp_path), None, CODE, longest=(57, 5, 0))


WINDOWS = [[["global", "local"], 1]]  # which are no part of its cache, and count padding
NEO = GPTNeoConfig(vocab_size=60, hidden_size=16, num_layers=2, attention_types=WINDOWS, num_heads=2, window_size=16)


@pytest.mark.parametrize("config", [MistralConfig(**LLAMA, sliding_window=8), NEO])
def test_a_model_whose_cache_is_not_plain_attention_is_refused(config, tmp_path: Path) -> None:
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=f"models of type '{config.model_type}' cannot read codes") as caught:
        open_reader(str(tmp_path), None, CODE, longest=(4, 4, 10))
    assert "\n" not in str(caught.value)
    if config.model_type == "gpt_neo":
        open_reader(str(tmp_path), None, CODE, longest=(4, 4, 6))


def test_a_trained_model_is_opened(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    AutoModelForCausalLM.from_config(CONFIGS["llama"]()).save_pretrained(tmp_path)
    one, other = (open_reader(str(tmp_path), None, CODE, rank=2, seed=3).learned() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
