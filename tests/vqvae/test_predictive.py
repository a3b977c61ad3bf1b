"""What codes that predict may and may not see."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModel

from tests.vqvae_rows import IDS, random_reader, random_step_rows
from vqvae import ChunkVQVAE, InputError, PredictiveVQVAE
from vqvae.model.context import Context, ContextDecoder, Texts, by_sample
from vqvae.model.continuations import NEXT, SOLUTION, continuations
from vqvae.model.vocabulary import ENDED


def other_id(token: int) -> int:
    return IDS[(IDS.index(token) + 1) % len(IDS)]


def changed(row: dict, part: str, place: int) -> dict:
    ids = [*row[part]]
    ids[place] = other_id(ids[place])
    return {**row, part: ids}


def encoded(model: PredictiveVQVAE, row: dict) -> torch.Tensor:
    batch = model.collate([row], model.config)
    return model.chunks(batch["input_ids"], batch["places"]).vectors[:, 0]


def logits(model: PredictiveVQVAE, row: dict, vectors: torch.Tensor, kind: int = NEXT) -> torch.Tensor:
    """What the reader predicts of the texts of a row whose codes are ``vectors`` (n, d)."""
    batch = model.collate([row], model.config)
    rows, counts = by_sample(vectors, batch["sample"], 1)
    texts = continuations(batch, model.vocabulary, model.config)[kind]
    return model.next_logits(model.read(batch, rows, counts), texts, kind)


ROW = {
    "prompt_ids": IDS[:3],
    "trace_ids": [3, 5, 8, 13, 21, 34, 55, 89, 3],
    "step_lengths": [3, 2, 4],
    "solution_ids": [5, 8],
}


def test_a_text_has_its_own_code_at_hand_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no attention at all, and more codes than have a place of their own."""
    monkeypatch.setattr("vqvae.model.context.PLACES", 2)
    model = random_reader()
    model.reader.blocks = torch.nn.ModuleList()
    vectors = encoded(model, ROW)
    before = logits(model, ROW, vectors, SOLUTION)
    for code in range(3):
        moved = vectors + torch.eye(3)[code, :, None]
        reached = (logits(model, ROW, moved, SOLUTION) != before).flatten(1).any(1)
        assert reached.tolist() == [other == code for other in range(3)]


@pytest.mark.parametrize("context", ["chunk", "trace"])
def test_codes_of_a_step_depend_on_no_later_text_and_never_on_the_prompt(context: str) -> None:
    model = random_reader(context=context)
    before, step_of = encoded(model, ROW), np.repeat([0, 1, 2], ROW["step_lengths"])
    for place, step in enumerate(step_of):
        differs = (encoded(model, changed(ROW, "trace_ids", place)) != before).any(-1)
        assert not differs[:step].any() and differs[step]
        assert context == "trace" or not differs[step + 1 :].any()
    for part in ("prompt_ids", "solution_ids"):
        assert torch.equal(encoded(model, changed(ROW, part, 0)), before)


def test_the_reader_sees_neither_a_codes_own_step_nor_later_ones() -> None:
    """Codes held fixed, text t+1 is predicted the same whatever steps up to t, and after t+1, are changed to."""
    model = random_reader()
    vectors = encoded(model, ROW).detach()
    before = logits(model, ROW, vectors)
    step_of = np.repeat([0, 1, 2], ROW["step_lengths"])
    for place, step in enumerate(step_of):
        after = logits(model, changed(ROW, "trace_ids", place), vectors)
        differs = (after != before).any(-1)
        others = [text for text in range(len(vectors)) if text != step - 1]
        assert not differs[others].any()
        if step:  # within its own text a token is seen by those after it
            inside = place - int(np.searchsorted(step_of, step))
            assert not differs[step - 1, : inside + 1].any()
            assert differs[step - 1, inside + 1 : inside + 2].all()


def test_a_text_sees_the_prompt_and_codes_up_to_its_own_alone() -> None:
    model = random_reader()
    vectors = encoded(model, ROW).detach()
    before = logits(model, ROW, vectors)
    for code in range(len(vectors)):
        other = vectors.clone()
        other[code] += 1
        differs = (logits(model, ROW, other) != before).any(-1).any(-1)
        assert differs.tolist() == [text >= code for text in range(len(vectors))]
    assert (logits(model, changed(ROW, "prompt_ids", 0), vectors) != before).any(-1).any(-1).all()


def test_no_gradient_of_a_prediction_reaches_text_that_is_not_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes held fixed, of all the text only the predicted one is embedded, and its last target is no input."""
    model, seen = random_reader(), []
    vectors = encoded(model, ROW).detach()

    def keep(texts: Texts) -> torch.Tensor:
        seen.append(model.tokens(texts.targets.clamp(min=0)).detach().requires_grad_())
        return seen[-1]

    monkeypatch.setattr(model, "_embedded", keep)
    found = logits(model, ROW, vectors)
    for text in range(2):
        (gradient,) = torch.autograd.grad(found[text].square().sum(), seen, retain_graph=True)
        reached = (gradient != 0).any(-1)
        assert reached[text, :-1].all() and not reached[text, -1]
        assert not reached[[other for other in range(3) if other != text]].any()
    (gradient,) = torch.autograd.grad(found[0, 1].square().sum(), seen)
    assert (gradient[0] != 0).any(-1).tolist() == [True] + [False] * (gradient.shape[1] - 1)


def test_reading_back_gives_no_gradient_to_what_makes_or_reads_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """So codes, tokens and what is predicted from them are the same with it and without."""
    model, losses = random_reader(), []
    original = model.cross_entropy
    monkeypatch.setattr(model, "cross_entropy", lambda *given: losses.append(original(*given)) or losses[-1])
    model(**model.collate(random_step_rows(4), model.config))
    predicting, reading_back = losses[:2], losses[2]
    reading_back.backward()
    assert moved(model) == {"read_back", "read_back_bias"}
    model.zero_grad()
    sum(predicting).backward()
    assert moved(model) == {"tokens", "encoder", "to_code", "reader", "head_bias"}


def moved(model: PredictiveVQVAE) -> set[str]:
    """The parts that have a gradient."""
    return {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.grad is not None}


def test_a_batch_is_its_rows() -> None:
    """Prompts of different length, rows with different numbers of codes: means over codes are those of single rows."""
    model, rows = random_reader(), random_step_rows(5)
    alone = [model(**model.collate([row], model.config)) for row in rows]
    together = model(**model.collate(rows, model.config))
    assert torch.equal(together.codes, torch.cat([out.codes for out in alone]))
    shares = torch.tensor([len(out.codes) for out in alone]) / len(together.codes)
    for name in ("next_loss", "solution_loss"):
        torch.testing.assert_close(together[name], sum(shares * torch.stack([out[name] for out in alone])))


def test_where_no_code_has_a_next_step_nothing_is_asked_of_it() -> None:
    model = random_reader().train()
    only = {**ROW, "trace_ids": ROW["trace_ids"][:3], "step_lengths": [3]}
    out = model(**model.collate([only, only], model.config))
    out.loss.backward()
    assert out.next_loss == 0 < out.solution_loss


def test_padding_changes_nothing() -> None:
    """Other ids beyond the end of prompts, solutions, next steps and chunks, the first two made wider."""
    model = random_reader()
    batch = model.collate(random_step_rows(5), model.config)
    sizes = {f"{part}_ids": batch[f"{part}_lengths"] for part in ("prompt", "solution", "next")}
    padded = dict(batch)
    for name, lengths in {**sizes, "input_ids": batch["places"][:, 2]}.items():
        wider = F.pad(batch[name], (0, 2 if name in ("prompt_ids", "solution_ids") else 0))
        padded[name] = wider.masked_fill(torch.arange(wider.shape[1]) >= lengths[:, None], IDS[3])
        assert not torch.equal(padded[name], batch[name])
    one, other = model(**batch), model(**padded)
    assert torch.equal(one.codes, other.codes)
    for name in ("loss", "next_loss", "solution_loss", "reconstruction_loss"):
        torch.testing.assert_close(one[name], other[name])


def test_codes_of_steps_do_not_depend_on_company() -> None:
    model, rows = random_reader(), random_step_rows(12)
    lengths = np.array([len(row["trace_ids"]) for row in rows])
    together = model.encode_flat(
        np.concatenate([row["trace_ids"] for row in rows]),
        lengths,
        np.concatenate([row["step_lengths"] for row in rows]),
    )
    padded = torch.zeros(len(rows), lengths.max(), dtype=torch.long)
    for ids, row in zip(padded, rows, strict=True):
        ids[: len(row["trace_ids"])] = torch.tensor(row["trace_ids"])
    batched = model.encode(padded, torch.from_numpy(lengths), [row["step_lengths"] for row in rows])
    assert batched[batched >= 0].tolist() == together.tolist()
    for row, codes in zip(rows, batched, strict=True):
        alone = model.encode(torch.tensor([row["trace_ids"]]), None, [row["step_lengths"]])[0]
        assert codes[codes >= 0].tolist() == alone.tolist()
    assert len(set(together.tolist())) > 2


def test_what_is_read_back_ends_once_and_does_not_depend_on_company() -> None:
    model = random_reader()
    codes, prompts = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([[3, 5, 8], [21, 0, 0]])
    lengths = torch.tensor([3, 1])
    together = model.decode(codes, prompts, lengths)
    assert torch.equal(together[:1], model.decode(codes[:1], prompts[:1]))
    assert torch.equal(together[1:], model.decode(codes[1:], prompts[1:, :1]))
    assert torch.equal(together[:, :8], model.decode(codes[:, :2], prompts, lengths))  # codes see none after them
    with torch.no_grad():
        model.read_back_bias[model.config.end_row] += 4
    ended = model.decode(codes, prompts, lengths).view(-1, 4) == ENDED
    assert ended.any() and not ended.all()
    assert torch.equal(ended, ended.cummax(1).values)


def test_where_nothing_is_learned_texts_of_a_long_trace_are_written_some_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each has a copy of what was read; predicted and read back as all at once, by numbers as well as by texts."""
    model, written = random_reader(), []
    row = {"prompt_ids": IDS[:3], "trace_ids": IDS * 5, "step_lengths": [4] * 10, "solution_ids": [5, 8]}
    batch = model.collate([row], model.config)
    vectors, codes = model.quantizer.vq.codebook[torch.arange(10) % 8], torch.arange(10)[None] % 8
    write = ContextDecoder.write

    def told(decoder: ContextDecoder, context: Context, texts: Texts, *rest: object) -> torch.Tensor:
        written.append(len(texts.sample))
        return write(decoder, context, texts, *rest)

    def found() -> tuple[float, torch.Tensor]:
        written.clear()
        with torch.no_grad():
            return model.nats(vectors, batch), model.read_codes(codes, batch["prompt_ids"])[1]

    monkeypatch.setattr(ContextDecoder, "write", told)
    whole = found()
    assert written == [9, 10] + [10] * 4
    for bound, most in (("CHUNKS", 4), ("NUMBERS", 4 * 4 * 13 * 16)):  # 13 places of 16 numbers
        with monkeypatch.context() as patch:
            patch.setattr(f"vqvae.model.chunks.{bound}", most)
            parts = found()
            assert written == [4, 4, 1] + [4, 4, 2] + [4] * 8 + [2] * 4
            model(**batch)
            assert written[-3:] == [9, 10, 10]  # with gradients all are kept anyhow
        assert parts[0] == pytest.approx(whole[0], rel=1e-5)
        torch.testing.assert_close(parts[1], whole[1])


def test_auto_model_opens_the_class_of_the_objective(tmp_path: Path) -> None:
    model = random_reader()
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert type(loaded) is PredictiveVQVAE
    assert torch.equal(encoded(loaded, ROW), encoded(model, ROW))
    with pytest.raises(InputError, match="the objective 'predictive' is no ChunkVQVAE") as caught:
        ChunkVQVAE.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)
