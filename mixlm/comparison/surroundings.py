"""On what a result was obtained: date, hardware, versions, and the commit of a checkout."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any


def surroundings() -> dict[str, Any]:
    """Return when and on what a result was obtained."""
    import torch
    import transformers

    import mixlm

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    versions = {"mixlm": mixlm.__version__, "torch": torch.__version__, "transformers": transformers.__version__}
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    return {"hardware": device, "threads": threads, "versions": versions, "commit": commit(), "date": date}


def commit() -> str | None:
    """Return the commit that this package is of, "+changes" behind it if its checkout differs from it.

    None where neither is known: pip notes the commit of what it installed from a repository (PEP 610), and of an index
    or a plain folder there is none.
    """
    checkout = Path(__file__).parents[2]
    if (checkout / ".git").exists():
        head = _git(checkout, "rev-parse", "HEAD")
        changed = head and _git(checkout, "status", "--porcelain", "--untracked-files=no")
        return f"{head}+changes" if changed else head
    noted = (one.read_text("direct_url.json") for one in distributions(name="mixlm"))
    return next((json.loads(text).get("vcs_info", {}).get("commit_id") for text in noted if text), None)


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True)
    except OSError:
        return None
    return None if done.returncode else done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(names, platform.processor() or platform.machine())}, {os.cpu_count()} cores"
