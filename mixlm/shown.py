"""What is shown of texts that others wrote or that hold a secret: without keys and passwords, and steering nothing."""

import json
import os
import re
from base64 import b64encode
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote


_STEERING = (  # characters that do something, or nothing that is seen, but the new line and the tabulator
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters: ESC, BEL, carriage return ..
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # the direction of what follows
    r"\u2028\u2029"  # line ends that are none on a terminal
    r"\xad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065"  # nothing
    r"\u3164\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    r"\ud800-\udfff"  # halves of characters
)
# emoji, and scripts in which letters are joined or kept apart
_JOINING = r"[\u0590-\u1fff\u2100-\u2fff\u3041-\ud7ff\ufe0f\U00010000-\U0003ffff]"
_UNSEEN = re.compile(rf"(?<={_JOINING})[\u200c\u200d](?={_JOINING})|([{_STEERING}])")
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


def escaped(text: str) -> str:
    r"""Return text in which characters that would steer a terminal, or hide in it, are written as JSON writes them.

    Of JSON the meaning stays. What joins the parts of an emoji, or letters of a script that needs it, is kept.

    >>> escaped("a\x1b[31mb\r\u202ec")
    'a\\u001b[31mb\\r\\u202ec'
    """
    return _UNSEEN.sub(lambda found: json.dumps(found[0])[1:-1] if found[1] else found[0], text)
