"""The folder of a run while it is trained: whose it is, what it goes on from, and when it is finished."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mixlm.data.reading import require_apart
from mixlm.data.template import Template
from mixlm.data.values import read_json
from mixlm.encoding.manifest import is_encoded, told_changes
from mixlm.errors import InputError
from mixlm.processes import Processes
from mixlm.run import Run, is_finished, load_run
from mixlm.training.options import UNDECISIVE, TrainingOptions
from vqvae.atomic_files import remove_drafts, to_disk, whole_file
from vqvae.options import SaveEvery
from vqvae.training.checkpoints import CHECKPOINTS, last_checkpoint
from vqvae.training.curve import CURVE


DONE = "{out}: already trained with these arguments; nothing to do"
_ARGUMENTS, _TEMPLATE, _IDENTITY = "arguments.json", "template.json", "identity.json"


class RunFolder:
    """A folder in which a run is trained, or goes on, or has been.

    Args:
        path: The folder.
        arguments: What the run is told, as JSON values; its template stands apart.
        template: How it renders the rows of a raw file; None: encoded rows bring their own.
        say: Called with a line whenever the user should know something.
        processes: Those of this launch, of which the first writes.
    """

    def __init__(
        self,
        path: Path,
        arguments: Mapping[str, Any],
        template: Template | None,
        say: Callable[[str], None],
        processes: Processes,
    ) -> None:
        self.path, self.checkpoints, self.processes = path, path / CHECKPOINTS, processes
        self.arguments, self.template, self.say = json.loads(json.dumps(arguments)), template, say

    @property
    def started(self) -> bool:
        """Whether a run has begun here, and has not ended."""
        return (self.checkpoints / _ARGUMENTS).is_file()

    def finished(self) -> Run | None:
        """Return the finished run that is here, if any.

        Raises:
            InputError: If it was told something else.
        """
        if not is_finished(self.path):
            return None
        run = load_run(self.path)
        self._check_arguments(run.arguments, "already a finished run")
        self._check_template(run.template, "already a finished run")
        return run

    def check(self) -> None:
        """Raise an ``InputError`` if an unfinished run of other arguments is here, or something else."""
        if self.started:
            later = {"save_dtype": self.arguments["save_dtype"]}  # of weights that are not saved yet
            self._check_arguments({**_read(self.checkpoints / _ARGUMENTS), **later}, "an unfinished run")
        elif self.path.exists() and (not self.path.is_dir() or not self._holds_ours()):
            raise InputError(f"{self.path}: exists and is no run of mixlm-train; choose another --out")

    def _holds_ours(self) -> bool:
        """Tell whether the folder is empty, or has what a process has left that was killed as it began."""
        if {path.name for path in self.path.iterdir()} - {CHECKPOINTS, CURVE}:
            return False
        begun = {path.name.lstrip(".").removesuffix(".tmp") for path in self.checkpoints.glob("*")}
        return begun <= {_ARGUMENTS, _TEMPLATE, _IDENTITY}

    def _check_arguments(self, before: Mapping[str, Any], what: str) -> None:
        if changes := told_changes(_decisive(before), _decisive(self.arguments)):
            raise InputError(f"{self.path}: {what} with another {changes}; give the same arguments, or another --out")

    def _check_template(self, before: Template, what: str) -> None:
        if self.template is None:
            return
        told = replace(before, date=None)
        if changes := told_changes(asdict(told), asdict(self.template)):
            raise InputError(f"{self.path}: {what} with another {changes}; give the same, or another --out")

    def begun_template(self) -> Template:
        """Return the template by which a run that has begun here renders its rows, else the one that was given.

        Raises:
            InputError: If the run was begun with other templates than these.
        """
        if not self.started:
            return self.template
        begun = Template.from_dict(_read(self.checkpoints / _TEMPLATE))
        self._check_template(begun, "an unfinished run")
        return begun

    def claim(self, template: Template, identity: Mapping[str, str]) -> str | None:
        """Write down, before the first step, what the run was told; return the checkpoint to go on from, if any.

        Args:
            template: How it renders rows.
            identity: Hashes of what it reads, in the first process: ``data`` and ``valid``, rows; ``tokenizer``;
                ``weights`` and ``configuration`` of the model.

        Raises:
            InputError: If there is a checkpoint, and it has learned from something else.
        """
        checkpoint = last_checkpoint(self.checkpoints, self.say) if self.processes.first else None
        checkpoint = self.processes.agree(checkpoint or "") or None
        if self.processes.first:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            remove_drafts(self.path)
            self.check_unchanged(identity, checkpoint)
            _write(self.checkpoints / _IDENTITY, identity)
            if not self.started:
                _write(self.checkpoints / _TEMPLATE, template.to_dict())
            _write(self.checkpoints / _ARGUMENTS, self.arguments)  # what decides nothing may be another than before
        if checkpoint:
            self.say(f"going on from {checkpoint}")
        return checkpoint

    def check_unchanged(self, identity: Mapping[str, str], checkpoint: str | None) -> None:
        """Raise an ``InputError`` if a checkpoint has learned from something else than ``identity``."""
        if not checkpoint:
            return
        begun, rows = _read(self.checkpoints / _IDENTITY), self.arguments["data"]
        files = dict.fromkeys(("tokenizer", "prompts"), self.arguments["model"])
        files |= {"data": rows, "valid": self.arguments["valid"] or rows}
        files |= dict.fromkeys(("weights", "configuration"), self.arguments["model"])
        same_rows = begun.get("data") == identity.get("data")
        what = {name: f"its {name} has" for name in ("tokenizer", "configuration")}
        what |= {"weights": "its weights have", "valid": "its validation rows have"}
        what["prompts"] = "the ends or the chat template of its tokenizer have"
        for name, file in files.items():
            if name == "prompts" and same_rows:  # to which it made no difference
                continue
            if begun.get(name) != identity.get(name):
                raise InputError(
                    f"{file}: {what.get(name, 'its rows have')} changed since the run at {self.path} was begun, which "
                    f"would go on from {Path(checkpoint).name}; put back what was there, or choose another --out"
                )

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """Let the finished run be written, all but ``mixlm.json``: what is written is on disk when the block ends."""
        yield
        for path in self.path.iterdir():
            if path.name != CHECKPOINTS:
                to_disk(path)
        to_disk(self.path, deep=False)

    def tidy(self) -> None:
        """Remove what a finished run does not need."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        remove_drafts(self.path)


def run_folder(
    source: str | Path,
    model: str | Path,
    out: str | Path,
    options: TrainingOptions,
    say: Callable[[str], None] = lambda line: None,
) -> RunFolder:
    """Return the folder of a run that is told this; see ``mixlm.training.train.train``."""
    for rows in filter(None, (source, options.valid)):
        require_apart(out, rows)
    arguments = {"data": str(source), "model": str(model), "valid": options.valid, **options.to_dict()}
    told = is_encoded(source) and options.template == Template()  # the dataset's own
    template = None if told else options.template
    return RunFolder(Path(out), arguments, template, say, Processes.current())


def begun_run(path: Path) -> tuple[dict[str, Any], Template]:
    """Return what an unfinished or finished run at ``path`` was told: data, model and options, and the template.

    The options are as they were given, looked at by nobody: what they need may not be on this machine.

    Raises:
        InputError: If there is none.
    """
    folder = path / CHECKPOINTS
    if is_finished(path):
        run = load_run(path)
        arguments, template = run.arguments, run.template
    elif (folder / _ARGUMENTS).is_file():
        arguments, template = _read(folder / _ARGUMENTS), Template.from_dict(_read(folder / _TEMPLATE))
    else:
        raise InputError(f"{path}: no run has begun there; give the whole command")
    known = {"data", "model", *TrainingOptions.__dataclass_fields__}
    told = {name: value for name, value in arguments.items() if name in known}
    return told, replace(template, date=None)


def _decisive(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return those arguments that decide what is trained."""
    candidates = SaveEvery.read(arguments["save_every"]).steps if arguments["select"] != "last" else 0
    return {name: value for name, value in arguments.items() if name not in UNDECISIVE} | {"save_every": candidates}


def _read(path: Path) -> dict[str, Any]:
    """Read what ``_write`` wrote; an ``InputError`` if it is damaged or gone."""
    try:
        return read_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(f"{path}: damaged; choose another --out, or remove the folder to train again") from None


def _write(path: Path, values: Mapping[str, Any]) -> None:
    with whole_file(path) as file:
        file.write(json.dumps(values, indent=2) + "\n")
