"""All analyses of a run on one set of rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from mixlm.analysis.attention import PromptAttention, attention_finding, attention_to_prompt, prompt_classes
from mixlm.analysis.codes import code_finding, count_pairs, information_finding
from mixlm.analysis.finding import Finding
from mixlm.analysis.interventions import DEFAULT, Intervener, intervention_finding, needs_model
from mixlm.analysis.outcomes import outcome_finding
from mixlm.analysis.places import as_latents, as_text, place_finding, place_rows, score_chunks
from mixlm.analysis.prosqa_graph import ConceptGraph
from mixlm.analysis.steering import Steering, steering_finding
from mixlm.analysis.sweep import check_comparable, sweep_finding, sweep_rows
from mixlm.analysis.value_probe import candidate_probabilities, parallelism_finding, value_finding, value_rows
from mixlm.data.tables import Row
from mixlm.errors import InputError
from mixlm.evaluation.checks import CheckName, require_check
from mixlm.evaluation.evaluate import answer_rows
from mixlm.evaluation.losses import most_tokens
from mixlm.generation.answerer import Answerer
from mixlm.generation.engine import Engine
from mixlm.generation.options import GenerationOptions
from mixlm.generation.prefill import is_thought
from mixlm.generation.server.model_server import NoServer
from mixlm.methods.base import recoded
from mixlm.model.special_tokens import text_only
from mixlm.model.thoughts.thinking import fill_thoughts
from mixlm.run import Run
from vqvae.advance import Advance


_CHECKED = ("interventions", "steer", "sweep", "outcomes")  # answer the rows
NEEDS_MODEL = "needs the model itself; leave out --endpoint and --engine"


@dataclass
class Case:
    """What is analysed.

    Attributes:
        answerer: The run; a server of it answers, also after latents that it is given, and knows no more.
        rows: Tokenized rows; some analyses need codes or further columns.
        options: How answers are decoded.
        check: How they are compared with the right ones.
        kinds: Interventions; None: of ``DEFAULT`` those that the answerer can do.
        others: Further runs of the same tokenizer and template, to be swept over beside this one; they are decoded
            here.
        say: Told of every analysis that begins, and of what is left out with the reason.
    """

    answerer: Answerer
    rows: Sequence[Row]
    options: GenerationOptions
    check: CheckName = "exact"
    kinds: Sequence[str] | None = None
    others: Sequence[Run] = ()
    say: Callable[[str], None] = lambda line: None

    def __post_init__(self) -> None:
        """Give the rows the codes that the run's method has for them."""
        self.rows = recoded(list(self.rows), self.run.method)

    @property
    def run(self) -> Run:
        """The run."""
        return self.answerer.run

    @property
    def engine(self) -> Engine:
        """The run with its model; an ``InputError`` if a server has it."""
        if not isinstance(self.answerer, Engine):
            raise InputError(NEEDS_MODEL)
        return self.answerer


def analyze(
    case: Case,
    names: Sequence[str] | None = None,
    advance: Advance | None = None,
    tell: Callable[[Finding], None] = lambda finding: None,
) -> list[Finding]:
    """Carry out analyses.

    Args:
        case: What is analysed.
        names: Keys of ``ANALYSES``; None: all that can be had of this run, these rows and the answerer.
        advance: Called with (analyses done, analyses) before the first and after each; None: nothing is.
        tell: Called with each finding as it comes; a later analysis may fail.

    Raises:
        InputError: If an analysis that is named cannot be had, or none can, or a server is gone.
    """
    findings: list[Finding] = []
    reasons: dict[str, None] = {}
    asked = list(names or ANALYSES)
    for done, name in enumerate(asked):
        if advance:
            advance(done, len(asked))
        case.say(f"{name} ..")
        try:
            if name in _CHECKED:
                require_check(case.check, (row.get("question") or "" for row in case.rows))
            found = ANALYSES[name](case)
        except InputError as error:
            if names or isinstance(error, NoServer):
                raise InputError(f"{name}: {error}") from None
            reasons[str(error)] = None
            case.say(f"left out {name}: {error}")
            continue
        for finding in found:
            tell(finding)
        findings += found
    if advance:
        advance(len(asked), len(asked))
    if not findings:
        raise InputError(f"{case.run.path}: nothing to analyse; {'; '.join(reasons)}")
    return findings


def read_names(text: str) -> list[str]:
    """Read a comma-separated list of analyses; an ``InputError`` if there is no such one."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in ANALYSES:
            raise InputError(f"analysis '{name}': there is no such one; choose from {', '.join(ANALYSES)}")
    return names


def interventions(case: Case) -> list[Finding]:
    """Change latents or thoughts and compare the answers."""
    intervener = Intervener(case.answerer, case.rows, case.options)
    return [intervention_finding(intervener, _kinds(case, intervener), case.check)]


def _kinds(case: Case, intervener: Intervener) -> Sequence[str]:
    """Return the interventions that are asked for, or of those that nobody named the ones that can be had."""
    asked = DEFAULT if case.kinds is None else case.kinds
    here = isinstance(case.answerer, Engine)
    lacking = [kind for kind in asked if not here and needs_model(kind, case.run)]
    if lacking and case.kinds is not None:
        raise InputError(f"{lacking[0]} {NEEDS_MODEL}")
    if lacking:
        case.say(f"left out of interventions {', '.join(lacking)}: {NEEDS_MODEL}")
    try:
        if "other" in asked:  # known before the others are decoded
            intervener.donors()
    except InputError as error:
        if case.kinds is not None:
            raise
        case.say(f"left out of interventions other: {error}")
        lacking.append("other")
    return [kind for kind in asked if kind not in lacking]


def steer(case: Case) -> list[Finding]:
    """Give questions the latents of others, and see whose answer comes out."""
    return [steering_finding(Steering(case.answerer, case.rows, case.options, case.check))]


def sweep(case: Case) -> list[Finding]:
    """Vary the number of latents or thoughts, for several runs if there are any."""
    answerer, local = case.answerer, isinstance(case.answerer, Engine)
    table = sweep_rows(answerer, case.rows, case.options, case.check)
    for other in case.others:
        check_comparable(case.run, other, case.rows)
        device = str(answerer.model.device) if local else answerer.engine.device
        further = Engine(other, tokenizer=answerer.tokenizer, device=device)
        table += sweep_rows(further, case.rows, case.options, case.check)
    return [sweep_finding(table, len(case.rows))]


def codes(case: Case) -> list[Finding]:
    """Read what every code stands for in the rows, and how much codes tell of their chunks."""
    _require_chunks(case)
    counts = count_pairs(case.rows)
    return [code_finding(counts, case.answerer.tokenizer.decode), information_finding(counts, case.run.codebook_size)]


def places(case: Case) -> list[Finding]:
    """Predict every chunk of the traces as a latent and as text, place by place."""
    _require_chunks(case)
    engine, special = case.engine, case.run.ids
    rows = _short_enough(case, [row for row in case.rows if row["codes"]])
    if not rows:
        raise InputError("no trace is as long as a chunk, or none that the model has room for")
    words = text_only(engine.tokenizer.get_vocab().values(), special)
    latents, text = (
        score_chunks(engine.model, [form(row, case.run.method) for row in rows], among, case.options.batch_size)
        for form, among in ((as_latents, special.latent_ids), (as_text, words))
    )
    return [place_finding(place_rows(latents, text), len(rows))]


def attention(case: Case) -> list[Finding]:
    """Compare what latents and what the trace as text attend to in the prompt."""
    if not case.run.method.uses_thoughts:
        _require_codes(case)
    traces = _short_enough(case, [row for row in case.rows if len(row["trace_ids"])])
    measures = [_measure_attention(case, row) for row in traces]
    return [attention_finding([measure for measure in measures if measure is not None])]


def _short_enough(case: Case, rows: Sequence[Row]) -> list[Row]:
    """Return the rows that the model has room for, in any form; says how many others there are."""
    room = case.engine.context
    kept = [row for row in rows if room is None or most_tokens(case.run.method, row) <= room]
    if len(kept) < len(rows):
        case.say(f"left out {len(rows) - len(kept)} of {len(rows)} rows, longer than the model's {room} tokens")
    return kept


def _measure_attention(case: Case, row: Row) -> PromptAttention | None:
    """Return the attention to the prompt of one row; None if no latent stands for its trace."""
    prompt, trace, method, special = row["prompt_ids"], row["trace_ids"], case.run.method, case.run.ids
    if method.uses_thoughts:
        latent_ids, text_ids = case.run.whole_prompt(prompt), [*prompt, *method.span(0), *trace]
    else:
        latent_ids, text_ids = method.sequence_with(row, len(row["codes"])).ids, [*prompt, *trace]
    latent = [special.is_latent(token) or token == special.thought for token in latent_ids[len(prompt) :]]
    if not any(latent):
        return None
    queries = {
        "latent": (latent_ids, [False] * len(prompt) + latent),
        "text": (text_ids, [False] * (len(text_ids) - len(trace)) + [True] * len(trace)),
    }
    found = {
        name: attention_to_prompt(case.engine.model, _given(case.engine, ids), torch.tensor(marked), len(prompt))
        for name, (ids, marked) in queries.items()
    }
    return PromptAttention(prompt_classes(prompt, case.engine.tokenizer), **found)


def outcomes(case: Case) -> list[Finding]:
    """Sort the answers to rows of ProsQA into the paper's six classes."""
    graphs = _graphs(case)
    records = answer_rows(case.answerer, case.rows, case.options, case.check)
    return [outcome_finding(records, graphs, case.run.template.marker)]


def values(case: Case) -> list[Finding]:
    """Probe thoughts for a value function, and for the number of next steps that they keep open."""
    method = case.run.method
    if not method.uses_thoughts:
        raise InputError(f"{case.run.path}: method '{case.run.method_name}' has no thoughts to probe")
    engine, graphs, table = case.engine, _graphs(case), []
    for row in case.rows:
        graph = graphs[row["row"]]
        for k in range(1, method.stages + 1):
            ids = case.run.prompt(row["prompt_ids"], k * method.thoughts_per_step)
            probabilities = candidate_probabilities(engine, _embeds(engine, ids), graph, k)
            table += value_rows(row["row"], k, graph, probabilities)
    return [value_finding(table), parallelism_finding(table)]


ANALYSES: dict[str, Callable[[Case], list[Finding]]] = {
    "interventions": interventions,
    "steer": steer,
    "sweep": sweep,
    "codes": codes,
    "places": places,
    "attention": attention,
    "outcomes": outcomes,
    "values": values,
}


def _embeds(engine: Engine, ids: Sequence[int]) -> torch.Tensor:
    """Return the input embeddings of one sequence, thoughts filled in, (1, length, width)."""
    given = torch.tensor([list(ids)], device=engine.model.device)
    return fill_thoughts(engine.model, given, torch.ones_like(given), is_thought(given, engine.run.ids))


def _given(engine: Engine, ids: Sequence[int]) -> dict[str, torch.Tensor]:
    """Return what the model is given for one sequence: ids, from which some compute more, but where thoughts are."""
    if engine.run.ids.thought in ids:
        return {"inputs_embeds": _embeds(engine, ids)}
    return {"input_ids": torch.tensor([list(ids)], device=engine.model.device)}


def _graphs(case: Case) -> dict[int, ConceptGraph]:
    return {row["row"]: ConceptGraph.from_row(row, f"row {row['row']}") for row in case.rows}


def _require_chunks(case: Case) -> None:
    """Refuse a run whose latents do not stand for chunks of the rows."""
    _require_codes(case)
    if not case.run.method.has_pure_spans():
        raise InputError(f"{case.run.path}: no latent of method '{case.run.method_name}' stands for a chunk")


def _require_codes(case: Case) -> None:
    """Refuse rows whose codes, if there are any, mean nothing to the run."""
    if not case.run.method.needs_codes or not case.run.ids.codebook_size:
        raise InputError(f"{case.run.path}: method '{case.run.method_name}' has no codes")
    if "codes" not in case.rows[0]:
        raise InputError("the rows have no codes; give the encoded dataset in place of the raw file")
