"""What the cells come to, store by store and size by size, with intervals over logs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Case, case, result
from evaluation.agreement import spearman
from evaluation.simulated_value import STRUCTURE, interval_of_members

__all__ = ["figures_of", "over_logs", "summary"]

_UNITS = {
    "headroom": "share of the log-likelihood",
    "spearman": "rank correlation",
    "regret": "share of best minus behaviour",
    "covered": "share of policies",
    "covered, members alone": "share of policies",
    "differences covered": "share of policies",
    "error": "share of the value",
}


def figures_of(cell: dict[str, Any]) -> dict[str, float]:
    """The figures of one log."""
    policies = cell["policies"]
    true = np.array([p["true"] for p in policies.values()])
    simulated = np.array([p["simulated"] for p in policies.values()])
    chosen, behaviour = int(simulated.argmax()), policies["behavior"]
    held, alone = (
        [_holds(p["members"], p["noise"], cell["users"], p["true"], share) for p in policies.values()]
        for share in (STRUCTURE, 0.0)
    )
    differences = [
        _holds(
            np.subtract(p["members"], behaviour["members"]),
            p["noise"],  # an upper bound: the same users serve both
            cell["users"],
            p["true"] - behaviour["true"],
            STRUCTURE,
        )
        for name, p in policies.items()
        if name != "behavior"
    ]
    return {
        "headroom": (cell["fitted"] - cell["rates"]) / (cell["best"] - cell["rates"]),
        "spearman": float(spearman(simulated[None], true[None])[0]),
        "regret": float((true.max() - true[chosen]) / (true.max() - behaviour["true"])),
        "covered": float(np.mean(held)),
        "covered, members alone": float(np.mean(alone)),
        "differences covered": float(np.mean(differences)),
        "error": float(np.sqrt(np.mean(np.square(simulated / true - 1.0)))),
    }


def _holds(
    members: Sequence[float] | NDArray[np.float64], noise: float, users: int, true: float, structure: float
) -> bool:
    found = interval_of_members(
        np.asarray(members, np.float64), noise**2, users, level=0.95, structure=structure
    )
    return found.low <= true <= found.high


def over_logs(values: Sequence[float], *, seed: int = 0) -> dict[str, float]:
    """Mean, its 95 % bootstrap interval over logs, and the smallest."""
    array = np.asarray(values, np.float64)
    draws = np.random.default_rng(seed).choice(array, (2_000, len(array))).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return {"mean": float(array.mean()), "low": float(low), "high": float(high), "least": float(array.min())}


def summary(cells: Sequence[dict[str, Any]], trainings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The object that the benchmark prints."""
    cases: list[Case] = []
    groups: list[dict[str, Any]] = []
    for store, sessions in sorted({(c["store"], c["sessions"]) for c in cells}):
        own = [c for c in cells if (c["store"], c["sessions"]) == (store, sessions)]
        figures = [figures_of(c) for c in own]
        group: dict[str, Any] = {"store": store, "sessions": sessions, "logs": len(own)}
        for name, unit in _UNITS.items():
            found = over_logs([f[name] for f in figures])
            group[name] = found
            title = f"{store}, {sessions:,} sessions: {name}"
            cases.append(case(title, found["mean"], unit))
        group["families"] = _families(own)
        groups.append(group)
    kept = []
    for told, pessimism in sorted({(t.get("told", False), t["pessimism"]) for t in trainings}):
        own = [t for t in trainings if (t.get("told", False), t["pessimism"]) == (told, pessimism)]
        shares = [
            (t["ensemble"] - t["behavior"]) / (t["true store"] - t["behavior"])
            for t in own
        ]  # fmt: skip
        found = over_logs(shares)
        row = {
            name: float(np.mean([t[name] for t in own])) for name in ("behavior", "ensemble", "true store")
        }
        about = {"pessimism": pessimism, "told": told, "logs": len(own), "steps": own[0]["steps"]}
        kept.append(about | {"kept": found} | row)
        shown = ", the true relevance shown" if told else ""
        cases.append(case(f"improvement kept, pessimism {pessimism:g}{shown}", found["mean"], "share"))
    return result("fit_quality", cases, packages=("numpy", "numba", "torch")) | {
        "structure": STRUCTURE,
        "groups": groups,
        "kept": kept,
        "policies": _policies(cells),
    }


def _families(cells: Sequence[dict[str, Any]]) -> dict[str, int]:
    names = [name for c in cells for name in c["families"]]
    return {name: names.count(name) for name in sorted(set(names))}


def _policies(cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """By store, for logs of 5,000 sessions: mean true and simulated value of each policy, and how often it is held."""
    rows = []
    for store in sorted({c["store"] for c in cells}):
        own = [c for c in cells if c["store"] == store and c["sessions"] == 5_000]
        for name in own[0]["policies"] if own else ():
            here = [c["policies"][name] for c in own if name in c["policies"]]
            held = [_holds(p["members"], p["noise"], own[0]["users"], p["true"], STRUCTURE) for p in here]
            rows.append(
                {
                    "store": store,
                    "policy": name,
                    "true": float(np.mean([p["true"] for p in here])),
                    "simulated": float(np.mean([p["simulated"] for p in here])),
                    "held": float(np.mean(held)),
                }
            )
    return rows
