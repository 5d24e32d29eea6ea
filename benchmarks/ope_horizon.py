"""How far a log of sessions reaches: how weights die from page to page, and what each estimator makes of long sessions.

`python -m benchmarks.ope_horizon [--quick] [--json FILE]`. Two parts:

1. Sessions of exactly ten pages in a shop that nobody leaves. The log is a Plackett-Luce draw by relevance; the
   policies judged lean towards a public column of the items (its standard deviation is 1) by a little. Effective
   number of sessions behind the weight of the first pages, for slates of 3, 5 and 10.
2. The registered task in which what lures clicks drives users away. Policies that lean towards lures or towards
   good items, each judged from fresh logs; the truth from the environment. Fitted Q evaluation with and without sums
   over what the session has been like so far.

`--write-docs` measures nothing: it writes the tables of docs/estimators-sessions.md anew from
benchmarks/results/ope_horizon.json.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr
from tqdm import tqdm

from agents.base import Draw
from agents.plackett_luce import log_cascade
from agents.score_policy import ScorePolicy
from behavior import Catalog, LoggedSteps
from benchmarks.common import Case, Options, case, main, result
from benchmarks.speed.docs import RESULTS, fill_blocks, read_kept
from encoders.features import FeatureTables
from envs.core import SlateCore
from envs.observation import Observation
from envs.recorder import SessionRecorder
from envs.replay import observe_log
from envs.tasks.registry import make_task
from envs.toy import toy_world
from envs.world import TaskConfig, World
from evaluation.estimators import effective_sample_size, pdis, session_dr, session_wdr, sniips, wpdis
from evaluation.fqe import FqeConfig, fitted_q_evaluation
from evaluation.fqe.history import FADING
from evaluation.intervals import Interval, estimate_interval
from evaluation.logged_actions import logged_slates
from evaluation.online import evaluate_online
from simulators.shopper import Shopper

__all__ = ["measure", "table_of_estimators", "table_of_weights"]

TASK = "SlateRank-Satisfaction-v0"
LEANINGS = (0.1, 0.25, 0.5, 1.0)
SLATES = (3, 5, 10)
PAGES = 10
N_SESSIONS = 1000
JUDGED = (("popularity", 1.0), ("popularity", 0.25), ("rating", 0.25), ("rating", 1.0))
_DOCUMENT = RESULTS.parents[1] / "docs" / "estimators-sessions.md"


class Leaning(ScorePolicy):
    """A Plackett-Luce draw by relevance and, times `weight`, one public column of the items.

    Args:
        features: The public tables.
        column: Name of the column.
        weight: How much of it.
    """

    def __init__(self, features: FeatureTables, column: str, weight: float) -> None:
        super().__init__(temperature=1.0)
        self.name = f"{column} {weight:+g}"
        values = features.item_numeric[:, features.numeric_names.index(column)].astype(np.float64)
        self._lean = np.append(weight * values, 0.0)  # a last row for -1

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        """(B, N)."""
        relevance = np.log(np.maximum(observation.scores.astype(np.float64), 1e-12))
        return np.asarray(relevance + self._lean[observation.candidates], np.float64)


@dataclass(frozen=True, kw_only=True)
class HorizonOptions(Options):
    """What to measure."""

    logs: int = 10
    """Fresh logs of the first part."""
    judged_logs: int = 10
    """Fresh logs of the second part."""
    truth_users: int = 20_000
    """Users that each policy serves for the truth."""
    boosted_logs: int = 0
    """How many of them are judged by boosted trees as well, which takes minutes."""
    write_docs: bool = False
    """Measure nothing; write the tables of the docs anew."""


def weights_by_page(slate_size: int, weight: float, seed: int) -> NDArray[np.float64]:
    """(T, 2) effective number of sessions by the weights of all pages up to each, and of each page alone."""
    world = toy_world(user=Shopper(taste_mix=1.0, leave_bias=-50.0))  # nobody leaves
    task = TaskConfig(slate_size=slate_size, n_candidates=50, max_steps=PAGES)
    logged, judged = (Leaning(world.features, "rating", w) for w in (0.0, weight))
    core = SlateCore(world, task, n_users=N_SESSIONS, seed=seed)
    observation = core.reset()
    log_weight, found = np.zeros(N_SESSIONS), []
    for _ in range(PAGES):
        draw = Draw(seed=seed + 1000, user=core.state.user.copy(), step=core.state.step.copy())
        actions = logged.rank(observation, draw, slate_size=slate_size)
        b, e = (log_cascade(policy.masked_scores(observation), actions)[:, -1] for policy in (logged, judged))
        log_weight += e - b
        both = np.stack([log_weight - log_weight.max(), e - b], axis=1)
        found.append(effective_sample_size(np.exp(both)))
        observation = core.step(actions).observation
    return np.array(found)


def record(world: World, task: TaskConfig, policy: ScorePolicy, *, n: int, seed: int) -> LoggedSteps:
    """A fresh log."""
    catalog = Catalog.from_frame(pd.DataFrame({"item_id": [str(i) for i in range(world.features.n_items)]}))
    recorder = SessionRecorder(world, task)
    recorder.record(policy, n_sessions=n, seed=seed, policy_seed=seed + 1000, progress=False)
    return recorder.log().to_steps(catalog, queries=world.queries or None)


def judgements(
    policy: ScorePolicy, steps: LoggedSteps, world: World, task: TaskConfig, *, boosted: bool
) -> dict[str, Interval]:
    """Every estimator's value of a session, with its interval over sessions."""
    observation = observe_log(steps, world.features, task)
    slates = logged_slates(policy, steps, observation, purchase_weight=5.0, batch=2048, progress=False)
    assert slates is not None
    assert slates.cascade_logging is not None
    assert slates.cascade_evaluation is not None
    cascade = slates.cascade_logging, slates.cascade_evaluation
    page = cascade[0][:, -1], cascade[1][:, -1]
    fitted, bare = (
        fitted_q_evaluation(
            policy, steps, world.features, task, at_limit="stop", history=history, progress=False
        )
        for history in (FADING, ())
    )
    session, step, q, v = steps.session, steps.step, fitted.q, fitted.v
    found = {
        "PDIS (cascade)": pdis(slates.reward, *cascade, session=session, step=step),
        "WPDIS (cascade)": wpdis(slates.reward, *cascade, session=session, step=step),
        "DR": session_dr(slates.reward, *page, q, v, session=session, step=step),
        "WDR": session_wdr(slates.reward, *page, q, v, session=session, step=step),
    }
    one = estimate_interval(sniips(slates.reward, slates.logging, slates.evaluation), clusters=session)
    pages = steps.n_steps / steps.n_sessions  # of the logging policy: the estimator knows no other
    intervals = {
        "SNIIPS x pages logged": Interval(
            value=one.value * pages,
            low=one.low * pages,
            high=one.high * pages,
            standard_error=one.standard_error * pages,
            level=one.level,
            n_clusters=one.n_clusters,
            method=one.method,
        ),
        **{name: estimate_interval(estimate) for name, estimate in found.items()},
        "FQE linear": fitted.interval,
        "FQE linear, no history": bare.interval,
    }
    if boosted:
        config = FqeConfig(regressor="boosted", tolerance=0.02)
        trees = fitted_q_evaluation(
            policy, steps, world.features, task, config=config, at_limit="stop", progress=False
        )
        intervals["FQE boosted"] = trees.interval
    return intervals


def _part_one(options: HorizonOptions) -> Iterator[Case]:
    logs = 2 if options.quick else options.logs
    for slate_size in SLATES:
        for weight in LEANINGS:
            runs = np.stack([weights_by_page(slate_size, weight, seed) for seed in range(logs)])  # (L, T, 2)
            what = f"slates of {slate_size}, leaning {weight:g}"
            for pages in (1, 2, 5, 10):
                yield case(
                    f"{what}: effective sessions after {pages} pages",
                    runs[:, pages - 1, 0].mean(),
                    "sessions",
                )
            yield case(f"{what}: least after 10 pages", runs[:, -1, 0].min(), "sessions")
            yield case(f"{what}: most after 10 pages", runs[:, -1, 0].max(), "sessions")
            yield case(f"{what}: effective sessions, one page alone", runs[:, :, 1].mean(), "sessions")


def _part_two(options: HorizonOptions) -> Iterator[Case]:
    world, task = make_task(TASK)
    judged = {p.name: p for p in (Leaning(world.features, *leaning) for leaning in JUDGED)}
    logged = Leaning(world.features, "rating", 0.0)
    n_users = 300 if options.quick else options.truth_users
    online = evaluate_online(judged, world, task, n_users=n_users, first_user=10_000_000)
    truth = {name: online[name].interval().value for name in judged}
    for name in judged:
        yield case(f"{name}: truth", truth[name], "score a session")
        yield case(f"{name}: truth, a page", online[name].score.sum() / online[name].length.sum(), "score")
    values: dict[str, list[list[float]]] = {}
    covers: dict[str, list[list[bool]]] = {}
    for seed in tqdm(range(1 if options.quick else options.judged_logs), desc="logs", unit="log"):
        steps = record(world, task, logged, n=300 if options.quick else N_SESSIONS, seed=seed)
        boosted = seed < (0 if options.quick else options.boosted_logs)
        found = {
            name: judgements(policy, steps, world, task, boosted=boosted) for name, policy in judged.items()
        }
        for estimator in next(iter(found.values())):
            intervals = [found[name][estimator] for name in judged]
            values.setdefault(estimator, []).append([i.value for i in intervals])
            covers.setdefault(estimator, []).append(
                [i.low <= truth[name] <= i.high for i, name in zip(intervals, judged, strict=True)]
            )
    true = np.array([truth[name] for name in judged])
    for estimator, rows in values.items():
        table = np.array(rows)  # (L, policies)
        for p, name in enumerate(judged):
            yield case(f"{estimator}: {name}: mean", table[:, p].mean(), "score a session", true[p])
            error = float(np.sqrt(np.square(table[:, p] - true[p]).mean()))
            yield case(f"{estimator}: {name}: error", error, "score a session", true[p])
        yield case(f"{estimator}: logs", len(rows), "logs")
        yield case(f"{estimator}: intervals that hold the truth", float(np.mean(covers[estimator])), "share")
        ranks = [float(spearmanr(row, true).statistic) for row in table]
        yield case(f"{estimator}: rank correlation with the truth", float(np.mean(ranks)), "Spearman's rho")


def measure(options: HorizonOptions) -> dict[str, Any]:
    """Both parts."""
    if options.write_docs:
        return _write_docs()
    return result("ope_horizon", [*_part_one(options), *_part_two(options)], packages=("numpy", "scipy"))


def table_of_weights(found: dict[str, Any]) -> str:
    """The first part as Markdown: a line for each size of slates and lean."""
    value = {row["case"]: row["value"] for row in found["cases"]}
    lines = [
        "| slate | lean | 1 page | 2 pages | 5 pages | 10 pages | least and most of the logs, 10 pages |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for slate_size in SLATES:
        for weight in LEANINGS:
            what = f"slates of {slate_size}, leaning {weight:g}"
            cells = [_count(value[f"{what}: effective sessions after {n} pages"]) for n in (1, 2, 5, 10)]
            ends = [_count(value[f"{what}: {end} after 10 pages"]) for end in ("least", "most")]
            lines.append(f"| {slate_size} | {weight:g} | {' | '.join(cells)} | {' to '.join(ends)} |")
    return "\n".join(lines)


def table_of_estimators(found: dict[str, Any]) -> str:
    """The second part as Markdown: the truth, then means over the logs for each estimator."""
    value = {row["case"]: row["value"] for row in found["cases"]}
    policies = [f"{column} {weight:+g}" for column, weight in JUDGED]
    marks = ": rank correlation with the truth"
    estimators = [name.removesuffix(marks) for name in value if name.endswith(marks)]
    page = [f"{value[f'{p}: truth, a page']:.2f}" for p in policies]
    session = [f"**{value[f'{p}: truth']:.1f}**" for p in policies]
    lines = [
        f"| | {' | '.join(policies)} | error | rank correlation | intervals that hold the truth |",
        "|---|" + "---:|" * (len(policies) + 3),
        f"| truth, a page | {' | '.join(page)} | | | |",
        f"| **truth, a session** | {' | '.join(session)} | | | |",
    ]
    for name in estimators:
        means = [f"{value[f'{name}: {p}: mean']:.1f}" for p in policies]
        error = float(np.sqrt(np.mean([value[f"{name}: {p}: error"] ** 2 for p in policies])))
        cases = round(value[f"{name}: logs"] * len(policies))
        held = round(value[f"{name}: intervals that hold the truth"] * cases)
        lines.append(
            f"| {name} | {' | '.join(means)} | {error:.1f} | {value[name + marks]:+.2f} | {held} of {cases} |"
        )
    return "\n".join(lines)


def _count(sessions: float) -> str:
    return f"{sessions:.0f}" if sessions >= 20 else f"{sessions:.1f}"


def _write_docs() -> dict[str, Any]:
    found = read_kept("ope_horizon", mend="run python -m benchmarks.ope_horizon with --json")
    fill_blocks(
        _DOCUMENT, {"ope-horizon-weights": table_of_weights(found), "ope-horizon": table_of_estimators(found)}
    )
    return found


if __name__ == "__main__":
    sys.exit(main(measure, HorizonOptions, description=__doc__))
