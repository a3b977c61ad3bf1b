import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from mixlm.analysis import suite
from mixlm.analysis.interventions import DEFAULT
from mixlm.analysis.suite import ANALYSES, Case, analyze, read_names
from mixlm.analysis.sweep import SHARES, check_comparable, counts_to_try, sweep_rows
from mixlm.data.template import Template
from mixlm.errors import InputError
from mixlm.evaluation.inputs import open_rows
from mixlm.evaluation.statistics import wilson_interval
from mixlm.generation.engine import Engine
from mixlm.generation.options import GenerationOptions
from mixlm.generation.server.endpoint import Endpoint
from mixlm.run import Run
from pipelines.analyze import main
from tests.coded_rows import coded
from tests.completions_stub import Stub, serving
from tests.engine_stub import EngineStub
from tests.mixlm.analysis.test_interventions import IDS, OPTIONS, ROWS, TOKENIZER, model, thought_run
from tests.tiny_runs import saved_run, tiny_run, write_encoded_for


# a -> b -> d and a -> c -> e; words of the tiny vocabulary are the names.
GRAPH = {"idx_to_symbol": ["a", "b", "c", "d", "e"], "edges": [[0, 1], [0, 2], [1, 3], [2, 4]]}
ENDS = {"root": 0, "target": 3, "neg_target": 4}
GRAPH_ROWS = [{**row, **{name: json.dumps(value) for name, value in GRAPH.items()}, **ENDS} for row in ROWS]
CODED_ROWS = [coded(row, [row["row"] % 5, 1]) for row in ROWS]


def engine(run) -> Engine:
    return Engine(run, model(), TOKENIZER)


def names(findings) -> list[str]:
    return [finding.name for finding in findings]


def test_a_thought_run_on_graph_rows_has_all_but_codes() -> None:
    said: list[str] = []
    told: list[tuple[int, int]] = []
    case = Case(engine(thought_run()), GRAPH_ROWS, OPTIONS, kinds=["zeros"], say=said.append)
    found = analyze(case, advance=lambda done, total, figures={}: told.append((done, total)))
    assert told == [(done, 8) for done in range(9)]  # those that are left out, too
    assert names(found) == ["interventions", "sweep", "attention", "outcomes", "values", "parallelism"]
    steer = "left out steer: run: method 'coconut' writes no latents that could be exchanged"
    missing = [f"left out {name}: run: method 'coconut' has no codes" for name in ("codes", "places")]
    assert [line for line in said if "left out" in line] == [steer, *missing]
    values = next(finding for finding in found if finding.name == "values")
    assert {row["k"] for row in values.rows} == {1, 2}


def test_a_run_with_codes_has_all_but_thoughts() -> None:
    run = replace(tiny_run(ids=IDS), template=Template(solution="{answer}"))  # whatever it writes is an answer
    found = names(analyze(Case(engine(run), CODED_ROWS, OPTIONS, kinds=["none"])))
    assert found == ["interventions", "steer", "sweep", "codes", "code_information", "places", "attention"]


def test_what_was_asked_for_and_cannot_be_had_is_an_error() -> None:
    case = Case(engine(tiny_run(ids=IDS)), ROWS, OPTIONS)
    for name, message in [
        ("codes", "give the encoded dataset"),
        ("values", "no thoughts to probe"),
        ("outcomes", "ProsQA's form"),
    ]:
        with pytest.raises(InputError, match=f"^{name}: .*{message}"):
            analyze(case, [name])
    assert read_names("sweep, codes,sweep") == ["sweep", "codes"]
    every = (
        "run: nothing to analyse; .*no latents or thoughts .*; run: method 'cot' has no codes; .*no thoughts to probe$"
    )
    with pytest.raises(InputError, match=every):
        analyze(Case(engine(tiny_run("cot")), ROWS, OPTIONS))
    with pytest.raises(InputError, match="'everything': there is no such one; choose from interventions, steer"):
        read_names("codes, everything")


def test_a_sweep_over_thoughts_goes_past_those_of_training() -> None:
    assert counts_to_try(thought_run()) == [0, 1, 2, 3, 4, 5, 6]
    table = sweep_rows(engine(thought_run()), ROWS, OPTIONS, "exact")
    assert [row["latents"] for row in table] == [0, 1, 2, 3, 4, 5, 6]
    assert {row["per_step"] for row in table} == {2}
    assert all(row["low"] <= row["accuracy"] <= row["high"] for row in table)


def test_a_sweep_over_codes_takes_shares_of_each_samples_own() -> None:
    assert counts_to_try(tiny_run(ids=IDS)) == list(SHARES)
    table = sweep_rows(engine(tiny_run(ids=IDS)), CODED_ROWS, GenerationOptions(max_new_tokens=12), "exact")
    assert [row["latents"] for row in table] == [0, 1, 1, 2, 2]  # of 2 codes each, halves rounded up


def test_the_sweep_holds_other_runs_too(monkeypatch) -> None:
    monkeypatch.setattr("mixlm.generation.engine.open_pretrained", lambda *given: model().config)

    class Other(type(thought_run())):
        def load_model(self, dtype="auto"):
            return model()

        def tokenizer(self):
            return TOKENIZER

    other = Other(**vars(thought_run()) | {"method_options": {"stages": 2, "thoughts_per_step": 1}})
    (finding,) = analyze(Case(engine(thought_run()), ROWS, OPTIONS, others=[other]), ["sweep"])
    assert [row["per_step"] for row in finding.rows] == [2] * 7 + [1] * 4


def test_every_analysis_is_in_the_commands_help() -> None:
    shown = " ".join(CliRunner().invoke(main, ["--help"]).output.split())
    assert ", ".join(ANALYSES) in shown


def test_the_command_writes_a_table_and_a_plot_each(tmp_path) -> None:
    run = saved_run(tmp_path / "run")
    write_encoded_for(tmp_path / "encoded", run.tokenizer(), train=2, valid=3)
    out = tmp_path / "findings"
    arguments = [str(run.path), str(tmp_path / "encoded"), "--out", str(out), "--max-new-tokens", "12"]
    result = CliRunner().invoke(main, [*arguments, "--only", "interventions,codes", "--interventions", "zeros,none"])
    assert result.exit_code == 0, result.output
    written = ["code_information", "codes", "interventions"]
    assert sorted(path.name for path in out.iterdir()) == sorted(f"{n}.{e}" for n in written for e in ("csv", "png"))
    assert "untouched" in result.output and f"wrote {out / 'codes.csv'}" in result.output


def test_the_command_decodes_as_asked(tmp_path, monkeypatch) -> None:
    run, cases = saved_run(tmp_path / "run"), []
    write_encoded_for(tmp_path / "encoded", run.tokenizer(), train=2, valid=3)
    monkeypatch.setattr("mixlm.analysis.suite.analyze", lambda case, *_, **__: cases.append(case) or [])
    arguments = [str(run.path), str(tmp_path / "encoded"), "--out", str(tmp_path), "--max-new-tokens", "12"]
    result = CliRunner().invoke(main, [*arguments, "--decoding", "kind", "--batch-size", "2"])
    assert result.exit_code == 0, result.output
    assert cases[0].options == GenerationOptions(max_new_tokens=12, decoding="kind", batch_size=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "value"], "analysis 'value': there is no such one; choose from interventions"),
        (["--only", ""], "analysis '': there is no such one"),
        (["--interventions", "noise"], "intervention 'noise': there is no such one; choose from noise:S"),
        (["--interventions", ""], "intervention '': there is no such one"),
    ],
)
def test_a_wrong_name_is_told_before_anything_is_opened_or_made(tmp_path, arguments, message) -> None:
    out = tmp_path / "findings"
    result = CliRunner().invoke(main, [str(tmp_path / "no run"), "no data", "--out", str(out), *arguments])
    assert result.exit_code == 1 and result.output.count("\n") == 1 and message in result.output
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "codes"], "codes: the rows have no codes; give the encoded dataset"),
        (["--only", "places", "--endpoint", "http://127.0.0.1:9"], "places: the rows have no codes"),
        (
            ["--only", "interventions", "--interventions", "none,zeros", "--endpoint", "http://127.0.0.1:9"],
            "interventions: zeros needs the model itself; leave out --endpoint and --engine",
        ),
    ],
)
def test_no_folder_is_made_where_nothing_is_found(tmp_path, arguments, message) -> None:
    run, source, out = saved_run(tmp_path / "run"), tmp_path / "rows.jsonl", tmp_path / "findings"
    source.write_text('{"question": "1?", "steps": ["1"], "answer": "1"}\n')
    result = CliRunner().invoke(main, [str(run.path), str(source), "--out", str(out), *arguments])
    assert result.exit_code == 1 and message in result.output and not out.exists()


def test_findings_are_not_written_into_the_folder_of_the_rows(tmp_path) -> None:
    """There they would be read in place of the rows."""
    folder = tmp_path / "rows"
    folder.mkdir()
    for out in (folder, folder / "findings"):
        result = CliRunner().invoke(main, ["no run", str(folder), "--out", str(out)])
        assert result.exit_code == 1 and f"Error: {out}: " in result.output and not [*folder.iterdir()]


def test_a_place_that_cannot_be_written_is_told_before_anything_is_opened(tmp_path) -> None:
    (tmp_path / "file").touch()
    result = CliRunner().invoke(main, ["no run", "no data", "--out", str(tmp_path / "file" / "findings")])
    assert (
        result.exit_code == 1
        and "findings: cannot be written (Not a directory); choose another place" in result.output
    )


NEEDED = "needs the model itself; leave out --endpoint and --engine"


def graph_rows(path):
    """A file of rows with a graph."""
    rows = [{"question": f"{n}?", "steps": ["1 a b 2"], "answer": "1", **GRAPH, **ENDS} for n in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("method", ["assorted", "coconut"])
def test_a_server_gives_what_needs_answers_alone_with_the_figures_of_decoding_here(tmp_path, method) -> None:
    run = replace(saved_run(tmp_path / "run", method), template=Template(solution="{answer}"))  # whatever it writes
    if method == "coconut":
        run = replace(run, method_options=thought_run().method_options, step=100)
    engine, said, options = Engine(run), [], replace(OPTIONS, latents="exact:3" if method == "assorted" else "free")
    rows = open_rows(str(graph_rows(tmp_path / "rows.jsonl")), engine)
    rows = [coded(row, [row["row"] % 5, 1]) for row in rows] if method == "assorted" else rows
    with serving(Stub(engine)) as url:
        server = Endpoint(url, engine)
        there = analyze(Case(server, rows, options, say=said.append))
        with pytest.raises(InputError, match=f"^interventions: noise:1 {NEEDED}$"):
            analyze(Case(server, rows, options, kinds=["none", "noise:1"]), ["interventions"])
        with pytest.raises(InputError, match=f"^{'places' if method == 'assorted' else 'values'}: {NEEDED}$"):
            analyze(Case(server, rows, options), ["places" if method == "assorted" else "values"])
    written = ["fewer", "more", "none"] if method == "coconut" else ["shuffled", "other", "fewer", "more", "none"]
    names_here = ["interventions", "sweep", "outcomes"]
    if method == "assorted":
        names_here = ["interventions", "steer", "sweep", "codes", "outcomes"]
    here = analyze(Case(engine, rows, options, kinds=written), names_here)
    assert [(one.name, one.title, one.rows) for one in there] == [(one.name, one.title, one.rows) for one in here]
    vectors = ", ".join(kind for kind in DEFAULT if kind not in written)
    assert f"left out of interventions {vectors}: {NEEDED}" in said
    assert f"left out attention: {NEEDED}" in said


def test_a_further_run_of_a_sweep_is_decoded_here_beside_a_server(tmp_path) -> None:
    run, other = saved_run(tmp_path / "run"), saved_run(tmp_path / "other")
    source, outs = graph_rows(tmp_path / "rows.jsonl"), [tmp_path / "here", tmp_path / "there"]
    arguments = [str(run.path), str(source), "--max-new-tokens", "12", "--also", str(other.path), "--only", "sweep"]
    with serving(Stub(Engine(run))) as url:
        for out, more in zip(outs, ([], ["--endpoint", url]), strict=True):
            result = CliRunner().invoke(main, [*arguments, "--out", str(out), *more])
            assert result.exit_code == 0, result.output
    here, there = ((out / "sweep.csv").read_text() for out in outs)
    assert here == there and here.count(str(other.path)) == 5


def test_of_a_server_of_text_nobody_knows_what_latents_there_were(tmp_path) -> None:
    run = saved_run(tmp_path / "run")
    engine = Engine(run)
    rows = open_rows(str(graph_rows(tmp_path / "rows.jsonl")), engine)
    with serving(Stub(engine, takes_ids=False, returns_ids=False)) as url:
        for name in ("interventions", "steer", "sweep"):
            with pytest.raises(InputError, match=f"^{name}: .*text alone.* an engine that takes and returns ids"):
                analyze(Case(Endpoint(url, engine), rows, OPTIONS), [name])


def test_a_server_that_is_gone_ends_the_analysis(tmp_path, monkeypatch) -> None:
    """What could be had without it would else look like all that there is."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    run = saved_run(tmp_path / "run")
    write_encoded_for(tmp_path / "encoded", run.tokenizer(), train=2, valid=3)
    arguments = [str(run.path), str(tmp_path / "encoded"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, [*arguments, "--endpoint", "http://127.0.0.1:9"])
    assert result.exit_code == 1 and not (tmp_path / "out").exists()
    assert result.output.splitlines()[-1].startswith("Error: interventions: http://127.0.0.1:9/v1: no server answers")


def test_an_engine_is_started_for_answers_and_for_nothing_else(tmp_path) -> None:
    run, source = saved_run(tmp_path / "run", "cot"), graph_rows(tmp_path / "rows.jsonl")
    (tmp_path / "stub").mkdir()
    stub = EngineStub(tmp_path / "stub", [*run.tokenizer()("\n### 7")["input_ids"], run.ids.eos])
    arguments = [run.path, source, "--out", tmp_path / "out", "--engine", stub.python]
    refused, done = (
        CliRunner().invoke(main, [*map(str, arguments), "--only", name]) for name in ("steer", "outcomes")
    )
    assert refused.exit_code == 1 and "writes no latents that could be exchanged" in refused.output
    assert done.exit_code == 0 and "incorrect label" in done.output, done.output
    assert len(stub.starts()) == 1 and stub.answers() == 4 and stub.processes() == []


def test_several_answers_to_a_row_count_by_their_mean() -> None:
    """As in an evaluation: answers to one question are not independent."""
    options = replace(OPTIONS, samples=4, temperature=2.0)
    (row,) = sweep_rows(engine(tiny_run(ids=IDS)), CODED_ROWS, options, "exact", ["exact:1"])
    once = wilson_interval(row["accuracy"] * len(CODED_ROWS), len(CODED_ROWS))
    assert (row["low"], row["high"]) == (once.low, once.high)


def test_a_sweep_refuses_runs_that_would_read_other_prompts(tmp_path) -> None:
    first, second = saved_run(tmp_path / "first"), saved_run(tmp_path / "second")
    second.fingerprint = "another"
    second.save()
    write_encoded_for(tmp_path / "encoded", first.tokenizer(), train=2, valid=3)
    out = tmp_path / "out"
    arguments = [str(first.path), str(tmp_path / "encoded"), "--out", str(out), "--also", str(second.path)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1 and "has another tokenizer than" in result.output and not out.exists()


def test_a_controls_codes_are_read_as_the_control_has_them() -> None:
    """One code for all chunks tells nothing; strings of tokens are no chunks."""
    codes = {"codebook_size": 5, "compression_rate": 2, "chunk_length": 2}
    run = replace(tiny_run("matched-pauses", ids=IDS), method_state={"seed": 0}, **codes)
    findings = analyze(Case(engine(run), CODED_ROWS, OPTIONS), ["codes"])
    assert [row["code"] for row in findings[0].rows] == [0]
    measures = {row["measure"]: row["value"] for row in findings[1].rows}
    assert measures["used_codes"] == 1 and measures["mutual_information"] == 0
    run = replace(run, method_name="frequent-ngrams", method_state={"strings": [[1, 2]]})
    with pytest.raises(InputError, match="no latent of method 'frequent-ngrams' stands for a chunk"):
        analyze(Case(engine(run), CODED_ROWS, OPTIONS), ["codes"])


def test_attention_is_that_of_the_ids_where_embeddings_do_not_hold_all(monkeypatch) -> None:
    """Some models compute from each token's id what its input embedding lacks."""
    given: list[dict] = []
    monkeypatch.setattr(suite, "attention_to_prompt", lambda model, inputs, *rest: given.append(inputs) or np.ones(1))
    monkeypatch.setattr(suite, "attention_finding", lambda measures: measures)
    suite.attention(Case(engine(tiny_run(ids=IDS)), CODED_ROWS, OPTIONS))
    suite.attention(Case(engine(thought_run()), ROWS[:1], OPTIONS))
    with_codes = [["input_ids"]] * 2 * len(CODED_ROWS)
    assert [[*inputs] for inputs in given] == [*with_codes, ["inputs_embeds"], ["input_ids"]]


def test_another_samples_latents_need_another_sample() -> None:
    case = Case(engine(tiny_run(ids=IDS)), ROWS[:1], OPTIONS, kinds=["other"])
    with pytest.raises(InputError, match="'other' needs two samples with latents, of 1 there are 1; take more rows"):
        analyze(case, ["interventions"])
    said: list[str] = []
    (finding,) = analyze(replace(case, kinds=None, say=said.append), ["interventions"])  # which nobody named
    assert [row["intervention"] for row in finding.rows] == ["untouched", *(one for one in DEFAULT if one != "other")]
    assert said[1].startswith("left out of interventions other: intervention 'other' needs two samples")


def test_rows_that_the_model_has_no_room_for_are_left_out_and_told(monkeypatch) -> None:
    monkeypatch.setattr(Engine, "context", 10)
    short = {**CODED_ROWS[0], "trace_ids": CODED_ROWS[0]["trace_ids"][:2], "codes": [1], "code_ends": [2]}
    long = {**CODED_ROWS[0], "prompt_ids": [1] * 30}
    for name in ("places", "attention"):
        said: list[str] = []
        case = Case(engine(tiny_run(ids=IDS)), [short, long], OPTIONS, say=said.append)
        (finding,) = analyze(case, [name])
        assert said == [f"{name} ..", "left out 1 of 2 rows, longer than the model's 10 tokens"]
        alone = analyze(Case(engine(tiny_run(ids=IDS)), [short], OPTIONS), [name])
        assert finding.rows == alone[0].rows
    with pytest.raises(
        InputError, match="places: no trace is as long as a chunk, or none that the model has room for"
    ):
        analyze(Case(engine(tiny_run(ids=IDS)), [long], OPTIONS), ["places"])


def test_what_was_found_is_told_before_a_later_analysis_fails() -> None:
    told: list[str] = []
    case = Case(engine(tiny_run(ids=IDS)), CODED_ROWS, OPTIONS, kinds=["none"])
    with pytest.raises(InputError, match="values: "):
        analyze(case, ["codes", "values"], tell=lambda finding: told.append(finding.name))
    assert told == ["codes", "code_information"]


def test_codes_of_other_chunks_are_no_measure_for_a_further_run() -> None:
    run = tiny_run(ids=IDS)
    other = Run(**{**vars(run), "path": Path("other"), "chunk_length": 4, "compression_rate": 4})
    with pytest.raises(InputError, match="^other: its latents stand for other chunks than the rows' codes; give the"):
        check_comparable(run, other, CODED_ROWS)
    raw = [{name: value for name, value in row.items() if name != "codes"} for row in CODED_ROWS]
    check_comparable(run, other, raw)
    check_comparable(run, Run(**vars(run)), CODED_ROWS)
