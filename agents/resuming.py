"""Where a training begins: with fresh weights, with another's, or exactly where it was stopped."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.building import Learner
from agents.chance import global_chance, restore_global_chance
from agents.checkpoint import (
    TABLES,
    Checkpoint,
    LearnerConfig,
    differences,
    read_checkpoint,
    read_parameters,
    read_training_state,
    task_differences,
)
from agents.ranks import Ranks
from behavior.errors import InputError

__all__ = ["SIZES", "begin_with", "best_so_far", "go_on_from", "training_state"]

SIZES = ("slate_size", "n_candidates", "history", "memory", "context_size", "vector_size", "numeric_names")
"""Entries of `task_of` that the shapes of weights depend on."""

_MAY_CHANGE = ("learning_rate is ", "max_grad_norm is ")
"""Settings that may differ after a resume: they shape the updates to come and no state that is kept."""


def training_state(model: Learner, ranks: Ranks) -> dict[str, NDArray[Any]]:
    """All that `go_on_from` needs beside weights and optimiser, of all ranks; on rank 0, empty on the others.

    Every rank calls it, between an update and the next rollout.
    """
    mine = {f"learner/{name}": array for name, array in model.training_state().items()}
    mine |= {f"chance/{name}": array for name, array in global_chance(model.device).items()}
    return {
        f"rank{rank}/{name}": array
        for rank, state in enumerate(ranks.gather(mine))
        for name, array in state.items()
    }


def go_on_from(
    path: Path, model: Learner, config: LearnerConfig, bound: Mapping[str, Any], ranks: Ranks
) -> None:
    """Bring `model` to where the training that wrote `path` was; each rank reads its own share.

    Args:
        path: A `last_model.zip`.
        model: Built with the same configuration.
        config: That configuration.
        bound: `task_of` the world and task.
        ranks: The group; as many as wrote the checkpoint.

    Raises:
        InputError: The checkpoint is of another configuration or number of ranks, torn, or no training's.
    """
    before = read_checkpoint(path)
    _refuse_another(before, config, bound, path)
    state = read_training_state(path)
    wrote = 1 + max(int(found[1]) for found in (re.match(r"rank(\d+)/", name) for name in state) if found)
    if wrote != ranks.size:
        raise InputError(
            f"this checkpoint was written by {wrote} processes, and here are {ranks.size}",
            where=str(path),
            mend=f"go on with torchrun --nproc-per-node {wrote}" if wrote > 1 else "go on without torchrun",
        )
    model.set_parameters(read_parameters(path, str(model.device)), device=model.device)
    model.num_timesteps, model._n_updates = before.num_timesteps, before.n_updates
    model.restore_training_state(_part(state, f"rank{ranks.rank}/learner/"))
    restore_global_chance(_part(state, f"rank{ranks.rank}/chance/"), model.device)


def begin_with(path: Path, model: Learner, config: LearnerConfig, bound: Mapping[str, Any]) -> None:
    """Give `model` the weights of a checkpoint and the moments of their optimiser; counters and schedules stay fresh.

    Adam's first steps without moments move every weight by the whole step size, whatever its gradient: they would undo
    what the weights have learned.

    Args:
        path: A checkpoint of the same kind of learner, network, sizes and tables; all else may differ.
        model: Freshly built.
        config: Its configuration.
        bound: `task_of` the world and task.

    Raises:
        InputError: The weights do not fit.
    """
    before = read_checkpoint(path)
    wrong = _kinds(before.config, config) or [
        f"network.{line}"
        for line in differences(dataclasses.asdict(before.config.network), dataclasses.asdict(config.network))
    ]
    wrong += task_differences(before.task, bound, (*SIZES, *TABLES))
    if wrong:
        raise InputError(
            "the weights of this checkpoint do not fit: " + "; ".join(wrong),
            where=str(path),
            mend="begin with a checkpoint of the same agent, network, task sizes and tables, or with none",
        )
    found = read_parameters(path, str(model.device))
    model.policy.load_state_dict(found["policy"])
    optimiser = model.policy.optimizer
    own = optimiser.state_dict()["param_groups"]  # step sizes are of this configuration
    optimiser.load_state_dict({"state": found["policy.optimizer"]["state"], "param_groups": own})


def best_so_far(best: Path | None, figure: str) -> float:
    """What the best policy of the run scored."""
    if best is None or not best.exists():
        return -np.inf
    return float(read_checkpoint(best).metrics.get(figure, -np.inf))


def _part(state: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}


def _kinds(there: LearnerConfig, here: LearnerConfig) -> list[str]:
    if type(there) is type(here):
        return []
    return [f"agent is {type(there).__name__} there and {type(here).__name__} here"]


def _refuse_another(before: Checkpoint, config: LearnerConfig, bound: Mapping[str, Any], path: Path) -> None:
    changed = _kinds(before.config, config)
    if not changed:
        found = differences(dataclasses.asdict(before.config), dataclasses.asdict(config))
        changed = [line for line in found if not line.startswith(_MAY_CHANGE)]
    changed += task_differences(before.task, bound, sorted(before.task.keys() | bound.keys()))
    if changed:
        raise InputError(
            "this checkpoint is of another configuration: " + "; ".join(changed),
            where=str(path),
            mend="go on with the configuration it was made with, or start a new run",
        )
