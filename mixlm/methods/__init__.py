"""Every method of reasoning by its name."""

from collections.abc import Mapping
from typing import Any

from mixlm.errors import InputError
from mixlm.methods.assorted import Assorted
from mixlm.methods.base import Grammar, Method, Progress, Trainable
from mixlm.methods.controls import RandomCodes
from mixlm.methods.options import read_options
from mixlm.methods.text import ChainOfThought, SolutionOnly


__all__ = ["METHODS", "Grammar", "Method", "Progress", "Trainable", "build_method"]

METHODS: dict[str, type[Method]] = {
    "cot": ChainOfThought,
    "sol-only": SolutionOnly,
    "assorted": Assorted,
    "random-codes": RandomCodes,
}


def build_method(name: str, options: Mapping[str, Any]) -> Method:
    """Make the method called ``name``, not yet bound to a vocabulary.

    Args:
        name: A key of ``METHODS``.
        options: Values of the method's fields, as typed by a user or read from ``mixlm.json``.

    Raises:
        InputError: If there is no such method or option, or a value does not fit.
    """
    if name not in METHODS:
        raise InputError(f"method '{name}': there is no such method; choose from {', '.join(METHODS)}")
    return METHODS[name](**read_options(METHODS[name], options))
