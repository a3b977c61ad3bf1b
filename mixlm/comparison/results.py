"""Results of the cells of a grid: one JSON line each, with all that tables and tests need."""

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mixlm.comparison.alerts import alerts_of
from mixlm.comparison.surroundings import surroundings
from mixlm.data.values import read_json
from mixlm.encoding.manifest import read_manifest
from mixlm.errors import InputError
from mixlm.generation.kept.finished import KEY, faults_of, read_figures, run_mark
from vqvae.atomic_files import checksum
from vqvae.checksums import sealed, unsealed
from vqvae.options import PAPERS_CODES


Result = dict[str, Any]
_FIGURES = (
    *("accuracy", "interval", "tokens", "latents", "cut_off", "finished_accuracy"),
    *("unreadable", "seconds", "solved"),
)
_STAGE_1 = (
    *("codebook_size", "codes_used", "perplexity", "code_gap", "ce_right", "ce_random", "ce_none"),
    *("token_accuracy", "exact_chunks", "codes_trained", "probe_steps"),
    *("next_with", "next_without", "next_random", "solution_with", "solution_without", "solution_random"),
    *("prior_nats", "prior_top1", "prior_blind"),
)


def checksums(files: Mapping[str, str], before: Mapping[str, Mapping[str, str]] | None = None) -> dict[str, Any]:
    """Return path and SHA-256 of each file, by its split.

    Args:
        files: Paths by split.
        before: What this function returned for results that the same data are to be added to.

    Raises:
        InputError: If a file cannot be read, or is not the one that the results are of.
    """
    data = {split: {"file": file, "sha256": checksum(file)} for split, file in files.items()}
    for split in data.keys() & (before or {}).keys():
        if data[split]["sha256"] != before[split]["sha256"]:
            raise InputError(f"{files[split]}: is not the file that the results so far are of; choose another --out")
    return data


def read_results(path: Path) -> list[Result]:
    """Return the results in ``path``, none if there is no such file; an ``InputError`` if a line is no result."""
    if not path.is_file():
        return []
    results = []
    for number, line in enumerate(whole_lines(path), 1):
        try:
            result = read_record(line)
            result["label"], result["seed"], result["identity"], result["modes"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}:{number}: is no result of a cell, or not as it was written ({error}); delete the line to run "
                "its cell again"
            ) from None
        results.append(result)
    return results


def read_record(line: bytes) -> dict[str, Any]:
    """Return what ``append_line`` wrote; a ``ValueError`` if it is none, or has changed."""
    read_json(line.decode())  # refuses what no program of ours writes, such as brackets without end
    return unsealed(line)


def lines_of(content: bytes) -> list[bytes]:
    """Return the lines of a file of JSON; a text in them may hold what Python takes for the end of a line, too."""
    return content.removesuffix(b"\n").split(b"\n") if content else []


def whole_lines(path: Path) -> list[bytes]:
    """Return the lines of a file of JSON but for a last one that a killed process has not finished."""
    content = path.read_bytes()
    return lines_of(content)[:-1] if _is_torn(content) else lines_of(content)


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Add one JSON line, sealed, to ``path``, in the place of one that was not finished, and bring it to disk."""
    line = json.dumps(sealed(record), ensure_ascii=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab", buffering=0) as file:
        with suppress(OSError):  # where there are no locks
            fcntl.flock(file, fcntl.LOCK_EX)
        before = path.read_bytes()
        if _is_torn(before):
            file.truncate(before.rfind(b"\n") + 1)
        elif before and not before.endswith(b"\n"):
            line = f"\n{line}"
        left = line.encode()
        while left:  # a disk that is nearly full takes a part, and tells only the next time
            left = left[file.write(left) :]
        os.fsync(file.fileno())


def _is_torn(content: bytes) -> bool:
    """Tell whether the last line of a file of JSON was not finished; one without an end may be, by a user's editor."""
    last = content.rpartition(b"\n")[2]
    try:
        return bool(last) and not isinstance(json.loads(last), dict)
    except ValueError:
        return True


def make_result(
    cell: Mapping[str, Any],
    evaluation: Path,
    manifest: Path | None,
    seconds: Mapping[str, Mapping[str, float]],
    latents_right: float | None = None,
    run: Path | None = None,
) -> Result:
    """Return the line of a finished cell.

    Args:
        cell: What identifies it: label, method, seed, settings, commands, data.
        evaluation: The ``.json`` that ``mixlm evaluate`` wrote; its answers are in the ``.jsonl`` beside it.
        manifest: That of the encoding, for a method with codes; the line tells their objective and where chunks end.
        seconds: Wall-clock ("wall") and processor ("cpu") seconds of every kind of part.
        latents_right: Share of right latents, as training last measured it; None: not known, or without meaning.
        run: That was to be measured, by which answers of an earlier one are told; None: whose they are is not asked.

    Raises:
        InputError: If figures or answers are not as they were written, or are of another run.
    """
    measured, right = _measured(evaluation, run)
    modes = {
        mode: {name: _rounded(figures[name]) for name in _FIGURES if name in figures} | {"right": right[mode]}
        for mode, figures in measured["modes"].items()
    }
    codes, stage_1 = _of_codes(manifest) if manifest else ({}, {})
    settings = {"check": measured["check"], "samples": measured["samples"], "rows": measured["rows"]}
    settings |= {name: measured[name] for name in ("decoding", "engine")}
    figures = {"modes": modes, "loss": _rounded(measured["loss"]), "stage1": stage_1 or None}
    figures |= {"latents_right": _rounded(latents_right)}
    told = {"alerts": alerts_of(modes, measured["loss"], stage_1, latents_right)}
    return {**cell, **codes, **settings, **figures, **told, "seconds": _rounded(seconds), **surroundings()}


def _measured(evaluation: Path, run: Path | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the figures of an evaluation, and which answers are right; an ``InputError`` as ``make_result``."""
    answers = evaluation.with_suffix(".jsonl")
    try:
        measured = read_figures(evaluation)
        for fault in faults_of(answers):
            raise ValueError(fault)
        right = right_by_mode(map(json.loads, lines_of(answers.read_bytes())))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{evaluation}: is not as it was written ({error}); delete it to measure again") from None
    if run is not None and measured[KEY]["identity"]["run"] != run_mark(run):
        raise InputError(
            f"{evaluation}: is of another run than the one that is in {run} now; delete it to measure again"
        )
    return measured, right


def _of_codes(manifest: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Return what kind of codes an encoding has, and the figures of its stage 1."""
    encoding = read_manifest(manifest.parent)
    codebook = encoding["codebook"]
    kind = {name: encoding[name] for name in PAPERS_CODES}
    return kind, {name: _rounded(codebook[name]) for name in _STAGE_1 if name in codebook}


def right_by_mode(answers: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return for each mode how many answers to every row are right, in the order of the rows: a digit for each row.

    With one sample a row that is a string of 0 and 1, from which every interval and test can be computed again. With
    more than nine there are commas between the numbers.
    """
    counts: dict[str, dict[Any, list[bool]]] = {}
    for answer in answers:
        counts.setdefault(answer["latents"], {}).setdefault(answer["row"], []).append(bool(answer["right"]))
    return {
        mode: _separator(max(map(len, rows.values()))).join(str(sum(right)) for right in rows.values())
        for mode, rows in counts.items()
    }


def _separator(samples: int) -> str:
    return "," if samples > 9 else ""


def shares_right(result: Mapping[str, Any], mode: str) -> np.ndarray:
    """Return the share of right answers to each row in one mode, (rows,)."""
    right, samples = result["modes"][mode]["right"], result["samples"]
    counts = right.split(",") if _separator(samples) else list(right)
    return np.asarray([int(count) for count in counts], dtype=float) / samples


def _rounded(value: Any) -> Any:
    """Round floats to six digits: a line is to be read as well."""
    if isinstance(value, Mapping):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
