"""Training the stage-1 model on transformers' trainer."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import TrainingArguments, set_seed
from transformers.utils import ModelOutput

from vqvae import PARTS
from vqvae.advance import Advance
from vqvae.errors import InputError
from vqvae.finite import is_finite
from vqvae.model.chunks import TokenRow, collate
from vqvae.model.config import ChunkVQVAEConfig
from vqvae.model.models import ChunkCoder, model_class
from vqvae.model.reader import Reader
from vqvae.model.vocabulary import used_ids
from vqvae.options import VQVAETrainingOptions
from vqvae.training.trainer_base import CHECKPOINTS, QuietTrainer, base_arguments, last_checkpoint


READER_FILE = "reader.pt"  # in a checkpoint


def train_vqvae(
    rows: Sequence[TokenRow],
    config: ChunkVQVAEConfig,
    out: str | Path,
    options: VQVAETrainingOptions | None = None,
    advance: Advance | None = None,
    reader: Reader | None = None,
) -> ChunkCoder:
    """Check everything, train a model and save it to ``out``; see ``Stage1Training``."""
    return Stage1Training(rows, config, out, options).train(advance, reader)


class Stage1Training:
    """A training of a model on all chunks of ``rows``, ready to begin: what was given has been found to fit.

    Args:
        rows: Tokenized rows; those whose trace has no whole chunk are left out.
        config: Shape and recipe; the model has a copy with what training decides.
        out: Folder to write.
        options: How to train.

    Raises:
        InputError: If there are no chunks, fewer chunks of traces than codes, no step left after the warm-up, or a
            batch that the processes cannot share.
    """

    def __init__(
        self,
        rows: Sequence[TokenRow],
        config: ChunkVQVAEConfig,
        out: str | Path,
        options: VQVAETrainingOptions | None = None,
    ) -> None:
        self.out, self.options = Path(out), options or VQVAETrainingOptions()
        self.config = config.for_training(self.options.steps, longest_step(rows) if config.align == "step" else None)
        self.data = ChunkRows(rows, self.config)
        check_codebook(self.data, self.config)
        check_warmup(self.config, self.options)
        self.arguments = _arguments(self.out, self.options)  # starts the process group, which the quantiser must find

    def train(self, advance: Advance | None = None, reader: Reader | None = None) -> ChunkCoder:
        """Train the model and save it.

        An interrupted training goes on from its last checkpoint in ``out/checkpoints`` and ends with the same weights,
        bit for bit on one CPU.

        Args:
            advance: Called with (step, total steps, figures) after every step.
            reader: What codes are trained for, with the objective "language-model"; changed, and not saved.

        Returns:
            The trained model.

        Raises:
            InputError: If there is no reader where the objective needs one, or one where it has no use for it; or a
                loss or a weight is no number.
        """
        if (reader is not None) != (self.config.objective == "language-model"):
            raise InputError(
                f"objective '{self.config.objective}': a reader goes with 'language-model' and no other; give both"
            )
        token_ids = used_ids(self.data[index][part] for index in range(len(self.data)) for part in PARTS)
        self._decide(len(token_ids))
        set_seed(self.options.seed)
        model = model_class(self.config)(self.config, token_ids)
        trainer = ChunkTrainer(model, self, advance, reader)
        trainer.train(resume_from_checkpoint=last_checkpoint(self.out / CHECKPOINTS))
        trainer.require_weights()
        model = trainer.accelerator.unwrap_model(trainer.model).eval()
        if trainer.is_world_process_zero():
            model.save_pretrained(self.out)
        trainer.accelerator.wait_for_everyone()
        return model

    def _decide(self, tokens: int) -> None:
        """Set what follows from the rows: how many tokens there are, and when a code is dead."""
        config, data = self.config, self.data
        config.compact_size = tokens + 1
        vectors = self.options.batch_size * data.trace_chunks / len(data) * config.codes_per_chunk
        config.dead_code_threshold = config.dead_code_share * vectors / config.codebook_size


def longest_step(rows: Sequence[TokenRow]) -> int:
    """Return the tokens of the longest step."""
    return int(max((max(row["step_lengths"], default=0) for row in rows), default=0))


def check_codebook(data: "ChunkRows", config: ChunkVQVAEConfig) -> None:
    """Check that the corpus can fill the codebook.

    Raises:
        InputError: If no trace has a whole chunk, or there are more codes than chunks of traces.
    """
    length = config.chunk_length
    if not data.trace_chunks and config.align == "step":
        raise InputError("all traces are empty, so there is nothing to encode")
    if not data.trace_chunks:
        raise InputError(f"no trace has a whole chunk of {length} tokens; lower --chunk-length and --compression-rate")
    if config.codebook_size > data.trace_chunks * config.codes_per_chunk:
        raise InputError(
            f"codebook size {config.codebook_size} is larger than the {data.trace_chunks} chunks of {length} tokens "
            "in the training traces; lower --codebook-size or add traces"
        )


def check_warmup(config: ChunkVQVAEConfig, options: VQVAETrainingOptions) -> None:
    """Raise an ``InputError`` unless training goes on after the warm-up: the codebook starts only then."""
    if config.warmup_steps >= options.steps:
        raise InputError(
            f"the warm-up of {config.warmup_steps} steps leaves none of the {options.steps} training steps to the "
            "codebook; lower --warmup-steps or raise --steps"
        )


class ChunkRows(Dataset):
    """The rows whose trace has a whole chunk.

    Others are left out: a batch without a trace would leave nothing to move the codebook by, and the processes of one
    training move it together.

    Attributes:
        rows: All rows; they stay where they are, in memory or in a file.
        chosen: Numbers of those that have one.
        trace_chunks: Number of chunks of their traces.
    """

    def __init__(self, rows: Sequence[TokenRow], config: ChunkVQVAEConfig) -> None:
        cutting = config.cutting
        found = (cutting.count_chunks(cutting.stretches(row)).sum() for row in rows)
        counts = np.fromiter(found, dtype=np.int64)
        self.rows, self.chosen, self.trace_chunks = rows, np.flatnonzero(counts), int(counts.sum())

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.chosen)

    def __getitem__(self, index: int) -> TokenRow:
        """Return one row."""
        return self.rows[int(self.chosen[index])]


class ChunkTrainer(QuietTrainer):
    """transformers' trainer, with a k-means before the first step that quantises.

    A ``reader`` learns with the model, by the same optimizer; its gradients are bounded by their own norm. Checkpoints
    have of it what learns.
    """

    def __init__(
        self, model: ChunkCoder, training: Stage1Training, advance: Advance | None, reader: Reader | None
    ) -> None:
        self.options, self.reader = training.options, reader
        parameters = [*model.parameters(), *(reader.learned().values() if reader else ())]
        super().__init__(
            model=model,
            args=training.arguments,
            train_dataset=training.data,
            data_collator=partial(model.collate, config=model.config),
            optimizers=(torch.optim.Adam(parameters, lr=training.options.learning_rate), None),
            advance=advance,
        )
        if reader:
            reader.to(self.args.device)

    def training_step(
        self, model: nn.Module, inputs: dict[str, torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Start the codebook when warm-up has just ended, then train one step."""
        plain = self.accelerator.unwrap_model(model)
        if plain.quantizer.needs_codebook:
            vectors = self.gather_vectors(plain)
            if not is_finite(vectors):
                self.end_at(
                    self.state.global_step + 1, "an encoded vector, of which codes are to be made, is no number"
                )
            plain.quantizer.start_codebook(vectors, self.options.seed)
        if self.reader:
            self.reader.zero_grad()
        loss = super().training_step(model, inputs, *args, **kwargs)
        if self.reader:
            nn.utils.clip_grad_norm_(self.reader.learned().values(), self.args.max_grad_norm)
        return loss

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, torch.Tensor], return_outputs: bool = False, **kwargs: Any
    ) -> torch.Tensor | tuple[torch.Tensor, ModelOutput]:
        """Keep the parts of the loss for the log."""
        inputs = {**inputs, "reader": self.reader} if self.reader else inputs
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
        self.outputs = outputs
        return (loss, outputs) if return_outputs else loss

    def named_weights(self) -> Iterable[tuple[str, torch.Tensor]]:
        """Return what must be numbers: the codebook, which is no parameter, too, and what a reader learns."""
        learned = self.reader.learned().items() if self.reader else ()
        return [*self.accelerator.unwrap_model(self.model).state_dict().items(), *learned]

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        super()._save(output_dir, state_dict)
        if self.reader:
            torch.save(self.reader.learned(), Path(output_dir or self.args.output_dir) / READER_FILE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        if self.reader:
            found = torch.load(Path(resume_from_checkpoint) / READER_FILE, self.args.device, weights_only=True)
            self.reader.load_state_dict(found, strict=False)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add what the last batch's loss is made of, and how many codes the batch used."""
        if "loss" in logs:
            codes = self.outputs["codes"]
            parts = ("reconstruction", "commitment", "next", "solution")
            logs |= {name: self.outputs[f"{name}_loss"].item() for name in parts if f"{name}_loss" in self.outputs}
            logs["codes_used"] = float(codes[codes >= 0].unique().numel())
        super().log(logs, *args, **kwargs)

    @torch.no_grad()
    def gather_vectors(self, model: ChunkCoder) -> torch.Tensor:
        """Return encoded vectors (n, d) of traces of random samples, ``vectors_per_code`` a code if there are.

        Of traces alone: only they are replaced by codes, so the codebook starts where they are.
        """
        wanted = self.options.vectors_per_code * model.config.codebook_size
        order = np.random.default_rng(self.options.seed).permutation(len(self.train_dataset))
        found, total = [], 0
        for start in range(0, len(order), self.options.batch_size):
            rows = [self.train_dataset[index] for index in order[start : start + self.options.batch_size]]
            batch = collate(rows, model.config, parts=("trace_ids",))
            chunks = model.chunks(batch["input_ids"].to(model.device), batch["places"].to(model.device))
            found.append(chunks.vectors.float().flatten(0, 1))
            total += len(found[-1])
            if total >= wanted:
                break
        return torch.cat(found)


def _arguments(out: Path, options: VQVAETrainingOptions) -> TrainingArguments:
    """Translate our options into those of transformers' trainer."""
    return base_arguments(
        out,
        options.steps,
        options.batch_size,
        save_every=options.save_every,
        learning_rate=options.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=min(100, options.steps // 10),
        max_grad_norm=1.0,
        bf16=options.bf16,
        seed=options.seed,
        dataloader_num_workers=options.workers,
        logging_steps=50,
        save_total_limit=1,
        report_to="none",
    )
