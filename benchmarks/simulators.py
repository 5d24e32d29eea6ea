"""Speed of the simulated users, and what a fit takes and reaches.

`python -m benchmarks.simulators [--quick] [--store] [--json FILE]`

With `--store`, instead, the held-out scores of simulators fitted to the demo store's log, relevance from word hashes.
`--write-docs` measures nothing: it writes the table of docs/simulators.md anew from
benchmarks/results/simulators_store.json.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np

from behavior.split import split_steps_by_time
from behavior.steps import LoggedSteps
from benchmarks.common import Case, Options, case, main, result
from benchmarks.speed.docs import RESULTS, fill_blocks
from encoders import FinetuneConfig, HashEncoder, build_features, finetune
from encoders.features import FeatureTables
from simulators.composed import ComposedSimulator
from simulators.example import example_candidates, example_features, example_simulator
from simulators.fitting.fit import fit_simulator
from simulators.rollout import RandomPages, simulate_steps
from store.config import StoreConfig
from store.shop import open_store

__all__ = ["SimulatorsOptions", "measure"]

STORE_FITS = ("pbm", "cascade", "skimming")
_DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "simulators.md"


@dataclass(frozen=True, kw_only=True)
class SimulatorsOptions(Options):
    """What to measure, and where to put it."""

    store: bool = False
    """Fits to the demo store's log instead of speed."""
    write_docs: bool = False
    """Measure nothing; write the table of the docs anew."""


SLATE = 10
MAX_STEPS = 10


def measure(options: SimulatorsOptions) -> dict[str, Any]:
    """All cases as one JSON-ready object; `--quick`: smaller logs and shorter runs."""
    if options.write_docs:
        found: dict[str, Any] = json.loads((RESULTS / "simulators_store.json").read_text(encoding="utf-8"))
        fill_blocks(_DOCUMENT, {"simulators-store": _table(found)})
        return found
    if options.store:
        return result("simulators_store", _store_fits(options), packages=("numpy", "numba", "torch"))
    quick = options.quick
    features = example_features(n_items=2_400, n_queries=400, width=48, n_categories=40)
    cases: list[Case] = []
    for kind in ("pbm", "cascade"):
        simulator = example_simulator(kind, features=features, slate_size=SLATE)
        for batch in (1, 64, 1_024) if quick else (1, 64, 1_024, 4_096):
            cases.append(_speed(kind, simulator, batch, seconds=0.5 if quick else 3.0))
        cases.extend(_fit(kind, simulator, features, n_sessions=600 if quick else 9_000))
    return result("simulators", cases, packages=("numpy", "numba", "torch"))


def _store_fits(options: SimulatorsOptions) -> list[Case]:
    store = open_store(StoreConfig.tiny() if options.quick else StoreConfig())
    log = split_steps_by_time(store.log.to_steps(store.catalog, store.queries))
    heads = FinetuneConfig(mode="heads")
    model, _ = finetune(HashEncoder(), store.catalog, log.train, log.valid, heads, progress=False)
    features = build_features(store.catalog, store.queries, log.train, model, progress=False)
    cases = []
    for kind in STORE_FITS:
        report = fit_simulator(kind, log.train, log.valid, features, progress=False).report
        for score in report.scores:
            name = f"{kind}: {score.part}, {score.metric}; against {score.baseline_name}"
            cases.append(case(name, score.value, f"{score.n} held-out", score.baseline))
    return cases


def _table(found: dict[str, Any]) -> str:
    """A line a score, a column a click model."""
    lines: dict[str, dict[str, float]] = {}
    for row in found["cases"]:
        kind, _, score = row["case"].partition(": ")
        lines.setdefault(score, {})[kind] = row["value"]
        lines[score]["baseline"] = row["reference"]
    kinds = [*STORE_FITS, "baseline"]
    out = ["| held-out score | " + " | ".join(kinds) + " |", "|---|" + "---:|" * len(kinds)]
    for score, values in lines.items():
        out.append(f"| {score} | " + " | ".join(f"{values[kind]:.4f}" for kind in kinds) + " |")
    return "\n".join(out)


def _speed(kind: str, simulator: ComposedSimulator, batch: int, seconds: float) -> Case:
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
    threads = numba.get_num_threads()
    return case(f"{kind}: respond, batch of {batch:,}, up to {threads} threads", rate, "user-steps/s")


def _fit(kind: str, simulator: ComposedSimulator, features: FeatureTables, n_sessions: int) -> list[Case]:
    source = RandomPages(example_candidates(features), SLATE)

    def log(first_user: int, n: int) -> LoggedSteps:
        return simulate_steps(
            simulator, source, n_sessions=n, max_steps=MAX_STEPS, seed=1, first_user=first_user
        )

    train, valid = log(0, n_sessions), log(n_sessions, n_sessions // 4)
    began = time.perf_counter()
    fitted = fit_simulator(kind, train, valid, features, progress=False)
    seconds = time.perf_counter() - began
    cases = [case(f"{kind}: fit to {train.n_steps:,} pages of {SLATE}", seconds, "s")]
    for score in fitted.report.scores:
        cases.append(
            case(f"{kind}: held-out {score.part}, {score.metric}", score.value, "score", score.baseline)
        )
    return cases


if __name__ == "__main__":
    sys.exit(main(measure, SimulatorsOptions, description=__doc__))
