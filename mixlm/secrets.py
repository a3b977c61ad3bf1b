"""Keys and passwords in what is shown or written: this is where they are taken out."""

import os
import re
from base64 import b64encode
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote


HIDDEN = "***"
_NAMES = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL)S?$", re.IGNORECASE)
LEAST = 8  # letters of what is a secret wherever it stands; shorter ones, such as "EMPTY", are words
_FORMS = re.compile(r"(?<=://)[^\s/?#]*@|\bhf_[A-Za-z0-9]{20,}|\bsk-[\w-]{20,}")  # of an address; of two known kinds


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """Return text without keys and passwords, as they are, quoted for an address or in base64.

    They are those of the environment's variables whose names say so (``.._KEY``, ``.._TOKEN`` ..), names and passwords
    before the ``@`` of an address, and tokens of a known form.

    Args:
        text: The text.
        secrets: Further secrets.
    """
    named = {value for name, value in os.environ.items() if _NAMES.search(name) and len(value.strip()) >= LEAST}
    text = without(text, (*named, *secrets))
    return _FORMS.sub(lambda found: f"{HIDDEN}@" if found[0].endswith("@") else HIDDEN, text)


def without(text: str, secrets: Iterable[str], least: int = 1) -> str:
    """Return text without some secrets, in any of their forms; those of fewer than ``least`` letters stay."""
    known = frozenset(one.strip() for one in secrets if len(one.strip()) >= least)
    return _pattern(known).sub(HIDDEN, text) if known else text


@lru_cache(maxsize=8)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str]:
    """Return what finds secrets in each of their forms, the longest first."""
    forms = {form for one in secrets for form in (one, quote(one, safe=""), _base64(one))}
    return re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))), re.IGNORECASE)


def _base64(text: str) -> str:
    """Return text in base64 without what fills it up."""
    return b64encode(text.encode(errors="surrogateescape")).decode().rstrip("=")
