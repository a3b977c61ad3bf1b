"""Continuous thoughts with any causal LM, in a training loop of your own.

    python examples/thoughts.py [STEPS]

A tiny GPT-2 learns to add up two digits after two thoughts: its last hidden state goes in again as the next input,
twice, before it answers.
"""

import sys

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from mixlm import thought_forward, thought_generate


PLUS, IS, THOUGHT, END = 20, 21, 22, 23  # ids beside the numbers 0 to 18


def batch(pairs: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return sequences ``a + b THOUGHT THOUGHT = sum END`` of pairs of digits, (rows, 2), and what is learned."""
    signs = [torch.full((len(pairs), 1), sign) for sign in (PLUS, THOUGHT, THOUGHT, IS, END)]
    plus, thought, again, equals, end = signs
    ids = torch.cat([pairs[:, :1], plus, pairs[:, 1:], thought, again, equals, pairs.sum(1, keepdim=True), end], 1)
    learned = torch.arange(ids.shape[1]) >= ids.shape[1] - 2
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "thought_mask": ids == THOUGHT,  # here the input is no embedding, but the hidden state before
        "labels": ids.where(learned, -100),
    }


def main(steps: int = 400) -> float:
    """Train on all pairs of digits; returns the share of right sums."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=24, n_positions=16, n_embd=64, n_layer=2, n_head=2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    pairs = torch.cartesian_prod(torch.arange(10), torch.arange(10))
    for step in range(steps):
        drawn = pairs[torch.randint(len(pairs), (64,))]
        loss, _ = thought_forward(model, **batch(drawn))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            print(f"step {step}: loss {loss:.3f}")

    prompts = {name: rows[:, :-2] for name, rows in batch(pairs).items() if name != "labels"}
    answers = thought_generate(model.eval(), **prompts, max_new_tokens=2, eos_token_id=END)
    right = torch.tensor([ids[0] for ids in answers]) == pairs.sum(1)
    return right.float().mean().item()


if __name__ == "__main__":
    print("right:", main(*map(int, sys.argv[1:2])))
