"""A run that is ready to answer: batched decoding in a mix of latents and text."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from threading import RLock

import torch
from transformers import (
    AutoConfig,
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from mixlm.data.template import Template
from mixlm.generation.answerer import Answerer, Pending, Wanted, batches, every
from mixlm.generation.answers import Answer, read_answer
from mixlm.generation.grammar import KindFirst, LatentGrammar, span_limits
from mixlm.generation.options import GenerationOptions
from mixlm.generation.prefill import change_latents, is_thought, prefill, think
from mixlm.model.abilities import (
    answer_batches,
    context_length,
    embeddings_forwarded,
    fixed_positions,
    own_settings_hidden,
)
from mixlm.model.loading import open_pretrained
from mixlm.model.special_tokens import SpecialIds
from mixlm.model.thoughts.thinking import fill_thoughts
from mixlm.processes import pick_device
from mixlm.run import Run, base_run, load_run
from vqvae.model.layers import evaluating


_SPREAD = 0x9E3779B97F4A7C15  # odd, so that no two of 2**32 places share a seed, and far from seeds that people choose
Loading = Callable[[str], AbstractContextManager[None]]


class Engine(Answerer):
    """A run with its model and its tokenizer.

    What is not given is opened when it is first needed, so that a mistake in the data is found before a model is
    loaded for it.

    Args:
        run: The run; its method says what the model is given after P and where latents may stand.
        model: Its causal LM, where it is loaded already.
        tokenizer: Its tokenizer, where it is loaded already.
        device: Where a model is loaded to.
        loading: Called with what is loaded; what it returns is entered for as long as that takes.
    """

    def __init__(
        self,
        run: Run,
        model: PreTrainedModel | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        device: str = "cpu",
        loading: Loading = nullcontext,
    ) -> None:
        self.run, self.device, self._loading = run, device, loading
        self._alone = RLock()  # decoding changes the model's settings and the random numbers for a while
        if model is not None:
            self.model = model
        if tokenizer is not None:
            self.tokenizer = tokenizer

    @classmethod
    def load(cls, path: str | Path, device: str = "auto", loading: Loading = nullcontext) -> "Engine":
        """Open the run in the folder ``path``.

        Raises:
            InputError: If there is no finished run, or no such device.
        """
        return cls(load_run(path), device=pick_device(device), loading=loading)

    @classmethod
    def base(
        cls,
        model: str,
        template: Template,
        device: str = "auto",
        loading: Loading = nullcontext,
        begun: str | None = None,
    ) -> "Engine":
        """Open a model that was not trained here, to be asked by ``template``; ``begun`` as for ``base_run``.

        Raises:
            InputError: If there is no such model or device, or it is one from scratch.
        """
        return cls(base_run(model, template, begun), device=pick_device(device), loading=loading)

    @cached_property
    def model(self) -> PreTrainedModel:
        """The run's causal LM."""
        with self._loading(str(self.run.path)):
            return self.run.load_model().to(self.device)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The run's tokenizer."""
        return self.run.tokenizer()

    @property
    def context(self) -> int | None:
        """Tokens that the model sees at once; None if its architecture sets no limit."""
        return context_length(self._config)

    @cached_property
    def _config(self) -> PreTrainedConfig:
        """The model's configuration, for which the model itself is loaded only where it was not trained here."""
        loaded = "model" in vars(self) or self.run.untrained
        return self.model.config if loaded else open_pretrained(AutoConfig, str(self.run.path))

    def decoded(
        self, pending: Sequence[Pending], options: GenerationOptions, wanted: Wanted = every
    ) -> Iterator[list[tuple[Pending, Answer]]]:
        """Decode what ``plan`` listed, batch by batch.

        Batching changes nothing: padding is masked by place, and an answer's length limit is its own. Where a model
        reads its padding all the same, only prompts of one length share a batch, or none do.
        """
        grouped = self.batches(pending, options)  # which opens the model now, before anybody measures
        return ([*zip(batch, self._answers(batch, options), strict=True)] for batch in grouped if wanted(batch))

    def batches(self, pending: Sequence[Pending], options: GenerationOptions) -> Iterator[list[Pending]]:
        """Group answers that are to be decoded together."""
        with self._alone, _plain_settings(self.model):
            shared = answer_batches(self.model)
        longest = max((len(one.given) + one.budget for one in pending), default=0)
        if shared == "any" and longest > fixed_positions(self.model.config.get_text_config()):
            shared = "of one length"  # the longest would turn the others' angles
        return batches(pending, options.batch_size, shared)

    def _answers(self, batch: Sequence[Pending], options: GenerationOptions) -> list[Answer]:
        """Return the answers of a batch; of sampled ones the random numbers are of the seed and its first place."""
        first = min(one.place for one in batch)
        with self._alone, _plain_settings(self.model) as own, _seeded(options, first):
            ends = end_ids(own, self.run.ids)
            settings = _generation_config(options, batch[0].budget, self._pad_id, ends)
            written = self._decode(batch, settings, self.decoding(options) == "kind")
            return [read_answer(ids, self.tokenizer, self.run.ids, ends) for ids in written]

    def _decode(self, batch: Sequence[Pending], settings: GenerationConfig, kind_first: bool) -> list[list[int]]:
        """Return the ids after P for each answer, padded behind to one length of written ids."""
        given = self._given(batch)
        columns = given["input_ids"].shape[1]
        limits = span_limits([one.mode for one in batch], self.run.method.spans, self.model.device)
        grammar = LatentGrammar(self.run.ids, limits, columns, self.vocabulary_size, settings.eos_token_id)
        processors = LogitsProcessorList([grammar])
        if kind_first and limits.spans != "none":
            processors.append(KindFirst(self.run.ids))
        with embeddings_forwarded(self.model):
            output = self.model.generate(**given, logits_processor=processors, generation_config=settings)
        opened = [
            row[real.bool()].tolist() for row, real in zip(given["input_ids"], given["attention_mask"], strict=True)
        ]
        written = output[:, columns:].tolist()
        return [
            [*row[len(one.request.prompt_ids) :], *new] for one, row, new in zip(batch, opened, written, strict=True)
        ]

    def _given(self, batch: Sequence[Pending]) -> dict[str, torch.Tensor]:
        """Return what the model's ``generate`` continues: padded prompts, thoughts computed, vectors changed."""
        model, (ids, mask) = self.model, self._padded(batch)
        if any(one.request.change for one in batch):
            return change_latents(model, ids, mask, self.run.ids, [one.request.change for one in batch])
        if batch[0].thoughts:
            return think(model, ids, mask, batch[0].thoughts, self.run.ids, batch[0].budget)
        return prefill(model, ids, mask, is_thought(ids, self.run.ids) & mask.bool(), batch[0].budget)

    def _padded(self, batch: Sequence[Pending]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is given for each answer, padded on the left, and where it is real, (rows, length) each."""
        width = max(len(one.given) for one in batch)
        padding = [width - len(one.given) for one in batch]
        rows = [[self._pad_id] * pad + one.given for pad, one in zip(padding, batch, strict=True)]
        mask = [[0] * pad + [1] * (width - pad) for pad in padding]
        return torch.tensor(rows, device=self.model.device), torch.tensor(mask, device=self.model.device)

    @torch.no_grad()
    def embedded(self, batch: Sequence[Pending]) -> list[tuple[list[int], torch.Tensor]]:
        """Return what the model is given for each answer: its ids, and the vectors (length, width) that it reads.

        Args:
            batch: Answers that think alike, as ``batches`` groups them.
        """
        with self._alone, _plain_settings(self.model):
            ids, mask = self._padded(batch)
            if batch[0].thoughts:
                given = think(self.model, ids, mask, batch[0].thoughts, self.run.ids, batch[0].budget)
                ids, mask = given["input_ids"], given["attention_mask"]
            real = mask.bool()
            embeds = fill_thoughts(self.model, ids, mask, is_thought(ids, self.run.ids) & real)
            return [(row[own].tolist(), vectors[own]) for row, vectors, own in zip(ids, embeds, real, strict=True)]

    @property
    def _pad_id(self) -> int:
        """What stands where nothing is read: any token that the model has a row for."""
        pad, rows = self.tokenizer.pad_token_id, len(self.model.get_input_embeddings().weight)
        return self.run.ids.eos if pad is None or pad >= rows else pad


def end_ids(settings: GenerationConfig, special: SpecialIds) -> list[int]:
    """Return the ids that end an answer: the run's own, and those at which a model of these settings stops anyway."""
    ends = settings.eos_token_id
    return sorted({special.eos, *([ends] if isinstance(ends, int) else ends or [])})


def _generation_config(options: GenerationOptions, budget: int, pad: int, ends: list[int]) -> GenerationConfig:
    common = {"max_new_tokens": budget, "pad_token_id": pad, "eos_token_id": ends, "use_cache": True}
    if not options.sampling:
        return GenerationConfig(do_sample=False, **common)
    temperature = 1.0 if options.temperature is None else options.temperature
    return GenerationConfig(
        do_sample=True, temperature=temperature, top_k=options.top_k, top_p=options.top_p, **common
    )


@contextmanager
def _seeded(options: GenerationOptions, place: int) -> Iterator[None]:
    """Seed the random numbers of a batch of samples by its place, and leave those of the caller as they were."""
    with torch.random.fork_rng(enabled=options.sampling):
        if options.sampling:
            torch.manual_seed((options.seed + place * _SPREAD) % 2**64)
        yield


@contextmanager
def _plain_settings(model: PreTrainedModel) -> Iterator[GenerationConfig]:
    """Hide the checkpoint's own decoding settings, such as a temperature, and switch dropout off; yields them."""
    with own_settings_hidden(model) as settings, evaluating(model):
        yield settings
