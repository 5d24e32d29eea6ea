"""The states of random generators as arrays, for checkpoints."""

from __future__ import annotations

import json

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["generator_array", "global_chance", "restore_generator", "restore_global_chance"]


def generator_array(generator: np.random.Generator) -> NDArray[np.uint8]:
    """All that `restore_generator` needs."""
    return np.frombuffer(json.dumps(generator.bit_generator.state).encode(), np.uint8)


def restore_generator(generator: np.random.Generator, array: NDArray[np.uint8]) -> None:
    """Let `generator` go on from where the one of `generator_array` was."""
    generator.bit_generator.state = json.loads(array.tobytes())


def global_chance(device: torch.device) -> dict[str, NDArray[np.uint8]]:
    """Torch's own generators, from which layers such as dropout draw: of the CPU, and of `device` if it is a GPU."""
    found = {"cpu": torch.get_rng_state().numpy()}
    if device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(device).numpy()
    return found


def restore_global_chance(arrays: dict[str, NDArray[np.uint8]], device: torch.device) -> None:
    """Set torch's own generators to what `global_chance` gave."""
    torch.set_rng_state(torch.from_numpy(arrays["cpu"]))
    if device.type == "cuda" and "cuda" in arrays:
        torch.cuda.set_rng_state(torch.from_numpy(arrays["cuda"]), device)
