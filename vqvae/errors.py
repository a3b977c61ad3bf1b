"""The one error that a user's input can cause, and the bounds of numbers."""

from math import inf


MOST_SEEDS = 2**32  # numpy takes no more
MOST_RATE = 1e30  # an optimizer computes multiples of it, which must be numbers


class InputError(ValueError):
    """Something the user gave is wrong; the message names the thing and the remedy in one line.

    Commands print the message without a traceback and exit with status 1.
    """


def require_between(option: str, value: float, least: float, most: float = inf) -> None:
    """Raise an ``InputError`` unless an option is from ``least`` to below ``most``; nan and infinity never are."""
    if not least <= value < most:
        end = "up" if most == inf else f"to below {most}"
        raise InputError(f"--{option.replace('_', '-')} {value}: give a number from {least} {end}")


def require_rate(option: str, value: float) -> None:
    """Raise an ``InputError`` unless an option is a learning rate that training can take; nan never is."""
    if not 0 < value < MOST_RATE:
        raise InputError(f"--{option.replace('_', '-')} {value}: give a rate above 0 and below 1e30")
