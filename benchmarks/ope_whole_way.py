"""Off-policy figures of 20 policies against the truth of the demo store: errors, ranks, and what the intervals held.

    python -m benchmarks.ope_whole_way [--quick] [--json FILE]

The shop's own policy makes an earlier log, to which simulated users (position-based clicks) are fitted; PPO and DQN are
trained in them for a short time. A later log of other sessions judges 20 policies by every estimator that fits: both
learners at several temperatures, rules, softened and sharpened forms of the shop's policy, mixtures. Two truths:

- *per page*: what a page of the policy is worth in the states that the shop's policy led to, which is what estimators
  of single pages estimate. The shop's policy serves users of the true store, and each page of theirs is answered anew
  for every policy, with the same chance;
- *per session*: the score of a whole session under the policy, which is what one wants to know.

`--write-docs` measures nothing: it writes the tables of docs/off-policy.md anew from benchmarks/results.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Case, Options, case, main, result
from benchmarks.speed.docs import fill_blocks, read_kept
from benchmarks.whole_way.tables import table_of_errors, table_of_policies
from benchmarks.whole_way.truth import Truth, page_truth
from evaluation.log_judge import LogJudge
from evaluation.log_judgement import LogJudgement

if TYPE_CHECKING:
    from agents.base import Policy
    from envs.world import TaskConfig, World
    from store.shop import Store

__all__ = ["WholeWayOptions", "measure"]

_DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "off-policy.md"
_LATER = 77  # seed of the log that judges
_LEAST = 3  # policies that an order needs


@dataclass(frozen=True, kw_only=True)
class WholeWayOptions(Options):
    """What to do."""

    write_docs: bool = False
    """Measure nothing; write the tables of the docs anew."""


@dataclass(frozen=True)
class Sizes:
    """How much is spent on what."""

    sessions: int  # of the log that judges
    ppo_steps: int
    dqn_steps: int
    users: int  # behind both truths


def measure(options: WholeWayOptions) -> dict[str, Any]:
    """All cases as one JSON-ready object; `--quick`: a tiny store, short trainings."""
    if options.write_docs:
        return _write_docs()
    from store.config import StoreConfig
    from store.shop import open_store
    from store.world import shop_task, shop_world

    sizes = Sizes(300, 1024, 512, 100) if options.quick else Sizes(6_000, 40_000, 10_000, 1_500)
    store = open_store(StoreConfig.tiny() if options.quick else StoreConfig())
    world, task = shop_world(store), shop_task(store)
    began = time.perf_counter()
    policies = _policies(store, world, task, sizes)
    trained = time.perf_counter() - began
    began = time.perf_counter()
    found = _judged(store, world, task, policies, sizes)
    judged = time.perf_counter() - began
    truth = page_truth(policies, world, task, n_users=sizes.users)
    cases = [
        *_values(found, truth),
        *_errors(found, truth),
        case("seconds to train", trained, "s"),
        case("seconds to judge 20 policies by all estimators", judged, "s"),
        case("sessions that judge", sizes.sessions, "sessions"),
        case("pages that judge", found.n_pages, "pages"),
        case("users that judge", found.n_users, "users"),
        case("users behind the truth", sizes.users, "users"),
    ]
    out = result("ope_whole_way", cases, packages=("numpy", "torch", "stable-baselines3"))
    return out | {"chosen": found.chosen, "why_chosen": found.why_chosen, "notes": list(found.notes)}


def _policies(store: Store, world: World, task: TaskConfig, sizes: Sizes) -> dict[str, Policy]:
    """Twenty, of which two learned in users that were fitted to the shop's log."""
    from agents.baselines import MMRPolicy, PopularityPolicy, RandomPolicy, RelevancePolicy
    from agents.dqn.config import DQNConfig
    from agents.learning import policy_of, train_agent
    from agents.ppo.config import PPOConfig
    from agents.simple import MixturePolicy
    from behavior.split import split_steps_by_time
    from simulators import fit_simulator
    from simulators.fitting.config import FitConfig
    from store.behavior_policy import BehaviorPolicy

    log = split_steps_by_time(store.log.to_steps(store.catalog, store.queries))
    fitted = fit_simulator(
        "pbm", log.train, log.valid, world.features, FitConfig(max_impressions=100_000), progress=False
    )
    practice = dataclasses.replace(world, simulator=fitted)
    ppo = train_agent(PPOConfig(), practice, task, total_steps=sizes.ppo_steps, seed=0)
    dqn = train_agent(DQNConfig(), practice, task, total_steps=sizes.dqn_steps, seed=0)
    shop, uniform = store.behavior_policy, RandomPolicy()
    warm = policy_of(ppo, temperature=1.0)

    def mixed(first: Policy, share: float, name: str) -> Policy:
        return MixturePolicy(first, shop, share=share, name=name)

    return {
        "the shop's own": shop,
        "shop's, sharper": BehaviorPolicy(shop.table, temperature=0.5),
        "shop's, softer": BehaviorPolicy(shop.table, temperature=1.0),
        "shop's, much softer": BehaviorPolicy(shop.table, temperature=2.0),
        "random": uniform,
        "random, a third": mixed(uniform, 1 / 3, "random, a third"),
        "popularity, drawn": PopularityPolicy(world.features, temperature=1.0),
        "relevance, drawn": RelevancePolicy(temperature=1.0),
        "relevance, sorted": RelevancePolicy(),
        "mmr": MMRPolicy(world.features, trade_off=0.7),
        "ppo, sorted": policy_of(ppo),
        "ppo, temperature 1": warm,
        "ppo, temperature 2": policy_of(ppo, temperature=2.0),
        "ppo, temperature 4": policy_of(ppo, temperature=4.0),
        "ppo, a half": mixed(warm, 0.5, "ppo, a half"),
        "ppo, a fifth": mixed(warm, 0.2, "ppo, a fifth"),
        "dqn, sorted": policy_of(dqn),
        "dqn, temperature 0.1": policy_of(dqn, temperature=0.1),
        "dqn, temperature 0.3": policy_of(dqn, temperature=0.3),
        "dqn, a fifth": mixed(policy_of(dqn, temperature=0.1), 0.2, "dqn, a fifth"),
    }


def _judged(
    store: Store, world: World, task: TaskConfig, policies: Mapping[str, Policy], sizes: Sizes
) -> LogJudgement:
    """The figures from a later log of the shop's policy."""
    from behavior.log import InteractionLog
    from envs.replay import observe_log
    from store.log_maker import make_log

    config = dataclasses.replace(
        store.config, seed=_LATER, n_sessions=sizes.sessions, n_people=max(1, sizes.sessions * 2 // 3)
    )
    frames = make_log(
        store.true_simulator,
        store.behavior_policy,
        store.candidates,
        config=config,
        item_ids=store.catalog.frame["item_id"].to_numpy(str),
        price=store.catalog.frame["price"].to_numpy(float),
        queries=store.queries,
        context_names=store.context_names,
    )
    log = InteractionLog.from_frame(frames.rows, candidates=frames.candidates, catalog=store.catalog)
    steps = log.to_steps(store.catalog, store.queries)
    seen = observe_log(steps, world.features, task)
    judge = LogJudge.of(steps, seen, purchase_weight=task.purchase_weight)
    return judge.with_policies(policies).judge(progress=False)


def _values(found: LogJudgement, truth: Truth) -> list[Case]:
    """Each policy: figure by the estimator that was chosen, with its trust, beside both truths."""
    cases = []
    for name in found.policies:
        value, terms = truth.page_terms(name)
        n = len(terms)
        cases += [
            case(f"true, per page: {name}", value, "reward a page"),
            case(f"true, per page, error: {name}", float(terms.std(ddof=1) / np.sqrt(n)), "reward a page"),
            case(f"true, per session: {name}", float(truth.session[name].mean()), "score a session"),
        ]
        for estimator, figure in found[name].figures.items():
            if not np.isfinite(figure.value):
                continue
            trust = figure.diagnostics.trust
            reference = value if figure.per == "page" else float(truth.session[name].mean())
            cases += [
                case(f"{estimator}, {trust}: {name}", figure.value, f"reward a {figure.per}", reference),
                case(
                    f"{estimator}, half-width: {name}",
                    _finite(figure.interval.half_width),
                    f"reward a {figure.per}",
                ),
                case(f"{estimator}, effective users: {name}", figure.diagnostics.ess_clusters, "users"),
            ]
    return cases


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else -1.0


def _errors(found: LogJudgement, truth: Truth) -> list[Case]:
    """By estimator and by trust: relative error, share of intervals that hold the truth, and agreement in order."""
    from evaluation.agreement import measure_agreement

    cases: list[Case] = []
    estimators = dict.fromkeys(e for one in found.policies.values() for e in one.figures)
    for estimator in estimators:
        for trust in ("sound", "doubtful", "no support"):
            some = {
                name: figure
                for name in found.policies
                if (figure := found.figure(name, estimator)) is not None
                and figure.diagnostics.trust == trust
                and np.isfinite(figure.value)
            }
            whole = f"{estimator}, {trust}"
            cases.append(case(f"policies: {whole}", len(some), "policies"))
            if not some:
                continue
            off, held = [], []
            for name, figure in some.items():
                value, error = truth.value(name, figure.per)
                off.append(figure.value / value - 1)
                # The truth is measured too: its own error joins the interval's.
                reach = np.hypot(figure.interval.half_width, 1.96 * error)
                held.append(abs(figure.value - value) <= reach)
            cases += [
                case(f"mean error: {whole}", float(np.mean(off)), "share of the truth"),
                case(
                    f"root mean square error: {whole}",
                    float(np.sqrt(np.mean(np.square(off)))),
                    "share of the truth",
                ),
                case(f"intervals that held the truth: {whole}", float(np.mean(held)), "share"),
            ]
            if trust != "sound" or len(some) < _LEAST:
                continue
            names = list(some)
            terms = np.stack([some[n].terms for n in names])
            users = next(iter(some.values())).users
            covariance = _covariance(terms, users)
            for against in ("page", "session"):
                true, true_covariance = truth.values(names, against)
                agreement = measure_agreement(
                    np.array([some[n].value for n in names]),
                    true,
                    simulated_error=covariance,
                    true_error=true_covariance,
                    names=names,
                    truth=f"the true value per {against}",
                )
                for figure_name in ("spearman", "kendall", "regret_share"):
                    interval = agreement.figure(figure_name)
                    if not np.isfinite(interval.value):
                        continue
                    words = f"{figure_name} with the truth per {against}: {whole}"
                    cases.append(case(words, interval.value, f"{len(names)} policies"))
                    if np.isfinite([interval.low, interval.high]).all():
                        cases.append(case(f"{words}, low", interval.low, "95 % interval"))
                        cases.append(case(f"{words}, high", interval.high, "95 % interval"))
    return cases


def _covariance(terms: NDArray[np.float64], users: NDArray[np.int64]) -> NDArray[np.float64]:
    """(P, P) of the figures' errors, over users."""
    _, dense = np.unique(users, return_inverse=True)
    count = int(dense.max()) + 1
    centred = terms - terms.mean(axis=1, keepdims=True)
    sums = np.stack([np.bincount(dense, weights=row, minlength=count) for row in centred])
    return np.asarray(count / (count - 1) * (sums @ sums.T) / terms.shape[1] ** 2)


def _write_docs() -> dict[str, Any]:
    found = read_kept("ope_whole_way", mend="run python -m benchmarks.ope_whole_way with --json")
    fill_blocks(_DOCUMENT, {"ope-policies": table_of_policies(found), "ope-errors": table_of_errors(found)})
    return found


if __name__ == "__main__":
    sys.exit(main(measure, WholeWayOptions, description=__doc__))
