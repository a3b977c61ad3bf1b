"""From what a user typed to the typed options of a method."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args, get_origin, get_type_hints

from mixlm.errors import InputError
from vqvae.option_types import shown


def read_options(method: type, options: Mapping[str, Any]) -> dict[str, Any]:
    """Convert ``options`` to the types of the fields of ``method``, a dataclass, as far as they stand for such.

    Whether they are of these types then is for the method to check.

    Raises:
        InputError: If a name is no field of the method or a text does not fit its type.
    """
    types = get_type_hints(method)
    known = {field.name: types[field.name] for field in fields(method)}
    for name in options:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise InputError(
                f"method option {name if isinstance(name, str) and name.isidentifier() else shown(name)!r}: "
                f"{method.name} has no such option; its options: {listed}"
            )
    return {name: _convert(name, value, known[name]) for name, value in options.items()}


def _convert(name: str, value: Any, wanted: Any) -> Any:
    """Return what a text stands for, and a list as the tuple that JSON has no form for; anything else as it is."""
    if get_origin(wanted) is tuple and isinstance(value, str | list):
        parts = [part for part in value.split(",") if value] if isinstance(value, str) else value
        return tuple(_convert(name, part, get_args(wanted)[0]) for part in parts)
    if not isinstance(value, str) or wanted not in _KINDS:
        return value
    try:
        return {"true": True, "false": False}[value.lower()] if wanted is bool else wanted(value)
    except (ValueError, KeyError):
        raise InputError(f"method option '{name}': {shown(value)} does not fit: {_KINDS[wanted]}") from None


_KINDS = {bool: "give true or false", int: "give a whole number", float: "give a number"}


def parse_assignments(assignments: tuple[str, ...]) -> dict[str, str]:
    """Split ``NAME=VALUE`` strings, the last of a name counts; an ``InputError`` if one has no ``=``."""
    pairs: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise InputError(f"method option {shown(assignment)}: write it as NAME=VALUE")
        pairs[name.strip().replace("-", "_")] = value.strip()
    return pairs
