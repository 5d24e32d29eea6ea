"""Examination from the joint fit, from swaps and from regression EM, on logs whose examination is known.

`python -m benchmarks.position_bias [--quick] [--json FILE]`; `--write-docs` runs nothing and writes the table of
docs/position-bias.md from the result that is kept.

Worlds are those of `simulators.position_bias.worlds`: 30 queries, 12 candidates each, 6 positions, 4,000 pages; users
inside the position-based family with appeal that features show in full, or with a part that only the rankers know, and
users who look from the top (outside it; their examination is the chance of a look averaged over the pages of the log).
All figures are root mean squared errors of examination relative to the first position, with 95 % intervals over
fresh worlds and logs.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.common import Case, Options, case, main, result
from benchmarks.speed.docs import fill_blocks, read_kept
from simulators.fitting.config import FitConfig
from simulators.fitting.fit import fit_simulator
from simulators.fitting.replay import replay
from simulators.parts.examination import PositionExamination
from simulators.position_bias.for_fit import identification_of
from simulators.position_bias.harvest import harvest
from simulators.position_bias.intervals import estimate_from_swaps
from simulators.position_bias.regression_em import Regressor, fit_regression_em
from simulators.position_bias.worlds import RANKINGS, Ranking, Users, make_bias_world

__all__ = ["BiasOptions", "error_of", "measure", "measure_log", "summarise", "table_of"]

Floats = NDArray[np.float64]
USERS: tuple[tuple[str, Users, float], ...] = (
    ("position-based, features show all", "pbm", 0.0),
    ("position-based, rankers know more", "pbm", 1.0),
    ("look from the top, rankers know more", "cascade", 1.0),
)
WAYS = ("rates by position", "joint fit", "swaps, pooled", "swaps, all-pairs", "EM, line", "EM, trees")
_DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "position-bias.md"


@dataclass(frozen=True, kw_only=True)
class BiasOptions(Options):
    """How, and whether to write the document."""

    worlds: int = 5
    """Fresh worlds and logs of each kind."""
    jobs: int = 2
    """Processes."""
    write_docs: bool = False
    """Run nothing; write the table of docs/position-bias.md from the result that is kept."""


def measure(options: BiasOptions) -> dict[str, Any]:
    """Fit all, compare. `--quick`: two small worlds."""
    if options.write_docs:
        return _write_docs()
    n_worlds, n_pages = (2, 1_500) if options.quick else (options.worlds, 4_000)
    kinds = [(name, users, hidden, ranking) for name, users, hidden in USERS for ranking in RANKINGS]
    jobs = [(*kind[1:], n_pages, seed) for kind in kinds for seed in range(n_worlds)]
    # Processes of their own: a forked one may not use parallel kernels.
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        done = pool.map(_measure_job, jobs)
        logs = list(tqdm(done, total=len(jobs), desc="position bias", unit="log", disable=None))
    rows: list[dict[str, Any]] = [
        {"users": kind[0], "log": kind[3], **summarise(logs[at * n_worlds : (at + 1) * n_worlds])}
        for at, kind in enumerate(kinds)
    ]
    cases: list[Case] = [
        case(f"{row['users']}; {row['log']}: {way}", found["rmse"], "RMSE of examination")
        for row in rows
        for way, found in row["ways"].items()
        if found["rmse"] is not None
    ]
    return result("position bias", cases, packages=("numpy", "torch", "scikit-learn")) | {
        "settings": {"worlds": n_worlds, "pages": n_pages},
        "worlds": rows,
    }


def _measure_job(job: tuple[Users, float, Ranking, int, int]) -> dict[str, Any]:
    users, hidden, ranking, n_pages, seed = job
    return measure_log(users, hidden, ranking, n_pages=n_pages, seed=seed)


def measure_log(
    users: Users, hidden: float, ranking: Ranking, *, n_pages: int, seed: int, n_bootstrap: int = 60
) -> dict[str, Any]:
    """Errors (K-1,) of each way on one fresh log, and how many of the swaps' intervals hold the truth."""
    world = make_bias_world(users, hidden=hidden, seed=seed)
    steps, truth = world.log(ranking, n_pages, seed=1_000 + seed)
    seen = replay(world.features, steps, ring=64)
    found = harvest(steps)
    known = identification_of(steps, world.features, seen, found)
    rates = steps.click.mean(axis=0)
    early = steps.session < 0.85 * n_pages
    # All ways learn from all pages; the joint fit's held-out part chooses nothing.
    fit = fit_simulator("pbm", steps, steps.take(~early), world.features, FitConfig(), progress=False)
    assert isinstance(fit.examination, PositionExamination)
    gamma: dict[str, Floats | None] = {"rates by position": rates, "joint fit": fit.examination.gamma}
    inside = n = 0
    if known.tied().all() and known.reference == 0:
        swaps = estimate_from_swaps(found, reference=0, tied=known.tied(), n_bootstrap=n_bootstrap, seed=seed)
        for way in ("pooled", "all-pairs"):
            gamma[f"swaps, {way}"] = np.array([figure.value for figure in swaps.by[way]])
        held = [f.low <= t <= f.high for f, t in zip(swaps.by["pooled"][1:], truth[1:], strict=True)]
        inside, n = sum(held), len(held)
    regressors: tuple[Regressor, ...] = ("line", "trees")
    for regressor in regressors:
        gamma[f"EM, {regressor}"] = fit_regression_em(
            seen.rows,
            seen.position,
            seen.click,
            n_positions=steps.slate_size,
            regressor=regressor,
            judge=~early[seen.page],
        ).examination
    return {
        "errors": {way: error_of(gamma.get(way), truth) for way in WAYS},
        "inside": inside,
        "intervals": n,
        "settled": known.share("swaps"),
    }


def error_of(gamma: Floats | None, truth: Floats) -> Floats | None:
    """(K-1,) errors relative to the first position; None where there is no estimate."""
    return None if gamma is None else np.asarray(gamma[1:] / gamma[0] - truth[1:])


def summarise(logs: list[dict[str, Any]], *, n_bootstrap: int = 2_000) -> dict[str, Any]:
    """RMSE over logs and positions with intervals over resampled logs; None where a log has no estimate."""
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(logs), (n_bootstrap, len(logs)))
    ways: dict[str, Any] = {}
    for way in WAYS:
        errors = [log["errors"][way] for log in logs]
        if any(e is None for e in errors):
            ways[way] = {"rmse": None, "interval": None, "bias": None}
            continue
        squares = np.array([np.mean(np.square(e)) for e in errors])
        low, high = np.quantile(np.sqrt(squares[draws].mean(axis=1)), [0.025, 0.975])
        ways[way] = {
            "rmse": float(np.sqrt(squares.mean())),
            "interval": [float(low), float(high)],
            "bias": float(np.mean(np.concatenate(errors))),
        }
    n = sum(log["intervals"] for log in logs)
    return {
        "ways": ways,
        "coverage": sum(log["inside"] for log in logs) / n if n else None,
        "settled_by_swaps": float(np.mean([log["settled"] for log in logs])),
    }


def table_of(found: dict[str, Any]) -> str:
    """The errors as Markdown."""
    s = found["settings"]
    versions = ", ".join(f"{name} {text}" for name, text in found["versions"].items())
    lines = [
        f"{s['worlds']} worlds and logs of {s['pages']:,} pages for each line; {versions}.",
        "",
        "| users | log | " + " | ".join(WAYS) + " | intervals of pooled swaps that hold the truth |",
        "|---|---|" + "---:|" * (len(WAYS) + 1),
    ]
    for row in found["worlds"]:
        cells = []
        for way in WAYS:
            one = row["ways"][way]
            cells.append(
                "no swaps"
                if one["rmse"] is None
                else f"{one['rmse']:.3f} ({one['interval'][0]:.3f} to {one['interval'][1]:.3f})"
            )
        covered = "–" if row["coverage"] is None else f"{row['coverage']:.0%}"
        lines.append(f"| {row['users']} | {row['log']} | " + " | ".join([*cells, covered]) + " |")
    return "\n".join(lines)


def _write_docs() -> dict[str, Any]:
    found = read_kept(
        "position_bias",
        mend="python -m benchmarks.position_bias --json benchmarks/results/position_bias.json",
    )
    fill_blocks(_DOCUMENT, {"position-bias": table_of(found)})
    return found


if __name__ == "__main__":
    sys.exit(main(measure, BiasOptions, description=__doc__))
