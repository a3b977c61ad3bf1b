"""What there is to decode: requests to a run, checked before the first token, and who answers them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from transformers import PreTrainedTokenizerBase

from mixlm.data.tokenization import tokenize_prompt
from mixlm.errors import InputError
from mixlm.generation.answers import Answer, count_tokens
from mixlm.generation.grammar import span_limits
from mixlm.generation.options import (
    DECODING,
    MOST_NEW_TOKENS,
    Decoding,
    GenerationOptions,
    LatentMode,
    parse_latent_mode,
)
from mixlm.generation.prefill import Change
from mixlm.model.abilities import AnswerBatches
from mixlm.model.vocabulary import vocabulary_size
from mixlm.run import Run
from vqvae.advance import Advance


@dataclass(frozen=True)
class Request:
    """One question to a run.

    Attributes:
        prompt_ids: The prompt P.
        name: What error messages call it, for example ``questions.jsonl:17``.
        latents: How latents are decoded, in place of what the options say for all; may be given as text.
        opening: What the answer begins with, in place of what the method puts after P: a whole span of latents or
            thoughts, the answer's marker, or nothing. Only text follows.
        change: What the model reads in place of the latents and thoughts that it is given.
    """

    prompt_ids: Sequence[int]
    name: str = "the question"
    latents: LatentMode | None = None
    opening: Sequence[int] | None = None
    change: Change | None = None

    def __post_init__(self) -> None:
        """Read a mode that is given as text, or refuse it."""
        if self.latents is not None:
            object.__setattr__(self, "latents", parse_latent_mode(self.latents))


@dataclass(frozen=True)
class Pending:
    """One answer to decode.

    Attributes:
        place: Its number among all answers, from 0.
        request: What it answers.
        given: The ids that the model is given: the prompt P and what the method puts after it.
        mode: How latents are decoded.
        budget: Tokens that the model may write.
        thoughts: The most thoughts that the model adds to what it is given until it stops by itself.
    """

    place: int
    request: Request
    given: list[int]
    mode: LatentMode
    budget: int
    thoughts: int


Wanted = Callable[[Sequence[Pending]], bool]


def every(batch: Sequence[Pending]) -> bool:
    """Tell that a batch is to be decoded."""
    return True


class Answerer:
    """What answers requests to a run: an ``Engine`` decodes here, an ``Endpoint`` asks a server.

    Attributes:
        run: The run.
        tokenizer: Its tokenizer.
        context: Tokens that the model sees at once; None: no limit is known.
    """

    run: Run
    tokenizer: PreTrainedTokenizerBase
    context: int | None = None

    @cached_property
    def vocabulary_size(self) -> int:
        """Ids of tokens are below this."""
        return vocabulary_size(self.tokenizer)

    def request(self, question: str) -> Request:
        """Return the request that asks ``question``, rendered as in training."""
        return Request(tokenize_prompt(self.tokenizer, self.run.template, question))

    def answer(
        self,
        requests: Sequence[Request],
        options: GenerationOptions | None = None,
        advance: Advance | None = None,
    ) -> list[Answer]:
        """Answer ``requests``.

        Args:
            requests: What to answer.
            options: How to decode.
            advance: Called with (done, total) as answers are given.

        Returns:
            ``options.samples`` answers to the first request, then those to the second, and so on.

        Raises:
            InputError: If a prompt is empty, not of the run's vocabulary or does not fit the model's context, or the
                options contradict each other or the method, or cannot be had of this answerer.
        """
        options = options or GenerationOptions()
        return self.decode(self.plan(requests, options), options, advance)

    def plan(self, requests: Sequence[Request], options: GenerationOptions, first: int = 0) -> list[Pending]:
        """Check everything before the first token is decoded, and list the answers to decode.

        Args:
            requests: What to answer.
            options: How to decode.
            first: The place of the first answer, where others stand before these.

        Raises:
            InputError: As ``answer``.
        """
        pending: list[Pending] = []
        for request in requests:
            one, place = self._pending(request, options), first + len(pending)
            pending += [replace(one, place=place + sample) for sample in range(options.samples)]
        span_limits([one.mode for one in pending], self.run.method.spans)
        return pending

    def decoding(self, options: GenerationOptions) -> Decoding:
        """Return how answers with ``options`` are decoded; "plain" where they are sampled."""
        return "plain" if options.sampling else options.decoding or DECODING

    def decode(
        self, pending: Sequence[Pending], options: GenerationOptions, advance: Advance | None = None
    ) -> list[Answer]:
        """Decode what ``plan`` listed for the same options, and return the answers in its order."""
        answers: dict[int, Answer] = {}
        for batch in self.decoded(pending, options):
            answers |= {one.place: answer for one, answer in batch}
            if advance:
                advance(len(answers), len(pending))
        return [answers[one.place] for one in pending]

    def decoded(
        self, pending: Sequence[Pending], options: GenerationOptions, wanted: Wanted = every
    ) -> Iterator[list[tuple[Pending, Answer]]]:
        """Decode what ``plan`` listed for the same options, and yield answers as they come, some at a time.

        What an answer is depends on what was planned and not on what was decoded before, so some may be left out.

        Args:
            pending: All that was planned.
            options: How to decode.
            wanted: Asked of answers that would be decoded together, right before they are, whether to do so.
        """
        raise NotImplementedError

    def _pending(self, request: Request, options: GenerationOptions) -> Pending:
        """Return the first answer to a request."""
        run, opening, mode = self.run, request.opening, request.latents or options.latents
        if mode.share is not None:
            raise InputError(f"--latents {mode}: a share needs a reference trace; give a number instead")
        if mode.kind == "direct" and opening is None:
            raise InputError(
                "--latents direct: is for mixlm evaluate, which knows the form of answers; choose another"
            )
        rows = self.vocabulary_size
        if not len(request.prompt_ids) or not all(0 <= token < rows for token in request.prompt_ids):
            raise InputError(f"{request.name}: the prompt must be token ids from 0 to {rows - 1}, one at least")
        given = run.prompt(request.prompt_ids, options.thoughts)
        thoughts = run.method.thoughts_to_add(run.progress) if opening is None and options.thoughts is None else 0
        if opening is not None:
            given, mode = [*request.prompt_ids, *opening], LatentMode("text")
        added = len(given) - len(request.prompt_ids) + (thoughts + 1 if thoughts else 0)
        budget = _budget(request, added, mode, options.max_new_tokens or MOST_NEW_TOKENS, self.context)
        if opening is not None:  # codes that are given now are else written by the model, within its limit
            codes = count_tokens(opening, run.ids)
            budget = max(budget - codes.latent - codes.delimiter + codes.thought_delimiter, 1)
        return Pending(0, request, given, mode, budget, thoughts)


def _budget(request: Request, added: int, mode: LatentMode, max_new_tokens: int, context: int | None) -> int:
    """Return how many tokens an answer may take after a prompt and the tokens that the method adds to it."""
    prompt, adding = len(request.prompt_ids), f" and the method adds {added}" if added else ""
    given = prompt + added
    if context is not None and given >= context:
        raise InputError(
            f"{request.name}: the prompt has {prompt} tokens{adding}, the model's context holds {context} with the "
            f"answer; shorten the question or leave this row out{' or ask for fewer thoughts' if added else ''}"
        )
    budget = max_new_tokens if context is None else min(max_new_tokens, context - given)
    if mode.kind == "exact" and mode.count and mode.count + 2 > budget:
        raise InputError(
            f"{request.name}: {mode.count} latents with their delimiters do not fit in the {budget} tokens that the "
            "answer may take; raise --max-new-tokens or ask for fewer latents"
        )
    return budget


def batches(pending: Sequence[Pending], batch_size: int, shared: AnswerBatches = "any") -> Iterator[list[Pending]]:
    """Group answers of like length, longest first; only those of one budget that think alike share a batch.

    Args:
        pending: The answers.
        batch_size: The most of a batch.
        shared: Which prompts the model lets share one.
    """
    batch: list[Pending] = []
    for one in sorted(pending, key=lambda one: (one.budget, one.thoughts, -len(one.given))):
        if batch and (len(batch) == batch_size or not _alike(batch[0], one, shared)):
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


def _alike(first: Pending, one: Pending, shared: AnswerBatches) -> bool:
    """Tell whether two answers may share a batch."""
    one_length = shared == "of one length" and not first.thoughts  # of which each answer has its own number
    lengths_fit = shared == "any" or (one_length and len(first.given) == len(one.given))
    return lengths_fit and (first.budget, first.thoughts) == (one.budget, one.thoughts)
