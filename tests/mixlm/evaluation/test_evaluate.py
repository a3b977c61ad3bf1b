import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import Phi3Config, Phi3ForCausalLM

from mixlm.errors import InputError
from mixlm.evaluation.evaluate import accuracy, evaluate
from mixlm.evaluation.inputs import OpenedRows
from mixlm.evaluation.losses import added_losses, batches_of, loss_of, reference_sequences, summed_loss
from mixlm.evaluation.measuring.records import gold_answer, own_codes, score, summarize
from mixlm.evaluation.measuring.requests import read_modes
from mixlm.evaluation.statistics import wilson_interval
from mixlm.generation.answers import read_answer
from mixlm.generation.engine import Engine
from mixlm.generation.options import GenerationOptions
from mixlm.methods.base import Trainable
from mixlm.model.abilities import context_length
from mixlm.model.collator import pad
from mixlm.processes import Processes
from tests.coded_rows import coded
from tests.tiny_runs import WORDS, tiny_model, tiny_run, tiny_tokenizer


TOKENIZER = tiny_tokenizer()
RUN = tiny_run()
ENGINE = Engine(RUN, tokenizer=TOKENIZER)
WORD = {word: index for index, word in enumerate(WORDS)}


def ids_of(text: str) -> list[int]:
    return [WORD[word] for word in text.split()]


def row(number: int, prompt: str, trace: str, answer: str, codes: list[int] | None = None) -> dict:
    trace_ids, solution_ids = ids_of(trace), ids_of(f"### {answer} <eos>")
    tokens = {"prompt_ids": ids_of(prompt), "trace_ids": trace_ids, "solution_ids": solution_ids}
    tokens |= {"row": number, "step_lengths": [len(trace_ids)], "question": prompt}
    return tokens if codes is None else coded(tokens, codes)


ROWS = [
    row(3, "a b", "c d e f g", "1", [4, 2]),
    row(7, "a", "c", "2", []),
    row(8, "b c d", "a b c d e f g a", "3 4", [0, 1, 2, 3]),
]
RAW_ROWS = [{name: value for name, value in row.items() if not name.startswith("code")} for row in ROWS]


def engine(model, run=RUN) -> Engine:
    return Engine(run, model, TOKENIZER)


def test_answers_are_compared_as_the_rows_mean_it_unless_it_is_said():
    rows = OpenedRows(ROWS, "number", "as they mean it")
    assert len(rows) == len([*rows]) == 3 and rows[:2] == ROWS[:2]
    asked = engine(tiny_model("llama")), rows, GenerationOptions(max_new_tokens=2)
    assert evaluate(*asked)["check"] == "number"
    assert evaluate(*asked, check="math")["check"] == "math"
    assert evaluate(asked[0], ROWS, asked[2])["check"] == RUN.check == "exact"


def test_right_answers_are_read_from_the_solutions():
    assert [gold_answer(row, ENGINE) for row in ROWS] == ["1", "2", "3 4"]


def test_own_codes_come_from_the_data_or_from_where_the_run_cuts():
    assert [own_codes(row, RUN) for row in ROWS] == [2, 0, 4]
    assert [own_codes(row, RUN) for row in RAW_ROWS] == [2, 0, 4]
    coarse = replace(RUN, chunk_length=4)  # a chunk of 4 tokens has two codes; 5 tokens are one chunk
    assert [own_codes(row, coarse) for row in RAW_ROWS] == [2, 0, 4]
    coarse = replace(coarse, compression_rate=4)
    assert [own_codes(row, coarse) for row in RAW_ROWS] == [1, 0, 2]
    steps = replace(coarse, align="step")
    assert [own_codes(row, steps) for row in RAW_ROWS] == [2, 1, 2]  # one step each, of 5, 1 and 8 tokens
    assert own_codes({**RAW_ROWS[0], "step_lengths": [2, 0, 3]}, steps) == 2
    assert [own_codes(row, tiny_run("cot")) for row in RAW_ROWS] == [0, 0, 0]


def written(text: str, codes: list[int] = ()):
    ids = RUN.ids
    span = [ids.bo_latent, *map(ids.latent, codes), ids.eo_latent] if codes else []
    return read_answer([*span, *ids_of(text)], TOKENIZER, RUN.ids)


def test_records_and_figures_by_hand():
    answers = [
        written("### 1 <eos>", [4, 2]),  # right, 7 tokens
        written("c d e ### 2 <eos>"),  # wrong, 6 tokens
        written("2 <eos>"),  # no marker, 2 tokens
        written("c ### 2 <eos>", [1]),  # right, 7 tokens
        written("### 3 4 <eos>"),  # right, 4 tokens
        written("a b c d e f g a a a a", [0, 1, 2]),  # cut off, 16 tokens
    ]
    records = score(ENGINE, answers, ROWS, "max:3", "exact")
    assert [(r["row"], r["sample"]) for r in records] == [(3, 0), (3, 1), (7, 0), (7, 1), (8, 0), (8, 1)]
    assert [r["answer"] for r in records] == ["1", "2", None, "2", "3 4", None]
    assert [r["right"] for r in records] == [True, False, False, True, True, False]
    assert [r["codes"] for r in records] == [[4, 2], [], [], [1], [], [0, 1, 2]]
    assert {(r["latents"], r["own_codes"]) for r in records} == {("max:3", 2), ("max:3", 0), ("max:3", 4)}
    assert all("latent" not in r["text"] for r in records)
    json.dumps(records)

    figures = summarize(records, rows=3)
    assert figures["accuracy"] == 0.5 and figures["right"] == 3 and figures["answers"] == 6
    assert figures["interval"] == list(wilson_interval(1.5, 3)[1:])
    assert figures["solved"] == 1  # each row by one of its two samples
    assert summarize(records[2:], rows=2)["solved"] == 1 and summarize(records[1:3], rows=2)["solved"] == 0
    assert summarize([records[0], records[1], records[2], records[2]], rows=2)["solved"] == 1 / 2
    assert figures["cut_off"] == 1 / 6 and figures["unreadable"] == 2 / 6
    assert figures["finished_accuracy"] == 3 / 5
    assert summarize(records[-1:], rows=1)["finished_accuracy"] is None  # none of one came to its end
    assert figures["latents"] == 1 and figures["tokens"]["delimiter"] == 1
    assert figures["tokens"]["total"] == figures["tokens"]["paper_tokens"] == (7 + 6 + 2 + 7 + 4 + 16) / 6
    assert figures["tokens"]["text"] == (3 + 6 + 2 + 4 + 4 + 11) / 6


def test_one_row_for_each_mode_beside_free_decoding():
    seen = []
    result = evaluate(
        engine(tiny_model("llama")),
        ROWS,
        GenerationOptions(batch_size=2),
        ["free", "text,exact:0%,25%,50%,100%"],
        advance=lambda *news: seen.append(news[:2]),
    )
    assert list(result["modes"]) == ["free", "text", "exact:0%", "exact:25%", "exact:50%", "exact:100%"]
    assert result["max_new_tokens"] == 24  # the third row's trace of 8 and solution of 4, twice
    codes = {mode: [r["own_codes"] for r in result["records"] if r["latents"] == mode] for mode in result["modes"]}
    assert set(map(tuple, codes.values())) == {(2, 0, 4)}
    written = {mode: [len(r["codes"]) for r in result["records"] if r["latents"] == mode] for mode in result["modes"]}
    assert written["text"] == written["exact:0%"] == [0, 0, 0]
    assert written["exact:25%"] == [1, 0, 1]  # a quarter of two codes is a half, which is rounded up
    assert written["exact:50%"] == [1, 0, 2]
    assert written["exact:100%"] == [2, 0, 4]
    assert result["modes"]["exact:100%"]["latents"] == 2
    assert seen[-1] == (24, 24) and seen == sorted(seen)  # 3 rows in 6 modes, and in 2 forms for the loss
    json.dumps({**result, "records": None})


def test_a_text_names_its_modes():
    assert list(evaluate(engine(tiny_model("llama")), ROWS, latents="text")["modes"]) == ["text"]


def test_accuracy_is_that_of_free_decoding_whoever_shares_the_rows(monkeypatch):
    """Three processes, one without a row of two: each answers its share, and all are told the same."""
    one, rows = engine(tiny_model("llama")), ROWS[:2]
    monkeypatch.setattr("mixlm.evaluation.measuring.records.check_answer", lambda gold, answer, *_: gold == "1")
    expected = evaluate(one, rows)
    told: list[list[bool]] = []
    assert accuracy(one, rows, "exact", Processes()) == expected["modes"]["free"]["accuracy"] == 0.5
    monkeypatch.setattr("mixlm.evaluation.evaluate.gather_object", lambda right: told.append(right) or [True, False])
    assert [accuracy(one, rows, "exact", Processes(rank, 3)) for rank in range(3)] == [0.5] * 3
    assert told == [[True], [False], []]


def test_samples_of_a_row_lie_next_to_each_other_and_join_by_row():
    model = tiny_model("gpt2")
    options = GenerationOptions(samples=2, temperature=1.5, seed=4, max_new_tokens=6)
    result = evaluate(engine(model), ROWS, options)
    keys = [(r["row"], r["latents"], r["sample"]) for r in result["records"]]
    assert keys == [(number, "free", sample) for number in (3, 7, 8) for sample in (0, 1)]
    assert result["samples"] == 2 and result["modes"]["free"]["answers"] == 6 and result["rows"] == 3
    again = evaluate(engine(model), ROWS, options)
    assert again["records"] == result["records"]


def losses_of(model, run, rows, batch_size: int = 8) -> dict:
    references = reference_sequences(run.method, rows, context_length(model.config))
    return added_losses(
        loss_of(model, name, batch)
        for name, sequences in references.items()
        for batch in batches_of(sequences, batch_size)
    )


def loss_by_hand(model, prompt: list[int], answer: list[int]) -> float:
    logits = model(torch.tensor([[*prompt, *answer]])).logits[0].float().log_softmax(-1)
    return -sum(logits[len(prompt) + i - 1, token].item() for i, token in enumerate(answer))


def test_an_answer_is_measured_as_it_is_alone_where_a_longer_one_changes_its_angles():
    """As with LongRoPE, whose factors are the long ones for all of a pass that reaches beyond the first context."""
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    rope = {"rope_type": "longrope", "rope_theta": 100.0, "short_factor": [1.0] * 4, "long_factor": [9.0] * 4}
    shape |= {"original_max_position_embeddings": 8}
    torch.manual_seed(0)
    shape |= {"max_position_embeddings": 64, "rope_parameters": rope, "initializer_range": 0.5}
    config = Phi3Config(vocab_size=64, **shape, pad_token_id=0)
    model = Phi3ForCausalLM(config).eval()
    ids = [[*range(10, 10 + length)] for length in (7, 8, 9)]
    answers = [Trainable(own, own, [False] * len(own)) for own in ids]
    together, alone = loss_of(model, "own", answers), [loss_of(model, "own", [answer]) for answer in answers]
    assert together.nats == pytest.approx(sum(one.nats for one in alone), rel=1e-5)
    assert summed_loss(model, answers) != pytest.approx(together.nats, rel=1e-4)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_losses_at_no_and_all_codes_by_hand(family):
    model, ids = tiny_model(family), RUN.ids
    text = [(row["prompt_ids"], [*row["trace_ids"], *row["solution_ids"]]) for row in ROWS]
    coded = [
        (ids_of("a b"), [ids.bo_latent, ids.latent(4), ids.latent(2), ids.eo_latent, *ids_of("g ### 1 <eos>")]),
        (ids_of("a"), ids_of("c ### 2 <eos>")),
        (ids_of("b c d"), [ids.bo_latent, *map(ids.latent, range(4)), ids.eo_latent, *ids_of("### 3 4 <eos>")]),
    ]
    for batch_size in (1, 2, 8):
        losses = losses_of(model, RUN, ROWS, batch_size)
        for name, parts in {"m=0": text, "m=all": coded}.items():
            nats = sum(loss_by_hand(model, *part) for part in parts)
            tokens = sum(len(answer) for _, answer in parts)
            assert losses[name]["tokens"] == tokens and losses[name]["rows"] == 3
            assert losses[name]["loss"] == pytest.approx(nats / tokens, rel=1e-5)
            assert losses[name]["nats"] == pytest.approx(nats / 3, rel=1e-5)


def test_dropout_is_off_meanwhile():
    model = tiny_model("gpt2")
    expected = evaluate(engine(model), ROWS)
    assert evaluate(engine(model.train()), ROWS)["loss"] == expected["loss"]
    assert model.training


def test_a_model_is_left_as_it_was_after_an_error():
    model, sequences = tiny_model("gpt2").train(), reference_sequences(RUN.method, ROWS)
    model.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        loss_of(model, "m=0", sequences["m=0"])
    assert model.training


def test_losses_of_raw_rows_text_methods_and_long_rows():
    model = tiny_model("llama")
    at_0 = losses_of(model, RUN, ROWS)["m=0"]
    assert losses_of(model, RUN, RAW_ROWS) == {"m=0": at_0}
    assert losses_of(model, tiny_run("cot"), RAW_ROWS) == {"own": at_0}
    short = tiny_model("llama", context=12)  # the third row has 15 tokens as text
    assert losses_of(short, RUN, ROWS)["m=all"]["rows"] == 2


def test_a_text_run_is_measured_on_the_same_data():
    result = evaluate(engine(tiny_model("llama"), tiny_run("cot")), ROWS, latents=["free", "text", "exact:0%"])
    records = result["records"]
    assert [r["text"] for r in records[:3]] == [r["text"] for r in records[3:6]] == [r["text"] for r in records[6:]]
    with pytest.raises(InputError, match="--latents exact:50%: method 'cot' writes no latents"):
        evaluate(engine(None, tiny_run("cot")), ROWS, latents=["exact:50%"])


def test_what_cannot_be_evaluated_is_refused_before_a_model_is_loaded():
    with pytest.raises(InputError, match="no rows"):
        evaluate(ENGINE, [])
    with pytest.raises(InputError, match="no such check"):
        evaluate(ENGINE, ROWS, check="fuzzy")
    with pytest.raises(InputError, match="no such mode"):
        evaluate(ENGINE, ROWS, latents=["half"])


def test_a_prompt_that_does_not_fit_names_its_row():
    with pytest.raises(InputError, match="^row 8: the prompt has 3 tokens"):
        evaluate(engine(tiny_model("llama", context=3)), ROWS)


def test_a_mistake_in_the_last_mode_is_found_before_the_first():
    model = tiny_model("llama")
    model.generate = model.forward = None
    with pytest.raises(InputError, match="^row 8: 4 latents with their delimiters do not fit in the 5 tokens"):
        evaluate(engine(model), ROWS, GenerationOptions(max_new_tokens=5), ["free", "exact:100%"])


def test_a_share_of_no_codes_is_refused():
    """Rows without a trace, as of sets of questions, would all be answered in text, whatever the share."""
    rows = [{**row, "trace_ids": [], "step_lengths": []} for row in RAW_ROWS]
    with pytest.raises(InputError, match="--latents exact:50%: no row has a trace of latents to take a share"):
        evaluate(ENGINE, rows, latents="free,exact:0%,exact:50%")
    llama = engine(tiny_model("llama"))
    assert evaluate(llama, rows, GenerationOptions(max_new_tokens=5), "free,exact:0%,exact:1")["rows"] == 3


def test_a_dataset_works_like_a_list():
    datasets = pytest.importorskip("datasets")
    model = tiny_model("llama")
    listed = evaluate(engine(model), ROWS)
    held = evaluate(engine(model), datasets.Dataset.from_list(ROWS))
    assert held["records"] == listed["records"]
    assert np.isclose(held["loss"]["m=all"]["loss"], listed["loss"]["m=all"]["loss"])


def learn(model, run, rows, steps: int) -> None:
    """Overfit a model on every mix of every row."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    mixes = [run.method.sequence_with(row, count) for row in rows for count in range(len(row["codes"]) + 1)]
    batch = pad([{"input_ids": mix.ids, "labels": mix.labels} for mix in mixes])
    for _ in range(steps):
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def test_a_model_that_knows_its_rows_is_right_in_every_mode():
    rows = [
        row(n, f"{a} {b}", f"{a} c {b} d {a} e", f"{n}", [n, 4 - n, n])
        for n, (a, b) in enumerate(["ab", "ba", "fg", "gf"])
    ]
    model = tiny_model("llama")
    modes = ["text", "max:1", "exact:0%", "exact:1", "exact:67%", "exact:100%"]
    before = evaluate(engine(model), rows, latents=modes)
    learn(model, RUN, rows, steps=150)
    after = evaluate(engine(model), rows, latents=modes)
    assert [after["modes"][mode]["accuracy"] for mode in modes] == [1] * 6
    assert max(before["modes"][mode]["accuracy"] for mode in modes) < 1
    # 6 words of trace, 3 of solution: each code stands for two words and costs one token, the delimiters two.
    assert [after["modes"][mode]["tokens"]["total"] for mode in modes[2:]] == [9, 10, 9, 8]
    for record in after["records"]:
        assert record["codes"] == rows[record["row"]]["codes"][: len(record["codes"])]
        assert record["finished"] and record["answer"] == str(record["row"])
    for name in ("m=0", "m=all"):
        # What no model can know from a row is how many codes its mix has: at most log 4 at two places.
        assert after["loss"][name]["nats"] < 3.5 < before["loss"][name]["nats"]


@pytest.mark.parametrize("latents", ["free,free", ["free", "free"], ["exact:2", "max:1,exact:2"]])
def test_a_mode_that_is_named_twice_is_refused(latents):
    with pytest.raises(InputError, match="a mode is named twice; name each once"):
        read_modes(latents, RUN)
