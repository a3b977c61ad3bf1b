"""The content of a report that nobody measured, for tests of the page: as many codes and answers as one likes."""

import json
import random
import re
from pathlib import Path
from typing import Any


DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
MARKUP = '<script>document.title = "taken"</script><img src="x" onerror="document.title = \'taken\'"> & "quoted" </p>'
STEPS = ("so now {} gives {}.", "That makes {} and then {}.", "We keep {} of {}.")


def read_report(page: Path) -> dict[str, Any]:
    """Return the content of a page that was written."""
    (data,) = DATA.findall(page.read_text(encoding="utf-8"))
    return json.loads(data)


def report_content(rows: int = 40, size: int = 16, dead: int = 3, seed: int = 0) -> dict[str, Any]:
    """A report of a run with codes, free and as text, and of one without; row 1 holds markup.

    Args:
        rows: Questions, each answered three times.
        size: Codes, of which the first is mostly mistaken for the second, and the last ``dead`` are never used.
    """
    draw = random.Random(seed)
    texts = [draw.choice(STEPS).format(draw.randint(0, 99), code) for code in range(size)]
    codes = [_code(code, texts, size - dead, draw) for code in range(size)]
    asked = [_row(number, texts, draw) for number in range(rows)]
    columns = [
        {"run": run, "mode": mode, "answers": [_answer(row, mode, texts[: size - dead], draw) for row in asked]}
        for run, mode in ((0, "free"), (0, "text"), (1, "free"))
    ]
    codebook = {"size": size, "trained_on": 1000, "rows": rows, "occurrences": 4 * rows, "meaning": True}
    first = _run("assorted", columns[:2], {**codebook, "missing": [], "codes": codes})
    return {
        "made": {"version": "0.1.0", "date": "2026-11-29"},
        "data": "test.jsonl",
        "commands": [
            "mixlm-encode train.jsonl --model model.yaml --out encoded",
            "mixlm-train encoded --out assorted",
        ],
        "rows": asked,
        "runs": [first, _run("cot", columns[2:], None)],
        "columns": columns,
    }


def _row(number: int, texts: list[str], draw: random.Random) -> dict[str, Any]:
    steps = draw.sample(texts, 4)
    question = f"Start with {number}. " + " ".join(f"Then add {draw.randint(1, 99)}." for _ in range(4))
    return {"row": number, "question": MARKUP if number == 1 else question, "gold": str(number), "steps": steps}


def _answer(row: dict[str, Any], mode: str, texts: list[str], draw: random.Random) -> dict[str, Any]:
    right = row["row"] % 3 > 0
    found = str(row["row"]) if right else MARKUP if row["row"] == 0 else "none"
    answer = {"row": row["row"], "sample": 0, "text": f"\n### {found}", "answer": found, "right": right}
    answer |= {"finished": True, "tokens": 9 if mode == "free" else 40}
    if mode == "free":
        codes = [draw.randrange(len(texts)) for _ in range(4)]
        others = [[(code, 0.9), ((code + 1) % len(texts), 0.08), ((code + 2) % len(texts), 0.01)] for code in codes]
        answer["chips"] = {"codes": codes, "texts": [texts[code] for code in codes], "sure": [0.97] * 4}
        answer["chips"] |= {"shares": [0.9] * 4, "alternatives": others}
    return answer


def _code(code: int, texts: list[str], used: int, draw: random.Random) -> dict[str, Any]:
    entry = {"code": code, "neighbours": [((code + step) % len(texts), 0.9 - step / 10) for step in (1, 2, 3)]}
    if code >= used:
        return entry | {"count": 0, "texts": [], "seen": 0, "profile": [], "contexts": []}
    profile = [draw.randint(0, 40) for _ in range(4)]
    right = 0.2 if code == 0 else 0.9
    guess = {"right": right, "low": right - 0.1, "high": right + 0.08, "share": right - 0.05, "taken": [(1, 7)]}
    entry |= {"count": 1000 // (code + 1), "texts": [(texts[code], 0.8), ("another way to say it", 0.2)]}
    entry |= {"seen": sum(profile) + 5, "profile": profile, "guess": guess}
    entry |= {"contexts": [(place, "First this. ", texts[code], " Then that.") for place in range(3)]}
    return entry | {"read": {"text": texts[code], "share": 0.95, "sure": 0.98, "times": 60}}


def _run(name: str, columns: list[dict[str, Any]], codebook: dict[str, Any] | None) -> dict[str, Any]:
    modes = {}
    for column in columns:
        answers = column["answers"]
        right = sum(one["right"] for one in answers)
        tokens = sum(one["tokens"] for one in answers) / len(answers)
        accuracy = right / len(answers)
        figures = {"accuracy": accuracy, "low": accuracy - 0.05, "high": accuracy + 0.05, "right": right}
        figures |= {"answers": len(answers), "tokens": tokens, "latents": 4.0 if codebook else 0.0}
        modes[column["mode"]] = figures | {"cut_off": 0.0, "unreadable": 0.0}
    curve = {"loss": [(step, 5 / step) for step in range(1, 90)]}
    judged = {"name": "how well a code is foretold", "value": "91%", "meaning": "in short", "good": True, "advice": ""}
    return {
        "name": name,
        "path": f"runs/{name}",
        "method": name,
        "source": "a paper",
        "latents": "prefix" if codebook else "none",
        "codes": codebook["size"] if codebook else 0,
        "modes": modes,
        "check": "exact",
        "curve": curve,
        "stage1": [judged] if codebook else None,
        "measured_on": "valid" if codebook else None,
        "stage1_missing": "",
        "settings": {"steps": "700", "model": f"{name}.yaml"},
        "codebook": codebook,
    }
