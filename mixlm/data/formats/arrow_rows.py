"""From tables of Arrow to rows: what Python cannot hold is told as text, or marked."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mixlm.data.values import DEEPEST, Unreadable, ailment, as_row
from mixlm.errors import InputError


if TYPE_CHECKING:
    import pyarrow

_UNFIT = (ValueError, OverflowError, LookupError, ArithmeticError)  # what Arrow raises of a value


def check_columns(schema: "pyarrow.Schema", source: str) -> None:
    """Raise an ``InputError`` if a table has columns that rows cannot have: two of a name, say."""
    try:
        names = schema.names
    except UnicodeDecodeError:
        raise InputError(f"{source}: the name of a column is no UTF-8 text; rename the column") from None
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{source}: has {twice[0]!a} as the name of two columns; rename or remove one of them")
    reason = ailment(dict.fromkeys(names))
    for field in schema:
        depth, twin = _form(field.type)
        if depth > DEEPEST:
            reason = (
                f"column '{field.name}' is nested too deep; {DEEPEST} lists and objects within each other are the most"
            )
        elif twin is not None:
            reason = f"column '{field.name}' has two fields of the name {twin!a}; rename or remove one of them"
    if reason:
        raise InputError(f"{source}: {reason}")


def _form(kind: "pyarrow.DataType") -> tuple[int, str | None]:
    """Return how many lists and objects a type has within each other, and a name that an object of it has twice."""
    deepest, twin, waiting = 0, None, [(kind, 0)]
    while waiting:
        kind, depth = waiting.pop()
        deepest = max(deepest, depth)
        inner = [kind.field(place) for place in range(kind.num_fields)]
        names = Counter(field.name for field in inner)
        twin = next((name for name, count in names.items() if count > 1), twin)
        waiting += [(field.type, depth + 1) for field in inner]
    return deepest, twin


def rows_of(batch: "pyarrow.RecordBatch", where: Sequence[str]) -> list[dict[str, Any] | InputError]:
    """Return the rows of a batch as Python has them, or in the place of one what ails it.

    Dates beyond Python's, and whatever else of its kind Python cannot hold, are texts, as Arrow writes them.

    Args:
        batch: The rows.
        where: What messages call each.
    """
    try:
        return batch.to_pylist()
    except _UNFIT:
        columns = [_values(column) for column in batch.columns]
        rows = (dict(zip(batch.schema.names, values, strict=True)) for values in zip(*columns, strict=True))
        return [as_row(row, name) for row, name in zip(rows, where, strict=True)]


def _values(column: "pyarrow.Array") -> list[Any]:
    try:
        return column.to_pylist()
    except _UNFIT:
        return [_value(column.slice(place, 1)) for place in range(len(column))]


def _value(alone: "pyarrow.Array") -> Any:
    """Return the one value of a column, as text if Python cannot hold it."""
    import pyarrow

    try:
        return alone[0].as_py()
    except UnicodeDecodeError:
        return Unreadable("no UTF-8 text; write it as UTF-8")
    except _UNFIT as error:
        try:
            return alone.cast(_told(alone.type))[0].as_py()
        except (*_UNFIT, pyarrow.ArrowException):
            return Unreadable(f"nothing that can be read ({' '.join(str(error).split())[:100]}); write it as text")


def _told(kind: "pyarrow.DataType") -> "pyarrow.DataType":
    """Return a type with texts in place of what Python may not be able to hold."""
    import pyarrow
    from pyarrow import types

    if types.is_struct(kind):
        fields = [kind.field(place) for place in range(kind.num_fields)]
        return pyarrow.struct([field.with_type(_told(field.type)) for field in fields])
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pyarrow.list_(_told(kind.value_type))
    if types.is_map(kind):
        return pyarrow.map_(_told(kind.key_type), _told(kind.item_type))
    if types.is_timestamp(kind) and kind.tz:
        return pyarrow.timestamp(kind.unit)  # in UTC, where the zone is none that is known
    return pyarrow.string() if types.is_temporal(kind) else kind
