"""Where a network runs when nobody says where."""

import torch

__all__ = ["best_device"]


def best_device() -> torch.device:
    """Return the machine's accelerator, or the CPU where there is none."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator or torch.device("cpu")
