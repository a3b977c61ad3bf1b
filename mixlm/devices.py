"""Choosing the device that a model runs on."""

from mixlm.errors import InputError


def pick_device(name: str = "auto") -> str:
    """Return the device called ``name``; "auto" takes the first that is there of cuda, mps and cpu.

    Raises:
        InputError: If there is no such device.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, ValueError, NotImplementedError):
        raise InputError(f"--device {name}: there is no such device here; use --device auto or cpu") from None
    return name
