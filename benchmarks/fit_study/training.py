"""What a policy trained on an ensemble fitted to a log keeps of what one trained in the true store wins."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from agents.learning import policy_of, train_agent
from agents.ppo.config import PPOConfig
from behavior.files import atomic_path
from benchmarks.fit_study.cells import JUDGED
from benchmarks.fit_study.worlds import (
    fresh_log,
    open_shop,
    ranked_world,
    shop_task,
    tables_of,
    with_true_relevance,
)
from evaluation.online import evaluate_policy
from simulators.ensemble import EnsembleConfig, fit_ensemble

__all__ = ["read_training", "run_training", "training_name"]


def training_name(
    store: str, sessions: int, seed: int, steps: int, pessimism: float, told: bool = False
) -> str:
    """Name of the cell's file."""
    return f"training-{store}-{sessions}-{seed}-{steps}-{pessimism:g}{'-told' if told else ''}.json"


def read_training(
    folder: Path, store: str, sessions: int, seed: int, steps: int, pessimism: float, told: bool = False
) -> dict[str, Any] | None:
    """A cell that is there."""
    path = folder / training_name(store, sessions, seed, steps, pessimism, told)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def run_training(
    folder: Path,
    store: str,
    sessions: int,
    seed: int,
    *,
    steps: int,
    pessimism: float,
    members: int,
    true_users: int,
    told: bool = False,
) -> dict[str, Any]:
    """Train PPO for as many steps in the ensemble and in the true store, and judge both in the true store.

    Args:
        folder: Where cells are kept.
        store: One of `STORES`.
        sessions: Sessions of the log.
        seed: Of log, ensemble and trainings.
        steps: User-steps of each training.
        pessimism: Of the training in the ensemble.
        members: Of the ensemble.
        true_users: Users that judge each policy.
        told: Show fit and learners the true relevance of every item, which no log tells.
    """
    shop = open_shop(store)
    log = fresh_log(shop, sessions, seed)
    features = shop.features if shop.features is not None else tables_of(shop.store, log)
    if told:
        features = with_true_relevance(features, shop.store)
    config = EnsembleConfig(members=members)
    ensemble = fit_ensemble((), log.train, log.valid, features, config, seed=seed, progress=False)
    task = shop_task(shop)
    truth = ranked_world(shop, features, shop.users)
    cell: dict[str, Any] = {"store": store, "sessions": sessions, "seed": seed, "steps": steps}
    cell |= {
        "pessimism": pessimism,
        "told": told,
        "families": sorted({member.name for member in ensemble.members}),
    }
    worlds = {
        "ensemble": (ranked_world(shop, features, ensemble), replace(task, pessimism=pessimism)),
        "true store": (truth, task),
    }
    policies: dict[str, Any] = {"behavior": shop.store.behavior_policy}
    for name, (world, trained_for) in worlds.items():
        began = time.perf_counter()
        learner = train_agent(PPOConfig(), world, trained_for, total_steps=steps, seed=seed)
        policies[name] = policy_of(learner)
        cell[f"seconds in the {name}"] = time.perf_counter() - began
    for name, policy in policies.items():
        score = evaluate_policy(
            policy, truth, task, n_users=true_users, seed=seed, first_user=JUDGED, progress=False
        ).score
        cell[name] = float(score.mean())
        cell[f"{name}, error"] = float(score.std(ddof=1) / np.sqrt(len(score)))
    with atomic_path(folder / training_name(store, sessions, seed, steps, pessimism, told)) as temporary:
        temporary.write_text(json.dumps(cell, indent=1) + "\n", encoding="utf-8")
    return cell
