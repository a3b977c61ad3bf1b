"""What is known of every code of a run: how often, where, for which texts, and how well the model writes it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mixlm.analysis.places import as_latents, guess_tokens
from mixlm.data.tables import Row
from mixlm.encoding import USAGE
from mixlm.encoding.code_usage import read_totals
from mixlm.encoding.dataset import open_vqvae
from mixlm.evaluation.statistics import wilson_interval
from mixlm.generation.engine import Engine
from mixlm.generation.explain import LatentReader


CONTEXTS = 6  # of a code
CONTEXT_LETTERS = 140  # on each side
NEIGHBOURS = 6
CONFUSED_WITH = 4
MOST_READ = 500  # rows whose codes are read back

Codes = dict[int, dict[str, Any]]


@dataclass
class Codebook:
    """What is shown of a run's codes.

    Attributes:
        engine: The run.
        rows: Rows with codes, that stage 1 and the model did not learn from; none if they are not known.
        vqvae_path: Folder of the stage-1 model, if it is there.
    """

    engine: Engine
    rows: Sequence[Row]
    vqvae_path: Path | None
    codes: Codes = field(init=False)

    def __post_init__(self) -> None:
        """Begin with codes of which nothing is known."""
        self.codes = {code: {"code": code} for code in range(self.engine.run.ids.codebook_size)}

    def figures(self, reader: LatentReader | None) -> dict[str, Any]:
        """Return ``codes``, one each, with what is known of it, and of how much that was measured.

        Args:
            reader: Reads codes back; None: they mean no text.

        Returns:
            ``size``; ``trained_on``, how many codes the training traces have, None if that is not known; ``rows`` and
            ``occurrences`` of the rows that were looked at; ``meaning``: whether codes stand for text by stage 1's
            will; and ``codes``. Each of these has ``code``, and where it is known ``count`` and ``texts`` (training
            traces: texts and their shares), ``seen`` and ``profile`` (rows: how often at each place, from the first),
            ``contexts``, ``read`` and ``sure``, ``guess`` (see ``_guesses``), ``neighbours`` (code and cosine).
        """
        run = self.engine.run
        meaning = run.method.codes_mean_chunks and reader is not None
        trained_on = self._usage(reader) if meaning else None
        self._places()
        self._guesses()
        if meaning:
            self._readings(reader)
        if self.vqvae_path is not None and run.method.codes_mean_chunks:
            self._neighbours()
        occurrences = sum(len(row["codes"]) for row in self.rows)
        told = {"size": len(self.codes), "trained_on": trained_on, "meaning": meaning}
        return told | {"rows": len(self.rows), "occurrences": occurrences, "codes": [*self.codes.values()]}

    def _usage(self, reader: LatentReader) -> int | None:
        """Note how often each code stands in the training traces, and for which texts; return how many they have."""
        totals = read_totals(self.vqvae_path / USAGE)
        if totals is None:
            return None
        for code, entry in self.codes.items():
            entry["count"] = totals.get(code, 0)
            entry["texts"] = [(text, round(share, 4)) for text, share in reader.usage.get(code, ())]
        return sum(totals.values())

    def _places(self) -> None:
        """Note where codes stand in the rows, with the text around."""
        if not self.rows:
            return
        decode = self.engine.tokenizer.decode
        profiles: dict[int, Counter[int]] = defaultdict(Counter)
        contexts: dict[int, list[tuple[int, str, str, str]]] = defaultdict(list)
        for row in self.rows:
            start, told = 0, set()
            for place, (code, end) in enumerate(zip(row["codes"], row["code_ends"], strict=True)):
                profiles[code][place] += 1
                if code not in told and len(contexts[code]) < CONTEXTS:
                    contexts[code].append((row["row"], *context(row["trace_ids"], start, end, decode)))
                    told.add(code)
                start = end
        for code, entry in self.codes.items():
            places = profiles[code]
            entry["seen"] = places.total()
            entry["profile"] = [places[place] for place in range(max(places, default=-1) + 1)]
            entry["contexts"] = contexts[code]

    def _guesses(self) -> None:
        """Note how well the model predicts each code, given everything right before it.

        ``guess`` has ``right``, the share that was the likeliest latent, with its interval ``low`` .. ``high``;
        ``share``, the mean probability among latents; ``taken``: for which other codes it was mistaken, and how often.
        """
        method, limit = self.engine.run.method, self.engine.context
        if not method.has_pure_spans():
            return
        chunks = [as_latents(row, method) for row in self.rows if row["codes"]]
        chunks = [one for one in chunks if limit is None or len(one.ids) <= limit]
        special = self.engine.run.ids
        found = defaultdict(list)
        for guesses in guess_tokens(self.engine.model, chunks, special.latent_ids, 1):
            for guess in guesses:
                found[special.code(guess.token)].append((special.code(guess.likeliest[0][0]), guess.share))
        for code, own in found.items():
            first = Counter(likeliest for likeliest, _ in own)
            right, low, high = wilson_interval(first.pop(code, 0), len(own))
            figures = {"right": right, "low": low, "high": high, "share": sum(share for _, share in own) / len(own)}
            self.codes[code]["guess"] = {**figures, "taken": first.most_common(CONFUSED_WITH)}

    def _readings(self, reader: LatentReader) -> None:
        """Note as which text each code is read back most often, how often that is, and how sure the reader is."""
        found = defaultdict(list)
        for row in self.rows[:MOST_READ]:
            for reading in reader.read(row["codes"], row["prompt_ids"]):
                found[reading.code].append(reading)
        for code, readings in found.items():
            texts = Counter(reading.text for reading in readings)
            (text, times), *_ = texts.most_common(1)
            self.codes[code]["read"] = {
                "text": text,
                "share": times / len(readings),
                "sure": sum(reading.probability for reading in readings) / len(readings),
                "times": len(readings),
            }

    def _neighbours(self) -> None:
        """Note the codes whose codebook vectors point the same way."""
        vqvae = open_vqvae(self.vqvae_path)
        with torch.no_grad():
            vectors = vqvae.quantizer.look_up(torch.arange(len(self.codes))).float()
        for code, near in nearest(vectors).items():
            self.codes[code]["neighbours"] = near


def nearest(vectors: torch.Tensor, count: int = NEIGHBOURS) -> dict[int, list[tuple[int, float]]]:
    """Return for each of some vectors (K, d) those others that are nearest by cosine, with it, the nearest first."""
    unit = torch.nn.functional.normalize(vectors, dim=1)
    cosines = (unit @ unit.T).fill_diagonal_(-2.0)
    best, others = cosines.sort(dim=1, descending=True, stable=True)
    best, others = (one[:, : min(count, len(vectors) - 1)] for one in (best, others))
    pairs = zip(others.tolist(), best.tolist(), strict=True)
    return {code: [(o, round(c, 4)) for o, c in zip(*one, strict=True)] for code, one in enumerate(pairs)}


def context(ids: Sequence[int], start: int, end: int, decode: Callable[[list[int]], str]) -> tuple[str, str, str]:
    """Return the text of a code, with what stands before and after it in its trace, cut where that is long."""
    before, text, after = (decode(list(part)) for part in (ids[:start], ids[start:end], ids[end:]))
    before = f"…{before[-CONTEXT_LETTERS:]}" if len(before) > CONTEXT_LETTERS else before
    return before, text, f"{after[:CONTEXT_LETTERS]}…" if len(after) > CONTEXT_LETTERS else after
