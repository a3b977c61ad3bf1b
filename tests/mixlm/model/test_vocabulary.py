import json

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    AddedToken,
    AutoModelForCausalLM,
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PhiConfig,
    PreTrainedTokenizerFast,
)

from mixlm.errors import InputError
from mixlm.model import vocabulary
from mixlm.model.lora import adapter_rows, add_adapter
from mixlm.model.special_tokens import latent_span, special_ids
from mixlm.model.vocabulary import (
    extend_vocabulary,
    matrices,
    per_layer_table,
    start_from_codes,
    start_from_text,
    tables,
)
from mixlm.training.new_rows import NewRows
from tests.architectures.tiny_types import tiny_type


WORDS = ["<eos>", "a", "b", "c", "d", "e"]


def tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="a"))
    words.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<eos>", pad_token="<eos>")


def model(family: str, tied: bool, rows: int = len(WORDS)):
    torch.manual_seed(0)
    if family == "gpt2":
        return GPT2LMHeadModel(GPT2Config(vocab_size=rows, n_embd=16, n_layer=1, n_head=2, tie_word_embeddings=tied))
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=rows,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            tie_word_embeddings=tied,
        )
    )


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("spare", [0, 3, 50])
def test_rows_are_added_and_no_two_are_alike(family: str, tied: bool, spare: int) -> None:
    lm, words = model(family, tied, len(WORDS) + spare), tokenizer()
    old = [matrix[: len(WORDS)].detach().clone() for matrix in matrices(lm)]
    new = extend_vocabulary(lm, words, latent_span(8))
    assert new == list(range(6, 16)) and len(words) == 16
    assert words.convert_ids_to_tokens(new) == latent_span(8)
    assert len(matrices(lm)) == (1 if tied else 2)
    for matrix, before in zip(matrices(lm), old, strict=True):
        assert matrix.shape[0] == max(16, len(WORDS) + spare)  # spare rows are used, never cut
        assert torch.equal(matrix[: len(WORDS)], before)
        assert torch.pdist(matrix[new].detach()).min() > 0.1 * before.std()
        assert matrix[new].detach().std() == pytest.approx(float(before.std()), rel=0.5)
    if not tied:
        assert not torch.equal(*[matrix[new] for matrix in matrices(lm)])


@pytest.mark.parametrize("noise", [0.5, 0.01])
def test_noise_is_in_standard_deviations_of_the_old_rows(noise: float) -> None:
    """One seed, two sizes of noise: the rows lie on one line through the mean of the old ones."""
    starts = []
    for size in (noise, 1.0):
        lm = model("llama", True)
        mean = matrices(lm)[0][: len(WORDS)].mean(0)
        new = extend_vocabulary(lm, tokenizer(), latent_span(8), seed=3, noise=size)
        starts.append(matrices(lm)[0][new] - mean)
    torch.testing.assert_close(starts[0], noise * starts[1])


@pytest.mark.parametrize("tied", [True, False])
def test_latents_start_at_the_rows_of_their_text(tied: bool) -> None:
    lm, words = model("llama", tied), tokenizer()
    new = extend_vocabulary(lm, words, latent_span(4), noise=0)  # without noise all new rows are the old ones' mean
    special = special_ids(words)
    before = [matrix.detach().clone() for matrix in matrices(lm)]
    start_from_text(lm, new, special, [(0, [1, 2]), (3, [3, 3]), (0, [2, 4])])
    for matrix, was in zip(matrices(lm), before, strict=True):
        moved = (matrix != was).any(1).nonzero()[:, 0].tolist()
        assert moved == [special.latent(0), special.latent(3)]  # the others stand for nothing
        half = ((was[1] + 2 * was[2] + was[4]) / 4 - was[3]) / 2  # from the middle of the two to the first
        stretched = half * was[:6].std(0).norm() / half.norm()
        assert torch.allclose(matrix[moved[0]], was[:6].mean(0) + stretched, atol=1e-6)
        assert torch.allclose(matrix[moved[1]], was[:6].mean(0) - stretched, atol=1e-6)


def test_rows_start_the_same_however_many_tokens_are_looked_up_at_once(monkeypatch) -> None:
    chunks, starts = [(0, [1, 2, 2]), (3, [3, 5]), (0, [4])], []
    for most in (2, 2**16):
        monkeypatch.setattr(vocabulary, "_AT_ONCE", most)
        lm, words = model("llama", False), tokenizer()
        new = extend_vocabulary(lm, words, latent_span(4))
        start_from_text(lm, new, special_ids(words), chunks)
        starts.append([matrix.detach() for matrix in matrices(lm)])
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(*starts, strict=True))


def test_a_tenth_of_the_noise_tells_latents_of_the_same_text_apart() -> None:
    lm, words = model("llama", True), tokenizer()
    new = extend_vocabulary(lm, words, latent_span(2))
    [matrix], special = matrices(lm), special_ids(words)
    was = matrix.detach().clone()
    start_from_text(lm, new, special, [(0, [1]), (1, [1])])
    mean = was[:6].mean(0)
    for latent in special.latent_ids:
        assert torch.allclose(matrix[latent], mean + 0.1 * (was[latent] - mean), atol=1e-6)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dimensions", [3, 16])
def test_latents_start_as_their_code_vectors_lie(dimensions: int, tied: bool) -> None:
    """The map into the model's width of 16 is orthogonal: all products of vectors grow by one factor."""
    lm, words = model("llama", tied), tokenizer()
    new = extend_vocabulary(lm, words, latent_span(8), noise=0)
    latents, before = new[2:], [matrix.detach().clone() for matrix in matrices(lm)]
    vectors = 5 + torch.randn(8, dimensions, generator=torch.Generator().manual_seed(1))
    start_from_codes(lm, new, special_ids(words), vectors)
    apart = vectors - vectors.mean(0)
    for matrix, was in zip(matrices(lm), before, strict=True):
        assert torch.equal(matrix[:8], was[:8])  # old rows and delimiters
        old, rows = was[:6], matrix[latents].detach()
        torch.testing.assert_close(rows.mean(0), old.mean(0))
        torch.testing.assert_close(rows.std(0, correction=0).norm(), old.std(0).norm())
        turned, factor = rows - rows.mean(0), (old.std(0).norm() / apart.std(0, correction=0).norm()) ** 2
        torch.testing.assert_close(turned @ turned.T, factor * apart @ apart.T, atol=1e-5, rtol=1e-4)


def test_code_vectors_wider_than_the_model_keep_who_is_near() -> None:
    """200 coordinates into 16: of three codes the two that are alike start nearest."""
    lm, words = model("llama", True), tokenizer()
    new = extend_vocabulary(lm, words, latent_span(3))
    vectors = torch.randn(3, 200, generator=torch.Generator().manual_seed(1))
    vectors[1] = vectors[0] + 0.1 * vectors[1]
    start_from_codes(lm, new, special_ids(words), vectors)
    first_second, first_third, second_third = torch.pdist(matrices(lm)[0][new[2:]].detach()).tolist()
    assert first_second < 0.5 * min(first_third, second_third)


def test_the_map_of_code_vectors_is_the_seed_s() -> None:
    rows = []
    for seed in (0, 0, 1):
        lm, words = model("llama", True), tokenizer()
        new = extend_vocabulary(lm, words, latent_span(4))
        start_from_codes(lm, new, special_ids(words), torch.eye(4), seed)
        rows.append(matrices(lm)[0][new].detach())
    assert torch.equal(rows[0], rows[1]) and not torch.allclose(rows[0], rows[2])


def test_a_tenth_of_the_noise_tells_latents_of_one_vector_apart() -> None:
    lm, words = model("llama", True), tokenizer()
    new = extend_vocabulary(lm, words, latent_span(4))
    [matrix] = matrices(lm)
    was, mean = matrix.detach().clone(), matrix[:6].detach().mean(0)
    start_from_codes(lm, new, special_ids(words), torch.tensor([[1.0, 2], [1, 2], [1, 2], [3, 0]]))
    noise = 0.1 * (was[new[2:5]] - mean)
    torch.testing.assert_close(matrix[new[2:5]].detach() - noise, (matrix[new[2]].detach() - noise[0]).expand(3, -1))
    assert torch.pdist(matrix[new].detach()).min() > 0.05 * was[:6].std()


def test_latents_that_were_there_keep_their_rows() -> None:
    lm, words = model("llama", True), tokenizer()
    extend_vocabulary(lm, words, latent_span(2))
    was = matrices(lm)[0].detach().clone()
    start_from_text(lm, [], special_ids(words), [(0, [1]), (1, [2])])
    start_from_codes(lm, [], special_ids(words), torch.eye(2))
    assert torch.equal(matrices(lm)[0], was)


def test_extending_again_with_the_same_codebook_changes_nothing() -> None:
    lm, words = model("llama", False), tokenizer()
    extend_vocabulary(lm, words, latent_span(8))
    before = {name: value.clone() for name, value in lm.state_dict().items()}
    assert extend_vocabulary(lm, words, latent_span(8), seed=1) == []
    assert all(torch.equal(value, before[name]) for name, value in lm.state_dict().items())
    assert len(words) == 16


def test_another_codebook_is_refused() -> None:
    lm, words = model("llama", False), tokenizer()
    extend_vocabulary(lm, words, latent_span(8))
    with pytest.raises(InputError, match="codebook of 8, the data has 4"):
        extend_vocabulary(lm, words, latent_span(4))


def test_ids_of_the_extended_tokenizer() -> None:
    lm, words = model("llama", True), tokenizer()
    extend_vocabulary(lm, words, latent_span(2))
    special = special_ids(words)
    assert (special.eos, special.bo_latent, special.eo_latent, special.first_latent) == (0, 6, 7, 8)
    assert special.codebook_size == 2


def test_generation_stops_at_our_end_of_solution_too() -> None:
    lm = model("llama", True)
    lm.generation_config.eos_token_id = 3
    extend_vocabulary(lm, tokenizer(), [])
    assert lm.generation_config.eos_token_id == [3, 0]


def test_ids_that_a_tokenizer_leaves_out_count_as_rows() -> None:
    """Its words have the ids 0 to 4 and 8: new ones follow the 8, and the matrix holds them."""
    ids = {word: index for index, word in enumerate(WORDS)} | {WORDS[-1]: 8}
    raw = Tokenizer(WordLevel(ids, unk_token="a"))
    raw.pre_tokenizer = Whitespace()
    words = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<eos>")
    words.add_tokens([AddedToken(WORDS[-1], special=True)])
    lm = model("llama", False, 9)
    new = extend_vocabulary(lm, words, latent_span(2))
    assert new == words.convert_tokens_to_ids(latent_span(2)) and min(new) > 5
    assert all(len(matrix) == max(9, max(new) + 1) for matrix in matrices(lm))


def test_new_tokens_never_have_ids_of_others() -> None:
    """The library counts tokens, not ids: where words leave some out, it would give new tokens those of words."""
    ids = {word: index for index, word in enumerate(WORDS)} | {WORDS[-1]: len(WORDS) + 1}
    words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel(ids, unk_token="a")), eos_token="<eos>")
    with pytest.raises(InputError, match=f"leaves ids out, .* of others, such as {len(WORDS) + 1}; number its tokens"):
        extend_vocabulary(model("llama", False, 9), words, latent_span(2))


def test_new_rows_of_a_table_for_all_layers_start_as_those_of_the_matrices() -> None:
    """Gemma 3n and 4 look a vector up for every layer; what transformers fills new ones with is noise alone."""
    lm, words = tiny_type("gemma4_text", vocab_size=60, vocab_size_per_layer_input=40), tokenizer()
    table = per_layer_table(lm).weight
    new = extend_vocabulary(lm, words, latent_span(40), noise=0.0)
    after = per_layer_table(lm).weight
    assert max(new) >= 40 and len(after) == len(lm.get_input_embeddings().weight) == 60
    torch.testing.assert_close(after[new], table[: len(WORDS)].mean(0).expand(len(new), -1))
    rows = NewRows(lm, new, 1e-3)
    assert [values.shape[1] for values in rows.values()] == [matrix.shape[1] for matrix in tables(lm)]
    count = len(tables(lm))
    assert len(adapter_rows(add_adapter(lm, 2, new))) == count == 2  # the matrices are tied


def test_a_table_for_all_layers_grows_for_new_tokens_alone_and_old_ones_beyond_it_stay() -> None:
    """Ids beyond such a table read its first row."""
    words = tokenizer()
    words.add_tokens([f"<{number}>" for number in range(40)])  # 46
    lm = tiny_type("gemma4_text", vocab_size=60, vocab_size_per_layer_input=40)
    assert extend_vocabulary(lm, words, []) == [] and len(per_layer_table(lm).weight) == 40
    first = per_layer_table(lm).weight[0].clone()
    new = extend_vocabulary(lm, words, latent_span(2))
    after = per_layer_table(lm).weight
    assert len(after) == 60 and min(new) == 46
    torch.testing.assert_close(after[40:46], first.expand(6, -1))
    assert not torch.equal(after[new[0]], first)
    again = tiny_type("gemma4_text", vocab_size=60, vocab_size_per_layer_input=40)
    assert extend_vocabulary(again, words, latent_span(2)) == [] and len(per_layer_table(again).weight) == 60


@pytest.mark.parametrize("kind", ["llama", "moshi", "marian"])
@pytest.mark.parametrize("new", [1, 3])
def test_a_model_that_grew_opens_again(kind: str, new: int, tmp_path) -> None:
    """Moshi's input matrix has a row more than there are tokens, Marian a second size of its vocabulary."""
    grown = tiny_type(kind, vocab_size=len(WORDS), pad_token_id=0)
    last = grown.get_input_embeddings().weight[-1].tolist()
    extend_vocabulary(grown, tokenizer(), ["<x>", "<y>", "<z>"][:new])
    assert kind != "moshi" or grown.get_input_embeddings().weight[-1].tolist() == last
    grown.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    ids = torch.arange(len(WORDS) + new)[None]
    torch.testing.assert_close(again(input_ids=ids).logits, grown(input_ids=ids).logits)


def test_a_model_with_a_table_of_its_tokens_beside_is_refused() -> None:
    with pytest.raises(InputError, match="tid2eid does not grow"):
        extend_vocabulary(tiny_type("deepseek_v4", vocab_size=len(WORDS)), tokenizer(), ["<x>"])


def test_a_bias_of_the_head_starts_at_the_mean_of_those_of_text():
    """Spare rows of a pretrained head have one that keeps them unwritten."""
    config = PhiConfig(vocab_size=12, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    model, size = AutoModelForCausalLM.from_config(config), len(WORDS)
    with torch.no_grad():
        model.lm_head.bias.copy_(torch.arange(12.0))
        model.lm_head.bias[size:] = -50
    new = extend_vocabulary(model, tokenizer(), ["<latent_0>", "<latent_1>"])
    bias = model.lm_head.bias
    assert bias[new].tolist() == [pytest.approx((size - 1) / 2)] * 2
    assert bias[:size].tolist() == [*range(size)] and bias[-1] == -50


def test_a_model_with_flags_of_sampling_that_is_given_another_end_can_be_saved(tmp_path):
    """transformers saves such flags beside greedy decoding only as it read them."""
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=12, **shape)).save_pretrained(tmp_path / "base")
    told = {"temperature": 0.9, "top_p": 0.6, "length_penalty": 0.5, "output_scores": True, "eos_token_id": 5}
    (tmp_path / "base" / "generation_config.json").write_text(json.dumps(told))
    model, words = AutoModelForCausalLM.from_pretrained(tmp_path / "base"), tokenizer()
    extend_vocabulary(model, words, ["<latent_0>"])
    model.save_pretrained(tmp_path / "run")
    held = GenerationConfig.from_pretrained(tmp_path / "run")
    assert held.eos_token_id == [5, words.eos_token_id] and (held.temperature, held.length_penalty) == (0.9, 0.5)
