"""The run folder: what ``mixlm-train`` leaves behind and every later command reads."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixlm.damage import RUN_RECORD, folder_sums, is_light, remedy, require_whole
from mixlm.data.chat.rendering import dated
from mixlm.data.samples import CheckName
from mixlm.data.template import Template
from mixlm.encoding import VQVAE
from mixlm.errors import InputError
from mixlm.methods import Method, Progress, build_method
from mixlm.model.special_tokens import SpecialIds, special_ids
from vqvae.atomic_files import write_sealed
from vqvae.checksums import SUMS, unsealed
from vqvae.model.cutting import Cutting
from vqvae.option_types import misfit


if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

ADAPTER = "adapter"  # folder of the LoRA that a run was trained with
BASE = "base"  # in place of a method: of a model that was not trained here
FORMAT_VERSION = 1


@dataclass
class Run:
    """A finished training run; its folder is also a plain checkpoint of transformers.

    Attributes:
        path: The folder.
        method_name: Name of the method, as in ``mixlm-train --method``; or ``BASE``: the model answers in text.
        template: How a question becomes a prompt.
        ids: Ids of the method's tokens.
        align: Whether chunks have a "fixed" length or end with each "step".
        chunk_length: Trace tokens of one chunk, L, or of the longest; 0 without codes.
        compression_rate: Trace tokens of one code, r, likewise; 0 without codes.
        codebook_size: Number of codes, K; 0 without codes.
        fingerprint: Of the base tokenizer.
        method_options: Options of the method.
        method_state: What the method learned from the training rows.
        arguments: What training was told.
        seed: Of the training.
        step: The last optimizer step that trained the model, from 0.
        steps_per_epoch: Optimizer steps of one pass over the training rows.
        versions: Of the packages that trained it.
        check: How answers to its rows are compared; "exact" of a run from before runs told it.
        answer_pattern: Found the answers in the responses that it learned from; None: the marks that are known did.
    """

    path: Path
    method_name: str
    template: Template
    ids: SpecialIds
    align: str = "fixed"
    chunk_length: int = 0
    compression_rate: int = 0
    codebook_size: int = 0
    fingerprint: str = ""
    method_options: dict[str, Any] = field(default_factory=dict)
    method_state: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    step: int = 0
    steps_per_epoch: int = 1
    versions: dict[str, str] = field(default_factory=dict)
    answer_pattern: str | None = None
    check: CheckName = "exact"

    @cached_property
    def method(self) -> Method:
        """The method, bound to this run's vocabulary, as the fields are when it is first asked for."""
        method = build_method("cot" if self.untrained else self.method_name, self.method_options)
        return method.bind(self.ids, self.cutting).restore(self.method_state)

    @property
    def cutting(self) -> Cutting | None:
        """Where traces are cut; None without codes."""
        return Cutting(self.align, self.chunk_length, self.compression_rate) if self.chunk_length else None

    @property
    def untrained(self) -> bool:
        """Whether it is a model as it was before any training here, which never saw the template's answers."""
        return self.method_name == BASE

    @property
    def progress(self) -> Progress:
        """The place in the method's schedule that training reached."""
        return Progress(self.step, self.steps_per_epoch)

    def prompt(self, prompt_ids: Sequence[int], thoughts: int | None = None) -> list[int]:
        """Return what the model is given: the prompt P and what the method puts after it.

        Args:
            prompt_ids: P.
            thoughts: Number of continuous thoughts, in place of the method's own.

        Raises:
            InputError: If ``thoughts`` is given and the method has none.
        """
        return self.method.prompt(prompt_ids, self.progress, thoughts)

    def whole_prompt(self, prompt_ids: Sequence[int]) -> list[int]:
        """Return P and all that stands before an answer's text, also the thoughts that the model would add itself."""
        return self.prompt(prompt_ids, self.method.thoughts_to_add(self.progress) or None)

    @property
    def vqvae_path(self) -> Path | None:
        """The folder of the stage-1 model, for reading latents back; None for a method without codes."""
        path = self.path / VQVAE
        return path if path.is_dir() else None

    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """Open the run's tokenizer; an ``InputError`` if it is not there."""
        from mixlm.model.tokenizers import open_tokenizer

        return open_tokenizer(str(self.path))

    def load_model(self, dtype: "str | torch.dtype" = "auto") -> "PreTrainedModel":
        """Open the run's language model, with the classifier that ends its thoughts if it has one.

        Args:
            dtype: Of the weights; "auto" keeps the dtype that they were saved in.

        Raises:
            InputError: If weights or configuration are not there.
        """
        from transformers import AutoModelForCausalLM

        from mixlm.model.loading import open_model, open_pretrained
        from mixlm.model.thoughts.stop import STOP_FILE, load_stop

        if self.untrained:  # in the precision in which training would begin
            return open_model(str(self.path), self.tokenizer()).eval()
        model = open_pretrained(AutoModelForCausalLM, str(self.path), dtype=dtype)
        if (self.path / STOP_FILE).is_file():
            load_stop(model, self.path)
        return model.eval()

    def generation_config(self) -> "GenerationConfig":
        """Open what the run's checkpoint says of decoding, such as where an answer ends."""
        from transformers import GenerationConfig

        file = self.path / "generation_config.json"
        if self.untrained and not file.is_file():
            return self._own_generation_config()
        try:
            config = GenerationConfig.from_pretrained(self.path) if file.is_file() else GenerationConfig()
            ends = config.eos_token_id
            if not all(type(end) is int for end in (ends if isinstance(ends, list) else [ends or 0])):
                raise ValueError(f"eos_token_id {ends!a} is no id")
            return config
        except Exception as error:  # of a file that somebody has edited, transformers raises anything
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{file}: cannot be read ({reason}); put back a whole copy, or remove it") from None

    def _own_generation_config(self) -> "GenerationConfig":
        """Open what a model says that was not trained here, of the Hub or by its configuration alone."""
        from transformers import AutoConfig, GenerationConfig

        from mixlm.model.loading import open_pretrained

        try:
            return GenerationConfig.from_pretrained(str(self.path))
        except (OSError, ValueError):  # as transformers does when it opens the model
            return GenerationConfig.from_model_config(open_pretrained(AutoConfig, str(self.path)))

    def save(self) -> None:
        """Write ``mixlm.json``, the mark of a finished run, in one step, with the checksums of all that is there."""
        values = {name: value for name, value in asdict(self).items() if name not in ("path", "template", "ids")}
        values["format_version"] = FORMAT_VERSION
        values["template"], values["ids"] = self.template.to_dict(), self.ids.to_dict()
        values["versions"] = self.versions or package_versions()
        values[SUMS] = folder_sums(self.path, ("", VQVAE, ADAPTER))
        write_sealed(self.path / RUN_RECORD, values)


def is_finished(path: str | Path) -> bool:
    """Tell whether a finished run is in a folder."""
    return (Path(path) / RUN_RECORD).is_file()


def require_finished(path: str | Path) -> None:
    """Raise an ``InputError`` unless a finished run is in a folder."""
    if not Path(path).is_dir():
        raise InputError(f"{path}: no such run folder")
    if not is_finished(path):
        raise InputError(
            f"{path}: no {RUN_RECORD}, so not a finished run; run the mixlm-train command of it again to finish it"
        )


def load_run(path: str | Path) -> Run:
    """Open a finished run.

    Raises:
        InputError: If the folder, its ``mixlm.json`` or a file beside it is missing or damaged, or a newer version
            wrote it.
    """
    path = Path(path)
    require_finished(path)
    run = _read_info(path, path / RUN_RECORD)
    require_whole(path, is_light)  # weights are looked at when they are opened
    return run


def _read_info(path: Path, info: Path) -> Run:
    """Read ``mixlm.json``; an ``InputError`` if it is damaged, or a newer version wrote it."""
    try:
        values = unsealed(info.read_bytes())
        written = values.pop("format_version")
        values.pop(SUMS, None)
        if written <= FORMAT_VERSION:
            template, ids = Template.from_dict(values.pop("template")), SpecialIds(**values.pop("ids"))
            run = Run(path=path, template=template, ids=ids, **values)
            if found := misfit(ids) or misfit(run):
                raise ValueError("{}: {} in place of {}".format(*found))
            return run
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{info}: damaged ({error}); {remedy(path)}") from None
    raise InputError(f"{info}: written by a newer mixlm (format {written}); update mixlm")


def base_run(model: str, template: Template, begun: str | None = None) -> Run:
    """Describe a model that was not trained here as a run, which nothing is written of.

    Args:
        model: Folder, Hub id or ``.gguf`` file.
        template: How it is asked, and how answers are marked.
        begun: The date that prompts were begun with, if its chat template reads the clock; None: it is now.

    Raises:
        InputError: If it is a model from scratch, or its tokenizer cannot be opened.
    """
    from mixlm.model.loading import is_scratch
    from mixlm.model.tokenizers import open_tokenizer, tokenizer_fingerprint

    if is_scratch(model):
        raise InputError(
            f"{model}: a model from scratch knows nothing before it is trained; give another, or train it"
        )
    tokenizer = open_tokenizer(model)
    fingerprint = tokenizer_fingerprint(tokenizer)
    template = dated(template, tokenizer, begun)
    return Run(Path(model), BASE, template, special_ids(tokenizer), fingerprint=fingerprint)


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that decide what a run computes."""
    names = ("mixlm", "torch", "transformers", "vector-quantize-pytorch", "peft")
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
