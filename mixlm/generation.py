"""Answers from a trained run: batched decoding in a mix of latents and text."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList

from mixlm.counting import TokenCounts, count_tokens
from mixlm.errors import InputError
from mixlm.grammar import LatentGrammar, span_limits
from mixlm.latent_mode import LatentMode
from mixlm.run import Run
from mixlm.tokens import text_only


@dataclass(frozen=True)
class GenerationOptions:
    """How answers are decoded; greedily unless a sampling setting is given.

    Attributes:
        max_new_tokens: Longest answer, latents and delimiters included; the model's context may end it earlier.
        latents: How many latents an answer holds.
        temperature: Divides the logits before sampling; None: 1 if ``top_k`` or ``top_p`` is given, else greedy.
        top_k: Sample from the ``top_k`` likeliest tokens that the grammar allows; 0: from all.
        top_p: Sample from the likeliest tokens that together reach this probability; 1: from all.
        seed: Seed of the sampling; with the same prompts and batch size it gives the same answers.
        batch_size: Answers decoded at once.
        samples: Answers to each prompt.
    """

    max_new_tokens: int = 512
    latents: LatentMode = field(default_factory=LatentMode)
    temperature: float | None = None
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    batch_size: int = 32
    samples: int = 1

    @property
    def sampling(self) -> bool:
        """Whether tokens are drawn at random; a temperature of 0 is greedy whatever else is set."""
        return self.temperature != 0 and (self.temperature is not None or self.top_k > 0 or self.top_p < 1)


@dataclass(frozen=True)
class Answer:
    """One decoded answer.

    Attributes:
        ids: Everything after the prompt P, up to and including end of sequence.
        text: The decoded text; latents and other special tokens are left out.
        codes: Codes of the latents in order.
        counts: Tokens by kind.
        finished: Whether the model ended the answer; False if it was cut off.
    """

    ids: list[int]
    text: str
    codes: list[int]
    counts: TokenCounts
    finished: bool


@dataclass(frozen=True)
class Job:
    """One answer to decode: its place in the output, its given ids, its mode and the tokens it may take."""

    place: int
    given: list[int]
    mode: LatentMode
    budget: int


def generate(
    model: Any,
    tokenizer: Any,
    run: Run,
    prompts: Sequence[Sequence[int]],
    options: GenerationOptions | None = None,
    latent_counts: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Answer]:
    """Decode answers to ``prompts``.

    Batching changes nothing: prompts are padded on the left, padding is masked by place (its id may equal end of
    sequence), and an answer's length limit never depends on its neighbours.

    Args:
        model: The run's causal LM.
        tokenizer: The run's tokenizer.
        run: The run; its method says what the model is given after P and where latents may stand.
        prompts: Token ids of each prompt P, lengths free.
        options: How to decode.
        latent_counts: Number of latents for each prompt, in place of the one number in ``options.latents``.
        names: What error messages call each prompt, for example ``questions.jsonl:17``.
        progress: Called after every batch with the number of answers it gave.

    Returns:
        ``options.samples`` answers to the first prompt, then those to the second, and so on.

    Raises:
        InputError: If a prompt does not fit the model's context, or the options contradict each other or the method.
    """
    options = options or GenerationOptions()
    jobs = plan(model, run, prompts, options, latent_counts, names)
    answers: list[Any] = [None] * len(jobs)
    ends = _end_ids(model, run)
    with _plain_settings(model), torch.random.fork_rng(enabled=options.sampling):
        if options.sampling:
            torch.manual_seed(options.seed)
        for batch in _batches(jobs, options.batch_size):
            for job, written in zip(batch, _decode(model, tokenizer, run, batch, options, ends), strict=True):
                prompt = prompts[job.place // options.samples]
                answers[job.place] = read_answer([*job.given[len(prompt) :], *written], tokenizer, run, ends)
            if progress:
                progress(len(batch))
    return answers


def read_answer(ids: Sequence[int], tokenizer: Any, run: Run, ends: Sequence[int] | None = None) -> Answer:
    """Read an answer out of the ids after P, dropping what follows end of sequence.

    Args:
        ids: Token ids, padded or not.
        tokenizer: The run's tokenizer.
        run: The run.
        ends: Ids that end an answer; by default the run's end of sequence alone.
    """
    ends = ends or [run.ids.eos]
    last = next((place for place, token in enumerate(ids) if token in ends), None)
    ids = list(ids if last is None else ids[: last + 1])
    text = tokenizer.decode(text_only(ids, run.ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    codes = [run.ids.code(token) for token in ids if run.ids.is_latent(token)]
    return Answer(ids, text, codes, count_tokens(ids, run.ids), finished=last is not None)


def plan(
    model: Any,
    run: Run,
    prompts: Sequence[Sequence[int]],
    options: GenerationOptions,
    latent_counts: Sequence[int] | None,
    names: Sequence[str] | None,
) -> list[Job]:
    """Check everything before the first token is decoded, and list the answers to decode.

    Takes the arguments of ``generate``.

    Raises:
        InputError: As ``generate``.
    """
    if options.samples > 1 and not options.sampling:
        raise InputError("--samples: greedy decoding gives the same answer every time; add --temperature 1")
    if latent_counts is None and options.latents.share is not None:
        raise InputError(f"--latents {options.latents}: a share needs a reference trace; give a number instead")
    method, context = run.method, context_length(model)
    jobs: list[Job] = []
    for index, prompt in enumerate(prompts):
        given = method.prompt(prompt)
        name = names[index] if names else f"prompt {index + 1}"
        mode = options.latents
        if latent_counts is not None:
            mode = LatentMode(mode.kind, latent_counts[index])
        budget = _budget(name, len(given), mode, options.max_new_tokens, context)
        jobs += [Job(len(jobs) + sample, given, mode, budget) for sample in range(options.samples)]
    span_limits([job.mode for job in jobs], method.grammar())
    return jobs


def _budget(name: str, given: int, mode: LatentMode, max_new_tokens: int, context: int | None) -> int:
    """Return how many tokens an answer may take after the ``given`` ones."""
    if context is not None and given >= context:
        raise InputError(
            f"{name}: the prompt has {given} tokens, the model's context holds {context} with the answer; "
            "shorten the question or leave this row out"
        )
    budget = max_new_tokens if context is None else min(max_new_tokens, context - given)
    if mode.kind == "exact" and mode.count and mode.count + 2 > budget:
        raise InputError(
            f"{name}: {mode.count} latents with their delimiters do not fit in the {budget} tokens that the answer "
            "may take; raise --max-new-tokens or ask for fewer latents"
        )
    return budget


def context_length(model: Any) -> int | None:
    """Return how many tokens ``model`` can see at once; None if its architecture sets no limit."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


def _batches(jobs: Sequence[Job], batch_size: int) -> Iterator[list[Job]]:
    """Group jobs of like length, longest first; only jobs with the same budget share a batch."""
    batch: list[Job] = []
    for job in sorted(jobs, key=lambda job: (job.budget, -len(job.given))):
        if batch and (len(batch) == batch_size or batch[0].budget != job.budget):
            yield batch
            batch = []
        batch.append(job)
    if batch:
        yield batch


def _decode(
    model: Any, tokenizer: Any, run: Run, batch: Sequence[Job], options: GenerationOptions, ends: list[int]
) -> list[list[int]]:
    """Return the ids that ``model.generate`` writes for each job, padded to one length."""
    width = max(len(job.given) for job in batch)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else run.ids.eos
    inputs = [[pad] * (width - len(job.given)) + job.given for job in batch]
    mask = [[0] * (width - len(job.given)) + [1] * len(job.given) for job in batch]
    limits = span_limits([job.mode for job in batch], run.method.grammar(), model.device)
    output = model.generate(
        input_ids=torch.tensor(inputs, device=model.device),
        attention_mask=torch.tensor(mask, device=model.device),
        logits_processor=LogitsProcessorList([LatentGrammar(run.ids, limits, width, len(tokenizer))]),
        generation_config=_generation_config(options, batch[0].budget, pad, ends),
    )
    return output[:, width:].tolist()


def _generation_config(options: GenerationOptions, budget: int, pad: int, ends: list[int]) -> GenerationConfig:
    common = {"max_new_tokens": budget, "pad_token_id": pad, "eos_token_id": ends, "use_cache": True}
    if not options.sampling:
        return GenerationConfig(do_sample=False, **common)
    temperature = 1.0 if options.temperature is None else options.temperature
    return GenerationConfig(
        do_sample=True, temperature=temperature, top_k=options.top_k, top_p=options.top_p, **common
    )


def _end_ids(model: Any, run: Run) -> list[int]:
    """Return the ids that end an answer: the run's own, and those at which the base model stops anyway."""
    ends = model.generation_config.eos_token_id
    ends = [ends] if isinstance(ends, int) else list(ends or [])
    return sorted({*ends, run.ids.eos})


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
