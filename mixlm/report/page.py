"""The page: one HTML file that holds the data, what shows them, and the library that draws charts."""

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mixlm.shown import escaped


PAGE, VENDOR = Path(__file__).parent / "page", Path(__file__).parent / "vendor"
SCRIPTS = ("dom", "state", "popover", "list", "charts", "chips", "overview", "codebook", "code", "answers", "main")


def page_of(data: Mapping[str, Any]) -> str:
    """Return a report as one HTML file that opens from disk and asks no network for anything.

    The browser is told to run no script but those that come with it.

    Args:
        data: See ``mixlm.report.report.Report.content``.
    """
    script = scripts()
    parts = {
        "title": as_html(" · ".join(one["name"] for one in data["runs"])),
        "policy": f"'sha256-{_digest(script)}'",
        "style": _read("page.css"),
        "data": as_json(data),
        "script": script,
    }
    before, *rest = _read("page.html").split("{{")
    found = [before]
    for piece in rest:  # one pass: what a part holds is never looked at again
        name, after = piece.split("}}", 1)
        found += [parts[name], after]
    return "".join(found)


@cache
def scripts() -> str:
    """Return all scripts as one: the library with its licences, then the page's own."""
    vendored = json.loads((VENDOR / "vendored.json").read_text(encoding="utf-8"))
    own = "".join(_read(f"{name}.js") for name in SCRIPTS)
    libraries = "".join(_vendored(one) for one in vendored)
    return f'{libraries}(function () {{\n"use strict";\n{own}}})();\n'


def _vendored(one: Mapping[str, Any]) -> str:
    """Return a library, its licences before it as a comment."""
    licences = "\n".join((VENDOR / name).read_text(encoding="utf-8") for name in one["license_files"])
    code = (VENDOR / one["file"]).read_text(encoding="utf-8")
    return f"/*\n{one['name']} {one['version']}, {one['homepage']}\n\n{licences}*/\n{code}\n"


def as_json(data: Any) -> str:
    """Return data as JSON that can end no element of HTML, with signs that steer or hide written out."""
    text = json.dumps(_shown(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def as_html(text: str) -> str:
    """Return text as HTML that shows it."""
    return escaped(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _shown(value: Any) -> Any:
    """Return a value of JSON whose texts are ``escaped``."""
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, Mapping):
        return {name: _shown(one) for name, one in value.items()}
    return [_shown(one) for one in value] if isinstance(value, list | tuple) else value


def _digest(script: str) -> str:
    """Return the hash of a script by which a browser knows it."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _read(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")
