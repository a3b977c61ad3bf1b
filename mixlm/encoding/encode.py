"""Stage 1 from traces to the encoded dataset: train a VQ-VAE, then turn every trace into codes.

Reading, encoding and writing go on side by side: processes tokenise the next rows, this one encodes, a thread writes.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from mixlm.damage import folder_sums
from mixlm.encoding import TOKENIZER, VQVAE
from mixlm.encoding.code_usage import write_usage
from mixlm.encoding.dataset import open_given, open_vqvae
from mixlm.encoding.manifest import (
    TOKENS,
    describe_arguments,
    earlier_manifest,
    is_encoded,
    manifest_to_fill,
    read_manifest,
    rows_identity,
    settled_options,
    sized_options,
    tidy,
    write_manifest,
)
from mixlm.encoding.measuring import measure, rows_to_measure, rows_to_merge
from mixlm.encoding.options import EncodingOptions, check_reader
from mixlm.encoding.prompts import tell_cut_prompts
from mixlm.encoding.shard_files import (
    add_counts,
    align_columns,
    encode_table,
    remove_damaged,
    shard_counts,
    write_shard,
)
from mixlm.encoding.tokens.sharding import Shard, Sharding
from mixlm.encoding.tokens.token_store import TokenStore
from mixlm.encoding.tokens.token_tables import TokenRows, TokenTables, tell_answers
from mixlm.encoding.tokens.tokenizer_pool import TokenizerPool, open_checked
from mixlm.errors import InputError
from mixlm.model.tokenizers import save_base_tokenizer
from mixlm.model.vocabulary import vocabulary_size
from mixlm.processes import Processes
from vqvae import ChunkVQVAEConfig, PredictiveVQVAE, Reader, Stage1Training, merge_codes
from vqvae.advance import Advance
from vqvae.atomic_files import to_disk
from vqvae.checksums import SUMS
from vqvae.model.coder import ChunkCoder
from vqvae.model.continuations import longest_context
from vqvae.options import SaveEvery
from vqvae.training.checkpoints import CHECKPOINTS
from vqvae.training.probe import ProbeTraining


DONE = "{out}: already encoded; nothing to do"
TRAINING = "training the VQ-VAE"  # what ``advance_of`` is told of it
PROBE_STEPS = 1000  # of training the model that judges the codes; half of stage 1's, where that is less
WRITTEN_BEHIND = 2  # shards that wait for the disk


def encode_dataset(
    traces: str,
    model: str,
    out: str | Path,
    options: EncodingOptions | None = None,
    advance_of: Callable[[str], Advance] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Encode the samples of ``traces`` into the folder ``out``.

    An interrupted call goes on when it is made again, and gives the same codes, bit for bit. Several processes train
    another stage 1 than one does (see docs/SCALING.md); given the same stage 1, their shards are the same bits.

    Args:
        traces: Anything that ``mixlm.data.reading.open_raw`` opens.
        model: Names the tokenizer: folder, Hub id, ``.gguf`` file, or ``.yaml`` of a model from scratch; with the
            objective "language-model" also what reads the codes in training.
        out: Folder to write; must not hold anything but an encoding of the same arguments.
        options: Everything else.
        advance_of: Given the name of a long part, returns what to call to tell how far that is.
        say: Called with a line whenever the user should know something.

    Returns:
        The manifest.

    Raises:
        InputError: If anything given does not fit; finished files in ``out`` are then untouched.
    """
    options, out, processes = options or EncodingOptions(), Path(out), Processes.current()
    check_reader(model, options)
    options = sized_options(out, traces, options, say)
    arguments = describe_arguments(traces, model, options)
    with processes.one_launch(out):
        manifest = earlier_manifest(out, arguments)
        if manifest and manifest["complete"]:
            say(DONE.format(out=out))
            if processes.first:
                tidy(out)
            return manifest
        processes.wait()  # before any of them writes what another would find
        sharding = Sharding(traces, options)
        tokenizer = open_checked(model, sharding, options, say)
        options = settled_options(out, manifest, options, tokenizer, say)
        manifest = manifest_to_fill(manifest, arguments, options, tokenizer, sharding.check(options))
        with TokenizerPool(sharding, tokenizer, options) as pool:
            work = _Encoding(out, manifest, pool, options, processes, advance_of)
            work.run(say)
        return work.manifest


class _Encoding:
    """One call of ``encode_dataset``, in one of its processes."""

    def __init__(
        self,
        out: Path,
        manifest: dict[str, Any],
        pool: TokenizerPool,
        options: EncodingOptions,
        processes: Processes,
        advance_of: Callable[[str], Advance] | None,
    ) -> None:
        self.out, self.manifest, self.options, self.processes = out, manifest, options, processes
        self.pool, self.sharding, self.tokenizer = pool, pool.sharding, pool.tokenizer
        self.advance_of, self.vqvae_path = advance_of if processes.first else None, out / VQVAE
        self.tokenized: TokenTables = pool
        self.store: TokenStore | None = None
        self.merged: dict[str, Any] = {}

    def run(self, say: Callable[[str], None]) -> None:
        """Do all that is not done yet."""
        try:
            self.make_vqvae(say)
        except InputError:
            self.leave_nothing()
            raise
        self.write_shards()
        self.processes.wait()
        if self.processes.first:
            self.finish()
        self.processes.wait()
        self.manifest = read_manifest(self.out)

    def make_vqvae(self, say: Callable[[str], None]) -> None:
        """Put a stage-1 model into the folder, the one given or a new one, and its quality into the manifest."""
        if "codebook" not in self.manifest:
            if self.options.vqvae:
                self._take_vqvae(self.options.vqvae)
            else:
                self._train_vqvae(say)
            if self.processes.first:
                self._measure()
            self.processes.wait()
            self.manifest = read_manifest(self.out)

    def _train_vqvae(self, say: Callable[[str], None]) -> None:
        identity = rows_identity(self.manifest, self.options, self.sharding.held_out.tolist())
        if self.processes.first:
            TokenStore(self.out / TOKENS, identity)  # removes what is there of other rows, before anybody adds to it
        self.processes.wait()
        self.tokenized = self.store = TokenStore(self.out / TOKENS, identity)
        mine = self.processes.share(self.sharding.shards())
        self.store.fill(self.pool, self._sizes(mine), self._bar("reading"))
        self.processes.wait()
        tell_answers(tables := [*self.store.tables(self.sharding.shards("train"))], say)
        rows = TokenRows(table.rows for table in tables)
        if not rows:
            raise InputError(self.pool.refusal or f"{self.sharding.traces}: holds no samples")
        speaks = {"vocab_size": vocabulary_size(self.tokenizer), "fingerprint": self.manifest["fingerprint"]}
        config = ChunkVQVAEConfig(**self.options.shape, **speaks)
        training = Stage1Training(rows, config, self.vqvae_path, self.options.training)
        tell_cut_prompts(training.config, rows, say)
        reader = self._open_reader(training, say)
        self._claim()
        model = training.train(self._bar(TRAINING), reader, say)
        rows.mapped.give_back()  # the trainer, which goes late, holds them
        if self.processes.first and isinstance(model, PredictiveVQVAE) and model.config.merge:
            rows, counts = rows_to_merge(self.tokenized, self.sharding, model.config)
            bar, seed = self._bar("comparing the codes"), self.options.training.seed
            self.merged = {**merge_codes(model, rows, seed, reader, bar), "merged_on": counts}
            model.save_pretrained(self.vqvae_path)

    def _open_reader(self, training: Stage1Training, say: Callable[[str], None]) -> Reader | None:
        """Open the language model that codes are trained for, if they are trained for one."""
        if (config := training.config).objective != "language-model":
            return None
        from mixlm.model.code_reader import open_reader

        name, rank = self.manifest["model"], self.options.reader_lora_rank
        every = TokenRows(table.rows for table in self.tokenized.tables(self.sharding.shards()))
        sizes = (config.code_dim, rank, self.options.training.seed, longest_context(every, config))
        reader = open_reader(name, self.tokenizer, *sizes)
        say(f"codes are trained for {name}, " + (f"which learns by a LoRA of rank {rank}" if rank else "frozen"))
        return reader

    def _take_vqvae(self, folder: str) -> None:
        """Copy a model that was trained before, after a look whether it fits tokenizer and traces."""
        given = open_given(folder, self.manifest)
        if not rows_to_measure(self.tokenized, self.sharding, given.config)[1]:
            raise InputError(
                f"no trace has a whole chunk of {given.config.chunk_length} tokens, as {folder} encodes; "
                "train a new one with a lower --chunk-length"
            )
        self._claim()
        if self.processes.first:
            given.save_pretrained(self.vqvae_path)

    def _claim(self) -> None:
        """Let one process write what the folder is: first of all the manifest, which makes it ours."""
        if self.processes.first:
            self.out.mkdir(parents=True, exist_ok=True)
            write_manifest(self.out, self.manifest)
            save_base_tokenizer(self.tokenizer, self.out / TOKENIZER)

    def leave_nothing(self) -> None:
        """Remove what a call that is refused has written, if it had not yet begun to train."""
        if not is_encoded(self.out) and self.store:
            self.store.discard()

    def _measure(self) -> None:
        """Write shape and quality of the model into the manifest; its checkpoints have then done their work."""
        vqvae = self._open_vqvae()
        config = vqvae.config
        shape = ("objective", "align", "chunk_length", "compression_rate", "codebook_size")
        self.manifest |= {name: getattr(config, name) for name in shape}
        probe, bar = None, None
        if self.store is not None:
            options, kept = self.options.training, self.vqvae_path / CHECKPOINTS / "probe.pt"
            steps = min(PROBE_STEPS, options.steps // 2)
            probe = ProbeTraining(steps, options.seed, kept, SaveEvery.read(options.save_every))
            bar = self._bar("probing the codes")
        self.manifest["codebook"] = measure(vqvae, self.tokenized, self.sharding, probe, bar) | self.merged
        to_disk(self.vqvae_path)
        to_disk(self.out / TOKENIZER)
        self.manifest[SUMS] = folder_sums(self.out, (TOKENIZER, VQVAE))
        write_manifest(self.out, self.manifest)

    def _open_vqvae(self) -> ChunkCoder:
        dtype = getattr(torch, self.options.dtype)
        return open_vqvae(self.vqvae_path, dtype).to(self.processes.device())

    def write_shards(self) -> None:
        """Write those shards of this process's share that are not there yet, or are damaged."""
        vqvae = self._open_vqvae()
        shares = {split: self.processes.share(self.sharding.shards(split)) for split in ("train", "valid")}
        remove_damaged((self.out / shard.name for mine in shares.values() for shard in mine), self.out / TOKENS)
        self.processes.wait()  # before another one counts what was there
        for split, mine in shares.items():
            missing = [shard for shard in mine if not (self.out / shard.name).is_file()]
            sizes = self._sizes(mine)
            total = sum(sizes.values())
            done = total - sum(sizes[shard] for shard in missing)
            advance = self._bar(f"encoding {split}") if missing else None
            for shard in self._written(vqvae, missing):
                done += sizes[shard]
                if advance:
                    advance(done, total)

    def _sizes(self, shards: Iterable[Shard]) -> dict[Shard, int]:
        return {shard: len(self.sharding.numbers(shard)) for shard in shards}

    def _written(self, vqvae: ChunkCoder, shards: list[Shard]) -> Iterator[Shard]:
        """Encode and write shards; yield each of them once it is there."""
        waiting: deque[tuple[Shard, Future]] = deque()
        with ThreadPoolExecutor(1) as writer:
            for shard, table in zip(shards, self.tokenized.tables(shards), strict=True):
                rows, counts = encode_table(vqvae, table)
                file = self.out / shard.name
                waiting.append((shard, writer.submit(write_shard, file, rows, counts, self.out / TOKENS)))
                if len(waiting) > WRITTEN_BEHIND:
                    yield _settled(*waiting.popleft())
            while waiting:
                yield _settled(*waiting.popleft())

    def finish(self) -> None:
        """Complete the manifest, once all shards are there."""
        names = {split: [shard.name for shard in self.sharding.shards(split)] for split in ("train", "valid")}
        paths = {split: [self.out / name for name in names[split]] for split in names}
        for split in paths:
            align_columns(paths[split])
        counts = {split: add_counts(map(shard_counts, paths[split])) for split in paths}
        write_usage(self.out, names["train"], self.manifest["compression_rate"], self.tokenizer)
        sums = folder_sums(self.out, ("", TOKENIZER, VQVAE))
        self.manifest |= {"counts": counts, "shards": names, "complete": True, SUMS: sums}
        write_manifest(self.out, self.manifest)
        tidy(self.out)

    def _bar(self, label: str) -> Advance | None:
        return self.advance_of(label) if self.advance_of else None


def _settled(shard: Shard, future: Future) -> Shard:
    future.result()
    return shard
