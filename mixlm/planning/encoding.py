"""The plan of an encoding."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from mixlm.data.tables import PARTS, lists_of
from mixlm.encoding import ABOUT, VQVAE
from mixlm.encoding.dataset import open_given
from mixlm.encoding.encode import DONE, TRAINING, encode_dataset
from mixlm.encoding.manifest import TOKENS, describe_arguments, earlier_manifest, manifest_to_fill, sized_options
from mixlm.encoding.options import PRESETS, EncodingOptions
from mixlm.encoding.tokens.sharding import Sharding
from mixlm.encoding.tokens.token_store import TokenStore
from mixlm.encoding.tokens.tokenizer_pool import open_checked
from mixlm.planning.plan import MEASURING, Plan, draft_folder
from mixlm.processes import pick_device
from mixlm.training.memory import memory_of
from vqvae.advance import Advance
from vqvae.one_writer import require_writable
from vqvae.training.checkpoints import CHECKPOINTS, steps_made
from vqvae.trial import Trial, TrialOver, peak_memory


def plan_encoding(
    traces: str,
    model: str,
    out: str | Path,
    options: EncodingOptions | None = None,
    advance_of: Callable[[str], Advance] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Plan | None:
    """Return what ``encode_dataset`` would do with the same arguments; ``out`` is looked at and not changed.

    All rows are tokenised and some steps of stage 1 are made, and thrown away. Where a trained model is given nothing
    is trained.

    Args:
        traces: As of ``encode_dataset``.
        model: As of ``encode_dataset``.
        out: As of ``encode_dataset``.
        options: As of ``encode_dataset``.
        advance_of: As of ``encode_dataset``.
        say: Told what ``encode_dataset`` would say before its first step.

    Returns:
        The plan; None if there is nothing left to do.

    Raises:
        InputError: If ``encode_dataset`` would raise it before it begins, or several processes run this.
    """
    out = Path(out)
    options = sized_options(out, traces, options or EncodingOptions(), say)
    arguments = describe_arguments(traces, model, options)
    earlier = earlier_manifest(out, arguments)
    if earlier and earlier["complete"]:
        say(DONE.format(out=out))
        return None
    require_writable(out)
    sharding, trial = Sharding(traces, options), Trial()
    _check(sharding, model, options, earlier, arguments)
    tokens = None if options.vqvae else _try(trial, sharding, model, options, advance_of or (lambda label: None), say)
    return Plan(
        **_shares(sharding),
        tokens=tokens,
        steps=trial.total,
        done=trial.total if earlier and "codebook" in earlier else steps_made(out / VQVAE / CHECKPOINTS, say),
        batch=options.training.batch_size,
        seconds=trial.each,
        last_seconds=None,
        memory=peak_memory(torch),
        machine=memory_of(torch.device(pick_device())),
        sizes={} if options.vqvae else {name: arguments["shape"][name] for name in PRESETS["paper"]},
    )


def _check(
    sharding: Sharding,
    model: str,
    options: EncodingOptions,
    earlier: dict[str, Any] | None,
    arguments: dict[str, Any],
) -> None:
    """Find out whether the tokenizer is that of before, and fits a model that is given."""
    tokenizer = open_checked(model, sharding, options, lambda line: None)
    manifest = manifest_to_fill(earlier, arguments, options, tokenizer, sharding.check(options))
    if options.vqvae and "codebook" not in manifest:  # else it has been copied
        open_given(options.vqvae, manifest)


def _shares(sharding: Sharding) -> dict[str, Any]:
    """Return the parts of a plan that tell how many rows each split has, and which files they go to."""
    shards = {split: sharding.shards(split) for split in ("train", "valid")}
    rows = {split: sum(len(sharding.numbers(shard)) for shard in own) for split, own in shards.items()}
    files = " + ".join(str(len(own)) for own in shards.values())
    return rows | {"files": (f"{files} shards of at most {sharding.shard_rows:,} rows",)}


def _try(
    trial: Trial,
    sharding: Sharding,
    model: str,
    options: EncodingOptions,
    advance_of: Callable[[str], Advance | None],
    say: Callable[[str], None],
) -> int:
    """Make the steps of a trial; return how many tokens the training rows have."""

    def shown(label: str) -> Advance | None:
        """Return what is told of a part."""
        if label != TRAINING:
            return advance_of(label)
        trial.advance = advance_of(MEASURING)
        return trial

    with draft_folder() as draft:
        with suppress(TrialOver):
            encode_dataset(sharding.traces, model, draft, options, shown, say)
        return _tokens(draft / TOKENS, sharding)


def _tokens(folder: Path, sharding: Sharding) -> int:
    """Return how many tokens the training rows have that an encoding has read."""
    store = TokenStore(folder, json.loads((folder / ABOUT).read_text(encoding="utf-8")))
    tables = store.tables(sharding.shards("train"))
    return sum(int(lists_of(table.rows, part)[1].sum()) for table in tables for part in PARTS)
