import pytest
import torch

from mixlm.data.template import Template
from mixlm.errors import InputError
from mixlm.evaluation.evaluate import evaluate
from mixlm.evaluation.measuring.requests import direct_openings
from mixlm.generation.answerer import Request
from mixlm.generation.engine import Engine
from mixlm.generation.options import GenerationOptions
from mixlm.run import Run
from tests.tiny_runs import WORDS, tiny_model, tiny_run, tiny_tokenizer


TOKENIZER = tiny_tokenizer()
RUN = tiny_run()
EOS, MARKER = WORDS.index("<eos>"), WORDS.index("###")


def row(number: int, prompt: str, trace: str, answer: str) -> dict:
    ids = {
        name: [WORDS.index(word) for word in text.split()]
        for name, text in (("prompt_ids", prompt), ("trace_ids", trace), ("solution_ids", f"### {answer} <eos>"))
    }
    return {"row": number, **ids, "step_lengths": [len(ids["trace_ids"])], "question": prompt}


ROWS = [row(3, "a b", "c d e f g", "1"), row(7, "a", "c", "2"), row(8, "b c d", "a b c d e f g a", "3 4")]


def engine(run: Run, model=None) -> Engine:
    return Engine(run, model, TOKENIZER)


def run_of(method: str, **options) -> Run:
    run = tiny_run(method)
    run.method_options = options
    return run


def test_an_answer_opens_with_its_marker():
    assert direct_openings(engine(RUN), ROWS) == [[MARKER]] * 3


def test_what_a_method_puts_after_the_prompt_comes_first():
    run = run_of("pause", count=2)
    pause = run.ids.pause
    assert direct_openings(engine(run), ROWS) == [[pause, pause, MARKER]] * 3


def test_thoughts_that_the_model_would_end_itself_are_whole():
    run = run_of("coconut", stop="learned", stages=2, thoughts_per_step=1, epochs_per_stage=1.0)
    run.step = 100
    ids, (opening, *_) = run.ids, direct_openings(engine(run), ROWS)
    assert opening == [ids.bo_thought, ids.thought, ids.thought, ids.eo_thought, MARKER]
    assert run.prompt([1]) == [1, ids.bo_thought]


def test_the_marker_is_the_templates():
    run = tiny_run()
    run.template = Template(solution="f g {answer} a")
    rows = [{**one, "solution_ids": [WORDS.index(word) for word in "f g 1 a".split()]} for one in ROWS]
    assert direct_openings(engine(run), rows) == [[WORDS.index("f"), WORDS.index("g")]] * 3
    with pytest.raises(InputError, match="row 3 the tokenizer joins the marker 'f g' with the answer"):
        direct_openings(engine(run), ROWS)


@torch.no_grad()
def greedy(model, ids: list[int], most: int) -> list[int]:
    """Continue with ordinary words alone, token by token."""
    written = []
    while len(written) < most and written[-1:] != [EOS]:
        logits = model(torch.tensor([[*ids, *written]])).logits[0, -1]
        written.append(int(logits[: len(WORDS)].argmax()))
    return written


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_model_writes_only_what_follows_the_marker(family, batch_size):
    model = tiny_model(family, seed=3)
    result = evaluate(engine(RUN, model), ROWS, GenerationOptions(6, batch_size=batch_size), ["direct"])
    for asked, record in zip(ROWS, result["records"], strict=True):
        written = greedy(model, [*asked["prompt_ids"], MARKER], 6)
        words = [WORDS[token] for token in [MARKER, *written] if token != EOS]
        assert record["text"].split() == words
        assert record["tokens"]["total"] == record["tokens"]["text"] == 1 + len(written)  # the marker is counted
        assert record["codes"] == [] and record["latents"] == "direct"
        assert record["answer"] is not None
    assert result["modes"]["direct"]["unreadable"] == 0 and result["modes"]["direct"]["latents"] == 0


def test_a_model_that_always_writes_latents_is_kept_from_it():
    model = tiny_model("llama")
    with torch.no_grad():
        model.lm_head.weight[RUN.ids.bo_latent] = 50 * model.lm_head.weight.abs().max()
    found = evaluate(engine(RUN, model), ROWS, GenerationOptions(4), ["direct"])["modes"]["direct"]["tokens"]
    assert found["latent"] == found["delimiter"] == 0


def test_it_stands_beside_the_other_modes():
    result = evaluate(engine(RUN, tiny_model("llama")), ROWS, latents=["free,exact:0%,direct"])
    assert list(result["modes"]) == ["free", "exact:0%", "direct"] and len(result["records"]) == 9
    evaluate(engine(tiny_run("cot"), tiny_model("llama")), ROWS, latents=["direct"])


def test_without_reference_answers_there_is_no_such_mode():
    with pytest.raises(InputError, match="--latents direct: is for mixlm evaluate"):
        engine(RUN, tiny_model("llama")).answer([Request([1])], GenerationOptions(latents="direct"))


def test_a_marker_that_does_not_fit_is_refused_by_its_row():
    with pytest.raises(InputError, match="^row 8: the prompt has 3 tokens and the method adds 1, .* context holds 4"):
        evaluate(engine(RUN, tiny_model("llama", context=4)), ROWS, latents=["direct"])
