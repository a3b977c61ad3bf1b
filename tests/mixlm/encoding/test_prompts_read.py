import pytest

from mixlm.encoding.prompts import tell_cut_prompts
from vqvae import ChunkVQVAEConfig
from vqvae.options import LONGEST_PROMPT, PAPERS_CODES
from vqvae.training.chunk_rows import longest_prompt


def rows(*lengths: int) -> list[dict[str, list[int]]]:
    return [{"prompt_ids": [1] * length} for length in lengths]


@pytest.mark.parametrize(
    ("shape", "lengths", "most", "cut"),
    [
        ({}, (), 256, 0),
        ({}, (3, 200), 256, 0),
        ({}, (3, 700, 300), 700, 0),
        ({}, (3, 5000, 1025), LONGEST_PROMPT, 2),
        (PAPERS_CODES, (3, 700, 300), 256, 2),
        ({**PAPERS_CODES, "condition_on_prompt": False}, (700,), 256, 0),
        ({"max_prompt_length": 100}, (3, 700, 101, 100), 100, 2),
        ({"max_prompt_length": 256}, (700,), 256, 1),
        ({"max_prompt_length": 800}, (700,), 800, 0),
    ],
)
def test_what_predicts_from_prompts_reads_them_whole_and_what_is_cut_is_told(shape, lengths, most, cut) -> None:
    said: list[str] = []
    config = ChunkVQVAEConfig(**shape).for_training(9, 5, longest_prompt(rows(*lengths)))
    assert config.prompt_length == most
    tell_cut_prompts(config, rows(*lengths), said.append)
    assert len(said) == bool(cut)
    for line in said:
        assert line.startswith(f"note: {cut} of {len(lengths)} prompts are longer than {most} tokens")
        assert "--max-prompt-length" in line


def test_nothing_is_decided_before_the_rows_are_known() -> None:
    assert ChunkVQVAEConfig().for_training(9).max_prompt_length is None
    assert ChunkVQVAEConfig().prompt_length == 256
