"""Passes over a log: what behaviour cloning, off-policy REINFORCE and the warm start have in common."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from agents.base import Policy
from agents.building import Learner, TrainingEnv, build_learner
from agents.checkpoint import Checkpoint, LearnerConfig, write_checkpoint
from agents.dqn.policy import SlateQPolicy
from agents.learned_policy import LearnedPolicy
from agents.offline.transitions import LogTransitions
from agents.ppo.policy import PlackettLucePolicy
from agents.ranks import Ranks
from agents.settings import ABOVE_ZERO, check_numbers
from behavior.errors import InputError
from envs.world import TaskConfig, World

__all__ = ["FittingConfig", "LogBatch", "OfflineResult", "fit_to_log", "fresh_learner", "whole_pages"]


@dataclass(frozen=True, kw_only=True)
class FittingConfig:
    """How often the log is gone over, and in what steps."""

    epochs: int = 8
    """Passes over the pages that are learned from."""
    batch_size: int = 256
    """Pages in a minibatch."""
    learning_rate: float = 2e-3
    """Adam's step size at first; it falls linearly to a tenth of this."""
    max_grad_norm: float = 1.0
    """Gradient norm limit."""
    held_out: float = 0.1
    """Share of the pages (whole sessions, the last ones) that are not learned from and say how well it went."""

    def __post_init__(self) -> None:
        check_numbers(
            self,
            integers={"epochs": 1, "batch_size": 1},
            reals={"learning_rate": (ABOVE_ZERO, math.inf), "held_out": (0.0, 0.9)},
        )


class LogBatch(NamedTuple):
    """A minibatch of logged pages."""

    observations: dict[str, Tensor]
    slates: Tensor  # (B, K) candidate positions
    click: Tensor  # (B, K)
    purchase: Tensor  # (B, K)
    extra: dict[str, Tensor]  # (B, ...) what the algorithm added


Losses = dict[str, Tensor]
"""Named scalars; the one called 'loss' is minimised."""


@dataclass(frozen=True)
class OfflineResult:
    """A network that learned from a log."""

    model: Learner
    config: LearnerConfig
    name: str
    bound: Mapping[str, Any]
    metrics: Mapping[str, float]
    """Mean losses of these weights on the held-out pages; `before_...`: of the first ones; empty where none are."""
    curve: tuple[Mapping[str, float], ...] = field(default=())
    """Held-out losses after each pass."""

    def policy(self, *, temperature: float = 0.0) -> Policy:
        """As a `Policy`: greedy at temperature 0, the network's own law at 1."""
        return LearnedPolicy(self.model.policy, name=self.name, temperature=temperature)

    def save(self, path: Path) -> Path:
        """Write a checkpoint that `load_policy` reads and `train_agent(start_from=...)` begins with.

        Raises:
            InputError: The folder cannot be written to.
        """
        about = Checkpoint(
            config=self.config, task=self.bound, num_timesteps=0, n_updates=0, metrics=dict(self.metrics)
        )
        write_checkpoint(self.model, path, about)
        return path


def fresh_learner(
    config: LearnerConfig, world: World, task: TaskConfig, *, seed: int, device: str = "cpu"
) -> Learner:
    """A learner with fresh weights; its environment is there for the sizes, and is never stepped."""
    ranks = Ranks.alone()
    env = TrainingEnv(config.n_envs, world, task, seed=seed, ranks=ranks)
    return build_learner(config, env, task, seed=seed, device=device, ranks=ranks)


def whole_pages(log: LogTransitions, where: str) -> NDArray[np.int64]:
    """Rows of the pages that are slates of the task.

    Raises:
        InputError: There are none.
    """
    rows = np.flatnonzero(log.whole)
    if not rows.size:
        raise InputError(
            f"none of the log's {log.n_steps:,} pages shows {log.actions.shape[1]} different items that were among its "
            "candidates",
            where=where,
            mend="choose the log's own page length, and give the candidates the log was made from",
        )
    return rows


def fit_to_log(
    model: Learner,
    learner: LearnerConfig,
    log: LogTransitions,
    loss: Callable[[LogBatch], Losses],
    config: FittingConfig,
    *,
    name: str,
    bound: Mapping[str, Any],
    extra: Mapping[str, NDArray[np.float32]] | None = None,
    seed: int,
    device: str = "cpu",
    label: str,
    keep_best: bool = True,
    progress: bool = True,
) -> OfflineResult:
    """Minimise `loss` over the log's whole pages by Adam.

    Args:
        model: Whose policy learns.
        learner: Its settings.
        log: The pages; those that are no slates of the task are passed over.
        loss: Minibatch -> named scalars, means over pages; 'loss' is minimised.
        config: Passes and steps.
        name: Of the policy that comes out.
        bound: What its weights are bound to (`agents.checkpoint.task_of`).
        extra: Further arrays (M, ...) that minibatches carry.
        seed: Of the order of pages.
        device: Where the network lives.
        label: Of the progress bar and of errors.
        keep_best: Whether to end with the weights, those of before included, whose held-out loss was the lowest: on a
            short log the later passes learn its noise.
        progress: Whether to show a bar.

    Returns:
        The model, with its held-out figures.

    Raises:
        InputError: No page is a slate of the task, or the loss has become infinite or undefined.
    """
    network, extra = model.policy, extra or {}
    rows = whole_pages(log, label)
    learned, held = rows, rows[:0]
    if config.held_out > 0:
        first, _ = log.split(config.held_out)
        learned, held = rows[rows < first.n_steps], rows[rows >= first.n_steps]
        if not learned.size:
            learned, held = rows, rows[:0]
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = network.optimizer  # the learner's own: whoever goes on from here takes its moments along
    shuffler = np.random.default_rng(seed)
    total = config.epochs * -(-learned.size // config.batch_size)
    metrics = {
        f"before_{name}": value
        for name, value in _means(network, log, held, loss, extra, config, device).items()
    }
    curve: list[dict[str, float]] = []
    keeping = keep_best and held.size > 0
    best = {name.removeprefix("before_"): value for name, value in metrics.items()}
    kept = _copied(network) if keeping else ({}, {})
    done = 0
    with tqdm(total=total, desc=label, unit="batch", leave=False, disable=None if progress else True) as bar:
        for _ in range(config.epochs):
            network.train()
            for at in np.array_split(shuffler.permutation(learned), -(-learned.size // config.batch_size)):
                for group in optimiser.param_groups:
                    group["lr"] = config.learning_rate * (1.0 - 0.9 * done / total)
                found = loss(_batch(log, at, extra, device))
                if not torch.isfinite(found["loss"]):
                    raise InputError(
                        f"the loss has become {found['loss'].item()}",
                        where=label,
                        mend="try a lower learning_rate, and look for extreme rewards",
                    )
                optimiser.zero_grad()
                found["loss"].backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(weights, config.max_grad_norm)
                optimiser.step()
                done += 1
                bar.update()
            curve.append(_means(network, log, held, loss, extra, config, device))
            if keeping and curve[-1]["loss"] < best["loss"]:
                best, kept = curve[-1], _copied(network)
            bar.set_postfix({name: f"{value:.4f}" for name, value in curve[-1].items()})
    network.eval()
    if keeping:
        network.load_state_dict(kept[0])
        optimiser.load_state_dict(kept[1])
    return OfflineResult(
        model, learner, name, bound, metrics | (best if keeping else curve[-1]), tuple(curve)
    )


def _copied(network: PlackettLucePolicy | SlateQPolicy) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights and optimiser as they stand."""
    return copy.deepcopy(network.state_dict()), copy.deepcopy(network.optimizer.state_dict())


def _batch(
    log: LogTransitions, rows: NDArray[np.int64], extra: Mapping[str, NDArray[np.float32]], device: str
) -> LogBatch:
    def tensor(array: NDArray[Any]) -> Tensor:
        return torch.as_tensor(array, device=device)

    return LogBatch(
        observations={name: tensor(array) for name, array in log.observation.take(rows).as_dict().items()},
        slates=tensor(log.actions[rows]),
        click=tensor(log.click[rows]),
        purchase=tensor(log.purchase[rows]),
        extra={name: tensor(array[rows]) for name, array in extra.items()},
    )


def _means(
    network: nn.Module,
    log: LogTransitions,
    rows: NDArray[np.int64],
    loss: Callable[[LogBatch], Losses],
    extra: Mapping[str, NDArray[np.float32]],
    config: FittingConfig,
    device: str,
) -> dict[str, float]:
    """Mean losses over the pages at `rows`; empty where there are none."""
    network.eval()
    sums: dict[str, float] = {}
    for at in np.array_split(rows, max(1, -(-rows.size // config.batch_size))):
        if not at.size:
            continue
        with torch.no_grad():
            found = loss(_batch(log, at, extra, device))
        for name, value in found.items():
            sums[name] = sums.get(name, 0.0) + float(value) * at.size / rows.size
    return sums
