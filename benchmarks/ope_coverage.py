"""How often intervals from logs hold the truth, which logs are flagged, and what the test of structure finds.

`python -m benchmarks.ope_coverage [--quick] [--cells FOLDER] [--json FILE]`; with `--cells` each case is kept when it
ends and never run again, so that a run that was stopped goes on. `--write-docs` runs nothing and writes the tables of
docs/off-policy-coverage.md from the result that is kept.

Twelve cases: three ways in which users respond, slates of 3 and of 10, logs of about 1,000 and 10,000 slates. The small
logs are sessions of the environment, as its recorder writes them; the large ones are users who do not remember earlier
pages, all in one pass through the parts of the same simulator. Truths are long simulations of other users, with the
chance of a click by formula. What is judged by which criterion stands in docs/off-policy-coverage.md.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise, product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from behavior.files import atomic_path
from benchmarks.common import Case, Options, case, main, result
from benchmarks.ope_study.judge import Judge, estimates, skewness
from benchmarks.ope_study.laws import JUDGED, StudyWorld
from benchmarks.ope_study.summary import summarise, tables
from benchmarks.speed.docs import fill_blocks, read_kept
from evaluation.disagreement import Structure
from evaluation.exact_design import STRUCTURES
from evaluation.intervals import mean_interval

__all__ = ["CoverageOptions", "Study", "kept_case", "measure", "run_case"]

_DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "off-policy-coverage.md"
_BLOCK = 50  # logs made at once
# Users of other logs, of the truth and of the long log must never meet.
_LONG, _TRUTH = 100_000_000, 200_000_000


@dataclass(frozen=True, kw_only=True)
class CoverageOptions(Options):
    """How many logs, and whether to write the document."""

    logs: int = 1000
    """Fresh logs of each case."""
    jobs: int = 2
    """Processes."""
    cells: Path | None = None
    """Keep each case here when it ends, and take those that are here already."""
    write_docs: bool = False
    """Run nothing; write the tables of docs/off-policy-coverage.md from the result that is kept."""


@dataclass(frozen=True)
class Study:
    """One case."""

    structure: Structure
    slate_size: int
    size: int
    """About so many slates a log."""
    n_logs: int
    n_truth: int
    """Users behind the truth."""

    @property
    def name(self) -> str:
        """Name of its file among the cells."""
        users = self.structure.replace(" ", "-")
        return f"{users}-{self.slate_size}-{self.size}-{self.n_logs}.json"

    @property
    def recorded(self) -> bool:
        """Whether the logs come from the environment."""
        return self.size <= 1000

    @property
    def n_users(self) -> int:
        """Users of a log: they see 2.8 pages each in the environment, 2.5 in the pass."""
        return round(self.size / (2.8 if self.recorded else 2.5))


def measure(options: CoverageOptions) -> dict[str, Any]:
    """All cases as one JSON-ready object. `--quick`: 30 small logs each."""
    if options.write_docs:
        return _write_docs()
    sizes = (1000,) if options.quick else (1000, 10_000)
    n_logs, n_truth = (30, 5_000) if options.quick else (options.logs, 150_000)
    studies = [Study(s, k, n, n_logs, n_truth) for n, k, s in product(sizes, (3, 10), STRUCTURES)]
    studies.sort(key=lambda study: study.size * study.slate_size)  # what ends soonest first
    # Processes of their own: a forked one may not use parallel kernels.
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        done = pool.map(partial(kept_case, options.cells), studies)
        found = list(tqdm(done, total=len(studies), desc="coverage", unit="case", disable=None))
    rows = [row for one in found for row in one["rows"]]
    tests = [test for one in found for test in one["tests"]]
    summary = summarise(rows, tests)
    cases: list[Case] = [case(name, value, "share") for name, value in summary.items() if value is not None]
    return result("ope coverage", cases, packages=("numpy", "numba", "scipy")) | {
        "settings": {"logs": n_logs, "users_of_truth": n_truth},
        "summary": summary,
        "rows": rows,
        "tests": tests,
    }


def kept_case(cells: Path | None, study: Study) -> dict[str, list[dict[str, Any]]]:
    """The case from its cell, or run, and kept where there is a folder for it."""
    if cells is None:
        return run_case(study)
    file = cells / study.name
    if not file.is_file():
        cells.mkdir(parents=True, exist_ok=True)
        text = json.dumps(run_case(study), allow_nan=False)
        with atomic_path(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
    found: dict[str, list[dict[str, Any]]] = json.loads(file.read_text(encoding="utf-8"))
    return found


def run_case(study: Study) -> dict[str, list[dict[str, Any]]]:
    """Every log of one case: rows for each policy and estimator, and for each policy the test of structure."""
    world = StudyWorld(study.structure, study.slate_size)
    make = world.recorded if study.recorded else world.passed
    truth, error = _truth(world, study)
    judge = Judge(world, truth)
    n_slates = 0
    for start in range(0, study.n_logs, _BLOCK):
        n = min(_BLOCK, study.n_logs - start)
        first = (start + 1) * study.n_users
        # The pass is chopped finer: its users' states are held all at once.
        at_once = n if study.recorded else 1
        for block in range(0, n, at_once):
            begin = first + block * study.n_users
            pages = make(at_once * study.n_users, first_user=begin)
            ends = np.searchsorted(pages.user, begin + study.n_users * np.arange(at_once + 1))
            for low, high in pairwise(ends.tolist()):
                judge.log(pages.take(slice(low, high)))
            n_slates += pages.user.size
    light = _light(world, study)
    about = {"structure": study.structure, "slate_size": study.slate_size, "size": study.size}
    rows = [
        about
        | {
            "policy": policy,
            "estimator": name,
            "slates_a_log": n_slates / study.n_logs,
            "truth": truth[policy],
            "truth_error": error[policy],
            "skew": light[policy, name][0] / float(np.sqrt(study.n_users)),
            "tail": light[policy, name][1],
            "recorded": study.recorded,
        }
        | {key: value for key, value in asdict(tally).items() if key != "width"}
        | {"half_width": {m: w / tally.n_logs if np.isfinite(w) else None for m, w in tally.width.items()}}
        for (policy, name), tally in judge.tallies.items()
    ]
    tests = [about | {"policy": policy} | asdict(tally) for policy, tally in judge.tests.items()]
    return {"rows": rows, "tests": tests}


def _truth(world: StudyWorld, study: Study) -> tuple[dict[str, float], dict[str, float]]:
    """The value of each policy judged in the states that the logging policy comes to, and its standard error."""
    expect = world.recorded_truth if study.recorded else world.passed_truth
    values: dict[str, list[NDArray[np.float64]]] = {name: [] for name in JUDGED}
    users: list[NDArray[np.int64]] = []
    for start in range(0, study.n_truth, 10_000):
        found, who = expect(min(10_000, study.n_truth - start), first_user=_TRUTH + start)
        users.append(who)
        for name in JUDGED:
            values[name].append(found[name])
    means = {
        name: mean_interval(np.concatenate(values[name]), clusters=np.concatenate(users)) for name in JUDGED
    }
    return {n: m.value for n, m in means.items()}, {n: m.standard_error for n, m in means.items()}


def _light(world: StudyWorld, study: Study) -> dict[tuple[str, str], tuple[float, float]]:
    """Skewness and tail of a log far longer than those judged, for each policy and estimator."""
    make = world.recorded if study.recorded else world.passed
    n_users = min(40_000, study.n_truth)
    pages = make(n_users, first_user=_LONG)
    users = np.asarray(np.unique(pages.user, return_inverse=True)[1])
    logged = world.propensity("logged", pages)
    return {
        (policy, name): skewness(estimate, users)
        for policy in JUDGED
        for name, estimate in estimates(pages, logged, world.propensity(policy, pages)).items()
    }


def _write_docs() -> dict[str, Any]:
    found = read_kept(
        "ope_coverage", mend="python -m benchmarks.ope_coverage --json benchmarks/results/ope_coverage.json"
    )
    fill_blocks(_DOCUMENT, tables(found))
    return found


if __name__ == "__main__":
    sys.exit(main(measure, CoverageOptions, description=__doc__))
