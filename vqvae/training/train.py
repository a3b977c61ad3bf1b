"""Training the stage-1 model on transformers' trainer."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader
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
from vqvae.options import SaveEvery, VQVAETrainingOptions
from vqvae.training.checkpoints import CHECKPOINTS, last_checkpoint, written
from vqvae.training.chunk_rows import ALL_EMPTY, ChunkRows, check_codebook, longest_prompt, longest_step
from vqvae.training.trainer_base import QuietTrainer, base_arguments


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
        step = longest_step(rows) if config.align == "step" else None
        if step == 0:
            raise InputError(ALL_EMPTY)
        self.config = config.for_training(self.options.steps, step, longest_prompt(rows))
        self.data = ChunkRows(rows, self.config)
        check_codebook(self.data, self.config)
        check_warmup(self.config, self.options)
        self.arguments = _arguments(self.out, self.options)  # starts the process group, which the quantiser must find

    def train(
        self,
        advance: Advance | None = None,
        reader: Reader | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> ChunkCoder:
        """Train the model and save it.

        An interrupted training goes on from its last checkpoint in ``out/checkpoints`` and ends with the same weights,
        bit for bit on one CPU.

        Args:
            advance: Called with (step, total steps, figures) after every step.
            reader: What codes are trained for, with the objective "language-model"; changed, and not saved.
            say: Called with a line whenever the user should know something.

        Returns:
            The trained model.

        Raises:
            InputError: If there is no reader where the objective needs one, or one where it has no use for it; or a
                loss or a weight is no number.
            Stopped: If an end was asked for; see ``QuietTrainer``.
        """
        if (reader is not None) != (self.config.objective == "language-model"):
            raise InputError(
                f"objective '{self.config.objective}': a reader goes with 'language-model' and no other; give both"
            )
        token_ids = used_ids(self.data[index][part] for index in range(len(self.data)) for part in PARTS)
        self._decide(len(token_ids))
        set_seed(self.options.seed)
        model = model_class(self.config)(self.config, token_ids)
        trainer = ChunkTrainer(model, self, advance, reader, say)
        checkpoint = last_checkpoint(self.out / CHECKPOINTS, say)
        if checkpoint and trainer.is_world_process_zero():
            say(f"going on from {checkpoint}")
        trainer.run(checkpoint)
        trainer.require_weights()
        model = trainer.accelerator.unwrap_model(trainer.model).eval()
        if trainer.is_world_process_zero():
            with written(self.out):
                model.save_pretrained(self.out)
        trainer.accelerator.wait_for_everyone()
        return model

    def _decide(self, tokens: int) -> None:
        """Set what follows from the rows: how many tokens there are, and when a code is dead."""
        config, data = self.config, self.data
        config.compact_size = tokens + 1
        steps = -(-len(data) // self.options.batch_size)  # of an epoch, the last one of what is left
        vectors = data.trace_chunks / steps * config.codes_per_chunk
        config.dead_code_threshold = config.dead_code_share * vectors / config.codebook_size


def check_warmup(config: ChunkVQVAEConfig, options: VQVAETrainingOptions) -> None:
    """Raise an ``InputError`` unless training goes on after the warm-up: the codebook starts only then."""
    if config.warmup_steps >= options.steps:
        raise InputError(
            f"the warm-up of {config.warmup_steps} steps leaves none of the {options.steps} training steps to the "
            "codebook; lower --warmup-steps or raise --steps"
        )


class ChunkTrainer(QuietTrainer):
    """transformers' trainer, with a k-means before the first step that quantises.

    A ``reader`` learns with the model, by the same optimizer; its gradients are bounded by their own norm. Checkpoints
    have of it what learns.
    """

    def __init__(
        self,
        model: ChunkCoder,
        training: Stage1Training,
        advance: Advance | None,
        reader: Reader | None,
        say: Callable[[str], None],
    ) -> None:
        self.options, self.reader = training.options, reader
        parameters = [*model.parameters(), *(reader.learned().values() if reader else ())]
        super().__init__(
            model=model,
            args=training.arguments,
            train_dataset=training.data,
            data_collator=partial(model.collate, config=model.config),
            optimizers=(torch.optim.Adam(parameters, lr=training.options.learning_rate), None),
            pace=SaveEvery.read(training.options.save_every),
            advance=advance,
            say=say,
        )
        self.keeping.last = True
        if reader:
            reader.to(self.args.device)

    def get_train_dataloader(self) -> DataLoader:
        """Return the batches to learn from; what is drawn in a step from now on, each process draws for itself.

        The order of rows, which all of them share, is drawn already. The first process goes on as a single one would.
        """
        loader = super().get_train_dataloader()
        if self.args.process_index:
            torch.manual_seed(self.options.seed + self.args.process_index)
        return loader

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
        save_steps=SaveEvery.read(options.save_every).steps,
        learning_rate=options.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=min(100, options.steps // 10),
        max_grad_norm=1.0,
        bf16=options.bf16,
        seed=options.seed,
        dataloader_num_workers=options.workers,
        logging_steps=50,
        report_to="none",
    )
