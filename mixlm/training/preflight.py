"""What is checked before a training run: its folder, the model that it starts from, the length of its schedule."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixlm.data.template import Template
from mixlm.encoding.manifest import changed_arguments
from mixlm.errors import InputError
from mixlm.methods.base import Method
from mixlm.model.abilities import fault_in_training, packs, pads
from mixlm.model.special_tokens import namesakes
from mixlm.model.thoughts.passes import obstacle
from mixlm.run import INFO_NAME, load_run
from mixlm.training.options import TrainingOptions
from vqvae.atomic_files import whole_file
from vqvae.training.trainer_base import CHECKPOINTS, last_checkpoint


if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def check_folder(path: Path, arguments: dict[str, Any]) -> Path:
    """Return ``path`` if a run with ``arguments`` may be written there.

    Raises:
        InputError: If it holds a finished run, an unfinished one of other arguments, or something else.
    """
    if (path / INFO_NAME).exists():
        raise InputError(f"{path}: already a finished run; choose another --out, or remove the folder to train again")
    started = path / CHECKPOINTS / "arguments.json"
    if started.is_file():
        before = json.loads(started.read_text(encoding="utf-8"))
        if arguments["select"] != "accuracy":
            before["check"] = arguments["check"]  # it decides nothing of the training
        changed = changed_arguments(before, json.loads(json.dumps(arguments)))
        if changed:
            raise InputError(
                f"{path}: an unfinished run with another {', '.join(changed)}; "
                "give the same arguments, or another --out"
            )
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path}: exists and is no run of mixlm-train; choose another --out")
    return path


def claim_folder(
    path: Path,
    arguments: dict[str, Any],
    template: Template,
    identity: dict[str, str],
    main: bool,
    say: Callable[[str], None],
) -> str | None:
    """Write down, before the first step, what the run was told; return the checkpoint to go on from, if any.

    Args:
        path: The run folder.
        arguments: What the run was told.
        template: How it renders rows.
        identity: Hashes of what it reads: ``data`` and ``valid``, rows; ``tokenizer``; ``weights`` of the model.
        main: Whether this is the first process, which alone looks and writes.
        say: Told if the run goes on.

    Raises:
        InputError: If there is a checkpoint, and it has learned from something else.
    """
    started = path / CHECKPOINTS / "arguments.json"
    checkpoint = last_checkpoint(path / CHECKPOINTS)
    if main:
        started.parent.mkdir(parents=True, exist_ok=True)
        _check_unchanged(path, arguments, identity, checkpoint, say)
    if main and not started.exists():
        (started.parent / "template.json").write_text(json.dumps(template.to_dict()) + "\n", encoding="utf-8")
        started.write_text(json.dumps(arguments, indent=2) + "\n", encoding="utf-8")
    if checkpoint:
        say(f"going on from {checkpoint}")
    return checkpoint


def _check_unchanged(
    path: Path,
    arguments: dict[str, Any],
    identity: dict[str, str],
    checkpoint: str | None,
    say: Callable[[str], None],
) -> None:
    """Raise an ``InputError`` if a checkpoint has learned from something else than ``identity``, else note that."""
    stored = path / CHECKPOINTS / "identity.json"
    if checkpoint and not stored.is_file():
        say(f"note: {path} was begun by an earlier version; whether its rows or model have changed since is not known")
    begun = json.loads(stored.read_text(encoding="utf-8")) if checkpoint and stored.is_file() else identity
    rows = arguments["data"]
    files = {"tokenizer": arguments["model"], "data": rows, "valid": arguments["valid"] or rows}
    files["weights"] = arguments["model"]
    what = {"tokenizer": "its tokenizer has", "weights": "its weights have", "valid": "its validation rows have"}
    for name, file in files.items():
        if begun.get(name) != identity.get(name):
            raise InputError(
                f"{file}: {what.get(name, 'its rows have')} changed since the run at {path} was begun, which would go "
                f"on from {Path(checkpoint or path).name}; put back what was there, or choose another --out"
            )
    with whole_file(stored) as file:
        file.write(json.dumps(identity, indent=2) + "\n")


def begun_template(path: Path, template: Template) -> Template:
    """Return the template by which an unfinished run at ``path`` renders its rows, else ``template``.

    Raises:
        InputError: If the run was begun with other templates than these.
    """
    checkpoints = path / CHECKPOINTS
    if not (checkpoints / "arguments.json").is_file():
        return template
    stored = checkpoints / "template.json"
    if not stored.is_file():  # of an earlier version, which did not write it
        return replace(template, apart=template.chat)
    begun = Template.from_dict(json.loads(stored.read_text(encoding="utf-8")))
    if replace(begun, date=None, apart=False) != template:
        raise InputError(f"{path}: an unfinished run with another template; give the same one, or another --out")
    return begun


def check_start(
    model: str, method: Method, template: Template, options: TrainingOptions, say: Callable[[str], None]
) -> None:
    """Check what training starts from, where that is a run of this project.

    Args:
        model: Base model as the user named it.
        method: The method that it is to learn.
        template: How its samples are rendered.
        options: All else.
        say: Told if the run rendered its samples otherwise.

    Raises:
        InputError: If the run reasons in continuous thoughts and the method would treat it as a plain language model,
            or a part of the method cannot be trained as asked.
    """
    _check_row_start(method, options.new_token_start)
    if method.uses_thoughts and options.activation_checkpointing:
        raise InputError(
            f"--activation-checkpointing: method '{method.name}' needs the key-value cache, which it would drop; "
            "leave it out and lower --micro-batch-size"
        )
    sharded = os.environ.get("ACCELERATE_USE_FSDP") == "true"
    if method.uses_thoughts and sharded:
        raise InputError(
            f"method '{method.name}' makes the inputs of its thoughts outside the model, whose rows no process "
            "has whole when it is sharded; launch it with ddp.yaml"
        )
    if options.compile and method.uses_thoughts:
        raise InputError(f"--compile: method '{method.name}' runs the model in passes of changing form; leave it out")
    if options.compile and sharded:
        raise InputError("--compile: not for a model that is sharded; leave it out, or launch with ddp.yaml")
    if method.learns_stop and options.lora_rank:
        raise InputError("-o stop=learned: an adapter cannot hold the classifier; use stop=constant or --lora-rank 0")
    if not (Path(model) / INFO_NAME).is_file():
        return
    start = load_run(model)
    if start.method.uses_thoughts and not method.uses_thoughts:
        raise InputError(
            f"{model}: reasons in continuous thoughts (method '{start.method_name}') and is no plain language model; "
            f"start '{method.name}' from the model that it was trained from ({start.arguments.get('model')})"
        )
    if start.template != template:
        say(f"note: {model} was trained with another template; give the same template options to go on from it")


def check_model(lm: "PreTrainedModel", name: str, method: Method) -> None:
    """Try whether a model, called ``name`` by the user, computes what the method needs of it.

    Raises:
        InputError: If it does not, with what it is in the model that stands against it.
    """
    kind = lm.config.model_type
    reason = obstacle(lm) if method.uses_thoughts else None
    if reason:
        raise InputError(f"method '{method.name}': a model of type '{kind}' cannot think: {reason}; choose another")
    if fault_in_training(lm):
        raise InputError(f"{name}: a model of type '{kind}' cannot be trained: {fault_in_training(lm)}")


def samples_share_rows(
    lm: "PreTrainedModel", name: str, method: Method, options: TrainingOptions, say: Callable[[str], None]
) -> bool:
    """Tell whether samples are packed; says a line where they would read each other in the model of this name.

    Raises:
        InputError: If they cannot be padded either.
    """
    kind, wanted = lm.config.model_type, options.pack and method.packable
    if wanted and packs(lm):
        return True
    if not method.uses_thoughts and not pads(lm):
        raise InputError(f"{name}: a model of type '{kind}' reads the padding behind its samples; choose another")
    if wanted:
        say(f"note: samples are padded, not packed: a model of type '{kind}' would read across them")
    return False


def _check_row_start(method: Method, start: str) -> None:
    """Raise an ``InputError`` if latents are to start where those of the method cannot."""
    if start == "text" and not method.needs_codes:
        lacking = "has no latents that stand for text"
    elif start == "codes" and not method.codes_mean_chunks:
        lacking = "has no latents that are stage 1's codes"
    else:
        return
    raise InputError(f"--new-token-start {start}: method '{method.name}' {lacking}; leave it out")


def tell_namesakes(tokenizer: "PreTrainedTokenizerBase", new: Sequence[int], say: Callable[[str], None]) -> None:
    """Tell the user if the base model has tokens of its own that are named like ours, and what ours are named then.

    Args:
        tokenizer: Of the model, with the tokens of the method.
        new: Ids of those that training has added.
        say: Told.
    """
    own, added = namesakes(tokenizer), tokenizer.convert_ids_to_tokens(list(new))
    if own:
        ours = f"; those of the method are {_listed(added)}" if added else ""
        say(f"note: tokens of the model's own keep their ids and meaning: {_listed(own)}{ours}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join([*names[:4], ".."] if len(names) > 4 else names)


def warn_of_schedule(
    method: Method, steps_per_epoch: int, options: TrainingOptions, say: Callable[[str], None]
) -> None:
    """Tell the user if training ends before the last stage of the method's schedule."""
    total = options.total_steps(steps_per_epoch)
    end = method.schedule_end(steps_per_epoch)
    if end >= total:
        say(
            f"warning: the last stage of '{method.name}' begins at step {end}, epoch {end / steps_per_epoch:.4g}, and "
            f"training ends at step {total}; give more --epochs, or shorten the schedule (mixlm methods)"
        )


def checkpoint_step(path: str) -> int:
    """Return the number of optimizer steps after which a checkpoint was written."""
    return int(Path(path).name.rpartition("-")[2])
