"""What do whole runs give? Trained in the fitted simulator by the defaults of `train.py`, judged in the true store.

`python -m benchmarks.pipeline_runs [--quick] [--json FILE] [--part agents|ablation|all] [--seeds 0 1 2]`. Every cell
is a whole run of `train.py` in `--folder`; a cell that is finished is read, not run again, so the table can be made in
several sittings. Cells:

- agents: PPO and DQN, against relevance order and popularity on the same users of the true store;
- ablation: PPO without the fine-tuned relevance model as candidate source, as part of the observation, as part of
  the reward.

`--write-docs` runs nothing and writes the tables of README.md and docs/learning.md from the result that is kept.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from behavior.errors import InputError
from benchmarks.common import Case, Options, case, main, result
from benchmarks.speed.docs import fill_blocks, read_kept

__all__ = ["RunsOptions", "measure", "tables_of"]

ROOT = Path(__file__).resolve().parent.parent
ABLATIONS: dict[str, tuple[str, ...]] = {
    "all three": (),
    "not as candidate source": ("--no-as-candidates",),
    "not in the observation": ("--no-as-observation",),
    "not in the reward": ("--reward.relevance", "0"),
}
RIVALS = ("relevance", "popularity")
_AGENTS = {"ppo": "**PPO** (Plackett–Luce)", "dqn": "**DQN** (SlateQ)"}
_POLICIES = {
    "random": "random",
    "popularity": "popularity",
    "click-greedy": "click model, ranked greedily",
    "behavior": "the policy that made the log",
    "mmr": "MMR",
    "relevance": "relevance order (fine-tuned BERT)",
    "myopic": "myopic oracle (sees the true user)",
    "planning": "planning oracle (sees the true user)",
}
_ENDS = ("mean over seeds", "low end of 95 % over seeds", "high end of 95 % over seeds")


@dataclass(frozen=True, kw_only=True)
class RunsOptions(Options):
    """Which cells."""

    part: Literal["agents", "ablation", "all"] = "agents"
    """The learners against the baselines, the ablation of the relevance model, or both."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of fine-tuning, fitting, training and judging."""
    folder: Path = ROOT / "logs" / "benchmark-pipeline-runs"
    """Where the runs lie."""
    options: str = ""
    """Further options for every train.py, as one quoted text."""
    write_docs: bool = False
    """Run nothing; write the tables of README.md and docs/learning.md from the result that is kept."""
    jobs: int = 1
    """Runs side by side; give each its share of the cores with --options="--threads 1"."""


def measure(options: RunsOptions) -> dict[str, Any]:
    """Run what is missing, read all, and sum it up."""
    if options.write_docs:
        return _write_docs()
    cells: dict[str, tuple[str, ...]] = {}
    extra = tuple(shlex.split(options.options))
    seeds = options.seeds
    if options.quick:
        extra, seeds = (*extra, "--preset", "smoke", "--steps", "4096"), seeds[:1]
    if options.part in ("agents", "all"):
        cells |= {agent: ("--agent", agent) for agent in ("ppo", "dqn")}
    if options.part in ("ablation", "all"):
        cells |= {f"ppo, relevance {name}": ("--agent", "ppo", *flags) for name, flags in ABLATIONS.items()}
    folder = options.folder / ("quick" if options.quick else "full")
    # Seeds go round fastest: runs side by side then do not fine-tune the same relevance model twice.
    jobs = [(name, (*flags, "--seed", str(seed), *extra)) for name, flags in cells.items() for seed in seeds]
    with ThreadPoolExecutor(options.jobs) as pool:
        running = pool.map(lambda job: _cell(folder, *job), jobs)
        tables = list(tqdm(running, total=len(jobs), desc="runs", disable=None))
    cases: list[Case] = []
    for c, name in enumerate(cells):
        cases += _summary(name, seeds, tables[c * len(seeds) : (c + 1) * len(seeds)])
    return result("pipeline_runs", cases, packages=("numpy", "torch", "stable-baselines3", "gymnasium"))


def _cell(folder: Path, name: str, arguments: tuple[str, ...]) -> dict[str, Any]:
    """The table of one run, made if it is not there."""
    run = "_".join(a.lstrip("-").replace(".", "-").replace("/", "-") for a in arguments)
    path = folder / run
    if not (path / "report.html").is_file():
        start = (
            ("--resume", str(path))
            if (path / "config.yaml").is_file()
            else ("--name", run, "--logs", str(folder))
        )
        preset = [] if start[0] == "--resume" else list(arguments)
        command = [sys.executable, str(ROOT / "train.py"), *start, *preset, "--quiet"]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise InputError(
                f"the run for {name} ended with code {done.returncode}: {done.stderr.strip()[-500:]}",
                where=" ".join(command),
                mend="mend what it says and start again; finished runs are kept",
            )
    table: dict[str, Any] = json.loads((path / "table.json").read_text(encoding="utf-8"))
    table["comparisons"] = json.loads((path / "comparisons.json").read_text(encoding="utf-8"))
    return table


def _summary(name: str, seeds: tuple[int, ...], tables: list[dict[str, Any]]) -> list[Case]:
    """Per seed and over seeds: score, share of the gap, and paired differences with their intervals."""
    cases = []
    agent = name.split(",")[0]
    rows = [{row["policy"]: row for row in table["rows"]} for table in tables]
    for seed, table, by_name in zip(seeds, tables, rows, strict=True):
        mine = by_name[agent]
        cases.append(
            case(f"{name}, seed {seed}: score", mine["score"], "per session", by_name["planning"]["score"])
        )
        for rival in RIVALS:
            found = table["comparisons"][rival]
            cases.append(case(f"{name}, seed {seed}: score above {rival}", found["value"], "per session"))
            cases.append(
                case(f"{name}, seed {seed}: above {rival}, low end of 95 %", found["low"], "per session")
            )
    scores = np.array([by_name[agent]["score"] for by_name in rows])
    shares = np.array([by_name[agent]["share_of_gap"] for by_name in rows])
    for what, values in (("score", scores), ("share of gap", shares)):
        low, high = _interval(values)
        cases.append(case(f"{name}: {what}, mean over seeds", float(values.mean()), "per session or share"))
        cases.append(case(f"{name}: {what}, low end of 95 % over seeds", low, "per session or share"))
        cases.append(case(f"{name}: {what}, high end of 95 % over seeds", high, "per session or share"))
    for other in (
        "random",
        "popularity",
        "relevance",
        "mmr",
        "behavior",
        "click-greedy",
        "myopic",
        "planning",
    ):
        known = [float(by_name[other]["score"]) for by_name in rows if other in by_name]
        if known:
            cases.append(
                case(f"{name}: score of {other}, mean over seeds", float(np.mean(known)), "per session")
            )
    return cases


def tables_of(found: dict[str, Any]) -> dict[str, str]:
    """What is kept of the agents as Markdown: all policies in the order of their scores, and the seeds apart."""
    value = {row["case"]: row["value"] for row in found["cases"]}
    entries: list[tuple[float, str]] = []
    for name, label in _POLICIES.items():
        score = value[f"ppo: score of {name}, mean over seeds"]
        share = {"random": "0 %", "planning": "100 %"}.get(name, "")
        entries.append((score, f"| {label} | {score:.2f} | {share} |"))
    for agent, label in _AGENTS.items():
        score, low, high = (value[f"{agent}: score, {end}"] for end in _ENDS)
        share, least, most = (100.0 * value[f"{agent}: share of gap, {end}"] for end in _ENDS)
        text = f"**{score:.2f}** ({low:.2f} to {high:.2f}) | **{share:.0f} %** ({least:.0f} to {most:.0f})"
        entries.append((score, f"| {label} | {text} |"))
    lines = [
        "| policy | score | share of the gap |",
        "|---|---:|---:|",
        *(line for _, line in sorted(entries)),
    ]
    seeds = ["| | above relevance order | above popularity |", "|---|---|---|"]
    for agent, label in _AGENTS.items():
        cells = []
        for rival in RIVALS:
            gains = [
                f"{gain:+.2f} ({value[f'{agent}, seed {seed}: above {rival}, low end of 95 %']:.2f})"
                for seed in range(100)
                if (gain := value.get(f"{agent}, seed {seed}: score above {rival}")) is not None
            ]
            cells.append(", ".join(gains))
        seeds.append(f"| {label} | {' | '.join(cells)} |")
    return {"pipeline-runs": "\n".join(lines), "pipeline-runs-seeds": "\n".join(seeds)}


def _write_docs() -> dict[str, Any]:
    found = read_kept(
        "pipeline_runs",
        mend="python -m benchmarks.pipeline_runs --json benchmarks/results/pipeline_runs.json",
    )
    for document in (ROOT / "README.md", ROOT / "docs" / "learning.md"):
        fill_blocks(document, tables_of(found))
    return found


def _interval(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float]:
    """95 % interval of the mean by Student's law over seeds; the value itself where there is one seed."""
    n = values.size
    if n < 2:
        return float(values[0]), float(values[0])
    from scipy.stats import t

    half = float(t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return float(values.mean()) - half, float(values.mean()) + half


if __name__ == "__main__":
    sys.exit(main(measure, RunsOptions, description=__doc__))
