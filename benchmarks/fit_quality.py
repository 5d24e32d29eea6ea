"""How far simulators fitted to a log agree with the truth, on fresh logs of stores whose users are known.

    python -m benchmarks.fit_quality --cells FOLDER [--parts agreement curve training] [--json FILE]

Each log is a cell, kept as it comes: a run that was stopped goes on where it was. `agreement`: 20 logs of 5,000
sessions of each store; `curve`: the demo store from 500 to 50,000 sessions, 3 logs each; `training`: PPO trained in the
ensemble and in the true store, 3 logs. `--write-docs` measures nothing: it writes the tables and the picture of
docs/fit-quality.md anew from benchmarks/results/fit_quality.json.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from behavior.errors import InputError
from benchmarks.common import Options, main
from benchmarks.fit_study.cells import read_cell, run_cell
from benchmarks.fit_study.summary import summary
from benchmarks.fit_study.training import read_training, run_training
from benchmarks.fit_study.worlds import STORES
from benchmarks.fit_study.writing import write_docs

__all__ = ["FitQualityOptions", "measure"]

FIRST_LOG = 201
"""Seed of the first log that is reported; logs below served to choose constants."""
CURVE = (500, 1_500, 5_000, 15_000, 50_000)
"""Sessions of the logs of the learning curve."""

Part = Literal["agreement", "curve", "training"]


@dataclass(frozen=True, kw_only=True)
class FitQualityOptions(Options):
    """What to measure, and where to keep it."""

    cells: Path | None = None
    """Folder of the cells; what is there is not measured again. --quick does without."""
    parts: tuple[Part, ...] = ("agreement", "curve", "training")
    """Which of them."""
    stores: tuple[str, ...] = STORES
    """Which stores, for `agreement`."""
    logs: int = 20
    """Logs of each store."""
    sessions: int = 5_000
    """Sessions of each of these logs."""
    curve_logs: int = 3
    """Logs of each size of the curve."""
    training_steps: int = 150_000
    """User-steps of each training."""
    training_logs: int = 3
    """Logs that policies are trained on."""
    pessimism: tuple[float, ...] = (0.0, 1.0)
    """Of the trainings in the ensemble."""
    told: bool = False
    """Trainings once more with the true relevance shown to fit and learner: what better texts could bring."""
    members: int = 8
    """Of each ensemble."""
    users: int = 300
    """Users of each policy in each member."""
    true_users: int = 2_000
    """Users of each policy in the true store."""
    as_it_is: bool = False
    """Measure nothing: sum up the cells that are in the folder, whatever their stores, sizes and seeds."""
    write_docs: bool = False
    """Measure nothing; write the docs anew."""


def measure(options: FitQualityOptions) -> dict[str, Any]:
    """All cells, and what they come to; `--quick`: one short log of the demo store."""
    if options.write_docs:
        return {"benchmark": "fit_quality", "written": write_docs()}
    if options.quick:
        with tempfile.TemporaryDirectory() as place:
            cell = run_cell(Path(place), "demo", 500, 1, members=2, users=20, true_users=50)
        return summary([cell], [])
    if options.cells is None:
        raise InputError("no folder for the cells", where="--cells", mend="name one; it is made if need be")
    folder = options.cells
    if options.as_it_is:
        return summary(*_kept(folder))
    folder.mkdir(parents=True, exist_ok=True)
    wanted = list(dict.fromkeys(_wanted(options)))
    cells = []
    for store, sessions, seed in tqdm(wanted, desc="logs", disable=None):
        found = read_cell(folder, store, sessions, seed) or run_cell(
            folder,
            store,
            sessions,
            seed,
            members=options.members,
            users=options.users,
            true_users=options.true_users,
        )
        cells.append(found)
    return summary(cells, _trainings(options, folder) if "training" in options.parts else [])


def _kept(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The reported cells of a folder, logs and trainings; logs that served to choose constants are passed over."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    found = [cell for cell in found if cell["seed"] >= FIRST_LOG]
    if not found:
        raise InputError("there are no cells", where=str(folder), mend="measure some first")
    return [c for c in found if "policies" in c], [c for c in found if "pessimism" in c]


def _wanted(options: FitQualityOptions) -> list[tuple[str, int, int]]:
    logs: list[tuple[str, int, int]] = []
    if "agreement" in options.parts:
        for store in options.stores:
            if store not in STORES:
                raise InputError(f"no store {store!r}", where="--stores", mend=f"one of {', '.join(STORES)}")
            logs += [(store, options.sessions, FIRST_LOG + n) for n in range(options.logs)]
    if "curve" in options.parts:
        logs += [("demo", size, FIRST_LOG + n) for size in CURVE for n in range(options.curve_logs)]
    return logs


def _trainings(options: FitQualityOptions, folder: Path) -> list[dict[str, Any]]:
    found = []
    ways = [(p, False) for p in options.pessimism] + ([(0.0, True)] if options.told else [])
    jobs = [(*way, FIRST_LOG + n) for way in ways for n in range(options.training_logs)]
    for pessimism, told, seed in tqdm(jobs, desc="trainings", disable=None):
        name = ("demo", options.sessions, seed, options.training_steps, pessimism, told)
        found.append(
            read_training(folder, *name)
            or run_training(
                folder,
                "demo",
                options.sessions,
                seed,
                steps=options.training_steps,
                pessimism=pessimism,
                members=options.members,
                true_users=options.true_users,
                told=told,
            )
        )
    return found


if __name__ == "__main__":
    sys.exit(main(measure, FitQualityOptions, description=__doc__))
