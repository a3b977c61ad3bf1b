"""What there is to decode: one job for each answer, checked before the first token."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mixlm.errors import InputError
from mixlm.generation.answers import count_tokens
from mixlm.generation.grammar import span_limits
from mixlm.generation.options import LatentMode
from mixlm.model.loading import context_length
from mixlm.run import Run


if TYPE_CHECKING:
    from mixlm.generation.options import GenerationOptions


@dataclass(frozen=True)
class Job:
    """One answer to decode.

    Attributes:
        place: Its place in the output.
        given: The ids that the model is given: the prompt P and what the method puts after it.
        prompt_length: Length of P.
        mode: How latents are decoded.
        budget: Tokens that the model may write.
    """

    place: int
    given: list[int]
    prompt_length: int
    mode: LatentMode
    budget: int


def plan(
    model: Any,
    run: Run,
    prompts: Sequence[Sequence[int]],
    options: "GenerationOptions",
    latent_counts: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    openings: Sequence[Sequence[int]] | None = None,
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
    if options.latents.kind == "direct" and openings is None:
        raise InputError("--latents direct: is for mixlm evaluate, which knows the form of answers; choose another")
    method, context = run.method, context_length(model)
    thoughts = own_thoughts(run, options) if openings is None else 0
    room = thoughts + 1 if thoughts else 0
    jobs: list[Job] = []
    for index, prompt in enumerate(prompts):
        given = method.prompt(prompt, run.progress, options.thoughts)
        mode = options.latents
        if latent_counts is not None:
            mode = LatentMode(mode.kind, latent_counts[index])
        if openings is not None:
            given, mode = [*prompt, *openings[index]], LatentMode("text")
        name = names[index] if names else f"prompt {index + 1}"
        added = len(given) - len(prompt) + room
        budget = _budget(name, len(prompt), added, mode, options.max_new_tokens, context)
        if openings is not None:  # codes that are given now are else written by the model, within its limit
            codes = count_tokens(openings[index], run.ids)
            budget = max(budget - codes.latent - codes.delimiter + codes.thought_delimiter, 1)
        sampled = range(options.samples)
        jobs += [Job(len(jobs) + sample, given, len(prompt), mode, budget) for sample in sampled]
    span_limits([job.mode for job in jobs], method.grammar())
    return jobs


def _budget(name: str, prompt: int, added: int, mode: LatentMode, max_new_tokens: int, context: int | None) -> int:
    """Return how many tokens an answer may take after a prompt and the tokens that the method adds to it."""
    given, adding = prompt + added, f" and the method adds {added}" if added else ""
    if context is not None and given >= context:
        raise InputError(
            f"{name}: the prompt has {prompt} tokens{adding}, the model's context holds {context} with the answer; "
            f"shorten the question or leave this row out{' or ask for fewer thoughts' if added else ''}"
        )
    budget = max_new_tokens if context is None else min(max_new_tokens, context - given)
    if mode.kind == "exact" and mode.count and mode.count + 2 > budget:
        raise InputError(
            f"{name}: {mode.count} latents with their delimiters do not fit in the {budget} tokens that the answer "
            "may take; raise --max-new-tokens or ask for fewer latents"
        )
    return budget


def own_thoughts(run: Run, options: "GenerationOptions") -> int:
    """Return the most thoughts that the model adds to a prompt by itself; 0 where their number is fixed."""
    return 0 if options.thoughts is not None else run.method.thoughts_to_add(run.progress)


def batches(jobs: Sequence[Job], batch_size: int) -> Iterator[list[Job]]:
    """Group jobs of like length, longest first; only jobs with the same budget share a batch."""
    batch: list[Job] = []
    for job in sorted(jobs, key=lambda job: (job.budget, -len(job.given))):
        if batch and (len(batch) == batch_size or batch[0].budget != job.budget):
            yield batch
            batch = []
        batch.append(job)
    if batch:
        yield batch
