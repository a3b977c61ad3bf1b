"""A control: latents that stand for frequent strings of tokens instead of learned clusters of chunks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mixlm.methods.base import Grammar, Row, Trainable, answer_sequence
from mixlm.methods.controls import Control


@dataclass
class FrequentNgrams(Control):
    """K frequent strings of trace tokens, found by greedy merging, replace their text in the first m tokens.

    Is a latent more than a new word for a frequent string? Tokens of the prefix that no string covers stay text,
    within the delimiters: P, <boLatent>, the compressed c_1 .. c_m, <eoLatent>, c_(m+1) .., S.
    """

    name: ClassVar[str] = "frequent-ngrams"

    def fit(self, rows: Sequence[Row], seed: int) -> dict[str, Any]:
        """Find the K strings in the traces of ``rows``; code i stands for the i-th."""
        state = {"strings": merge_strings([row["trace_ids"] for row in rows], self.special.codebook_size)}
        self.restore(state)
        return state

    def restore(self, state: Mapping[str, Any]) -> "FrequentNgrams":
        """Take the strings."""
        self.strings = {tuple(string): code for code, string in enumerate(state["strings"])}
        self.longest = max(map(len, self.strings), default=0)
        return self

    def compress(self, ids: Sequence[int]) -> list[int]:
        """Replace strings in ``ids`` by the ids of their latents, the longest that fits first, from left to right."""
        compressed, place = [], 0
        while place < len(ids):
            for length in range(min(self.longest, len(ids) - place), 1, -1):
                code = self.strings.get(tuple(ids[place : place + length]))
                if code is not None:
                    compressed.append(self.special.latent(code))
                    place += length
                    break
            else:
                compressed.append(ids[place])
                place += 1
        return compressed

    def chunks(self, row: Row) -> list[tuple[int, Sequence[int]]]:
        """Return the codes of the strings found in the tokens that the row's codes stand for, with the strings."""
        strings = list(self.strings)
        prefix = self.compress(row["trace_ids"][: len(row["codes"]) * self.compression_rate])
        codes = [self.special.code(token) for token in prefix if self.special.is_latent(token)]
        return [(code, list(strings[code])) for code in codes]

    def sequence_with(self, row: Row, replaced: int) -> Trainable:
        """Return the sequence in which the tokens of the first ``replaced`` codes are compressed."""
        length = replaced * self.compression_rate
        prefix = self.compress(row["trace_ids"][:length])
        span = [self.special.bo_latent, *prefix, self.special.eo_latent] if replaced else []
        return answer_sequence(row["prompt_ids"], [*span, *row["trace_ids"][length:], *row["solution_ids"]])

    def grammar(self) -> Grammar:
        """Allow one span at the start, with text in it."""
        return Grammar("mixed")

    def extra_tokens(self) -> int:
        """Return the delimiters: nothing in between need be shorter than its text."""
        return 2

    def latents_of(self, row: Row) -> int:
        """Return how many strings are found in the tokens that the row's codes stand for."""
        return len(self.chunks(row))


def merge_strings(traces: Sequence[Sequence[int]], count: int) -> list[list[int]]:
    """Find frequent strings of tokens by greedy merging of the most frequent adjacent pair (byte-pair encoding).

    Args:
        traces: Token ids.
        count: Number of strings, K.

    Returns:
        At most ``count`` strings of two or more token ids, in the order in which they were merged.
    """
    from tokenizers import Tokenizer, models, trainers

    first = 0xF0000  # a private plane of Unicode: one character for each token id that occurs
    known = sorted({token for trace in traces for token in trace})
    places = {token: place for place, token in enumerate(known)}
    texts = ["".join(chr(first + places[token]) for token in trace) for trace in traces]
    tokenizer = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(vocab_size=len(known) + count, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return [[known[ord(character) - first] for character in text] for text, _ in vocabulary if len(text) > 1]
