"""How often the intervals of `evaluation.agreement` hold the truth, and how far its set of policies spreads.

    python -m benchmarks.agreement [--quick] [--json FILE]

Intervals: sets of 14 policies with spread 1 are made anew, half of them normal and half exponential, with simulated
values of a given correlation; both sides are measured with a given standard error, and the figures of the values as
they are must lie in the intervals from the measured ones. Beside them, for Kendall's tau, the intervals of a plain
parametric bootstrap, which adds the noise a second time. Spread: the policies of `evaluation.policy_set` in the true
demo store.

`--write-docs` measures nothing: it writes the tables of docs/agreement.md anew from benchmarks/results/agreement.json.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.common import Case, Options, case, main, result
from benchmarks.speed.docs import fill_blocks, read_kept
from evaluation.agreement import kendall, measure_agreement

__all__ = ["AgreementOptions", "coverage", "measure"]

_DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "agreement.md"
N_POLICIES = 14
FIGURES = {
    "spearman": "Spearman",
    "kendall": "Kendall",
    "sign_agreement": "pairs in order",
    "regret": "regret",
    "bias": "bias",
    "rmse": "RMSE",
}
PLAIN = "Kendall, plain bootstrap"
REGIMES = tuple((correlation, error) for correlation in (1.0, 0.95, 0.5, 0.0) for error in (0.05, 0.3, 1.0))


@dataclass(frozen=True, kw_only=True)
class AgreementOptions(Options):
    """What to do."""

    write_docs: bool = False
    """Measure nothing; write the tables of the docs anew."""


def measure(options: AgreementOptions) -> dict[str, Any]:
    """All cases as one JSON-ready object; `--quick`: fewer repetitions, a small store."""
    if options.write_docs:
        return _write_docs()
    repetitions = 40 if options.quick else 400
    cases: list[Case] = []
    for correlation, error in tqdm(REGIMES, desc="intervals", unit="regime", disable=None, leave=False):
        shares = coverage(correlation, error, repetitions)
        what = f"correlation {correlation:g}, error {error:g}"
        cases += [
            case(f"{what}: {name}", share, f"share of {repetitions} intervals at 95 %", 0.95)
            for name, share in shares.items()
        ]
    return result("agreement", cases + _spread(quick=options.quick), packages=("numpy", "scipy"))


def coverage(correlation: float, error: float, repetitions: int, *, n_draws: int = 1000) -> dict[str, float]:
    """Share of 95 % intervals that hold the figure of the values as they are, by figure.

    Args:
        correlation: Of simulated and true values in the population of policies.
        error: Standard error of both sides, over the spread of the policies.
        repetitions: Sets of policies.
        n_draws: Draws behind each interval.
    """
    rng = np.random.default_rng([int(100 * correlation), int(100 * error)])
    errors = np.full(N_POLICIES, error)
    hits: dict[str, list[bool]] = {}
    for seed in range(repetitions):
        make = rng.standard_normal if seed % 2 else rng.standard_exponential
        true = make(N_POLICIES)
        simulated = correlation * true + np.sqrt(1 - correlation**2) * make(N_POLICIES)
        seen = [values + error * rng.standard_normal(N_POLICIES) for values in (simulated, true)]
        exact = measure_agreement(simulated, true, n_draws=1)
        found = measure_agreement(
            *seen, simulated_error=errors, true_error=errors, n_draws=n_draws, seed=seed
        )
        for name, words in FIGURES.items():
            interval = found.figure(name)
            value = exact.figure(name).value
            hits.setdefault(words, []).append(interval.low - 1e-9 <= value <= interval.high + 1e-9)
        again = [values + error * rng.standard_normal((n_draws, N_POLICIES)) for values in seen]
        low, high = np.quantile(kendall(*again), [0.025, 0.975])
        hits.setdefault(PLAIN, []).append(bool(low - 1e-9 <= exact.kendall.value <= high + 1e-9))
    return {name: float(np.mean(found)) for name, found in hits.items()}


def _spread(*, quick: bool) -> list[Case]:
    """Score of each policy of the set in the true demo store."""
    from agents.registry import AgentInputs
    from evaluation.online import evaluate_online
    from evaluation.policy_set import policy_set
    from store.config import StoreConfig
    from store.shop import HELD_OUT_USERS, open_store
    from store.world import shop_task, shop_world

    store = open_store(StoreConfig.tiny() if quick else StoreConfig())
    world, task = shop_world(store), shop_task(store)
    steps = store.log.to_steps(store.catalog, queries=store.queries)
    inputs = AgentInputs(features=world.features, train=steps, world=world, task=task)
    policies = policy_set(inputs, behaviour=store.behavior_policy)
    found = evaluate_online(
        policies, world, task, n_users=200 if quick else 2000, first_user=HELD_OUT_USERS, progress=False
    )
    random = float(found["random"].score.mean())
    ranked = sorted(found.outcomes.items(), key=lambda item: -float(item[1].score.mean()))
    return [
        case(f"in the true demo store: {name}", float(outcome.score.mean()), "score per session", random)
        for name, outcome in ranked
    ]


def table_of_intervals(found: dict[str, Any]) -> str:
    """Shares by regime and figure."""
    columns = [*FIGURES.values(), PLAIN]
    lines = [
        "| correlation of simulated and true | error over spread | " + " | ".join(columns) + " |",
        "|---:|---:|" + "---:|" * len(columns),
    ]
    values = {row["case"]: row["value"] for row in found["cases"]}
    for correlation, error in REGIMES:
        what = f"correlation {correlation:g}, error {error:g}"
        cells = [f"{values[f'{what}: {name}']:.2f}" for name in columns]
        lines.append(f"| {correlation:g} | {error:g} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table_of_policies(found: dict[str, Any]) -> str:
    """Scores of the policies in the true store, best first."""
    lines = ["| policy | score per session in the true demo store |", "|---|---:|"]
    start = "in the true demo store: "
    lines += [
        f"| {row['case'].removeprefix(start)} | {row['value']:.2f} |"
        for row in found["cases"]
        if row["case"].startswith(start)
    ]
    return "\n".join(lines)


def _write_docs() -> dict[str, Any]:
    found = read_kept("agreement", mend="run python -m benchmarks.agreement with --json")
    fill_blocks(
        _DOCUMENT,
        {"agreement-intervals": table_of_intervals(found), "agreement-policies": table_of_policies(found)},
    )
    return found


if __name__ == "__main__":
    sys.exit(main(measure, AgreementOptions, description=__doc__))
