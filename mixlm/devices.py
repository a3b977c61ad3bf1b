"""Choosing the device that a model runs on."""

from mixlm.errors import InputError
from mixlm.processes import Processes


def pick_device(name: str = "auto") -> str:
    """Return the device called ``name``; "auto" takes the first that is there of cuda, mps and cpu.

    Of several processes each takes a GPU of its own.

    Raises:
        InputError: If there is no such device.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return Processes.current().device()
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, ValueError, NotImplementedError):
        raise InputError(f"--device {name}: there is no such device here; use --device auto or cpu") from None
    return name
