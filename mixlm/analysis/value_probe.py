"""Which next step a model that has thought for some steps would take: Coconut's value function and parallelism.

After k steps' worth of thoughts the model is made to go on in text. The probability that it gives to each of the nodes
that k steps may have led to says how it values them, and how it spreads over them whether it follows several at once
(Coconut, section 5).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mixlm.analysis.finding import Finding, error_bars
from mixlm.analysis.prosqa_graph import ConceptGraph
from mixlm.data.tokenization import tokenize_text
from mixlm.errors import InputError
from mixlm.evaluation.statistics import bootstrap_interval
from mixlm.generation.engine import Engine
from mixlm.model.thoughts.recomputed import last_logits
from vqvae.model.layers import evaluating


if TYPE_CHECKING:
    from matplotlib.axes import Axes


TOPS = (1, 2, 3)
PARALLEL_STEPS = (1, 2)

Valued = Mapping[str, Any]  # a row of ``value_rows`` or of a finding's table


def candidates(graph: ConceptGraph, k: int) -> tuple[int, ...]:
    """Return the nodes that the next step in text may name after ``k`` steps' worth of thoughts, in ascending order.

    They are the nodes at k hops from the root, which the next sentence, "Every A is a B.", begins with. Without
    thoughts it is "ROOT is a A.", so for k = 0 they are those at one hop, as for k = 1.
    """
    return graph.frontier(max(k, 1))


def candidate_ids(
    tokenizer: PreTrainedTokenizerBase, graph: ConceptGraph, k: int
) -> tuple[list[int], dict[int, list[int]]]:
    """Return the ids of the forced text, and those of each candidate's name after it.

    "Every A" is tokenised as a whole, so that a space becomes part of the name where the tokenizer has it so. The
    forced part is the ids of "Every" alone. If some name's ids do not begin with them, because the tokenizer merges
    across the border, it is what the ids with all names of the graph begin with. At least the last id of a candidate
    belongs to its name.

    Args:
        tokenizer: A tokenizer of transformers.
        graph: The graph.
        k: Number of steps that the thoughts stand for; 0 forces "ROOT is a" instead of "Every".
    """
    text = "Every" if k else f"{graph.names[graph.root]} is a"
    forced = tokenize_text(tokenizer, text)
    whole = [tokenize_text(tokenizer, f"{text} {name}") for name in graph.names]
    named = {node: whole[node] for node in candidates(graph, k)}
    if any(ids[: len(forced)] != forced for ids in whole):
        forced = [column[0] for column in takewhile(lambda column: len(set(column)) == 1, zip(*whole, strict=False))]
    start = min([len(forced), *(len(ids) - 1 for ids in named.values())])
    return forced[:start], {node: ids[start:] for node, ids in named.items()}


def candidate_probabilities(
    engine: Engine, prefix_embeds: torch.Tensor, graph: ConceptGraph, k: int
) -> dict[int, float]:
    """Return the probability of each candidate for the next step: the product of those of its name's tokens.

    Args:
        engine: The run.
        prefix_embeds: Input embeddings of all that comes before the forced text, thoughts filled in and ended, n > 0,
            (1, n, D).
        graph: The graph of the question.
        k: Number of steps that the thoughts stand for.

    Returns:
        Probability, from 0 to 1, by candidate in ascending order. They do not sum to 1: other text has the rest. Empty
        if there is no node at k hops.
    """
    model = engine.model
    forced, named = candidate_ids(engine.tokenizer, graph, k)
    if not named:
        return {}
    given = torch.tensor(forced, dtype=torch.long, device=prefix_embeds.device)
    embeds = torch.cat([prefix_embeds, _embed(model, given[None], prefix_embeds)], dim=1)
    totals = continuation_logprobs(model, embeds, list(named.values()))
    return dict(zip(named, totals.exp().tolist(), strict=True))


@torch.no_grad()
def continuation_logprobs(
    model: PreTrainedModel, prefix_embeds: torch.Tensor, continuations: Sequence[Sequence[int]]
) -> torch.Tensor:
    """Return the log-probability of each of some continuations of one prefix, without dropout.

    Args:
        model: Any causal LM of transformers.
        prefix_embeds: Input embeddings of the prefix, (1, n, D), n > 0.
        continuations: Token ids of each continuation, at least one id each; B continuations.

    Returns:
        Sums of the log-probabilities (natural) of all ids, (B,), float64 on the CPU.
    """
    device, count = prefix_embeds.device, len(continuations)
    width = max(map(len, continuations))
    ids = torch.tensor([[*given, *[0] * (width - len(given))] for given in continuations], device=device)
    # By place, not by id: the padding's id is also that of a token.
    real = torch.tensor([[True] * len(given) + [False] * (width - len(given)) for given in continuations])
    # The last id of the longest continuation is predicted and never read.
    read = real[:, :-1].to(device)
    embeds = torch.cat([prefix_embeds.expand(count, -1, -1), _embed(model, ids[:, :-1], prefix_embeds)], dim=1)
    mask = torch.cat([read.new_ones(count, prefix_embeds.shape[1]), read], dim=1).long()
    with evaluating(model):
        # The prefix's last place predicts the first id, so the last ``width`` places predict all.
        logits = model(inputs_embeds=embeds, attention_mask=mask, use_cache=False, **last_logits(model, width)).logits
    logprobs = logits[:, -width:].float().log_softmax(-1).gather(-1, ids[..., None])[..., 0]
    return logprobs.cpu().double().masked_fill(~real, 0).sum(-1)


def _embed(model: PreTrainedModel, ids: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.get_input_embeddings()(ids).to(like)


def value_rows(
    sample: int | str, k: int, graph: ConceptGraph, probabilities: Mapping[int, float]
) -> list[dict[str, Any]]:
    """Return one row for each candidate of a sample after ``k`` steps' worth of thoughts.

    Columns: ``sample``; ``k``; ``node``; ``name``; ``probability``; ``normalised``, the probability over the sum of
    those of all candidates (equal for all if that is 0); ``height`` of the node in edges; ``leads_to_target``.

    Args:
        sample: Names the sample; the same for all its rows, and for no other sample's.
        k: Number of steps that the thoughts stand for.
        graph: The graph of the question.
        probabilities: What ``candidate_probabilities`` returned.
    """
    total = sum(probabilities.values())
    return [
        {
            "sample": sample,
            "k": k,
            "node": node,
            "name": graph.names[node],
            "probability": probability,
            "normalised": probability / total if total else 1 / len(probabilities),
            "height": graph.height(node),
            "leads_to_target": graph.leads_to_target(node),
        }
        for node, probability in probabilities.items()
    ]


def value_finding(rows: Sequence[Valued]) -> Finding:
    """Compare the candidates' probabilities by their height, apart for those that do and do not lead to the target.

    If thoughts work as a value function, nodes that lead to the target get more than others, most clearly at small
    heights, from where a wrong node is soon seen to end elsewhere.

    Columns: ``k``; ``leads_to_target``; ``height`` in edges; ``probability``, the mean over samples of the normalised
    probability, candidates of one sample averaged before so that each sample counts once; ``low`` and ``high``, its 95
    percent bootstrap interval over samples, None for one sample; ``nodes``; ``samples``. Only groups that have nodes
    are listed. A sample's normalised probabilities sum to 1, so nodes with fewer rivals have larger ones for that
    reason alone: compare nodes that do and do not lead to the target at the same k, not different k.

    Args:
        rows: Those of ``value_rows`` of all samples.

    Raises:
        InputError: If there is no row.
    """
    _require(rows)
    groups: dict[tuple[int, bool, int], dict[Any, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[row["k"], not row["leads_to_target"], row["height"]][row["sample"]].append(row["normalised"])
    table = []
    for (k, astray, height), samples in sorted(groups.items()):
        counts = {"nodes": sum(map(len, samples.values())), "samples": len(samples)}
        measures = _mean([np.mean(values) for values in samples.values()])
        table.append({"k": k, "leads_to_target": not astray, "height": height, **measures, **counts})
    title = f"Probability of the next step by height of its node, {_samples(rows)} samples, 95% intervals"
    return Finding("values", title, table, lambda axes: _draw_values(axes, table))


def parallelism_finding(rows: Sequence[Valued], steps: Sequence[int] = PARALLEL_STEPS) -> Finding:
    """Measure how far the model spreads over its candidates: what the likeliest one, two and three get together.

    A model that has settled on one node gives nearly all to the first; one that follows several at once adds much with
    the second and third. Only samples with at least three candidates count, so that all three sums mean something.

    Columns: ``k``; ``top``, the number of likeliest candidates; ``probability``, the mean over samples of the sum of
    their normalised probabilities; ``low`` and ``high``, its 95 percent bootstrap interval over samples; ``uniform``,
    the mean of what they would have if all candidates of a sample were equally likely; ``samples``; ``left_out``, the
    samples with fewer candidates. Measures are None where no sample has enough, the interval also where only one has.

    Args:
        rows: Those of ``value_rows`` of all samples.
        steps: The k that are listed.

    Raises:
        InputError: If there is no row.
    """
    _require(rows)
    table = [row for k in steps for row in _parallel_rows(rows, k)]
    title = f"Summed probability of the likeliest next steps, {_samples(rows)} samples, 95% intervals"
    return Finding("parallelism", title, table, lambda axes: _draw_parallelism(axes, table))


def _parallel_rows(rows: Sequence[Valued], k: int) -> list[dict[str, Any]]:
    """Return the rows of one ``k``."""
    samples = defaultdict(list)
    for row in rows:
        if row["k"] == k:
            samples[row["sample"]].append(row["normalised"])
    enough = [sorted(values, reverse=True) for values in samples.values() if len(values) >= max(TOPS)]
    table = []
    for top in TOPS:
        measures = dict.fromkeys(("probability", "low", "high", "uniform"))
        if enough:
            uniform = float(np.mean([top / len(values) for values in enough]))
            measures = {**_mean([sum(values[:top]) for values in enough]), "uniform": uniform}
        counts = {"samples": len(enough), "left_out": len(samples) - len(enough)}
        table.append({"k": k, "top": top, **measures, **counts})
    return table


def _require(rows: Sequence[Valued]) -> None:
    if not rows:
        raise InputError("there are no candidates to compare: take more samples, or fewer thoughts")


def _mean(values: Sequence[float]) -> dict[str, float | None]:
    """Return the mean over samples and its interval; no interval for one sample, whose resamples are all alike."""
    probability, low, high = bootstrap_interval(np.array(values))
    several = len(values) > 1
    return {"probability": probability, "low": low if several else None, "high": high if several else None}


def _samples(rows: Sequence[Valued]) -> int:
    return len({row["sample"] for row in rows})


def _draw_values(axes: "Axes", table: Sequence[Valued]) -> None:
    """Draw a line over heights for each k: whole and with dots where nodes lead to the target, else dashed."""
    groups: dict[tuple[int, bool], list[Valued]] = defaultdict(list)
    for row in table:
        groups[row["k"], row["leads_to_target"]].append(row)
    steps = sorted({k for k, _ in groups})
    for place, ((k, leads), listed) in enumerate(groups.items()):
        places = [row["height"] + 0.04 * (place - (len(groups) - 1) / 2) for row in listed]  # bars side by side
        style = {"marker": "o", "linestyle": "-"} if leads else {"marker": "x", "linestyle": "--"}
        nodes = sum(row["nodes"] for row in listed)
        label = f"k = {k}, {'leads' if leads else 'does not lead'} to the target ({nodes} nodes)"
        values = [row["probability"] for row in listed]
        colour = f"C{steps.index(k) % 10}"
        axes.errorbar(places, values, error_bars(listed, "probability"), capsize=3, color=colour, label=label, **style)
    axes.set_xticks(sorted({row["height"] for row in table}))
    axes.set_xlabel("height of the node (edges to the nearest leaf)")
    axes.set_ylabel("normalised probability, mean (0 to 1)")
    axes.set_ylim(0, axes.get_ylim()[1] * (1.05 + 0.06 * len(steps)))  # room for the legend above the lines
    axes.legend(fontsize=7, ncols=2, loc="upper center")


def _draw_parallelism(axes: "Axes", table: Sequence[Valued]) -> None:
    """Draw the sums as bars side by side for each k, and a line across each bar for the uniform distribution."""
    steps = list(dict.fromkeys(row["k"] for row in table if row["samples"]))
    width = 0.8 / len(TOPS)
    for place, top in enumerate(TOPS):
        listed = [row for row in table if row["top"] == top and row["samples"]]
        places = np.arange(len(listed)) + (place - (len(TOPS) - 1) / 2) * width
        heights = [row["probability"] for row in listed]
        axes.bar(places, heights, width * 0.95, yerr=error_bars(listed, "probability"), capsize=4, label=f"top {top}")
        uniform = [row["uniform"] for row in listed]
        label = "all equally likely" if top == TOPS[-1] else None
        axes.hlines(uniform, places - width / 2, places + width / 2, color="black", linestyle="--", label=label)
    first = [next(row for row in table if row["k"] == k) for k in steps]
    names = [f"{row['k']}\n({row['samples']} samples, {row['left_out']} with too few left out)" for row in first]
    axes.set_xticks(range(len(steps)), names)
    axes.set_xlabel("k, steps in thoughts")
    axes.set_ylabel("summed normalised probability (0 to 1)")
    axes.set_ylim(0, 1.2)  # room for the legend above the bars
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.legend(fontsize=8, ncols=4, loc="upper center")
