"""Does the trust report catch wrong users, and does it leave right ones alone? On fresh logs of users that are known.

`python -m benchmarks.trust [--quick] [--logs N] [--json FILE]`

Two worlds (`simulators.example`: position-based users and cascade users who stop), and three simulators in each: the
true users, the right click model fitted to the log, and the wrong one. A simulator counts as rejected where the
verdict is 'no'.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.common import Case, Options, case, main, result
from simulators.example import example_features, example_log, example_simulator
from simulators.fitting.fit import fit_simulator
from simulators.trust import TrustConfig, TrustReport, measure_trust

__all__ = ["TrustOptions", "measure"]

WORLDS = ("pbm", "cascade")


@dataclass(frozen=True, kw_only=True)
class TrustOptions(Options):
    """What to measure, and where to put it."""

    logs: int = 10
    """Fresh logs of each world."""
    train: int = 4_000
    """Training sessions of a log."""
    held_out: int = 1_500
    """Held-out sessions."""


def measure(options: TrustOptions) -> dict[str, Any]:
    """Shares rejected, and by what; `--quick`: one short log."""
    logs, train_sessions, held_sessions = options.logs, options.train, options.held_out
    if options.quick:
        logs, train_sessions, held_sessions = 1, 600, 300
    found: dict[str, list[TrustReport]] = {}
    features = example_features()
    for number in tqdm(range(logs), desc="logs"):
        for world in WORLDS:
            first = 1_000_000 * number
            train = example_log(world, n_sessions=train_sessions, seed=number, first_user=first)
            held = example_log(
                world, n_sessions=held_sessions, seed=number, first_user=first + train_sessions
            )
            users = {f"world {world}: the true users": example_simulator(world)}
            for name in WORLDS:
                right = "the right model" if name == world else "the wrong model"
                users[f"world {world}: {name}, {right}, fitted"] = fit_simulator(
                    name, train, held, features, progress=False
                )
            for name, simulator in users.items():
                report = measure_trust(simulator, train, held, TrustConfig(seed=number), progress=False)
                found.setdefault(name, []).append(report)
    cases: list[Case] = []
    for name, reports in found.items():
        lacks = Counter(check.name for report in reports for check in report.verdict.lacks)
        cases.append(case(f"{name}: rejected", lacks_share(reports), "share of logs"))
        for what, n in lacks.most_common():
            cases.append(case(f"{name}: {what} differs", n / len(reports), "share of logs"))
        for rows in ("page", "session"):
            areas = [report.test(rows).area.value for report in reports]
            cases.append(case(f"{name}: area under the curve, {rows}s", float(np.mean(areas)), "area", 0.5))
    return result("trust", cases, packages=("numpy", "numba", "scikit-learn", "torch"))


def lacks_share(reports: list[TrustReport]) -> float:
    """Share of reports whose verdict is 'no'."""
    return float(np.mean([report.verdict.answer == "no" for report in reports]))


if __name__ == "__main__":
    sys.exit(main(measure, TrustOptions, description=__doc__))
