import pytest

from mixlm.encoding.options import LONGEST_PROMPT
from mixlm.encoding.prompts import for_prompts
from vqvae import ChunkVQVAEConfig
from vqvae.options import PAPERS_CODES


def rows(*lengths: int) -> list[dict[str, list[int]]]:
    return [{"prompt_ids": [1] * length} for length in lengths]


@pytest.mark.parametrize(
    ("shape", "lengths", "most", "cut"),
    [
        ({}, (3, 200), 256, 0),
        ({}, (3, 700, 300), 700, 0),
        ({}, (3, 5000, 2049), LONGEST_PROMPT, 2),
        (PAPERS_CODES, (3, 700, 300), 256, 2),
        ({**PAPERS_CODES, "condition_on_prompt": False}, (700,), 256, 0),
        ({"max_prompt_length": 100}, (3, 700, 101, 100), 100, 2),
        ({"max_prompt_length": 800}, (700,), 800, 0),
    ],
)
def test_what_predicts_from_prompts_reads_them_whole_and_what_is_cut_is_told(shape, lengths, most, cut) -> None:
    said: list[str] = []
    config = ChunkVQVAEConfig(**shape)
    found = for_prompts(config, rows(*lengths), "max_prompt_length" in shape, said.append)
    assert found.max_prompt_length == most and config.max_prompt_length == shape.get("max_prompt_length", 256)
    assert len(said) == bool(cut)
    for line in said:
        assert line.startswith(f"note: {cut} of {len(lengths)} prompts are longer than {most} tokens")
        assert "--max-prompt-length" in line
