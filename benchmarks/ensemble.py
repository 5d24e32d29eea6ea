"""Whether an ensemble's intervals hold the truth, and what pessimism is worth, in worlds whose truth is known.

    python -m benchmarks.ensemble [--quick] [--json FILE]

Logs are made by the users of `simulators.example` under a policy that prefers relevant items, so that some candidates
are hardly ever shown. To each log an ensemble is fitted, and two things are measured:

- coverage: how often the 95 % interval of a policy's simulated value holds its true value, for three policies, and how
  often that of their differences does;
- exploitation: a page for each of many users on arrival is made of the items with the highest mean over members minus
  `pessimism` standard deviations, of clicks + 5 purchases if shown first. What the ensemble's mean promises of the
  page less what the true users give for it (both exact, not drawn) is the exploitation gap. `one fit` ranks by the fit
  to the log as it is.

The true users are position-based in one half of the cases (a family that is fitted) and a cascade to which
position-based members are fitted in the other (misspecified). The demo store's greedy pages stand beside them; what its
users give is drawn.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from tqdm import tqdm

from agents.baselines import PopularityPolicy, RandomPolicy, RelevancePolicy
from behavior.split import split_steps_by_time
from behavior.steps import LoggedSteps
from benchmarks.common import Case, Options, case, main, result
from encoders.features import CandidateTable, FeatureTables
from envs.world import TaskConfig, World
from evaluation.online import evaluate_policy
from evaluation.simulated_value import simulate_values
from simulators.base import SessionState, UserSimulator
from simulators.composed import ComposedSimulator
from simulators.ensemble import EnsembleConfig, EnsembleSimulator, fit_ensemble
from simulators.example import example_candidates, example_features, example_simulator
from simulators.fitting.fit import fit_simulator
from simulators.kernels.rng import Purpose, gumbel_table
from simulators.rollout import simulate_steps
from store.config import StoreConfig
from store.shop import open_store
from store.world import shop_task, shop_world

__all__ = [
    "Arrived",
    "EnsembleOptions",
    "RelevantPages",
    "appeal_coverage",
    "arrivals",
    "best_pessimism",
    "greedy_pages",
    "measure",
]

_K, _N, _PAGES = 5, 40, 8
_WORTH = 5.0


@dataclass(frozen=True, kw_only=True)
class EnsembleOptions(Options):
    """How much to measure."""

    logs: int = 20
    """Logs for each case."""
    sessions: tuple[int, ...] = (200, 1_000)
    """Sessions of each log."""
    members: int = 8
    """Of each ensemble."""
    pessimism: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 4.0)
    """Values to try."""
    users: int = 400
    """Simulated users of each policy in each member."""
    demo_sessions: int = 1_500
    """Training sessions of the demo store for a case of its own; 0: leave it out."""
    draw_centres: bool = True
    """Whether members' priors are centred at draws from the prior; see docs/ensembles.md."""


class RelevantPages:
    """Pages drawn by Plackett-Luce from the relevance logits of the candidates.

    Args:
        features: Tables.
        sharpness: Multiplies the logits: 0 draws at random.
    """

    def __init__(self, features: FeatureTables, sharpness: float) -> None:
        self.candidates = example_candidates(features, _N)
        queries = np.arange(len(self.candidates), dtype=np.int32)
        chance = features.relevance.click_probability(queries, self.candidates).astype(np.float64)
        self.logits = sharpness * np.log(chance / (1.0 - chance))

    def pages(self, state: SessionState, *, seed: int) -> NDArray[np.int32]:
        """Slates (B, K)."""
        noise = gumbel_table(seed, state.user, state.step, Purpose.POLICY, _N)
        chosen = np.argsort(-(self.logits[state.query] + noise), axis=1)[:, :_K]
        return np.ascontiguousarray(np.take_along_axis(self.candidates[state.query], chosen, axis=1))


def measure(options: EnsembleOptions) -> dict[str, Any]:
    """All cases as one JSON-ready object; `--quick`: few logs, few members."""
    if options.quick:
        options = dataclasses.replace(options, logs=2, sessions=(200,), members=3, users=100)
    cases: list[Case] = []
    settings = [(truth, n) for truth in ("pbm", "cascade") for n in options.sessions]
    with tqdm(total=len(settings) * options.logs, desc="logs", disable=None, leave=False) as bar:
        for truth, n in settings:
            cases += _setting(truth, n, options, bar)
    if options.demo_sessions:
        cases += _demo(options)
    return result("ensemble", cases, packages=("numpy", "torch"))


def _setting(truth: str, n: int, options: EnsembleOptions, bar: Any) -> list[Case]:
    features = example_features()
    users = example_simulator(truth, features=features)
    policies = {
        "random": RandomPolicy(),
        "relevance": RelevancePolicy(),
        "popularity": PopularityPolicy(features),
    }
    task = TaskConfig(slate_size=_K, n_candidates=_N, max_steps=_PAGES)
    world = _world(users, features)
    true = {
        name: float(evaluate_policy(policy, world, task, n_users=20_000, seed=1, progress=False).score.mean())
        for name, policy in policies.items()
    }
    inside: list[bool] = []
    apart: list[bool] = []
    width: list[float] = []
    seconds: list[float] = []
    known: list[float] = []
    pages: dict[str, list[tuple[float, float]]] = {}
    for log in range(options.logs):
        train, valid = (_log(users, features, n, seed=log, first=first) for first in (0, 1_000_000))
        began = time.perf_counter()
        fit = fit_simulator("pbm", train, valid, features, progress=False)
        one = time.perf_counter() - began
        began = time.perf_counter()
        config = EnsembleConfig(families=("pbm",), members=options.members, draw_centres=options.draw_centres)
        ensemble = fit_ensemble((), train, valid, features, config, seed=log, progress=False)
        seconds.append((time.perf_counter() - began) / one)
        values = simulate_values(
            policies, _world(ensemble, features), task, n_users=options.users, seed=log, progress=False
        )
        for name, value in true.items():
            found = values[name].interval
            inside.append(found.low <= value <= found.high)
            width.append(found.half_width / value)
        for name in ("relevance", "popularity"):
            gain = values.difference(name, "random").interval
            apart.append(gain.low <= true[name] - true["random"] <= gain.high)
        truth_pages = arrivals(users, seed=log)
        for name, promised, got in greedy_pages(ensemble, fit, truth_pages, options.pessimism, _K):
            pages.setdefault(name, []).append((promised, got))
        known.append(appeal_coverage(ensemble, truth_pages))
        bar.update()
    what = f"true users {truth}, {options.logs} logs of {n:,} sessions, {options.members} members"
    cases = [
        case(f"{what}: coverage of values", float(np.mean(inside)), "share of 95 % intervals", 0.95),
        case(f"{what}: coverage of differences", float(np.mean(apart)), "share of 95 % intervals", 0.95),
        case(f"{what}: coverage of an item's appeal", float(np.mean(known)), "share of 95 % intervals", 0.95),
        case(f"{what}: half-width of a value", float(np.mean(width)), "share of the value"),
        case(f"{what}: time of the ensemble over that of one fit", float(np.mean(seconds)), "ratio"),
    ]
    for name, each in pages.items():
        table = np.array(each)
        cases.append(case(f"{what}: page by {name}, true worth", float(table[:, 1].mean()), "per page"))
        gap = table[:, 0] - table[:, 1]
        cases.append(case(f"{what}: page by {name}, exploitation gap", float(gap.mean()), "per page"))
    best = best_pessimism(pages)
    cases.append(case(f"{what}: pessimism of the highest true worth", best, "standard deviations"))
    return cases


def best_pessimism(pages: dict[str, list[tuple[float, float]]]) -> float:
    """The pessimism whose pages are worth most to the true users."""
    worth = {
        float(name.removeprefix("pessimism ")): float(np.mean([got for _, got in found]))
        for name, found in pages.items()
        if name.startswith("pessimism ")
    }
    return max(worth, key=lambda pessimism: worth[pessimism])


def greedy_pages(
    ensemble: EnsembleSimulator,
    fit: ComposedSimulator,
    truth: Arrived,
    pessimism: tuple[float, ...],
    slate_size: int,
) -> list[tuple[str, float, float]]:
    """Pages of users on arrival: name, what their maker expects of a page, what the true users give for it.

    Args:
        ensemble: Its members' mean and spread.
        fit: The fit to the log as it is.
        truth: Who arrived, and what pages are worth to them.
        pessimism: Values to try.
        slate_size: Positions K.
    """

    def page(score: NDArray[np.float64]) -> NDArray[np.int32]:
        score = np.where(truth.items >= 0, score, -np.inf)
        order = np.argsort(-score, axis=1, kind="stable")[:, :slate_size]
        return np.ascontiguousarray(np.take_along_axis(truth.items, order, axis=1))

    each = np.stack([truth.appeal(member) for member in ensemble.members])
    mean, spread = each.mean(axis=0), each.std(axis=0, ddof=1)
    found = []
    for value in pessimism:
        slates = page(mean - value * spread)
        promised = float(np.mean([truth.promise(member, slates) for member in ensemble.members]))
        found.append((f"pessimism {value:g}", promised, truth.worth(slates)))
    slates = page(truth.appeal(fit))
    return [*found, ("one fit", truth.promise(fit, slates), truth.worth(slates))]


@dataclass(frozen=True)
class Arrived:
    """Users on arrival, the candidates of their queries, and what pages are worth to them: clicks + 5 purchases."""

    state: SessionState
    items: NDArray[np.int32]  # (B, N)
    truth: UserSimulator
    draws: int = 0  # of the truth, where it has no closed form; 0: it has

    def known_to(self, simulator: ComposedSimulator) -> SessionState:
        """These users as a fitted simulator keeps them."""
        state = simulator.begin(self.state.user, seed=0)
        state.query[:], state.context[:] = self.state.query, self.state.context
        return state

    def appeal(self, simulator: ComposedSimulator) -> NDArray[np.float64]:
        """(B, N) worth of each candidate if it stood first."""
        found = simulator.appeal(self.known_to(simulator), self.items)
        return np.asarray(found.click * (1.0 + _WORTH * found.purchase), np.float64)

    def promise(self, simulator: ComposedSimulator, slates: NDArray[np.int32]) -> float:
        """What a simulator of parts expects of a page, mean over the users; exact."""
        state = self.known_to(simulator)
        logits = simulator.attractiveness.logits(state, simulator.memory, slates)
        chance = simulator.examination.click_probability(logits)
        buys = simulator.conversion.probability(state, simulator.memory, slates)
        return float((chance * (1.0 + _WORTH * buys)).sum(axis=1).mean())

    def worth(self, slates: NDArray[np.int32]) -> float:
        """What the true users give for a page: exact, or the mean of draws that are the same for every page."""
        if not self.draws and isinstance(self.truth, ComposedSimulator):
            return self.promise(self.truth, slates)
        total = 0.0
        for seed in range(self.draws):
            answer = self.truth.respond(self.state.copy(), slates, seed=1_000 + seed)
            total += float((answer.click + _WORTH * answer.purchase).sum(axis=1).mean())
        return total / self.draws


def appeal_coverage(ensemble: EnsembleSimulator, truth: Arrived) -> float:
    """Share of candidates whose true log-appeal lies in the members' 95 % interval."""
    assert isinstance(truth.truth, ComposedSimulator)
    each = np.log([truth.appeal(member) for member in ensemble.members])
    m = len(each)
    reach = float(stdtrit(m - 1, 0.975)) * each.std(axis=0, ddof=1) * np.sqrt(1.0 + 1.0 / m)
    return float((np.abs(each.mean(axis=0) - np.log(truth.appeal(truth.truth))) <= reach).mean())


def _demo(options: EnsembleOptions) -> list[Case]:
    """Greedy pages in the demo store, whose users lie outside every fitted family; its first training sessions."""
    store = open_store(StoreConfig.tiny() if options.quick else StoreConfig())
    world, task = shop_world(store), shop_task(store)
    split = split_steps_by_time(store.log.to_steps(store.catalog, queries=store.queries))
    first = np.unique(split.train.session)[: options.demo_sessions]
    train = split.train.take(np.flatnonzero(np.isin(split.train.session, first)))
    config = EnsembleConfig(families=("pbm",), members=options.members, draw_centres=options.draw_centres)
    ensemble = fit_ensemble((), train, split.valid, world.features, config, progress=False)
    fit = fit_simulator("pbm", train, split.valid, world.features, progress=False)
    state = store.true_simulator.begin(np.arange(20_000_000, 20_001_500), seed=5)
    items = np.ascontiguousarray(world.candidates.items[state.query][:, : task.n_candidates])
    truth = Arrived(state, items, store.true_simulator, draws=12)
    what = f"demo store, {len(first):,} sessions, {options.members} members"
    cases = []
    for name, promised, got in greedy_pages(ensemble, fit, truth, options.pessimism, task.slate_size):
        cases.append(case(f"{what}: page by {name}, true worth", got, "per page"))
        cases.append(case(f"{what}: page by {name}, exploitation gap", promised - got, "per page"))
    return cases


def arrivals(users: ComposedSimulator, *, seed: int, n_users: int = 500) -> Arrived:
    """Users of the example world on arrival."""
    state = users.begin(np.arange(n_users), seed=seed + 77)
    return Arrived(state, np.ascontiguousarray(example_candidates(users.features, _N)[state.query]), users)


def _log(users: ComposedSimulator, features: FeatureTables, n: int, *, seed: int, first: int) -> LoggedSteps:
    source = RelevantPages(features, 2.0)
    return simulate_steps(users, source, n_sessions=n, max_steps=_PAGES, seed=seed + 1_000, first_user=first)


def _world(simulator: ComposedSimulator | EnsembleSimulator, features: FeatureTables) -> World:
    items = example_candidates(features, _N)
    scores = features.relevance.click_probability(np.arange(len(items), dtype=np.int32), items)
    return World(
        simulator=simulator, candidates=CandidateTable(items=items, scores=scores), features=features
    )


if __name__ == "__main__":
    sys.exit(main(measure, EnsembleOptions, description=__doc__))
