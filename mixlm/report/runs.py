"""What is told of a run as a whole: its figures, its training, its stage 1 and its settings."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mixlm.encoding.judging import judge
from mixlm.report.stage1 import Stage1
from mixlm.run import Run
from mixlm.shown import redacted
from vqvae.training.curve import CURVE, read_curve


MOST_POINTS = 600  # of a curve: more of them are not seen
CURVES = ("loss", "text_loss", "latent_loss", "eval_loss", "latent_accuracy")


def run_figures(run: Run, name: str, figures: Mapping[str, Any] | None, stage1: Stage1 | None) -> dict[str, Any]:
    """Return what the overview tells of a run, as JSON values.

    Args:
        run: The run.
        name: What the report calls it.
        figures: As of ``evaluate``; None: it answered nothing.
        stage1: What is there of its stage 1; None: its method needs no codes.
    """
    manifest = stage1.manifest if stage1 else None
    return {
        "name": name,
        "path": redacted(str(run.path)),
        "method": run.method_name,
        "source": "" if run.untrained else run.method.source,
        "latents": run.method.spans,
        "codes": run.ids.codebook_size,
        "modes": modes_of(figures) if figures else {},
        "check": figures["check"] if figures else run.check,
        "curve": curve_of(run),
        "stage1": [one._asdict() for one in judge(manifest)] if manifest else None,
        "measured_on": manifest["codebook"]["measured_on"] if manifest else None,
        "stage1_missing": stage1.missing if stage1 else "",
        "settings": settings_of(run),
    }


def modes_of(figures: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the figures of each mode that are shown; see ``summarize``."""
    return {
        mode: {
            "accuracy": one["accuracy"],
            "low": one["interval"][0],
            "high": one["interval"][1],
            "right": one["right"],
            "answers": one["answers"],
            "tokens": one["tokens"]["total"],
            "latents": one["latents"],
            "cut_off": one["cut_off"],
            "unreadable": one["unreadable"],
        }
        for mode, one in figures["modes"].items()
    }


def curve_of(run: Run) -> dict[str, list[tuple[int, float]]] | None:
    """Return the curve of a run's training by figure, as (step, value); None if it keeps none.

    Of many points equally spaced ones are kept, and the last.
    """
    lines = read_curve(run.path / CURVE)
    found = {
        name: _thinned([(line["step"], line[name]) for line in lines if _is_number(line, name)]) for name in CURVES
    }
    return {name: points for name, points in found.items() if points} or None


def _is_number(line: Mapping[str, Any], name: str) -> bool:
    value = line.get(name)
    return isinstance(value, int | float) and math.isfinite(value)


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    every = max(1, math.ceil(len(points) / MOST_POINTS))
    return [*points[::every], *(points[-1:] if (len(points) - 1) % every else [])]


def settings_of(run: Run) -> dict[str, str]:
    """Return what a run was told and what trained it, by name."""
    told = {name: value for name, value in run.arguments.items() if name != "method"}
    codes = {"align": run.align, "chunk_length": run.chunk_length, "compression_rate": run.compression_rate}
    codes["codebook_size"] = run.codebook_size
    options = told.pop("method_options", None) or {}
    told |= {f"method: {name}": value for name, value in {**options, **run.method_options}.items()}
    told |= {f"stage 1: {name}": value for name, value in codes.items() if run.codebook_size}
    template = {f"template: {name}": value for name, value in run.template.to_dict().items()}
    versions = {f"version: {name}": value for name, value in run.versions.items()}
    every = {**told, "trained steps": run.step + 1, **template, **versions}
    return {name: _setting(value) for name, value in every.items() if value not in (None, "", {}, [])}


def _setting(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return redacted(text.replace("\n", "\\n"))
