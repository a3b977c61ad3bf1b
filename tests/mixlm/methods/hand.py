"""A row of three reasoning steps and three codes, and special tokens, that worked examples are written for."""

from typing import Any

from mixlm.model.special_tokens import SpecialIds


Row = dict[str, Any]
EOS, BO, EO = 0, 100, 101
PAUSE, BO_THOUGHT, THOUGHT, EO_THOUGHT = 110, 111, 112, 113
SPECIAL = SpecialIds(
    eos=EOS,
    bo_latent=BO,
    eo_latent=EO,
    first_latent=102,  # the latents are 102 to 109
    codebook_size=8,
    pause=PAUSE,
    bo_thought=BO_THOUGHT,
    thought=THOUGHT,
    eo_thought=EO_THOUGHT,
)
P = [1, 2, 3]
ROW: Row = {
    "row": 0,
    "prompt_ids": P,
    "trace_ids": [11, 12, 13, 14, 15, 16, 17],
    "step_lengths": [3, 2, 2],
    "solution_ids": [9, EOS],
    "codes": [7, 3, 5],  # of two tokens each; 17 has none
    "code_ends": [2, 4, 6],
}
