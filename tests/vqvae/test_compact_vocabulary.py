import torch
from hypothesis import given
from hypothesis import strategies as st

from vqvae.model.vocabulary import CompactVocabulary, used_ids


@given(st.lists(st.lists(st.integers(0, 50)), max_size=4), st.lists(st.integers(0, 60)))
def test_ids_of_the_corpus_go_there_and_back_and_others_share_one_row(corpus: list[list[int]], ids: list[int]) -> None:
    known = used_ids(corpus)
    assert known == sorted(set().union(*corpus))
    vocabulary = CompactVocabulary(len(known) + 1)
    vocabulary.fill(known)
    rows = vocabulary.compact(torch.tensor([ids], dtype=torch.long))
    assert rows.shape == (1, len(ids))
    assert vocabulary.full(rows)[0].tolist() == [token if token in known else -1 for token in ids]
    assert all((row == vocabulary.unknown) == (token not in known) for row, token in zip(rows[0], ids, strict=True))
    assert vocabulary.compact(torch.tensor(known, dtype=torch.long)).tolist() == list(range(len(known)))
