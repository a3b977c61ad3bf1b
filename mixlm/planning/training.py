"""The plan of a fine-tuning."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from mixlm.encoding.manifest import is_encoded
from mixlm.planning.plan import Plan, draft_folder
from mixlm.training.folder import DONE, RunFolder, run_folder
from mixlm.training.memory import memory_of
from mixlm.training.options import TrainingOptions
from mixlm.training.preflight import tell_rate
from mixlm.training.rows.inputs import token_counts
from mixlm.training.train import Finetuning
from mixlm.training.trainer import MixedTrainer
from vqvae.advance import Advance
from vqvae.one_writer import require_writable
from vqvae.training.checkpoints import MOST_KEPT, last_checkpoint, readable_size, steps_made
from vqvae.trial import Trial, TrialOver, peak_memory


def plan_training(
    source: str | Path,
    model: str | Path,
    out: str | Path,
    options: TrainingOptions,
    advance: Advance | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Plan | None:
    """Return what ``train`` would do with the same arguments; ``out`` is looked at and not changed.

    Some steps are made on the true rows, and thrown away; of a method with a schedule also some of its last stage.

    Args:
        source: As of ``train``.
        model: As of ``train``.
        out: As of ``train``.
        options: As of ``train``.
        advance: Told how far the measurement is.
        say: Told what ``train`` would say before its first step.

    Returns:
        The plan; None if there is nothing left to do.

    Raises:
        InputError: If ``train`` would raise it before it begins, or several processes run this.
    """
    told, options = options, options.for_model(str(model))
    there = run_folder(source, model, out, options, say)
    if there.finished():
        say(DONE.format(out=out))
        return None
    there.check()
    require_writable(out)
    if told.learning_rate is None:
        tell_rate(str(model), options, say)
    return _plan(str(source), str(model), there, options, advance, say)


def _plan(
    source: str,
    model: str,
    there: RunFolder,
    options: TrainingOptions,
    advance: Advance | None,
    say: Callable[[str], None],
) -> Plan:
    """Return the plan, after a trial in another folder."""
    with draft_folder() as draft:
        begun = options if is_encoded(source) else replace(options, template=there.begun_template())  # on its date
        work = Finetuning(source, model, run_folder(source, model, draft, begun), begun, say)
        trial = Trial(advance=advance)
        trainer = work.trainer(trial)
        there.check_unchanged(work.identity(), last_checkpoint(there.checkpoints))
        seconds, last = _measured(work, trainer, trial)
        return Plan(
            train=len(trainer.train_dataset),
            valid=len(work.valid) if work.valid is not None else 0,
            tokens=int(token_counts(trainer.train_dataset.rows).sum()),
            steps=trainer.args.max_steps,
            done=steps_made(there.checkpoints, say),
            batch=options.batch_size,
            seconds=seconds,
            last_seconds=last,
            memory=max(peak_memory(torch), work.micro.needed),
            machine=memory_of(trainer.model.device),
            files=_files(trainer, options),
        )


def _measured(work: Finetuning, trainer: MixedTrainer, trial: Trial) -> tuple[float | None, float | None]:
    """Return the seconds of a step at the beginning, and of one at the end if a schedule makes that another one."""
    first = _try(work, trainer, trial)
    if not trainer.schedule.end:
        return first, None
    trainer.train_dataset.hold(trainer.args.max_steps - 1)
    trainer.optimizer = trainer.lr_scheduler = None  # which are made anew
    return first, _try(work, trainer, trial)


def _try(work: Finetuning, trainer: MixedTrainer, trial: Trial) -> float | None:
    """Make the steps of a trial; return the seconds of one."""
    trial.begin()
    with suppress(TrialOver), work.micro.within_memory():
        trainer.run(None)
    return trial.each


def _files(trainer: MixedTrainer, options: TrainingOptions) -> tuple[str, ...]:
    """Return a line for the weights that a training writes, and one for its checkpoints."""
    weights = sum(weight.numel() for weight in trainer.accelerator.unwrap_model(trainer.model).parameters())
    each = torch.finfo(getattr(torch, options.save_dtype)).bits // 8
    size = readable_size(trainer.checkpoint_size())
    most = MOST_KEPT[trainer.args.load_best_model_at_end]
    kept = f"checkpoints of {size}, at most {most} at a time, until the end"
    return f"weights of {readable_size(weights * each)}", *[kept] * trainer.keeping.pace.any
