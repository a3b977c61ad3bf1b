"""Stands for the commands of a comparison: ``python fake_commands.py NAME ARGUMENTS ..`` leaves files of their form.

It writes NAME into ``log.txt``, then does what ``behave.json`` says of it: "fail", "die" or "wait"; else it succeeds.
"""

import hashlib
import json
import os
import sys
import time
from pathlib import Path


RIGHT = {"free": "1101", "direct": "0001"}


def main() -> None:
    """Be the command."""
    name, *arguments = sys.argv[1:]
    with open("log.txt", "a") as log:
        log.write(f"{name}\n")
    behaviour = json.loads(Path("behave.json").read_text()).get(name) if Path("behave.json").exists() else None
    if behaviour == "wait":
        wait()
    if behaviour == "die":
        os.kill(os.getpid(), 9)
    if behaviour == "fail":
        sys.exit("Error: out of luck")
    out = Path(arguments[arguments.index("--out") + 1])
    WRITE[arguments[0]](out, arguments)


def wait() -> None:
    """Wait for the user to give up."""
    Path("waiting").write_text(str(os.getpid()))
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        print("Error: interrupted", file=sys.stderr)
        sys.exit(130)


def write(path: Path, text: str) -> None:
    """Write a file that is whole when it has its name, however the command ends, as the true commands do."""
    draft = path.with_name(f".{path.name}")
    draft.write_text(text)
    draft.replace(path)


def write_data(out: Path, arguments: list[str]) -> None:
    """Write rows that depend on the arguments."""
    write(out, f"{arguments[:-1]}\n")


def write_encoding(out: Path, arguments: list[str]) -> None:
    """Write a manifest."""
    from manifests import whole_manifest  # beside this script

    out.mkdir(exist_ok=True)
    write(out / "manifest.json", json.dumps(whole_manifest(codebook={"codes_used": 3})))


def write_run(out: Path, arguments: list[str]) -> None:
    """Write a run folder."""
    out.mkdir(exist_ok=True)
    write(out / "mixlm.json", "{}")


def write_answers(out: Path, arguments: list[str]) -> None:
    """Write figures and answers to four rows; free decoding is right in three, direct in one."""
    modes = [mode for mode in ("free", "direct") if mode in arguments[arguments.index("--latents") + 1]]
    answers = [{"row": r, "latents": m, "right": c == "1"} for m in modes for r, c in enumerate(RIGHT[m])]
    tokens = {"total": 9.0, "paper_tokens": 9.0, "latent": 0.0}
    figures = {m: {"accuracy": RIGHT[m].count("1") / 4, "tokens": tokens, "seconds": 0.1} for m in modes}
    write(out.with_suffix(".jsonl"), "".join(json.dumps(answer) + "\n" for answer in answers))
    settings = {"check": "exact", "samples": 1, "rows": 4, "loss": {}, "decoding": "plain"}
    settings |= {"engine": "vllm 1.0" if "--engine" in arguments else None}
    finished = {"identity": {"run": content_of(Path(arguments[1]))}, "lines": len(answers)}
    finished |= {"sha256": sha256(out.with_suffix(".jsonl"))}
    write(out, json.dumps({**settings, "modes": figures, "finished": finished}))


def content_of(run: Path) -> str:
    """Return what tells the content of a run that ``write_run`` wrote, or of a model file."""
    if run.is_dir():
        return json.dumps({"mixlm.json": sha256(run / "mixlm.json")})
    return sha256(run) if run.is_file() else str(run)


def sha256(file: Path) -> str:
    """Return the checksum of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


WRITE = {"data": write_data, "encode": write_encoding, "train": write_run, "evaluate": write_answers}
if __name__ == "__main__":
    main()
