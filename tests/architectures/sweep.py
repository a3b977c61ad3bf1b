"""The equalities on every causal type of the installed transformers, as a table: ``make test-architectures``.

    python -m tests.architectures.sweep [TYPE ..]

Ends with 1 if a type computes something else than it should, or a mistake ends in a traceback.
"""

import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path


os.environ |= {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_OFFLINE": "1"}
warnings.filterwarnings("ignore")
CHECKS = {
    "text": "samples in a batch",
    "answers": "answers in a batch",
    "thoughts": "continuous thoughts",
    "growth": "new tokens",
    "adapter": "LoRA",
    "reload": "reloaded",
    "steps": "one step of cot, assorted, pause, coconut",
}
WRONG = "WRONG"


def line_of(error: Exception | str) -> str:
    """What an error says, in a cell of a table."""
    return " ".join(str(error).split())[:160].replace("|", "/")


def try_type(kind: str) -> list[str]:
    """Return the cells of a type's row; a type that is not built or is refused has one."""
    import torch
    from transformers import AutoModelForCausalLM

    from mixlm.model.abilities import fault_in_training, is_causal, pads
    from tests.architectures.tiny_types import tiny_type

    torch.set_num_threads(1)
    try:
        model = tiny_type(kind)
        model(input_ids=torch.tensor([[1, 2, 3, 4]]), use_cache=False)
    except Exception as error:
        return [f"not built: {line_of(error)}"]
    if not is_causal(model):
        return ["refused: reads later tokens"]
    if type(model.config) not in AutoModelForCausalLM._model_mapping:
        return ["refused: a part of another model, which does not open by itself"]
    if not pads(model):
        return ["refused: reads the padding behind its samples"]
    if fault_in_training(model):
        return [f"refused: in training {line_of(fault_in_training(model))}"]
    with tempfile.TemporaryDirectory() as folder:
        return [try_check(kind, name, Path(folder) / name) for name in CHECKS]


def try_check(kind: str, name: str, folder: Path) -> str:
    """Return how a type passes a check, on a model of its own."""
    from mixlm.errors import InputError
    from mixlm.model.thoughts.passes import obstacle
    from tests.architectures import equalities
    from tests.architectures.tiny_types import tiny_type

    model, check = tiny_type(kind), getattr(equalities, name)
    try:
        if name == "thoughts" and obstacle(model):
            return f"refused: {obstacle(model)}"
        return check(model, folder) if name in ("reload", "steps") else check(model)
    except InputError as error:
        return f"refused: {line_of(error)}"
    except AssertionError as error:
        return f"{WRONG}: {line_of(error)}"
    except Exception as error:
        return f"{WRONG}: {type(error).__name__}: {line_of(error)}"


def main(kinds: Sequence[str]) -> int:
    """Print the table of ``kinds``, all by default; return the exit status."""
    from tests.architectures.tiny_types import TYPES

    kinds = kinds or TYPES
    print(f"transformers {version('transformers')}, torch {version('torch')}, peft {version('peft')}\n")
    print(f"| type | {' | '.join(CHECKS.values())} |\n|---|{'---|' * len(CHECKS)}")
    found, wrong = Counter(), 0
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for kind, cells in zip(kinds, pool.map(try_type, kinds), strict=True):
            print(f"| {kind} | {' | '.join([*cells, *[''] * (len(CHECKS) - len(cells))])} |", flush=True)
            wrong += any(cell.startswith(WRONG) for cell in cells)
            found.update(f"{name}: {cell.partition(':')[0]}" for name, cell in zip(CHECKS, cells, strict=False))
    print(f"\n{len(kinds)} types; wrong: {wrong}\n" + "\n".join(f"{name}: {count}" for name, count in found.items()))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
