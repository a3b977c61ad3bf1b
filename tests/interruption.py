"""A power cut in the middle of a training."""


class Interrupted(Exception):
    """Stands for a power cut."""


def interrupt_at(step: int):
    """Return a function for ``advance`` that cuts the power when ``step`` has been taken."""

    def advance(now: int, total: int, figures: dict[str, float]) -> None:
        if now == step:
            raise Interrupted

    return advance
