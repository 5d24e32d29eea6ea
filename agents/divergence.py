"""Noticing that a training has gone astray, before its weights replace better ones on the disk."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from agents.ranks import Ranks
from behavior.errors import InputError

__all__ = ["TrainingDiverged", "all_finite", "refuse_divergence"]

_FAR = 1e3
"""How many times the largest possible return the value estimates may err. Sound critics err by less than once; one
that runs away passes any bound within a few updates."""
_SQUARABLE = math.sqrt(torch.finfo(torch.float32).max)
"""About 1.8e19. Larger errors, and rewards that may be as far off, have an infinite square in 32 bits."""
_LONGEST = 1e4
"""Pages in the longest session thought of where nothing is discounted."""


class TrainingDiverged(InputError):  # noqa: N818 (it says what happened, as KeyboardInterrupt does)
    """Losses or weights have become infinite, undefined, or far too large for the rewards."""


def refuse_divergence(
    figures: Mapping[str, float], *, error: float, largest_reward: float, gamma: float, ranks: Ranks
) -> None:
    """Look at an update's figures, on all ranks; called once an update, on numbers that are logged anyway.

    Args:
        figures: Mean losses and the gradient norm of the update. A single minibatch that is not finite shows in them.
        error: Typical error of the value estimates.
        largest_reward: Largest absolute reward of a page so far, in the unit of `error`; the scale is not judged before
            there is one.
        gamma: Discount, which says how many such rewards a return may add up to.
        ranks: All of them stop where one has to.

    Raises:
        TrainingDiverged: Something is not finite, or the error is beyond `_FAR` times what returns can be.
    """
    wild = [f"{name} is {value}" for name, value in figures.items() if not math.isfinite(value)]
    reach = largest_reward / max(1.0 - gamma, 1.0 / _LONGEST)
    if not wild and reach > 0 and error > _FAR * reach:
        wild = [f"values err by {error:.3g}, where no return can be beyond {reach:.3g}"]
    if ranks.any(bool(wild)):
        extreme = reach > _SQUARABLE
        cause = f", after a reward of {largest_reward:.3g} for one page" if extreme else ""
        first = (
            "scale down the weights of the reward's parts, or mend the prices that they multiply"
            if extreme
            else "try a lower learning rate, and look for extreme rewards (largest so far: "
            f"{largest_reward:.3g} a page)"
        )
        raise TrainingDiverged(
            f"training has diverged{cause}: {'; '.join(wild) or 'on another rank'}",
            where="the learner's update",
            mend=f"{first}, in a new run; a checkpoint that stands was written before this",
        )


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether every number in them is finite."""
    return all(bool(torch.isfinite(t).all()) for t in tensors if t.is_floating_point())
