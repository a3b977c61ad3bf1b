"""Programs run by several processes on the CPU, with the shipped configuration where they share a model."""

import os
import subprocess
from pathlib import Path

import yaml


ROOT = Path(__file__).parents[1]
# accelerate shards on accelerators alone, though torch does on CPUs, too: what it finds here it has to take for one
SHARD_ON_CPU = """
import torch
from accelerate import PartialState
from accelerate.utils import DistributedType

torch.set_num_threads(1)
begin = PartialState.__init__

def start(self, *args, **options):
    begin(self, *args, **options)
    if PartialState._shared_state["distributed_type"] == DistributedType.MULTI_CPU:
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU

if SHARD:
    PartialState.__init__ = start
"""


# the threads of gloo end in no fixed order, and a process may abort over that although its work is done
LEAVE = """
import os
import sys
from torch import distributed

if distributed.is_initialized():
    distributed.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
"""


def launch(
    python: str,
    folder: Path,
    program: str,
    arguments: list[str],
    configuration: str = "ddp",
    count: int = 2,
    **more: str,
) -> subprocess.CompletedProcess:
    """Run ``program`` in ``count`` processes.

    Args:
        python: The interpreter.
        folder: Where to put the program and its configuration.
        program: Python code.
        arguments: Its arguments.
        configuration: "ddp", or "fsdp2" for that of ``pipelines/launch``; accelerate's launcher starts several
            processes on CPUs in no other case, so torch's does.
        count: Number of processes; 1: without a launcher.
        more: Further variables of the environment.
    """
    file = folder / "program.py"
    file.write_text(f"SHARD = {configuration == 'fsdp2' and count > 1}\n{SHARD_ON_CPU}\n{program}\n{LEAVE}")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)] if count > 1 else []
    if configuration == "fsdp2" and count > 1:
        settings = yaml.safe_load((ROOT / "pipelines" / "launch" / "fsdp2.yaml").read_text())
        (folder / "launch.yaml").write_text(yaml.safe_dump({**settings, "use_cpu": True}))
        launcher = ["-m", "accelerate.commands.launch", "--num_processes", str(count)]
        launcher += ["--config_file", str(folder / "launch.yaml")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}
    command = [python, *launcher, str(file), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
