"""Every method of reasoning by its name."""

from collections.abc import Mapping
from typing import Any

from mixlm.errors import InputError
from mixlm.methods.assorted import Assorted, AssortedAll, AssortedCurriculum, AssortedPoisson
from mixlm.methods.base import Method, Progress, Trainable
from mixlm.methods.coconut import Coconut, CoconutNoCurriculum, CoconutNoThought, PauseAsThought
from mixlm.methods.controls import DropPrefix, FrequentNgrams, HashedCodes, MatchedPauses, RandomCodes, ShuffledCodes
from mixlm.methods.icot import StepwiseInternalisation
from mixlm.methods.parse import read_options
from mixlm.methods.pause import Pause
from mixlm.methods.text import ChainOfThought, SolutionOnly


__all__ = ["METHODS", "Method", "Progress", "Trainable", "build_method"]

METHODS: dict[str, type[Method]] = {
    "cot": ChainOfThought,
    "sol-only": SolutionOnly,
    "icot": StepwiseInternalisation,
    "pause": Pause,
    "assorted": Assorted,
    "assorted-all": AssortedAll,
    "assorted-curriculum": AssortedCurriculum,
    "assorted-poisson": AssortedPoisson,
    "coconut": Coconut,
    "coconut-no-curriculum": CoconutNoCurriculum,
    "coconut-no-thought": CoconutNoThought,
    "pause-as-thought": PauseAsThought,
    "random-codes": RandomCodes,
    "shuffled-codes": ShuffledCodes,
    "hashed-codes": HashedCodes,
    "matched-pauses": MatchedPauses,
    "frequent-ngrams": FrequentNgrams,
    "drop-prefix": DropPrefix,
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
