"""The seeds of requests for sampled answers."""

from hashlib import sha256


def seed_of(seed: int, place: int, number: int) -> int:
    """Return the seed of one request, which no other of the same or of another seed is likely to have.

    It has 31 bits: some engines read no more than 32.

    Args:
        seed: Of all answers.
        place: Of what is asked: the number of the question in its file, or of the answer among all.
        number: Of the request among those for it: of the answer to the question, or of the turn of the answer.
    """
    return int.from_bytes(sha256(f"{seed} {place} {number}".encode()).digest()[:4]) >> 1
