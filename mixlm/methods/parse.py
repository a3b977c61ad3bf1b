"""From what a user typed to the typed options of a method."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from mixlm.errors import InputError


def read_options(method: type, options: Mapping[str, Any]) -> dict[str, Any]:
    """Convert ``options`` to the types of the fields of ``method``, a dataclass.

    Raises:
        InputError: If a name is no field of the method or a value does not fit its type.
    """
    types = get_type_hints(method)
    known = {field.name: types[field.name] for field in fields(method)}
    for name in options:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise InputError(f"method option '{name}': {method.name} has no such option; its options: {listed}")
    return {name: _convert(name, value, known[name]) for name, value in options.items()}


def _convert(name: str, value: Any, wanted: Any) -> Any:
    try:
        if get_origin(wanted) is tuple:
            parts = value.split(",") if isinstance(value, str) else value
            return tuple(_convert(name, part, get_args(wanted)[0]) for part in parts)
        if get_origin(wanted) is Literal:
            if value not in get_args(wanted):
                raise ValueError(f"choose from {', '.join(map(str, get_args(wanted)))}")
            return value
        if wanted is bool and isinstance(value, str):
            return {"true": True, "false": False}[value.lower()]
        return wanted(value)
    except (ValueError, TypeError, KeyError) as error:
        kind = {bool: "give true or false", int: "give a whole number", float: "give a number"}.get(wanted, error)
        raise InputError(f"method option '{name}': {value!r} does not fit: {kind}") from None


def parse_assignments(assignments: tuple[str, ...]) -> dict[str, str]:
    """Split ``NAME=VALUE`` strings; an ``InputError`` if one has no ``=``."""
    pairs = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise InputError(f"method option '{assignment}': write it as NAME=VALUE")
        pairs[name.strip().replace("-", "_")] = value.strip()
    return pairs
