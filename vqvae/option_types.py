"""Whether the fields of options hold what their types say: found out when options are made, before anything runs."""

import math
from collections.abc import Mapping
from dataclasses import Field, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from vqvae.errors import MOST_RATE, MOST_SEEDS, InputError


INFINITE = {"infinite": True}  # metadata of a field that may be infinite
_SHOWN = 60  # letters of a value in a message


def require_types(options: Any) -> None:
    """Raise an ``InputError`` that names the first field of a dataclass with a value that is not of its type."""
    if found := misfit(options):
        name, value, wanted = found
        raise InputError(f"--{name.replace('_', '-')} {value}: give {wanted}")


def misfit(options: Any, kind: type | None = None) -> tuple[str, str, str] | None:
    """Return the first field that does not hold what its type says; None if all do.

    Numbers are finite, at least 0 and not beyond what any option means; true is no number; texts can be written.

    Args:
        options: A dataclass.
        kind: The class whose fields are looked at; None: its own.

    Returns:
        Its name, its value as a message shows it, and what it is to be.
    """
    kind = kind or type(options)
    hints = get_type_hints(kind)
    for field in fields(kind):
        value, hint = getattr(options, field.name), hints[field.name]
        if not _fits(value, hint, field):
            return field.name, shown(value), _wanted(hint)
    return None


def choices(hint: Any) -> tuple[str, ...]:
    """Return the words that a type allows, apart from None; none of any other type."""
    kinds = get_args(hint) if get_origin(hint) in (UnionType, Union) else (hint,)
    return tuple(word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind))


def shown(value: Any) -> str:
    """Return a value as a message shows it."""
    try:
        text = ascii(value)
    except ValueError:  # a whole number of more digits than Python writes
        return "a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}.."


def _fits(value: Any, hint: Any, field: Field | None = None) -> bool:
    """Tell whether a value is of a type."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (UnionType, Union):
        return any(_fits(value, one, field) for one in inner)
    if origin is Literal:
        return isinstance(value, str) and value in inner
    if origin is tuple:
        kinds = inner[:1] * len(value) if isinstance(value, tuple) and inner[-1] is Ellipsis else inner
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(_fits, value, kinds))
    if hint is float:
        infinite = value == math.inf and field is not None and field.metadata.get("infinite", False)
        return type(value) is float and (0 <= value < MOST_RATE or infinite) or _fits(value, int)
    if hint is int:
        return type(value) is int and 0 <= value < MOST_SEEDS
    if hint is str:
        return isinstance(value, str) and _is_text(value)
    if hint is NoneType or hint is Any:
        return hint is Any or value is None
    return isinstance(value, origin or hint)


def _is_text(text: str) -> bool:
    try:
        return bool(text.encode()) or not text
    except UnicodeEncodeError:
        return False


def _wanted(hint: Any) -> str:
    """Return what a message calls the values of a type."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (UnionType, Union):
        return " or ".join(dict.fromkeys(_wanted(one) for one in inner if one is not NoneType))
    if origin is Literal:
        return " or ".join(inner)
    if origin is tuple:
        return f"{'some' if inner[-1] is Ellipsis else len(inner)} values, each {_wanted(inner[0])}"
    names: Mapping[Any, str] = {
        int: f"a whole number from 0 to below {MOST_SEEDS}",
        float: f"a number from 0 to below {MOST_RATE:g}",
        bool: "true or false",
        str: "a text",
        dict: "names with values",
    }
    return names.get(origin or hint, f"a {getattr(hint, '__name__', hint)}")
