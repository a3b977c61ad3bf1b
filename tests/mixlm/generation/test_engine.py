from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import GenerationConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from mixlm.data.template import Template
from mixlm.errors import InputError
from mixlm.generation.answerer import Request
from mixlm.generation.answers import Answer, read_answer
from mixlm.generation.engine import Engine
from mixlm.generation.grammar import LatentGrammar, span_limits
from mixlm.generation.options import GenerationOptions, LatentMode, parse_latent_mode
from mixlm.model.special_tokens import SpecialIds
from mixlm.run import Run
from tests.tiny_runs import CODES, WORDS, saved_run, tiny_model, tiny_run, tiny_tokenizer


FAMILIES = ["llama", "gpt2"]
PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 1, 2, 3, 4], [0, 0, 2], [7, 7], [3, 2, 1, 5]]
TOKENIZER = tiny_tokenizer()
RUN = tiny_run()
IDS = RUN.ids


def asked(prompts=PROMPTS) -> list[Request]:
    return [Request(prompt, f"prompt {number}") for number, prompt in enumerate(prompts, 1)]


def answer_all(model, mode: str = "free", prompts=PROMPTS, run=RUN, **options) -> list[Answer]:
    options = {"max_new_tokens": 12, "decoding": "plain", **options}
    return Engine(run, model, TOKENIZER).answer(asked(prompts), GenerationOptions(latents=mode, **options))


def assert_legal(answer: Answer, spans: bool = True) -> None:
    """Check an answer against the definition: one span at the start or none, then text of the vocabulary, one end."""
    rest = answer.ids
    if spans and rest[0] == IDS.bo_latent:
        codes = len(answer.codes)
        assert rest[1 : 1 + codes] == [IDS.latent(code) for code in answer.codes]
        if answer.finished or len(rest) > codes + 1:
            assert codes >= 1 and rest[1 + codes] == IDS.eo_latent
        rest = rest[codes + 2 :]
    assert all(token < len(WORDS) for token in rest)
    assert answer.finished == (answer.ids[-1] == IDS.eos)
    assert IDS.eos not in answer.ids[:-1]


def decode_by_hand(model, prompt: list[int], mode: str, steps: int) -> list[int]:
    """Greedy decoding of one prompt without batch, padding, cache or transformers' loop."""
    limits = span_limits([parse_latent_mode(mode)], RUN.method.spans)
    grammar = LatentGrammar(IDS, limits, len(prompt), len(TOKENIZER))
    ids = torch.tensor([prompt])
    for _ in range(steps):
        with torch.no_grad():
            scores = model(ids, use_cache=False).logits[:, -1]
        ids = torch.cat([ids, grammar(ids, scores).argmax(-1)[:, None]], 1)
        if ids[0, -1] == IDS.eos:
            break
    return ids[0, len(prompt) :].tolist()


@pytest.mark.parametrize("mode", ["free", "text", "max:2", "exact:3"])
@pytest.mark.parametrize("family", FAMILIES)
def test_batched_cached_generation_equals_one_row_at_a_time_without_cache(family, mode):
    model = tiny_model(family)
    expected = [decode_by_hand(model, prompt, mode, 12) for prompt in PROMPTS]
    assert len({tuple(ids) for ids in expected}) > 3  # the models do not all say the same
    for batch_size in (1, 4, 6):
        assert [answer.ids for answer in answer_all(model, mode, batch_size=batch_size)] == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_is_told_by_place_not_by_id(family):
    # The tokenizer pads with its end of sequence, and a prompt holds that id: a mask by id would hide it.
    assert TOKENIZER.pad_token_id == IDS.eos
    model = tiny_model(family)
    prompts = [[0, 0, 2], [2], [5, 6, 7, 1, 2, 3, 4]]
    together = answer_all(model, prompts=prompts)
    assert [a.ids for a in together] == [decode_by_hand(model, prompt, "free", 12) for prompt in prompts]
    model.config.pad_token_id = TOKENIZER.pad_token_id
    other = tiny_tokenizer()
    for pad in ("a", None):
        other.pad_token = pad
        options = GenerationOptions(max_new_tokens=12, batch_size=2, decoding="plain")
        assert together == Engine(RUN, model, other).answer(asked(prompts), options)


def test_a_padding_token_that_the_model_has_no_row_for_is_never_given_to_it():
    model, other = tiny_model("llama", rows=len(TOKENIZER)), tiny_tokenizer()
    other.add_special_tokens({"pad_token": "<pad>"})
    assert other.pad_token_id >= len(model.get_input_embeddings().weight)
    options = GenerationOptions(max_new_tokens=12, decoding="plain")
    assert Engine(RUN, model, other).answer(asked(), options) == answer_all(model)


def test_prompts_share_a_batch_where_the_longest_turns_no_others_angles():
    config = tiny_model("llama").config
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0, "original_max_position_embeddings": 16}
    config.rope_parameters = rope
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).double().eval()
    engine = Engine(RUN, model, TOKENIZER)
    for budget, batches in ((9, 1), (10, 5)):  # the longest prompt has 7 tokens, two have one length
        pending = engine.plan(asked(), GenerationOptions(max_new_tokens=budget))
        assert len([*engine.batches(pending, GenerationOptions())]) == batches
    alone = [decode_by_hand(model, prompt, "free", 12) for prompt in PROMPTS]
    assert [answer.ids for answer in answer_all(model)] == alone


def test_a_model_that_cannot_generate_is_named(monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise AttributeError("'BltConfig' object has no attribute 'num_hidden_layers'")

    model = tiny_model("llama")
    monkeypatch.setattr(model, "generate", fail)
    with pytest.raises(InputError, match="type 'llama' writes no answers with transformers' generate: 'BltConfig'"):
        answer_all(model)


@pytest.mark.parametrize("sampling", [{}, {"temperature": 2.0}, {"top_k": 3}, {"top_p": 0.7, "temperature": 1.5}])
@pytest.mark.parametrize("family", FAMILIES)
def test_exactly_n_holds_for_any_model(family, sampling):
    for seed in range(3):
        model = tiny_model(family, seed)
        for count in (0, 1, 4):
            for answer in answer_all(model, f"exact:{count}", **sampling):
                assert len(answer.codes) == answer.counts.latent == count
                assert answer.counts.delimiter == (2 if count else 0)
                assert_legal(answer)


@pytest.mark.parametrize("mode", ["free", "text", "max:2"])
@pytest.mark.parametrize("family", FAMILIES)
def test_no_illegal_token_ever(family, mode):
    answers = [
        answer
        for seed in range(4)
        for answer in answer_all(tiny_model(family, seed), mode, temperature=3.0, samples=4, seed=seed)
    ]
    assert len(answers) == 4 * 4 * len(PROMPTS)
    for answer in answers:
        assert_legal(answer)
        assert len(answer.codes) <= {"free": 12, "text": 0, "max:2": 2}[mode]
    spans = {bool(answer.codes) for answer in answers}
    assert spans == ({False} if mode == "text" else {False, True})


def test_exactly_none_equals_text_only():
    model = tiny_model("llama")
    assert answer_all(model, "exact:0") == answer_all(model, "text") == answer_all(model, "max:0")


def test_counts_may_differ_from_prompt_to_prompt():
    options, counts = GenerationOptions(max_new_tokens=12, batch_size=4), [3, 0, 1, 2, 0, 5]
    requests = [Request(prompt, latents=LatentMode("exact", n)) for prompt, n in zip(PROMPTS, counts, strict=True)]
    answers = Engine(RUN, tiny_model("gpt2"), TOKENIZER).answer(requests, options)
    assert [len(answer.codes) for answer in answers] == counts


def test_a_text_method_never_writes_project_tokens():
    for answer in answer_all(tiny_model("llama"), run=tiny_run("cot"), temperature=3.0, samples=8):
        assert_legal(answer, spans=False)
    with pytest.raises(InputError, match="writes no latents"):
        answer_all(tiny_model("llama"), "exact:1", run=tiny_run("cot"))


def test_answers_are_read_by_hand():
    bo, eo, z = IDS.bo_latent, IDS.eo_latent, IDS.first_latent
    answer = read_answer([bo, z + 3, z, eo, 1, 9, 12, 0, 0, 0], TOKENIZER, IDS)
    assert answer.ids == [bo, z + 3, z, eo, 1, 9, 12, 0]
    assert answer.text.split() == ["a", "###", "2"]  # neither latents nor end of sequence
    assert answer.codes == [3, 0] and answer.finished
    assert (answer.counts.text, answer.counts.latent, answer.counts.delimiter, answer.counts.total) == (4, 2, 2, 8)
    cut = read_answer([bo, z], TOKENIZER, IDS)
    assert not cut.finished and cut.counts.total == 2 and cut.text == ""


def test_end_of_sequence_ends_an_answer_even_where_it_pads():
    model = tiny_model("llama")
    answers = answer_all(model, temperature=3.0, samples=12)
    assert {answer.finished for answer in answers} == {True, False}
    for answer in answers:
        assert answer.counts.total == len(answer.ids) == (len(answer.ids) if answer.finished else 12)


def test_sampling_repeats_with_its_seed_and_leaves_the_global_state_alone():
    model = tiny_model("llama")
    state = torch.random.get_rng_state()
    first = answer_all(model, temperature=2.0, samples=3, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert answer_all(model, temperature=2.0, samples=3, seed=1) == first
    assert answer_all(model, temperature=2.0, samples=3, seed=2) != first
    assert len({tuple(answer.ids) for answer in first[:3]}) > 1


@pytest.mark.parametrize("sampling", [{}, {"temperature": 2.0, "samples": 2, "seed": 5}])
def test_an_answer_does_not_depend_on_what_was_decoded_before(sampling):
    engine = Engine(RUN, tiny_model("llama"), TOKENIZER)
    options = GenerationOptions(max_new_tokens=12, batch_size=3, **sampling)
    pending = engine.plan(asked(), options)
    batches = [{one.place: answer for one, answer in batch} for batch in engine.decoded(pending, options)]
    assert len(batches) == (4 if sampling else 2) and len({*map(str, batches)}) == len(batches)
    for number, batch in enumerate(batches):
        (alone,) = engine.decoded(pending, options, lambda ones, batch=batch: ones[0].place in batch)
        assert {one.place: answer for one, answer in alone} == batches[number]


def test_the_first_batch_has_the_random_numbers_of_the_seed_and_no_other_has():
    engine = Engine(RUN, tiny_model("llama"), TOKENIZER)
    options = GenerationOptions(max_new_tokens=12, temperature=2.0, seed=5)
    torch.manual_seed(5)
    drawn = torch.rand(3).tolist()
    seen = []
    engine._decode = lambda batch, *_: seen.append(torch.rand(3).tolist()) or [[IDS.eos] for _ in batch]
    for first in (0, 1, 2**31):
        list(engine.decoded(engine.plan(asked()[:1], options, first), options))
    assert seen[0] == drawn and len({*map(tuple, seen)}) == 3


def test_the_likeliest_token_alone_is_greedy():
    model = tiny_model("gpt2")
    greedy = answer_all(model)
    assert answer_all(model, top_k=1) == greedy
    assert answer_all(model, top_p=1e-9) == greedy
    assert answer_all(model, temperature=0.0, top_k=5) == greedy


def test_settings_of_the_checkpoint_and_dropout_do_not_change_greedy_decoding():
    model = tiny_model("gpt2")  # GPT-2 has dropout by default
    expected = answer_all(model)
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=5.0, top_k=3, repetition_penalty=9.0, no_repeat_ngram_size=1, eos_token_id=0
    )
    settings = model.generation_config.to_dict()
    model.train()
    assert answer_all(model) == expected
    assert model.generation_config.to_dict() == settings and model.training


def test_a_token_at_which_the_base_model_stops_ends_an_answer_too():
    model = tiny_model("llama")
    longest = max(answer_all(model, "text"), key=lambda answer: len(answer.ids))
    stop = longest.ids[1]
    model.generation_config.eos_token_id = [0, stop]
    for answer in answer_all(model, "text"):
        assert answer.finished == (answer.ids[-1] in (0, stop))
        assert stop not in answer.ids[:-1]


def test_tokens_beyond_the_number_of_tokens_are_read_and_written_where_ids_are_left_out():
    words = Tokenizer(WordLevel({"a": 0, "b": 1, "<eos>": 5}, unk_token="a"))
    tokenizer, model = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<eos>"), tiny_model("llama")
    run = Run(Path("run"), "cot", Template(), SpecialIds(eos=5))
    options = GenerationOptions(max_new_tokens=16, temperature=2.0, samples=60, batch_size=60)
    answers = Engine(run, model, tokenizer).answer([Request([1, 5])], options)
    assert any(answer.finished and answer.ids[-1] == 5 for answer in answers)
    assert {token for answer in answers for token in answer.ids} == set(range(6))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_context_bounds_each_answer_by_its_own_prompt(family):
    answers = answer_all(tiny_model(family, context=10), "text", temperature=5.0, max_new_tokens=8, samples=20)
    cut_off = {(len(PROMPTS[i // 20]), len(answer.ids)) for i, answer in enumerate(answers) if not answer.finished}
    assert cut_off == {(3, 7), (1, 8), (7, 3), (2, 8), (4, 6)}


def test_a_prompt_as_long_as_the_context_is_named_before_anything_runs():
    model = tiny_model("llama", context=8)
    model.generate = None
    with pytest.raises(InputError, match=r"rows.jsonl:2: the prompt has 8 tokens, the model's context holds 8 "):
        Engine(RUN, model, TOKENIZER).answer([Request([1], "rows.jsonl:1"), Request([1] * 8, "rows.jsonl:2")])


@pytest.mark.parametrize(
    ("mode", "options", "message"),
    [
        ("free", {"samples": 2}, "--samples: greedy decoding gives the same answer"),
        ("exact:11", {}, "prompt 1: 11 latents with their delimiters do not fit in the 12 tokens"),
        ("exact:50%", {}, "a share needs a reference trace"),
    ],
)
def test_options_that_contradict_each_other_are_refused(mode, options, message):
    with pytest.raises(InputError, match=message):
        answer_all(tiny_model("llama"), mode, **options)


def test_tokens_that_the_method_puts_behind_the_prompt_are_counted():
    class Pausing(type(RUN.method)):
        def prompt(self, prompt_ids, progress, thoughts=None):
            return [*prompt_ids, IDS.pause, IDS.pause]

    class PausingRun(type(RUN)):
        method = property(lambda self: Pausing().bind(self.ids, self.cutting))

    run = PausingRun(**vars(replace(RUN)))
    model = tiny_model("llama")
    for prompt, answer in zip(PROMPTS, answer_all(model, run=run), strict=True):
        assert answer.ids[:2] == [IDS.pause] * 2
        assert answer.ids[2:] == decode_by_hand(model, [*prompt, IDS.pause, IDS.pause], "free", 12)
        assert answer.counts.pause == 2 and answer.counts.total == len(answer.ids)
        assert answer.counts.paper_tokens == len(answer.ids) - 2


def test_every_answer_is_counted():
    done = []
    options = GenerationOptions(max_new_tokens=3, batch_size=4)
    Engine(RUN, tiny_model("llama"), TOKENIZER).answer(asked(), options, lambda *news: done.append(news))
    assert done[0] == (4, len(PROMPTS)) and done[-1] == (len(PROMPTS), len(PROMPTS)) and done == sorted(done)
    assert CODES == len(IDS.latent_ids)


def test_a_run_is_opened_at_once_and_its_model_when_it_is_needed(tmp_path):
    run = saved_run(tmp_path / "run")
    engine = Engine.load(run.path, "cpu")
    assert (
        engine.run.path == run.path
        and engine.request("1 + 2?").prompt_ids == engine.tokenizer("1 + 2?\n")["input_ids"]
    )
    assert "model" not in vars(engine)
    requests, options = [engine.request("1 + 2?")], GenerationOptions(max_new_tokens=5)
    assert engine.answer(requests, options) == Engine(run, run.load_model(), run.tokenizer()).answer(requests, options)
    assert engine.model is engine.model and engine.context == 64


def test_what_cannot_be_opened_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no such run folder"):
        Engine.load(tmp_path / "nothing")
    run = saved_run(tmp_path / "run")
    with pytest.raises(InputError, match="--device nowhere: there is no such device here"):
        Engine.load(run.path, "nowhere")


def test_threads_that_share_an_engine_get_the_answers_of_one_and_leave_its_model_as_it_was():
    model = tiny_model("llama")
    model.generation_config.eos_token_id = [0, 3]
    engine, settings = Engine(RUN, model, TOKENIZER), model.generation_config
    options = [GenerationOptions(max_new_tokens=12, temperature=1.5, seed=seed) for seed in range(8)]
    alone = [engine.answer(asked(), each) for each in options]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda each: engine.answer(asked(), each), options)) == alone
    assert model.generation_config is settings


def test_a_request_takes_a_mode_as_text():
    assert Request([1], latents="exact:2") == Request([1], latents=LatentMode("exact", 2))
    with pytest.raises(InputError, match="--latents 'fuzzy': no such mode"):
        Request([1], latents="fuzzy")


@pytest.mark.parametrize("prompt", [[], [-1], [1, len(TOKENIZER)]])
def test_a_prompt_that_the_model_cannot_read_is_named(prompt):
    with pytest.raises(InputError, match="prompt 2: the prompt must be token ids from 0 to"):
        answer_all(tiny_model("llama"), prompts=[[1], prompt])
