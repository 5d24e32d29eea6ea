"""What happens beside the learning: checkpoints, evaluations, curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agents.base import Policy

__all__ = ["TrainingOptions"]


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What happens beside the learning; of several ranks, rank 0 does it for all."""

    folder: Path | None = None
    """Where `best_model.zip` and `last_model.zip` go; None: nothing is written."""
    checkpoint_every: int = 50_000
    """User-steps between checkpoints; each is written before the first rollout that begins at or after a multiple
    of this."""
    evaluate: Callable[[Policy], Mapping[str, float]] | None = None
    """Judges a policy on held-out users; logged under `eval/`."""
    evaluate_every: int = 50_000
    """User-steps between evaluations, likewise; there is one before the first step and one after the last."""
    best_by: str = "score"
    """The evaluation's figure by which the best policy is chosen (higher is better)."""
    tensorboard: Path | None = None
    """Folder of TensorBoard events."""
    reference_scores: Mapping[str, float] | None = None
    """Scores of 'random' and of an 'oracle', for the share of the gap between them."""
    picture: Callable[[Policy], np.ndarray] | None = None
    """Draws a slate as an RGB array, logged with every evaluation."""
    log_every: int = 10_000
    """User-steps between points of the curves."""
    progress: bool = True
    """A progress bar on stderr (none where it is not a terminal)."""
