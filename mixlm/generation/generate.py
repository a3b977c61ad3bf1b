"""Answers from a trained run: batched decoding in a mix of latents and text."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList

from mixlm.generation.answers import Answer, read_answer
from mixlm.generation.grammar import LatentGrammar, span_limits
from mixlm.generation.options import GenerationOptions
from mixlm.generation.plan import Job, batches, own_thoughts, plan
from mixlm.generation.prefill import Change, change_latents, is_thought, prefill, think
from mixlm.run import Run


def generate(
    model: Any,
    tokenizer: Any,
    run: Run,
    prompts: Sequence[Sequence[int]],
    options: GenerationOptions | None = None,
    latent_counts: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    progress: Callable[[int], None] | None = None,
    openings: Sequence[Sequence[int]] | None = None,
    change: Change | None = None,
) -> list[Answer]:
    """Decode answers to ``prompts``.

    Batching changes nothing: padding is masked by place, and an answer's length limit is its own.

    Args:
        model: The run's causal LM.
        tokenizer: The run's tokenizer.
        run: The run; its method says what the model is given after P and where latents may stand.
        prompts: Token ids of each prompt P, lengths free.
        options: How to decode.
        latent_counts: Number of latents for each prompt, in place of the one number in ``options.latents``.
        names: What error messages call each prompt, for example ``questions.jsonl:17``.
        progress: Called after every batch with the number of answers it gave.
        openings: What each answer begins with, in place of what the method puts after P: a whole span of latents or
            thoughts, or nothing. Only text follows.
        change: Replaces the vectors of given latents and thoughts before the model reads them
            (``mixlm.generation.prefill.change_latents``).

    Returns:
        ``options.samples`` answers to the first prompt, then those to the second, and so on.

    Raises:
        InputError: If a prompt does not fit the model's context, or the options contradict each other or the method.
    """
    options = options or GenerationOptions()
    jobs = plan(model, run, prompts, options, latent_counts, names, openings)
    answers: list[Any] = [None] * len(jobs)
    ends = end_ids(model.generation_config, run)
    most = own_thoughts(run, options) if openings is None else 0
    with _plain_settings(model), _seeded(options):
        for batch in batches(jobs, options.batch_size):
            settings = _generation_config(options, batch[0].budget, _pad_id(tokenizer, run), ends)
            decoded = _decode(model, len(tokenizer), run, batch, settings, most, change)
            for job, ids in zip(batch, decoded, strict=True):
                answers[job.place] = read_answer(ids, tokenizer, run, ends)
            if progress:
                progress(len(batch))
    return answers


def _decode(
    model: Any,
    vocabulary: int,
    run: Run,
    batch: Sequence[Job],
    settings: GenerationConfig,
    most_thoughts: int = 0,
    change: Change | None = None,
) -> list[list[int]]:
    """Return the ids after P for each job, padded behind to one length of written ids."""
    width = max(len(job.given) for job in batch)
    pad = settings.pad_token_id
    ids = torch.tensor([[pad] * (width - len(job.given)) + job.given for job in batch], device=model.device)
    mask = torch.tensor([[0] * (width - len(job.given)) + [1] * len(job.given) for job in batch], device=model.device)
    if change is not None:
        given = change_latents(model, ids, mask, run.ids, change, [job.place for job in batch])
    elif most_thoughts:
        given = think(model, ids, mask, most_thoughts, run.ids)
    else:
        given = prefill(model, ids, mask, is_thought(ids, run.ids) & mask.bool())
    columns = given["input_ids"].shape[1]
    limits = span_limits([job.mode for job in batch], run.method.grammar(), model.device)
    grammar = LatentGrammar(run.ids, limits, columns, vocabulary)
    output = model.generate(**given, logits_processor=LogitsProcessorList([grammar]), generation_config=settings)
    opened = [row[real.bool()].tolist() for row, real in zip(given["input_ids"], given["attention_mask"], strict=True)]
    written = output[:, columns:].tolist()
    return [[*row[job.prompt_length :], *new] for job, row, new in zip(batch, opened, written, strict=True)]


def _pad_id(tokenizer: Any, run: Run) -> int:
    return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else run.ids.eos


def _generation_config(options: GenerationOptions, budget: int, pad: int, ends: list[int]) -> GenerationConfig:
    common = {"max_new_tokens": budget, "pad_token_id": pad, "eos_token_id": ends, "use_cache": True}
    if not options.sampling:
        return GenerationConfig(do_sample=False, **common)
    temperature = 1.0 if options.temperature is None else options.temperature
    return GenerationConfig(
        do_sample=True, temperature=temperature, top_k=options.top_k, top_p=options.top_p, **common
    )


def end_ids(settings: GenerationConfig, run: Run) -> list[int]:
    """Return the ids that end an answer: the run's own, and those at which a model of these settings stops anyway."""
    ends = settings.eos_token_id
    return sorted({run.ids.eos, *([ends] if isinstance(ends, int) else ends or [])})


@contextmanager
def _seeded(options: GenerationOptions) -> Iterator[None]:
    """Seed the random numbers of sampling, and leave those of the caller as they were."""
    with torch.random.fork_rng(enabled=options.sampling):
        if options.sampling:
            torch.manual_seed(options.seed)
        yield


@contextmanager
def _plain_settings(model: Any) -> Iterator[None]:
    """Hide the checkpoint's own decoding settings, such as a temperature, and switch dropout off meanwhile."""
    settings, training = model.generation_config, model.training
    model.generation_config = GenerationConfig()
    model.eval()
    try:
        yield
    finally:
        model.generation_config = settings
        model.train(training)
