"""What must be equal for every causal type: a check raises an ``AssertionError``, or says how the type is treated."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

from mixlm.data.template import Template
from mixlm.errors import InputError
from mixlm.generation.answerer import Request
from mixlm.generation.engine import Engine
from mixlm.generation.options import GenerationOptions
from mixlm.model.abilities import answer_batches, packs
from mixlm.model.collator import Collator
from mixlm.model.forward import scored_batch, scored_labels, scored_places
from mixlm.model.lora import add_adapter, merge_adapter
from mixlm.model.special_tokens import BO_THOUGHT, EO_THOUGHT, IGNORED, THOUGHT, add_project_tokens, special_ids
from mixlm.model.thoughts.passes import reach
from mixlm.model.thoughts.thinking import thought_forward
from mixlm.model.tokenizers import build_tokenizer, open_tokenizer
from mixlm.model.vocabulary import extend_vocabulary, matrices
from mixlm.run import Run
from mixlm.training.options import TrainingOptions
from mixlm.training.train import train
from tests.interruption import Interrupted, interrupt_at
from tests.tiny_runs import write_encoded_for
from vqvae.training.exact_checkpoints import by_own_names


if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

NEAR = 1e-3  # of the standard deviation of what is compared
_SHORT = {"stages": 2, "thoughts_per_step": 2, "first_epochs": 0.0, "epochs_per_stage": 1.0}  # of Coconut's schedule
LENGTHS = (13, 7, 22, 5, 13)  # of rows; some are longer than the window of attention
NEW = 6


def tokenizer_with_thoughts() -> "PreTrainedTokenizerFast":
    """A byte-level tokenizer with the tokens of thoughts."""
    tokenizer = build_tokenizer(["1 + 2 = 3\n### 3", "4 + 5 = 9\n### 9"], vocab_size=280)
    add_project_tokens(tokenizer, [BO_THOUGHT, THOUGHT, EO_THOUGHT])
    return tokenizer


TOKENIZER = tokenizer_with_thoughts()
IDS = special_ids(TOKENIZER)


def random_rows(lengths: Sequence[int] = LENGTHS) -> list[list[int]]:
    """Rows of ordinary tokens."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(20, 250, (length,), generator=generator).tolist() for length in lengths]


def assert_near(ours: torch.Tensor, theirs: torch.Tensor, what: str) -> None:
    """Check that two computations agree, by the scale of the plain one."""
    scale = theirs.float().std().clamp(min=1e-6)
    apart = float((ours - theirs).abs().max() / scale)
    assert apart <= NEAR, f"{what}: {apart:.1g} standard deviations apart"


def assert_same_gradients(model: "PreTrainedModel", ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Check that two losses move every weight alike, by the largest gradient of the weight; dust does not count."""
    named = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    found = [torch.autograd.grad(loss, [value for _, value in named], allow_unused=True) for loss in (ours, theirs)]
    largest = max(float(grad.abs().max()) for grad in found[1] if grad is not None)
    for (name, _), one, other in zip(named, *found, strict=True):
        one, other = (0.0 if grad is None else grad for grad in (one, other))
        apart = float(torch.as_tensor(one - other).abs().max())
        scale = max(float(torch.as_tensor(other).abs().max()), 1e-3 * largest)
        assert apart <= 1e-2 * scale, f"gradient of {name}: {apart / scale:.1g} of it apart"


def text(model: "PreTrainedModel") -> str:
    """A batch in one forward pass is each of its samples alone, logits and gradients."""
    samples = [
        {"input_ids": ids, "labels": [IGNORED, *ids[1:]], "thoughts": [False] * len(ids)} for ids in random_rows()
    ]
    shared = packs(model)
    batch = Collator(shared)(samples)
    labels = batch.pop("labels")
    logits = scored_batch(model, scored_places(labels), **batch)["logits"]
    ours = F.cross_entropy(logits.float(), scored_labels(labels), reduction="sum")
    theirs = 0.0
    for sample in samples:
        ids = torch.tensor(sample["input_ids"])
        alone = model(input_ids=ids[None], use_cache=False).logits[0]
        theirs = theirs + F.cross_entropy(alone[:-1].float(), ids[1:], reduction="sum")
    apart = float((ours - theirs).detach())
    assert abs(apart) <= 1e-4 * float(theirs.detach()), f"loss {apart:.1g} apart from that of samples alone"
    assert_same_gradients(model, ours, theirs)
    return "packed" if shared else "padded"


@torch.no_grad()
def answers(model: "PreTrainedModel") -> str:
    """Answers in a batch are those of each prompt alone, computed without a cache."""
    run = Run(Path("run"), "cot", Template(), IDS)
    prompts = random_rows()
    given = Engine(run, model, TOKENIZER).answer(
        [Request(prompt) for prompt in prompts], GenerationOptions(max_new_tokens=NEW, batch_size=5)
    )
    for prompt, answer in zip(prompts, given, strict=True):
        ids = torch.tensor([[*prompt, *answer.ids]])
        assert_greedy(model(input_ids=ids, use_cache=False).logits[0], answer.ids)
    return answer_batches(model)


def assert_greedy(logits: torch.Tensor, written: Sequence[int]) -> None:
    """Check that every token written is as good as the best, by the logits of the row that ends with them."""
    logits = logits[-len(written) - 1 : -1, : len(TOKENIZER)].clone()
    logits[:, list(IDS.present())] = -torch.inf
    lost = logits.max(-1).values - logits.gather(1, torch.tensor(written)[:, None])[:, 0]
    assert float(lost.max()) <= NEAR * float(logits[logits.isfinite()].std()), "a token that is not the best"


def plain(model: "PreTrainedModel", embeds: torch.Tensor) -> torch.Tensor:
    """Return the logits of a row of input embeddings."""
    return model(inputs_embeds=embeds[None], use_cache=False).logits[0]


def with_thoughts(model: "PreTrainedModel", ids: Sequence[int], thoughts: Sequence[bool]) -> torch.Tensor:
    """Return the input embeddings of a row: a thought is the last hidden state of all before it."""
    embeds = model.get_input_embeddings()(torch.tensor(ids))
    for place in (place for place, thought in enumerate(thoughts) if thought):
        states = model(inputs_embeds=embeds[None, :place], use_cache=False, output_hidden_states=True).hidden_states
        embeds = torch.cat([embeds[:place], states[-1][0, -1:], embeds[place + 1 :]])
    return embeds


def thoughts(model: "PreTrainedModel") -> str:
    """Rows with thoughts at any places are each of them alone without a cache: logits, gradients, answers."""
    rows, marks = random_rows(), [[False] * length for length in LENGTHS]
    for row, places in zip(marks, ((4, 5, 6), (3,), (2, 9, 10), (), (4, 5, 6)), strict=True):
        for place in places:
            row[place] = True
    longest = max(LENGTHS)
    ids, mask, thought = (torch.zeros(len(rows), longest, dtype=torch.long) for _ in range(3))
    for number, (row, own) in enumerate(zip(rows, marks, strict=True)):
        ids[number, : len(row)], mask[number, : len(row)] = torch.tensor(row), 1
        thought[number, : len(row)] = torch.tensor(own).long()
    together = thought_forward(model, ids, mask, thought.bool()).logits
    ours, theirs = 0.0, 0.0
    for logits, row, own in zip(together, rows, marks, strict=True):
        alone = plain(model, with_thoughts(model, row, own))
        assert_near(logits[: len(row)], alone, "thoughts")
        ours, theirs = ours + logits[: len(row)].logsumexp(-1).sum(), theirs + alone.logsumexp(-1).sum()
    assert_same_gradients(model, ours, theirs)
    _thoughtful_answers(model)
    found = reach(model)
    return "recomputed" if not found.columns else "cached" if found.gaps > longest else f"cached to {found.gaps}"


@torch.no_grad()
def _thoughtful_answers(model: "PreTrainedModel") -> None:
    options = {**_SHORT, "first_epochs": 1.0}
    run = Run(Path("run"), "coconut", Template(), IDS, method_options=options, step=2, steps_per_epoch=1)
    prompts = random_rows()
    given = Engine(run, model, TOKENIZER).answer(
        [Request(prompt) for prompt in prompts], GenerationOptions(max_new_tokens=NEW, batch_size=5)
    )
    for prompt, answer in zip(prompts, given, strict=True):
        row = [*prompt, IDS.bo_thought, *[IDS.thought] * 4, IDS.eo_thought, *answer.ids[6:]]
        embeds = with_thoughts(model, row, [token == IDS.thought for token in row])
        assert_greedy(plain(model, embeds), answer.ids[6:])


@torch.no_grad()
def growth(model: "PreTrainedModel") -> str:
    """New tokens have rows of their own in both matrices; what the model computed of the old ones stays."""
    ids = torch.tensor([random_rows()[0]])
    before, tokenizer = model(input_ids=ids, use_cache=False).logits, tokenizer_with_thoughts()
    tied = len(matrices(model)) == 1
    new = extend_vocabulary(model, tokenizer, [f"<latent_{code}>" for code in range(40)])
    after = model(input_ids=ids, use_cache=False).logits
    assert after.shape[-1] >= len(tokenizer) > before.shape[-1]
    old = [token for token in range(before.shape[-1]) if token not in new]
    assert_near(after[..., old], before[..., old], "logits of old tokens")
    assert tied == (len(matrices(model)) == 1), "the matrices are no longer tied as they were"
    for matrix in matrices(model):
        assert len(matrix[new].unique(dim=0)) == len(new), "two new rows are alike"
    logits = model(input_ids=torch.tensor([new[:8]]), use_cache=False).logits
    assert logits.isfinite().all()
    return "tied" if tied else "untied"


def adapter(model: "PreTrainedModel") -> str:
    """What an adapter computes in training is what the merged model computes."""
    new = [len(TOKENIZER) - 2, len(TOKENIZER) - 1]
    ids = torch.tensor([[*random_rows()[0], *new]])
    torch.manual_seed(1)
    bias = getattr(model.get_output_embeddings(), "bias", None)
    if bias is not None:  # zeros at first, unlike a trained one
        torch.nn.init.normal_(bias)
    adapted = add_adapter(model, 2, new).eval()
    with torch.no_grad():
        for _, value in adapted.named_parameters():
            if value.requires_grad:
                value.add_(0.05 * torch.randn_like(value))
        trained = adapted(input_ids=ids, use_cache=False).logits
        assert_near(merge_adapter(adapted).eval()(input_ids=ids, use_cache=False).logits, trained, "merged")
    return "merges"


@torch.no_grad()
def reload(model: "PreTrainedModel", folder: Path) -> str:
    """What is saved with new tokens opens as a plain model that computes the same; so does one given a checkpoint."""
    new = extend_vocabulary(model, tokenizer_with_thoughts(), [f"<latent_{code}>" for code in range(40)])
    ids = torch.tensor([[*random_rows()[0], *new[:4]]])
    model.save_pretrained(folder)
    again = AutoModelForCausalLM.from_pretrained(folder).eval()
    logits = model(input_ids=ids, use_cache=False).logits
    assert_near(again(input_ids=ids, use_cache=False).logits, logits, "reloaded")
    with by_own_names(model):
        model.save_pretrained(folder / "checkpoint")
    other = AutoModelForCausalLM.from_config(model.config).eval()
    other.load_state_dict(load_file(folder / "checkpoint" / "model.safetensors"), False)  # as a trainer does
    assert_near(other(input_ids=ids, use_cache=False).logits, logits, "gone on with")
    return "same"


def resumes(model: "PreTrainedModel", folder: Path, **given: Any) -> str:
    """A training that was interrupted ends as one that was not."""
    write_base(model, folder, rows=8)
    options = TrainingOptions("assorted", steps=4, batch_size=4, save_every=2, learning_rate=0.01, **given)
    whole = train(folder / "encoded", folder / "base", folder / "whole", options)
    with pytest.raises(Interrupted):
        train(folder / "encoded", folder / "base", folder / "parts", options, advance=interrupt_at(3))
    parts = train(folder / "encoded", folder / "base", folder / "parts", options)
    one, other = (run.load_model().state_dict() for run in (whole, parts))
    assert all(torch.equal(values, other[name]) for name, values in one.items()), "a resumed run is another"
    return "same"


def write_base(model: "PreTrainedModel", folder: Path, rows: int) -> None:
    """Write a model with a tokenizer of the class that its type has, and rows that are encoded for it."""
    model.save_pretrained(folder / "base")
    build_tokenizer(["1 + 2 = 3\n### 3", "4 + 5 = 9\n### 9"], vocab_size=280).save_pretrained(folder / "base")
    write_encoded_for(folder / "encoded", open_tokenizer(str(folder / "base")), rows, 0)
    (folder / "encoded" / "vqvae").mkdir()


def steps(model: "PreTrainedModel", folder: Path) -> str:
    """One training step each of text, latents, pauses and thoughts, from the saved model to a finished run."""
    write_base(model, folder, rows=4)
    refused = []
    for method in ("cot", "assorted", "pause", "coconut"):
        options = TrainingOptions(method, steps=1, batch_size=4, method_options=_SHORT if method == "coconut" else {})
        try:
            run = train(folder / "encoded", folder / "base", folder / method, options)
        except InputError as error:
            assert not (folder / method).exists(), "a refusal left something behind"
            refused.append(f"{method}: {error}")
        else:
            assert all(value.isfinite().all() for value in run.load_model().parameters())
    return "; ".join(refused) or "all four"
