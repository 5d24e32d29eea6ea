"""Speed of the simulated users, and what a fit takes and reaches.

`python -m benchmarks.simulators [--quick] [--json FILE]`
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from behavior.files import atomic_path
from behavior.steps import LoggedSteps
from encoders.features import FeatureTables
from simulators.composed import ComposedSimulator
from simulators.example import example_candidates, example_features, example_simulator
from simulators.fitting.fit import fit_simulator
from simulators.rollout import RandomPages, simulate_steps

SLATE = 10
MAX_STEPS = 10


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write the JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="smaller logs and shorter runs: under 45 seconds"
    )
    parser.add_argument("--json", type=Path, help="write the result to this file")
    options = parser.parse_args(arguments)
    result = measure(quick=options.quick)
    for case in result["cases"]:
        reference = "" if case["reference"] is None else f"   (baseline {case['reference']:.4g})"
        print(f"{case['case']:<58} {case['value']:>12,.4g} {case['unit']}{reference}")
    if options.json:
        with atomic_path(options.json) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def measure(*, quick: bool) -> dict[str, Any]:
    """All cases as one JSON object."""
    import numba
    import torch

    features = example_features(n_items=2_400, n_queries=400, width=48, n_categories=40)
    cases = []
    for kind in ("pbm", "cascade"):
        simulator = example_simulator(kind, features=features, slate_size=SLATE)
        for batch in (1, 64, 1_024) if quick else (1, 64, 1_024, 4_096):
            cases.append(_speed(kind, simulator, batch, seconds=0.5 if quick else 3.0))
        cases.extend(_fit(kind, simulator, features, n_sessions=600 if quick else 9_000))
    return {
        "benchmark": "simulators",
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "numba_threads": numba.get_num_threads(),
        },
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "numba": numba.__version__,
            "torch": torch.__version__,
        },
        "cases": cases,
    }


def _case(case: str, value: float, unit: str, reference: float | None = None) -> dict[str, Any]:
    ratio = None if reference is None else value / reference
    return {"case": case, "value": value, "unit": unit, "reference": reference, "ratio": ratio}


def _speed(kind: str, simulator: ComposedSimulator, batch: int, seconds: float) -> dict[str, Any]:
    """User-steps a second: sessions of ten pages of ten items, out of 2,400 items with vectors of 48."""
    rng = np.random.default_rng(0)
    users = np.arange(batch, dtype=np.int64)
    pages = [
        np.argsort(rng.random((batch, 200)), axis=1)[:, :SLATE].astype(np.int32) for _ in range(MAX_STEPS)
    ]
    state = simulator.begin(users, seed=0)
    simulator.respond(state, pages[0], seed=0)  # compiled, or loaded, before the clock starts
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        state = simulator.begin(users, seed=steps)
        for page in pages:
            simulator.respond(state, page, seed=steps)
        steps += batch * MAX_STEPS
    rate = steps / (time.perf_counter() - began)
    return _case(f"{kind}: respond, batch of {batch:,}", rate, "user-steps/s")


def _fit(
    kind: str, simulator: ComposedSimulator, features: FeatureTables, n_sessions: int
) -> list[dict[str, Any]]:
    source = RandomPages(example_candidates(features), SLATE)

    def log(first_user: int, n: int) -> LoggedSteps:
        return simulate_steps(
            simulator, source, n_sessions=n, max_steps=MAX_STEPS, seed=1, first_user=first_user
        )

    train, valid = log(0, n_sessions), log(n_sessions, n_sessions // 4)
    began = time.perf_counter()
    fitted = fit_simulator(kind, train, valid, features, progress=False)
    seconds = time.perf_counter() - began
    cases = [_case(f"{kind}: fit to {train.n_steps:,} pages of {SLATE}", seconds, "s")]
    for score in fitted.report.scores:
        cases.append(
            _case(f"{kind}: held-out {score.part}, {score.metric}", score.value, "score", score.baseline)
        )
    return cases


if __name__ == "__main__":
    main()
