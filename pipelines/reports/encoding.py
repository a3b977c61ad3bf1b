"""What mixlm-encode prints about an encoded dataset."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from mixlm.data.texts.responses import FIGURE, tell_rules
from mixlm.encoding.judging import advice_on, carried_by
from pipelines.shared.terminal import echo, notice


def print_encoding(manifest: dict[str, Any], out: str, model: str) -> None:
    """Print samples, compression, quality of the codebook, and the next command.

    Args:
        manifest: Of the encoded dataset.
        out: Its folder, as it was given.
        model: Whose tokenizer it was encoded for, as it was given.
    """
    codes, counts = manifest["codebook"], manifest["counts"]
    rate = manifest["compression_rate"] if manifest["align"] == "fixed" else None
    for split in ("train", "valid"):
        if counts[split]["samples"]:
            echo(_samples_line(split, counts[split], rate))
    skipped = sum(counts[split]["skipped_rows"] for split in ("train", "valid"))
    if skipped:
        echo(f"left out  {skipped} malformed row{'s' * (skipped > 1)}")
    for line in _answer_lines(counts):
        echo(line)
    longest = max(counts[split]["longest"] for split in ("train", "valid"))
    echo(f"longest   {longest} tokens as text: prompt, trace and solution of one sample")
    if manifest["align"] == "step":
        echo(_steps_line(counts["train"], manifest["chunk_length"]))
    used = f"{codes['codes_used']} of {codes['codebook_size']} codes used ({codes['used']:.0%})"
    echo(f"codebook  {used}, perplexity {codes['perplexity']:.1f}")
    echo(
        f"          measured on {codes['chunks']} chunks of the {codes['measured_on']} traces, "
        f"{codes['unknown_share']:.2%} of their tokens unknown"
    )
    if codes["measured_on"] == "train":
        echo("          all that follows is of rows that were learned from; hold some out by --valid for what is new")
    echo(f"loss      {_losses(codes)} nats a token")
    echo(f"accuracy  {_accuracies(codes)}; {codes['exact_chunks']:.1%} of chunks without an error")
    if "loss_without" in codes:  # not where codes reconstruct, were not merged, or were given
        echo(_merging(codes))
    for line in _probe_lines(manifest) if "probe_steps" in codes else ():
        echo(line)
    echo(f"wrote     {out}")
    notice(f"next      mixlm-train {shlex.quote(str(out))} --model {shlex.quote(model)} --out RUN --method assorted")


def _answer_lines(counts: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """Yield for each split how its answers were found, unless all had columns of their own."""
    for split, figures in counts.items():
        rules = {name.removeprefix(FIGURE): count for name, count in figures.items() if name.startswith(FIGURE)}
        if rules:
            yield f"answers   of {split}: {tell_rules(rules, figures['samples'])}"


def _samples_line(split: str, counts: dict[str, int], rate: int | None) -> str:
    """Return one split's counts; compression is that of traces with all chunks as latents, delimiters included.

    Args:
        split: Its name.
        counts: See ``mixlm.encoding.shard_files.count_table``.
        rate: Trace tokens of one code; None: they stand for all of a trace.
    """
    tokens, text = counts["trace_tokens"], counts["empty_traces"] + counts["short_traces"]
    left = counts["codes"] + 2 * (counts["samples"] - text) + (tokens - counts["codes"] * rate if rate else 0)
    times = f", {tokens / left:.1f} times shorter with all chunks as latents" if left < tokens else ""
    stay = f"; {text} without a whole chunk, {counts['empty_traces']} of them empty, stay text" if text else ""
    return (
        f"{split:<9} {counts['samples']} samples, {tokens} trace tokens, {counts['chunks']} chunks -> "
        f"{counts['codes']} codes{times}{stay}"
    )


def _steps_line(counts: dict[str, int], length: int) -> str:
    """Return how steps became chunks."""
    long = counts["long_steps"]
    rest = f"; {long} ({long / counts['steps']:.1%}) are longer and became several" if long else ""
    return f"steps     {counts['steps']}, a chunk each of at most {length} tokens{rest}"


def _merging(codes: dict[str, Any]) -> str:
    """Return what the reader that codes were trained for makes of them, and how many it tells apart."""
    before, after = codes["codes_trained"], codes["codes_merged"]
    became = (
        f"{before} codes became {after} that predict different things" if after < before else "no codes were merged"
    )
    of = ""  # which datasets that were encoded before do not tell
    if told := [f"{count} {split}" for split, count in codes.get("merged_on", {}).items() if count]:
        of = f"of {' and '.join(told)} samples, "
    costs = f"reader    {of}what follows costs {codes['loss_trained']:.2f} nats a code to whom codes were trained for"
    if codes["loss_without"] is None:
        return f"{costs}; {became}: without --code-dropout nothing tells what they save"
    return f"{costs}, {codes['loss_without']:.2f} without codes; {became}, at {codes['loss_merged']:.2f} nats"


def _probe_lines(manifest: dict[str, Any]) -> Iterator[str]:
    """Yield what codes carry for the rest and how well they can be foretold, and what to change if that is poor."""
    codes = manifest["codebook"]
    told = {
        way: f"{codes[f'next_{way}']:.2f} + {codes[f'solution_{way}']:.2f}" for way in ("with", "without", "random")
    }
    carried = carried_by(codes)
    yield (
        f"the rest  next step + solution cost {told['with']} nats given prompt and codes, {told['without']} given the "
        f"prompt alone, {told['random']} with random codes: a code carries {carried:.2f} for what follows"
    )
    yield (
        f"foretold  a code costs {codes['prior_nats']:.2f} nats given prompt and codes before it, "
        f"{codes['prior_blind']:.2f} by its frequency; the likeliest is right for {codes['prior_top1']:.1%}: what a "
        f"small model learned in {codes['probe_steps']} steps, and a language model's latents should reach"
    )
    yield from (f"          {line}" for line in advice_on(manifest).values())


def _losses(codes: dict[str, Any]) -> str:
    parts = [f"{codes['ce_right']:.3f} with the right code", f"{codes['ce_random']:.3f} with a random one"]
    if codes["ce_none"] is not None:
        parts.append(f"{codes['ce_none']:.3f} without")
    parts.append(f"{codes['ce_unigram']:.3f} by token frequencies")
    carried = "" if codes["code_gap"] is None else f"; the code carries {codes['code_gap']:.3f}"
    return ", ".join(parts) + carried


def _accuracies(codes: dict[str, Any]) -> str:
    parts = [f"{codes['token_accuracy']:.1%} of tokens with the code"]
    if codes["no_code_accuracy"] is not None:
        parts.append(f"{codes['no_code_accuracy']:.1%} without")
    return ", ".join([*parts, f"{codes['unigram_accuracy']:.1%} by always saying the most frequent token"])
