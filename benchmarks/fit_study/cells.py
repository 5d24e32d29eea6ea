"""One log, what is fitted to it, and how far it agrees with the truth; each cell is kept in a file as it comes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from agents.registry import AgentInputs
from behavior.files import atomic_path
from benchmarks.fit_study.best_predictor import (
    best_log_likelihood,
    fitted_log_likelihood,
    rates_log_likelihood,
)
from benchmarks.fit_study.worlds import fresh_log, open_shop, ranked_world, shop_task, tables_of
from evaluation.online import evaluate_policy
from evaluation.policy_set import policy_set
from evaluation.simulated_value import simulate_values
from simulators.ensemble import EnsembleConfig, fit_ensemble

__all__ = ["cell_name", "read_cell", "run_cell"]

JUDGED = 20_000_000
"""First of the users that policies are judged on: none of them is in a log."""


def cell_name(store: str, sessions: int, seed: int) -> str:
    """Name of the cell's file."""
    return f"{store}-{sessions}-{seed}.json"


def read_cell(folder: Path, store: str, sessions: int, seed: int) -> dict[str, Any] | None:
    """A cell that is there."""
    path = folder / cell_name(store, sessions, seed)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def run_cell(
    folder: Path, store: str, sessions: int, seed: int, *, members: int, users: int, true_users: int
) -> dict[str, Any]:
    """Fit an ensemble to a fresh log, and put what it says beside the truth.

    Args:
        folder: Where cells are kept.
        store: One of `STORES`.
        sessions: Sessions of the log.
        seed: Of the log and of the ensemble.
        members: Of the ensemble.
        users: Users of each policy in each member.
        true_users: Users of each policy in the true store.
    """
    began = time.perf_counter()
    shop = open_shop(store)
    log = fresh_log(shop, sessions, seed)
    features = shop.features if shop.features is not None else tables_of(shop.store, log)
    ensemble = fit_ensemble(
        (), log.train, log.valid, features, EnsembleConfig(members=members), seed=seed, progress=False
    )
    fitted = time.perf_counter() - began
    rates, best = rates_log_likelihood(log.train, log.test), best_log_likelihood(shop, log.test)
    of_members = np.stack([fitted_log_likelihood(member, log.test) for member in ensemble.members])
    # The ensemble's own prediction is the mean of its members' chances of what a page's clicks were.
    ours = np.logaddexp.reduce(of_members, axis=0) - np.log(members)
    task = shop_task(shop)
    truth = ranked_world(shop, features, shop.users)
    policies = policy_set(
        AgentInputs(features=features, train=log.train, world=truth, task=task, seed=seed),
        behaviour=shop.store.behavior_policy,
    )
    values = simulate_values(
        policies,
        ranked_world(shop, features, ensemble),
        task,
        n_users=users,
        seed=seed,
        first_user=JUDGED,
        progress=False,
    )
    found: dict[str, Any] = {}
    for name, policy in policies.items():
        score = evaluate_policy(
            policy, truth, task, n_users=true_users, seed=seed, first_user=JUDGED, progress=False
        ).score
        value = values[name]
        found[name] = {
            "true": float(score.mean()),
            "true_error": float(score.std(ddof=1) / np.sqrt(len(score))),
            "simulated": value.interval.value,
            "low": value.interval.low,
            "high": value.interval.high,
            "between": value.between,
            "noise": value.noise,
            "members": value.members.tolist(),
        }
    cell = {
        "store": store,
        "sessions": sessions,
        "seed": seed,
        "families": sorted({member.name for member in ensemble.members}),
        "pages": len(rates),
        "users": users,
        "rates": float(rates.mean()),
        "fitted": float(ours.mean()),
        "best": float(best.mean()),
        "seconds_of_fit": fitted,
        "policies": found,
    }
    with atomic_path(folder / cell_name(store, sessions, seed)) as temporary:
        temporary.write_text(json.dumps(cell, indent=1) + "\n", encoding="utf-8")
    return cell
