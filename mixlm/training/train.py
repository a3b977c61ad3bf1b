"""Fine-tuning, from rows and a base model to a finished run folder."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerState, TrainingArguments, set_seed

from mixlm.data.template import Template
from mixlm.errors import InputError
from mixlm.evaluation.evaluate import evaluate
from mixlm.methods import Method, build_method
from mixlm.methods.base import recoded
from mixlm.model.collator import Collator
from mixlm.model.loading import open_model
from mixlm.model.lora import add_adapter, merge_adapter
from mixlm.model.stop import add_stop, save_stop
from mixlm.model.vocabulary import extend_vocabulary, special_ids, start_from_text
from mixlm.run import Run
from mixlm.training.inputs import TrainingData, leave_out_long, open_data
from mixlm.training.loss import MixedLoss
from mixlm.training.mixed_dataset import MeasuredDataset, MixedDataset
from mixlm.training.model_card import write_card
from mixlm.training.options import TrainingOptions
from mixlm.training.preflight import check_folder, check_start, checkpoint_step, claim_folder, warn_of_schedule
from mixlm.training.schedule import Schedule
from mixlm.training.trainer import MixedTrainer, ReportProgress
from vqvae.trainer_base import CHECKPOINTS, base_arguments


MEASURED_ROWS = 256


def train(
    source: str,
    model: str,
    out: str | Path,
    options: TrainingOptions,
    template: Template | None = None,
    valid: str | None = None,
    progress: ReportProgress | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Run:
    """Fine-tune ``model`` on ``source`` and write a run folder.

    An interrupted run, started again with the same arguments, goes on from its last checkpoint and ends the same.

    Args:
        source: An encoded dataset, or a raw file of traces for a method without codes.
        model: Folder, Hub id, ``.gguf`` file, or ``.yaml`` of a model from scratch.
        out: The run folder; must not hold anything but an unfinished run of the same arguments.
        options: Everything else.
        template: Renders a raw ``source``.
        valid: Raw validation file, for a raw ``source``.
        progress: Called with (step, total steps, figures) after every step.
        say: Called with a line whenever the user should know something.

    Returns:
        The finished run.

    Raises:
        InputError: If anything given does not fit; the folder is then untouched.
    """
    arguments = {"data": str(source), "model": str(model), "valid": valid, **options.to_dict()}
    path = check_folder(Path(out), arguments)
    method = build_method(options.method, options.method_options)
    data = open_data(str(source), str(model), method, template or Template(), valid)
    check_start(str(model), method, data.template, options, say)
    set_seed(options.seed)
    lm, new_ids = open_start(str(model), data, method, options)
    run = _describe(path, data, options, arguments)
    training = prepare_rows(data, method, run, lm.config, options, say)
    if options.new_token_start == "text":
        start_from_text(lm, new_ids, run.ids, (pair for row in training.rows for pair in method.chunks(row)))
    lm = with_adapter(lm, options, new_ids)
    trainer = _build_trainer(lm, path, training, data, method, options, run, new_ids, progress)
    with compiling():
        trainer.train(resume_from_checkpoint=claim_folder(path, arguments, trainer.is_world_process_zero(), say))
    lm = trained_model(
        trainer, lambda: with_adapter(open_start(str(model), data, method, options)[0], options, new_ids)
    )
    if trainer.is_world_process_zero():
        save_run(lm, trainer.state, run, data, options)
    trainer.accelerator.wait_for_everyone()
    return run


@contextmanager
def compiling() -> Iterator[None]:
    """Say in one line that a model could not be compiled.

    Raises:
        InputError: If so.
    """
    try:
        yield
    except torch._dynamo.exc.BackendCompilerFailed as error:
        reason = next(line for line in str(error).splitlines() if line.strip())
        raise InputError(f"--compile: {reason}; install a C++ compiler, or leave it out") from None


def open_start(model: str, data: TrainingData, method: Method, options: TrainingOptions) -> tuple[Any, list[int]]:
    """Open the model that training starts from, with all that the method adds, and return the new tokens' ids, too."""
    lm = open_model(model, data.tokenizer, options.seed, options.attention)
    tokens = method.tokens(data.codebook_size)
    new_ids = extend_vocabulary(lm, data.tokenizer, tokens, options.seed, options.new_token_noise)
    if method.learns_stop:
        add_stop(lm)
    return lm, new_ids


def with_adapter(lm: Any, options: TrainingOptions, new_ids: list[int]) -> Any:
    """Return the model, wrapped in an adapter if one is to be trained."""
    return add_adapter(lm, options.lora_rank, new_ids) if options.lora_rank else lm


def trained_model(trainer: MixedTrainer, fresh: Callable[[], Any]) -> Any:
    """Return the model that was trained, whole in the first process.

    Args:
        trainer: The trainer. Where the processes hold parts of the model, all of them must call this.
        fresh: Opens a model of the same shape, into which the parts are put.
    """
    if not trainer.is_fsdp_enabled:
        return trainer.accelerator.unwrap_model(trainer.model)
    weights = trainer.accelerator.get_state_dict(trainer.model)
    if not trainer.is_world_process_zero():
        return None
    lm = fresh()
    lm.load_state_dict(weights)
    return lm


def prepare_rows(
    data: TrainingData, method: Method, run: Run, config: Any, options: TrainingOptions, say: Callable[[str], None]
) -> MixedDataset:
    """Make the method ready and return the training set; rows too long are left out, of the validation rows too."""
    method.bind(run.ids, run.compression_rate, run.chunk_length)
    run.method_state = method.fit(data.train, options.seed)
    longest = options.max_length or getattr(config, "max_position_embeddings", None)
    rows = data.train
    if longest:
        rows, left_out = leave_out_long(rows, longest, method.extra_tokens())
        if left_out:
            say(f"left out {left_out} samples longer than {longest} tokens")
        if data.valid is not None:
            data.valid = leave_out_long(data.valid, longest, method.extra_tokens())[0]
    rows = recoded(rows, method)
    training = MixedDataset(rows, method, options.batch_size, options.seed, options.loss_on_prompt)
    warn_of_schedule(method, training.steps_per_epoch, options, say)
    return training


def _describe(path: Path, data: TrainingData, options: TrainingOptions, arguments: dict[str, Any]) -> Run:
    """Return the run as far as it is known before training."""
    encoded = data.encoded
    return Run(
        path=path,
        method_name=options.method,
        template=data.template,
        ids=special_ids(data.tokenizer),
        chunk_length=encoded.chunk_length if encoded else 0,
        compression_rate=encoded.compression_rate if encoded else 0,
        codebook_size=data.codebook_size,
        fingerprint=data.fingerprint,
        method_options=build_method(options.method, options.method_options).options(),
        arguments=arguments,
        seed=options.seed,
    )


def _build_trainer(
    lm: Any,
    path: Path,
    training: MixedDataset,
    data: TrainingData,
    method: Any,
    options: TrainingOptions,
    run: Run,
    new_ids: list[int],
    progress: ReportProgress | None,
) -> MixedTrainer:
    """Set up transformers' trainer for one run."""
    valid, tokenizer = data.valid, data.tokenizer
    if options.eval_every and valid is None:
        raise InputError("--eval-every needs validation rows; give --valid FILE, or encode with --valid-fraction")
    lm.config.use_cache = False
    if options.activation_checkpointing:
        lm.gradient_checkpointing_enable({"use_reentrant": False})
    if options.compile:  # the head stays outside: which logits it computes changes with every batch
        lm.get_decoder().compile(dynamic=True)
    arguments = trainer_arguments(path, training.steps_per_epoch, options)
    measured = None
    if valid is not None and options.eval_every:
        rows = recoded(valid, method)
        measured = MeasuredDataset(rows, method, training.steps_per_epoch, options.seed, options.loss_on_prompt)
    return MixedTrainer(
        model=lm,
        args=arguments,
        data=training,
        schedule=Schedule(training, measured, run),
        collator=Collator(pack=options.pack and method.packable, max_row_tokens=options.row_tokens),
        loss=MixedLoss(run.ids),
        new_ids=new_ids,
        new_token_lr=options.row_rate,
        measure=measure_accuracy(run, valid, tokenizer, options) if options.select == "accuracy" else None,
        progress=progress,
    )


def measure_accuracy(run: Run, valid: Any, tokenizer: Any, options: TrainingOptions) -> Callable[[Any], dict]:
    """Return a function that lets a model answer the first validation rows and gives the share of right ones."""
    rows = [valid[index] for index in range(min(len(valid), MEASURED_ROWS))]

    def measure(model: Any) -> dict[str, float]:
        """Return the accuracy of ``model``."""
        modes = evaluate(run, rows, model, tokenizer, check=options.check)["modes"]
        return {"accuracy": modes["free"]["accuracy"]}

    return measure


def trainer_arguments(path: Path, steps_per_epoch: int, options: TrainingOptions) -> TrainingArguments:
    """Translate our options into those of transformers' trainer."""
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(path / "logs")
    return base_arguments(
        path,
        options.total_steps(steps_per_epoch),
        options.batch_size,
        options.micro_batch_size,
        options.save_every or (options.eval_every if options.select != "last" else 0),
        learning_rate=options.learning_rate,
        lr_scheduler_type=options.scheduler,
        warmup_steps=options.warmup_steps,
        weight_decay=options.weight_decay,
        adam_beta2=options.adam_beta2,
        max_grad_norm=options.max_grad_norm,
        bf16=options.bf16,
        seed=options.seed,
        dataloader_num_workers=options.workers,
        ddp_find_unused_parameters=False,  # all are used; searching would take a classifier of thoughts for unused
        logging_steps=options.log_every,
        save_total_limit=2,
        eval_strategy="steps" if options.eval_every else "no",
        eval_steps=options.eval_every or None,
        load_best_model_at_end=options.select != "last",
        metric_for_best_model=None if options.select == "last" else f"eval_{options.select}",
        greater_is_better=options.select == "accuracy" if options.select != "last" else None,
        report_to=options.report_to,
        label_names=["labels"],
        prediction_loss_only=True,
    )


def save_run(lm: Any, state: TrainerState, run: Run, data: TrainingData, options: TrainingOptions) -> None:
    """Write the finished run: a plain checkpoint, its tokenizer, stage 1's model, a card, and last ``mixlm.json``."""
    if state.best_model_checkpoint:  # the weights are that checkpoint's, so is the place in the schedule
        run.step = max(checkpoint_step(state.best_model_checkpoint) - 1, 0)
    if options.lora_rank:
        lm.save_pretrained(run.path / "adapter")
        lm = merge_adapter(lm)
    if run.method.learns_stop:
        save_stop(lm, run.path)
    lm.config.use_cache = True
    lm.to(getattr(torch, options.save_dtype)).save_pretrained(run.path)
    data.tokenizer.save_pretrained(run.path)
    if run.method.codes_mean_chunks:
        shutil.copytree(data.encoded.vqvae_path, run.path / "vqvae", dirs_exist_ok=True, ignore=_no_checkpoints)
    write_card(run, state.log_history)
    run.save()


def _no_checkpoints(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == CHECKPOINTS]
