"""What a user can choose about training stage 1."""

from dataclasses import dataclass


@dataclass(frozen=True)
class VQVAETrainingOptions:
    """How to train stage 1.

    Attributes:
        steps: Optimizer steps; the paper takes 100,000.
        batch_size: Samples of a step, with all their chunks, of all processes together; 32 in the paper.
        learning_rate: Of Adam, after a linear warm-up, with a cosine schedule; the paper's 1e-5 needs its 100,000
            steps.
        seed: Of weights, order and k-means.
        save_every: Steps between checkpoints, from which an interrupted training goes on; 0: none.
        bf16: Autocast to bfloat16; weights and codebook stay fp32.
        workers: Processes that gather batches.
        vectors_per_code: Vectors that the k-means sees for each code.
    """

    steps: int = 2000
    batch_size: int = 32
    learning_rate: float = 1e-3
    seed: int = 0
    save_every: int = 0
    bf16: bool = False
    workers: int = 0
    vectors_per_code: int = 10
