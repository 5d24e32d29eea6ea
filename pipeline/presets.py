"""Presets: whole configurations with a name."""

from __future__ import annotations

from dataclasses import replace

from behavior.errors import InputError
from pipeline.config import (
    JudgeOptions,
    LearnerOptions,
    RelevanceOptions,
    SourceOptions,
    TrainConfig,
    UserOptions,
)

__all__ = ["PRESETS", "preset"]

_DEMO = TrainConfig()

PRESETS: dict[str, tuple[str, TrainConfig]] = {
    "demo": ("the whole way at its defaults, within 12 minutes on 2 cores", _DEMO),
    "smoke": (
        "everything once, small, in under 90 seconds: to see whether it runs, not whether it learns",
        replace(
            _DEMO,
            source=SourceOptions(store_size="tiny"),
            relevance=RelevanceOptions(encoder="hash", finetune="heads"),
            user=UserOptions(simulator="pbm", compare=("pbm",)),
            learner=LearnerOptions(steps=16_384, evaluate_every=8_192, checkpoint_every=8_192, n_envs=128),
            judge=JudgeOptions(
                eval_users=60,
                validation_users=64,
                planner_users=60,
                planner_rollouts=2,
                planner_practice=64,
                explained_users=2,
                explained_rollouts=8,
            ),
        ),
    ),
    "full": (
        "ten times the training and evaluation of demo: hours on a laptop",
        replace(
            _DEMO,
            relevance=RelevanceOptions(finetune_pairs=60_000),
            learner=LearnerOptions(steps=4_000_000, evaluate_every=200_000, checkpoint_every=200_000),
            judge=JudgeOptions(
                eval_users=5_000, validation_users=1_000, planner_users=2_000, planner_rollouts=8
            ),
        ),
    ),
}


def preset(name: str) -> TrainConfig:
    """The configuration called `name`; `InputError` where there is none."""
    if name not in PRESETS:
        raise InputError(
            f"there is no preset {name!r}",
            where="--preset",
            mend="choose one of " + ", ".join(PRESETS),
        )
    return PRESETS[name][1]
