import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.tiny_data import write_encoded, write_scratch


PROGRAM = """
import json, os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from mixlm import collator, training
from mixlm.training_options import TrainingOptions

rank = int(os.environ.get("RANK", 0))
seen = []
plain = collator.Collator.__call__

def watched(self, features):
    seen.extend(feature["input_ids"] for feature in features)
    return plain(self, features)

collator.Collator.__call__ = watched
encoded, scratch, out = sys.argv[1:4]
options = TrainingOptions(
    method="assorted", method_options={"mix": "uniform"}, learning_rate=1e-2, steps=7, batch_size=8,
    scheduler="constant",
)
training.train(encoded, scratch, out, options)
Path(f"{out}.{rank}.json").write_text(json.dumps(seen))
"""


@pytest.mark.filterwarnings("ignore")
def test_two_processes_draw_and_learn_what_one_does(tmp_path: Path) -> None:
    """Seven steps of 8 samples, an epoch being 5: every sample is drawn the same, and the weights agree."""
    encoded, scratch, program = write_encoded(tmp_path), write_scratch(tmp_path), tmp_path / "program.py"
    program.write_text(PROGRAM)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, command in (("one", []), ("two", launcher)):
        arguments = [str(program), str(encoded), str(scratch), str(tmp_path / name)]
        done = subprocess.run([sys.executable, *command, *arguments], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
    one = json.loads((tmp_path / "one.0.json").read_text())
    ranks = [json.loads((tmp_path / f"two.{rank}.json").read_text()) for rank in range(2)]
    for step in range(7):
        together = [*ranks[0][4 * step : 4 * step + 4], *ranks[1][4 * step : 4 * step + 4]]
        assert sorted(together) == sorted(one[8 * step : 8 * step + 8]), step
    left, right = (AutoModelForCausalLM.from_pretrained(tmp_path / name).state_dict() for name in ("one", "two"))
    for name, value in left.items():
        torch.testing.assert_close(value, right[name], atol=2e-4, rtol=1e-3)
