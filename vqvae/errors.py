"""The one error that a user's input can cause, what of a machine's errors is one, and the bounds of numbers."""

import os
import re
from math import inf


MOST_SEEDS = 2**32  # numpy takes no more
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
MOST_WORKERS = 257  # exclusive upper bound of worker processes
MOST_RATE = 1e30  # an optimizer computes multiples of it, which must be numbers


class InputError(ValueError):
    """Something the user gave is wrong; the message names the thing and the remedy in one line.

    Commands print the message without a traceback and exit with status 1.
    """


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error is that of Python or torch, on whatever device, for lack of memory."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


def require_between(option: str, value: float, least: float, most: float = inf) -> None:
    """Raise an ``InputError`` unless an option is from ``least`` to below ``most``; nan and infinity never are."""
    if not least <= value < most:
        end = "up" if most == inf else f"to below {most}"
        raise InputError(f"--{option.replace('_', '-')} {value}: give a number from {least} {end}")


def launched(name: str, default: int, least: int = 0) -> int:
    """Return a number that a launcher such as torchrun puts into the environment.

    Args:
        name: Of the variable.
        default: The number of a process that nobody launched.
        least: The smallest that there is.

    Raises:
        InputError: If it is none of these.
    """
    value = os.environ.get(name, str(default))
    if not re.fullmatch(r"\d{1,9}", value, re.ASCII) or int(value) < least:
        raise InputError(f"{name}={value!r}: is no number of a launcher's, from {least} up; unset it, or start again")
    return int(value)


def require_rate(option: str, value: float) -> None:
    """Raise an ``InputError`` unless an option is a learning rate that training can take; nan never is."""
    if not 0 < value < MOST_RATE:
        raise InputError(f"--{option.replace('_', '-')} {value}: give a rate above 0 and below 1e30")
