"""Fine-tuning, from rows and a base model to a finished run folder."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import TrainerState, set_seed

from mixlm.data.chat.rendering import stop_clock
from mixlm.encoding import VQVAE
from mixlm.encoding.dataset import open_vqvae
from mixlm.encoding.manifest import is_encoded
from mixlm.evaluation.checks import require_check
from mixlm.evaluation.evaluate import accuracy
from mixlm.generation.engine import Engine
from mixlm.methods import build_method
from mixlm.methods.base import recoded
from mixlm.model.abilities import context_length
from mixlm.model.collator import Collator
from mixlm.model.loading import open_model
from mixlm.model.lora import add_adapter, merge_adapter
from mixlm.model.soundness import cast, config_digest, weights_digest
from mixlm.model.special_tokens import special_ids
from mixlm.model.thoughts.stop import STOP_FILE, add_stop, load_stop, save_stop
from mixlm.model.tokenizers import check_reopening
from mixlm.model.vocabulary import extend_vocabulary, start_from_codes, start_from_text
from mixlm.processes import Processes
from mixlm.run import ADAPTER, Run
from mixlm.training import preflight
from mixlm.training.folder import DONE, RunFolder, run_folder
from mixlm.training.latent_warning import LatentWarning
from mixlm.training.memory import MicroBatch
from mixlm.training.model_card import write_card
from mixlm.training.new_rows import NewRows
from mixlm.training.options import TrainingOptions
from mixlm.training.rows.drawn import tell_mix
from mixlm.training.rows.inputs import leave_out_long, open_data
from mixlm.training.rows.mixed_dataset import MeasuredDataset, MixedDataset
from mixlm.training.schedule import Schedule
from mixlm.training.trainer import MixedTrainer, trainer_arguments
from vqvae.advance import Advance
from vqvae.atomic_files import whole_folder
from vqvae.options import SaveEvery
from vqvae.training.checkpoints import CHECKPOINTS, step_of, written


if TYPE_CHECKING:
    from datasets import Dataset
    from peft import PeftModel
    from transformers import PreTrainedModel


MEASURED_ROWS = 256


def train(
    source: str | Path,
    model: str | Path,
    out: str | Path,
    options: TrainingOptions,
    advance: Advance | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Run:
    """Fine-tune ``model`` on ``source`` and write a run folder.

    An interrupted run, started again with the same arguments, goes on from its last checkpoint and ends the same; a
    finished one is left as it is. No other command writes into the folder meanwhile.

    Args:
        source: An encoded dataset, or a raw file of traces for a method without codes.
        model: Folder, Hub id, ``.gguf`` file, or ``.yaml`` of a model from scratch.
        out: The run folder; must not hold anything but an unfinished run of the same arguments.
        options: Everything else.
        advance: Called with (step, total steps, figures) after every step.
        say: Called with a line whenever the user should know something.

    Returns:
        The finished run.

    Raises:
        InputError: If anything given does not fit; the folder is then untouched. If a loss or a weight is no number;
            the run is then unfinished.
    """
    told, options = options, options.for_model(str(model))
    folder = run_folder(source, model, out, options, say)
    with folder.processes.one_launch(out):
        if run := folder.finished():
            say(DONE.format(out=out))
            if folder.processes.first:  # what the process that finished it may have left over
                folder.tidy()
            return run
        folder.check()
        if told.learning_rate is None:
            preflight.tell_rate(str(model), options, say)
        return _train(Finetuning(str(source), str(model), folder, options, say), advance)


def _train(work: "Finetuning", advance: Advance | None) -> Run:
    """Train, and write the run."""
    trainer = work.trainer(advance)
    with preflight.compiling(), work.micro.within_memory():
        trainer.run(work.claim())
    trainer.require_weights()
    lm = work.trained_model(trainer)
    if trainer.is_world_process_zero():
        work.save(lm, trainer.state)
    trainer.accelerator.wait_for_everyone()
    return work.run


class Finetuning:
    """One call of ``train``, in one of its processes."""

    def __init__(
        self, source: str, model: str, folder: RunFolder, options: TrainingOptions, say: Callable[[str], None]
    ) -> None:
        self.model, self.options, self.say = model, options, say
        self.folder, self.path = folder, folder.path
        self.method = build_method(options.method, options.method_options)
        if not is_encoded(source):
            options = replace(options, template=folder.begun_template())
        self.data = open_data(source, model, self.method, options, say)
        self.check = options.check or self.data.check
        if options.select == "accuracy":
            require_check(self.check, (row["question"] for row in self.data.valid))
        preflight.check_start(model, self.method, self.data.template, options, say)

    def trainer(self, advance: Advance | None) -> MixedTrainer:
        """Open the model, make the rows ready, and set up the trainer of both."""
        options = self.options
        set_seed(options.seed)
        lm, self.new_ids = self._open_model()
        check_reopening(self.data.tokenizer, lm.config)
        preflight.tell_namesakes(self.data.tokenizer, self.new_ids, self.say)
        preflight.check_model(lm, self.model, self.method, options, self.new_ids)
        shared = preflight.samples_share_rows(lm, self.model, self.method, options, self.say)
        self.run = self._describe()
        training = self._prepare_rows(context_length(lm.config))
        self._start_latents(lm, training)
        lm = self._adapted(lm)
        if options.lora_rank:
            preflight.tell_left_out(lm, self.say)
        lm.config.use_cache = False
        if options.activation_checkpointing:
            lm.gradient_checkpointing_enable({"use_reentrant": False})
        if options.compile:  # the head stays outside: which logits it computes changes with every batch
            lm.get_decoder().compile(dynamic=True)
        collator, self.micro = Collator(shared, options.row_tokens), MicroBatch(self.path, options)
        size = self.micro.settle(lm, collator, training, options.bf16, self.say)
        trainer = MixedTrainer(
            Schedule(training, self._measured_rows(training.steps_per_epoch), self.run),
            NewRows(lm, self.new_ids, options.row_rate),
            measure=self._accuracy if options.select == "accuracy" else None,
            model=lm,
            args=trainer_arguments(self.path, training.steps_per_epoch, replace(options, micro_batch_size=size)),
            data_collator=collator,
            pace=SaveEvery.read(options.save_every),
            advance=advance,
            say=self.say,
        )
        trainer.add_callback(self.micro)
        trainer.add_callback(LatentWarning(self.data.ceiling(self.method), self.say))
        return trainer

    def claim(self) -> str | None:
        """Write down what the run was told, in the first process; return the checkpoint to go on from."""
        return self.folder.claim(self.data.template, self.identity() if self.folder.processes.first else {})

    def identity(self) -> dict[str, str]:
        """Return hashes of all that is read, once ``trainer`` has read it."""
        return {**self.data.identity(self.model), **self.of_model}

    def _open_model(self) -> tuple["PreTrainedModel", list[int]]:
        """Open the model that training starts from, with all that the method adds; return the new tokens' ids, too."""
        options, tokenizer = self.options, self.data.tokenizer
        lm = open_model(self.model, tokenizer, options.seed, options.attention)
        self.of_model = {"weights": weights_digest(lm), "configuration": config_digest(lm)}
        tokens = self.method.tokens(self.data.codebook_size)
        new_ids = extend_vocabulary(lm, tokenizer, tokens, options.seed, options.new_token_noise)
        if self.method.learns_stop and (Path(self.model) / STOP_FILE).is_file():
            load_stop(lm, Path(self.model))
        elif self.method.learns_stop:
            add_stop(lm)
        return lm, new_ids

    def _start_latents(self, lm: "PreTrainedModel", training: MixedDataset) -> None:
        """Move the new rows of latents to where they are to start."""
        options, ids = self.options, self.run.ids
        if self.new_ids and options.new_token_start == "text":
            self.say("latents start at the rows of their text; --new-token-start chooses another place")
            chunks = (pair for row in training.rows for pair in self.method.chunks(row))
            start_from_text(lm, self.new_ids, ids, chunks)
        elif self.new_ids and options.new_token_start == "codes":
            quantizer = open_vqvae(self.data.encoded.vqvae_path).quantizer
            start_from_codes(lm, self.new_ids, ids, quantizer.look_up(torch.arange(ids.codebook_size)), options.seed)

    def _adapted(self, lm: "PreTrainedModel") -> "PreTrainedModel | PeftModel":
        """Return the model, wrapped in an adapter if one is to be trained."""
        return add_adapter(lm, self.options.lora_rank, self.new_ids) if self.options.lora_rank else lm

    def _describe(self) -> Run:
        """Return the run as far as it is known before training."""
        encoded = self.data.encoded
        return Run(
            path=self.path,
            method_name=self.options.method,
            template=self.data.template,
            ids=special_ids(self.data.tokenizer),
            align=encoded.align if encoded else "fixed",
            chunk_length=encoded.chunk_length if encoded else 0,
            compression_rate=encoded.compression_rate if encoded else 0,
            codebook_size=self.data.codebook_size,
            fingerprint=self.data.fingerprint,
            method_options=self.method.options(),
            arguments=self.folder.arguments,
            seed=self.options.seed,
            answer_pattern=self.data.pattern,
            check=self.check,
        )

    def _prepare_rows(self, context: int | None) -> MixedDataset:
        """Make method and rows ready for each other; what is too long is left out before the method sees it."""
        options, method, run = self.options, self.method, self.run
        method.bind(run.ids, run.cutting)
        rows = self._short_enough(self.data.train, context, "sample")
        self.valid = self._short_enough(self.data.valid, context, "validation sample")
        run.method_state = method.fit(rows, options.seed)
        training = MixedDataset(
            recoded(rows, method), method, options.batch_size, options.seed, options.loss_on_prompt
        )
        preflight.warn_of_schedule(method, training.steps_per_epoch, options, self.say)
        tell_mix(training, self.say)
        return training

    def _short_enough(self, rows: "Dataset | None", context: int | None, kind: str) -> "Dataset | None":
        """Return the rows that model and options have room for, and say how many others there are."""
        longest = min(filter(None, (self.options.max_length, context)), default=None)
        if rows is None or longest is None:
            return rows
        kept = leave_out_long(rows, longest, self.method, kind, context)
        if len(kept) < len(rows):
            self.say(f"warning: left out {len(rows) - len(kept)} {kind}s longer than {longest} tokens")
        return kept

    def _measured_rows(self, steps_per_epoch: int) -> MeasuredDataset | None:
        """Return the validation rows, if they are to be measured on."""
        if not self.options.eval_every:
            return None
        rows = recoded(self.valid, self.method)
        return MeasuredDataset(rows, self.method, steps_per_epoch, self.options.seed, self.options.loss_on_prompt)

    def _accuracy(self, model: "PreTrainedModel", processes: Processes) -> dict[str, float]:
        """Let a model answer the first validation rows in shares; return the share of right answers."""
        rows = [self.valid[index] for index in range(min(len(self.valid), MEASURED_ROWS))]
        engine = Engine(self.run, model, self.data.tokenizer)
        return {"accuracy": accuracy(engine, rows, self.check, processes)}

    def trained_model(self, trainer: MixedTrainer) -> "PreTrainedModel | PeftModel | None":
        """Return the model that was trained, whole in the first process; where processes hold parts, all call this."""
        if not trainer.is_fsdp_enabled:
            return trainer.accelerator.unwrap_model(trainer.model)
        weights = trainer.accelerator.get_state_dict(trainer.model)
        if not trainer.is_world_process_zero():
            return None
        lm = self._adapted(self._open_model()[0])  # of the same shape, to put the parts in
        lm.load_state_dict(weights)
        return lm

    def save(self, lm: "PreTrainedModel | PeftModel", state: TrainerState) -> None:
        """Write the finished run: a plain checkpoint, its tokenizer, stage 1's model, a card, last ``mixlm.json``."""
        run = self.run
        # with a choice among checkpoints the weights are that checkpoint's, so is the place in the schedule
        last = step_of(state.best_model_checkpoint) if state.best_model_checkpoint else state.global_step
        run.step = max(last - 1, 0)
        with self.folder.finishing(), written(run.path):
            self._save_files(lm)
            write_card(run, self.data.tokenizer, state.log_history)
        run.save()
        self.folder.tidy()

    def _save_files(self, lm: "PreTrainedModel | PeftModel") -> None:
        """Write a plain checkpoint, its tokenizer, and stage 1's model."""
        run = self.run
        if self.options.lora_rank:
            with whole_folder(run.path / ADAPTER) as draft:  # PEFT adds to a card that it finds
                lm.save_pretrained(draft)
            lm = merge_adapter(lm)
        if self.method.learns_stop:
            save_stop(lm, run.path)
        lm.config.use_cache = True
        cast(lm, self.options.save_dtype)
        lm.save_pretrained(run.path)
        stop_clock(run.template, self.data.tokenizer)
        self.data.tokenizer.save_pretrained(run.path)
        if self.method.codes_mean_chunks:
            leave = shutil.ignore_patterns(CHECKPOINTS)
            shutil.copytree(self.data.encoded.vqvae_path, run.path / VQVAE, dirs_exist_ok=True, ignore=leave)
