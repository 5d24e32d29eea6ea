"""Off-policy estimators measured where the truth is known: bias, error and coverage over fresh logs.

`python -m benchmarks.ope_shop [--quick] [--json FILE]`. A shop of 8 items and 3 positions with 10 contexts: all 336
slates are enumerated, so the value of the policy judged is exact. Position-based users meet the assumption of IIPS,
cascade users (who may stop after a click) break it.
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from agents import plackett_luce
from benchmarks.common import Case, Options, case, main, result
from evaluation.estimators import Estimate, iips, pbm_ips, rips, sips, sniips, snrips, snsips
from evaluation.intervals import bootstrap_estimate, estimate_interval

__all__ = ["measure"]

N_ITEMS, K, N_CONTEXTS = 8, 3, 10
THETA = np.array([0.9, 0.6, 0.4])
STOP = 0.7  # a cascade user stops after a click with this probability


@dataclass(frozen=True)
class Law:
    """A Plackett-Luce policy over all `S` slates of each of `C` contexts."""

    slate: NDArray[np.float64]  # (C, S)
    cascade: NDArray[np.float64]  # (C, S, K)
    item: NDArray[np.float64]  # (C, S, K)
    anywhere: NDArray[np.float64]  # (C, S, K, K) the item at k stands at j


class Laboratory:
    """The shop: its slates, policies and users."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.slates = np.array(list(itertools.permutations(range(N_ITEMS), K)), np.int64)  # (S, K)
        appeal = rng.uniform(0.05, 0.6, (N_CONTEXTS, N_ITEMS))
        self.shown_appeal = appeal[:, self.slates]  # (C, S, K)
        taste = (appeal - appeal.mean()) / appeal.std()
        noise = rng.normal(size=appeal.shape)
        self.behaviour = self._law(0.4 * taste + 0.4 * noise)
        self.evaluation = self._law(0.9 * taste)

    def _law(self, scores: NDArray[np.float64]) -> Law:
        S = self.slates.shape[0]
        cascade, anywhere = [], []
        for row in scores:
            every = np.tile(row, (S, 1))
            cascade.append(np.exp(plackett_luce.log_cascade(every, self.slates)))
            # The marginal of item i at position j, from any slate that has i at j.
            marginal = np.zeros((N_ITEMS, K))
            marginal[self.slates, np.arange(K)] = plackett_luce.item_position_marginals(every, self.slates)
            anywhere.append(marginal[self.slates])  # (S, K, K)
        joint, position = np.stack(cascade), np.stack(anywhere)
        return Law(joint[..., -1], joint, np.einsum("cskk->csk", position).copy(), position)

    def click_probability(self, users: str) -> NDArray[np.float64]:
        """(C, S, K) marginal click probabilities."""
        if users == "position-based":
            return THETA * self.shown_appeal
        reached = np.ones(self.shown_appeal.shape[:2])
        clicks = np.empty_like(self.shown_appeal)
        for k in range(K):
            clicks[..., k] = reached * self.shown_appeal[..., k]
            reached = reached * (1 - STOP * self.shown_appeal[..., k])
        return clicks

    def truth(self, users: str, law: Law) -> float:
        """Expected clicks per slate, by enumeration."""
        return float((law.slate * self.click_probability(users).sum(axis=2)).sum() / N_CONTEXTS)

    def log(
        self, n: int, users: str, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Contexts (n,), slate numbers (n,) and clicks (n, K) under the logging policy."""
        context = rng.integers(0, N_CONTEXTS, n)
        edges = np.cumsum(self.behaviour.slate, axis=1)
        edges[:, -1] = 1.0
        slate = (rng.random(n)[:, None] > edges[context]).sum(axis=1)
        appeal = self.shown_appeal[context, slate]
        if users == "position-based":
            return context, slate, (rng.random((n, K)) < THETA * appeal).astype(np.float64)
        click, here = np.zeros((n, K)), np.ones(n, np.bool_)
        for k in range(K):
            click[:, k] = here & (rng.random(n) < appeal[:, k])
            here &= ~((click[:, k] > 0) & (rng.random(n) < STOP))
        return context, slate, click


def estimates(lab: Laboratory, n: int, users: str, rng: np.random.Generator) -> dict[str, Estimate]:
    """Every estimator on one fresh log of `n` slates."""
    context, slate, click = lab.log(n, users, rng)
    b, e, at = lab.behaviour, lab.evaluation, (context, slate)
    return {
        "SIPS": sips(click, b.slate[at], e.slate[at]),
        "SNSIPS": snsips(click, b.slate[at], e.slate[at]),
        "IIPS": iips(click, b.item[at], e.item[at]),
        "SNIIPS": sniips(click, b.item[at], e.item[at]),
        "RIPS": rips(click, b.cascade[at], e.cascade[at]),
        "SNRIPS": snrips(click, b.cascade[at], e.cascade[at]),
        "PBM-IPS": pbm_ips(click, b.anywhere[at], e.anywhere[at], examination=THETA),
    }


def measure(options: Options) -> dict[str, Any]:
    """All cases as one JSON-ready object; `--quick`: fewer logs and rows."""
    lab = Laboratory()
    n_logs, n = (100, 1000) if options.quick else (1000, 1000)
    cases: list[Case] = []
    for users in ("position-based", "cascade"):
        cases += _errors(lab, users, n_logs, n)
    return result("ope_shop", cases, packages=("numpy", "scipy"))


def _errors(lab: Laboratory, users: str, n_logs: int, n: int) -> list[Case]:
    truth = lab.truth(users, lab.evaluation)
    values: dict[str, list[float]] = {}
    held: dict[str, list[bool]] = {}
    for seed in tqdm(range(n_logs), desc=f"{users} users", unit="log", disable=None, leave=False):
        for name, found in estimates(lab, n, users, np.random.default_rng([seed, 1])).items():
            values.setdefault(name, []).append(found.value)
            interval = estimate_interval(found)
            held.setdefault(name, []).append(interval.low <= truth <= interval.high)
            if name == "SNIIPS":
                boot = bootstrap_estimate(found, n_resamples=500)
                held.setdefault("SNIIPS, bootstrap", []).append(boot.low <= truth <= boot.high)
    cases = [
        case(
            f"{users} users: value of the policy judged",
            truth,
            "clicks a slate",
            lab.truth(users, lab.behaviour),
        )
    ]
    whole = float(np.sqrt(np.mean(np.square(np.array(values["SIPS"]) - truth))) / truth)
    for name, guesses in values.items():
        error = np.array(guesses) - truth
        rmse = float(np.sqrt(np.mean(np.square(error))) / truth)
        what = f"{users} users: {name}"
        cases.append(case(f"{what}, root mean square error, {n:,} slates", rmse, "of the value", whole))
        cases.append(case(f"{what}, bias", float(error.mean() / truth), "of the value"))
    for name, inside in held.items():
        share = float(np.mean(inside))
        what = f"{users} users: {name}, coverage of 95 % intervals over {n_logs:,} logs"
        cases.append(case(what, share, "share of logs", 0.95))
    return cases


if __name__ == "__main__":
    sys.exit(main(measure, description=__doc__))
