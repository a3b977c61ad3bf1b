"""Other codes in place of a data set's own, as a control asks for them."""

from typing import Any

from mixlm.methods.base import Method


def recoded(rows: Any, method: Method) -> Any:
    """Return ``rows``, a ``datasets.Dataset`` or a list of rows, with the codes that ``method`` gives them.

    Rows whose codes the method leaves alone, or that have none, come back as they are.
    """
    if not len(rows) or "codes" not in rows[0]:
        return rows
    codes = method.recode(rows)
    if codes is None:
        return rows
    if isinstance(rows, list):
        return [{**row, "codes": own} for row, own in zip(rows, codes, strict=True)]
    return rows.remove_columns("codes").add_column("codes", codes, feature=rows.features["codes"])
