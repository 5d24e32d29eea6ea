"""Judge policies by a log, in simulators and in the true store: what `python -m evaluation --log` does."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from behavior.errors import InputError
from evaluation.log_judge import LogJudge
from evaluation.log_judgement import LogJudgement
from pipeline.judging_config import JudgeLogConfig, PolicySpec
from pipeline.judging_worlds import JudgingWorlds
from pipeline.log_sources import JudgedLog, check_not_trained_on, read_judged_log, same_source

if TYPE_CHECKING:
    from agents.base import Policy
    from pipeline.artifacts import OpenedRun

__all__ = ["judge_log"]


def judge_log(config: JudgeLogConfig) -> LogJudgement:
    """Reads the log and the policies, judges, simulates.

    Raises:
        InputError: Anything that the user can mend.
    """
    runs = _open_runs(config.policies)
    first = next(iter(runs.values()), None)
    tables = any(spec.kind == "table" for spec in config.policies)
    log = read_judged_log(config.source, config.part, first, with_sessions=tables, progress=config.progress)
    _same_shop(runs, log)
    worlds = JudgingWorlds(config, log, runs)
    if config.estimate_propensities:
        worlds.estimate_propensities()
    judge, warnings = _with_policies(config, log, runs, worlds)
    found = judge.judge(progress=config.progress)
    simulated, spread = worlds.simulate(judge.policies, config.simulators)
    truth = worlds.truth(judge.policies) if config.truth else None
    return dataclasses.replace(
        found,
        simulated=simulated,
        spread=spread,
        truth=truth,
        notes=(*warnings, *found.notes, *worlds.notes),
        remarks=log.notes,
    )


def _open_runs(specs: Sequence[PolicySpec]) -> dict[str, OpenedRun]:
    from pipeline.artifacts import open_whole

    folders = dict.fromkeys(spec.text for spec in specs if spec.kind == "run")
    return {folder: open_whole(Path(folder)) for folder in folders}


def _same_shop(runs: Mapping[str, OpenedRun], log: JudgedLog) -> None:
    """Rows of items and queries must mean the same to all."""
    for folder, run in runs.items():
        if tuple(run.shop.catalog.item_ids) != log.item_ids or run.shop.queries != log.queries:
            raise InputError(
                "this run knows other items or queries than the first run given",
                where=f"--policy {folder}",
                mend="judge runs of different catalogues or logs one at a time",
            )


def _with_policies(
    config: JudgeLogConfig, log: JudgedLog, runs: Mapping[str, OpenedRun], worlds: JudgingWorlds
) -> tuple[LogJudge, tuple[str, ...]]:
    from agents.baselines import RandomPolicy
    from evaluation.callable_policies import load_policy
    from evaluation.score_tables import read_policy_table
    from evaluation.table_policies import Names

    names = Names(items=log.item_ids, queries=log.queries, sessions=log.sessions)
    steps = worlds.steps
    plain = worlds.observation(None)
    judge = LogJudge(
        steps=steps, observation=plain, purchase_weight=worlds.purchase_weight, interval=config.interval
    )
    warnings: list[str] = []
    for spec in config.policies:
        if spec.kind == "run":
            run = runs[spec.text]
            warnings += check_not_trained_on(
                Path(spec.text),
                log,
                same_log=same_source(log.source, run.config.source),
                allow=config.allow_trained_on,
            )
            chosen = _of_run(spec, run)
            worlds.place(chosen, run)
            judge = judge.with_policies(
                chosen,
                observation=worlds.observation(run),
                source=f"run {spec.text}",
                shop=(run.artifacts.world_fitted.features, run.artifacts.task),
            )
        elif spec.kind == "table":
            table = read_policy_table(
                Path(spec.text),
                names,
                steps,
                plain,
                temperature=config.temperature,
                missing=config.missing,
                name=spec.name,
            )
            warnings += table.notes
            judge = judge.with_policies(
                {spec.name: table.policy}, observation=table.observation, source=f"table {spec.text}"
            )
        elif spec.kind == "random":
            judge = judge.with_policies({spec.name: RandomPolicy()}, source="built in")
        else:
            policy = load_policy(spec.text, names, temperature=config.temperature)
            judge = judge.with_policies({spec.name: policy}, source=f"function {spec.text}")
    if any(spec.kind in ("table", "function") for spec in config.policies):
        warnings.append(
            "Nobody can tell whether tables and functions were trained on what judges them: you must know."
        )
    return judge.with_estimators(*config.estimators), tuple(dict.fromkeys(warnings))


def _of_run(spec: PolicySpec, run: OpenedRun) -> dict[str, Policy]:
    """The trained policy of a run and its exploring form, or the one that was asked for."""
    held = run.artifacts
    if spec.inside:
        if spec.inside not in held.policies:
            raise InputError(
                f"the run holds no policy named {spec.inside!r}",
                where=f"--policy {spec.text}#{spec.inside}",
                mend=f"choose from: {', '.join(held.policies)}",
            )
        return {spec.name: held.policies[spec.inside]}
    name = held.trained
    if name is None:
        agent = run.config.learner.agent
        return {spec.name: held.policies[agent]}
    others = {other: policy for other, policy in held.policies.items() if other.startswith(f"{name}, ")}
    return {
        spec.name: held.policies[name],
        **{f"{spec.name}, {other.partition(', ')[2]}": policy for other, policy in others.items()},
    }
