"""Users, policies and logs of the coverage study: three ways in which users respond to a page.

Users differ (a context each), see one to several pages, and their pages depend on each other: what is independent is
the user. The logging policy and those judged draw slates from Plackett-Luce laws whose scores belong to query and item,
so that every propensity is exact and read from a table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from agents import plackett_luce
from agents.base import Draw
from agents.score_policy import ScorePolicy
from encoders.features import CandidateTable
from envs.core import SlateCore
from envs.observation import Observation
from envs.world import TaskConfig, World
from evaluation.disagreement import Structure
from simulators.base import SessionState
from simulators.composed import ComposedSimulator
from simulators.example import example_candidates, example_features, example_simulator
from simulators.parts.contract import Examination
from simulators.parts.examination import CascadeExamination, MultinomialExamination, PositionExamination

__all__ = ["JUDGED", "Pages", "Propensity", "StudyWorld"]

JUDGED: dict[str, float] = {"near": 0.25, "far": 0.8, "farther": 2.0}
"""Policies judged, by how far their scores lie from those of the logging policy, in standard deviations."""

N_ITEMS, N_QUERIES, N_CANDIDATES, MAX_PAGES = 60, 6, 20, 4
_BATCH = 4096
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pages:
    """`n` logged pages of consecutive users, each user's pages together."""

    user: NDArray[np.int64]  # (n,)
    query: NDArray[np.int32]  # (n,)
    slate: NDArray[np.int32]  # (n, K) catalogue rows
    click: NDArray[np.uint8]  # (n, K)

    def take(self, rows: slice) -> Pages:
        """Some of the pages."""
        return Pages(self.user[rows], self.query[rows], self.slate[rows], self.click[rows])


@dataclass(frozen=True)
class Propensity:
    """How probable logged slates are under a policy."""

    item: Floats  # (n, K)
    cascade: Floats  # (n, K)

    @property
    def slate(self) -> Floats:
        """(n,)."""
        return self.cascade[:, -1]


class QueryPolicy(ScorePolicy):
    """Plackett-Luce over scores of query and item, `table` (Q, I)."""

    name = "query scores"

    def __init__(self, table: Floats) -> None:
        super().__init__(temperature=1.0)
        self.table = table

    def scores(self, observation: Observation) -> Floats:
        """(B, N) from the table."""
        return np.asarray(self.table[observation.query, np.maximum(observation.candidates, 0)])


class StudyWorld:
    """One way in which users respond, for slates of one size.

    Args:
        structure: On what of the page a click may depend.
        slate_size: Positions K.
        seed: Of users and policies.
    """

    def __init__(self, structure: Structure, slate_size: int, *, seed: int = 0) -> None:
        self.structure, self.K, self.seed = structure, slate_size, seed
        self.features = example_features(n_items=N_ITEMS, n_queries=N_QUERIES)
        base = example_simulator(features=self.features, slate_size=slate_size)
        self.simulator = ComposedSimulator(
            features=self.features,
            population=base.population,
            attractiveness=base.attractiveness,
            examination=_examination(structure, slate_size),
            conversion=base.conversion,
            dynamics=base.dynamics,
            slate_size=slate_size,
        )
        self.items = example_candidates(self.features, N_CANDIDATES)  # (Q, N)
        rng = np.random.default_rng([seed, 11])
        queries = np.arange(N_QUERIES, dtype=np.int32)
        relevance = self.features.relevance.click_probability(queries, self.items)
        taste = (relevance - relevance.mean()) / relevance.std()
        logged = 0.4 * taste + 0.4 * rng.normal(size=taste.shape)
        way = 0.8 * taste + 0.6 * rng.normal(size=taste.shape)
        candidates = {"logged": logged} | {name: logged + far * way for name, far in JUDGED.items()}
        self.scores = {name: self._table(values) for name, values in candidates.items()}

    def _table(self, scores: Floats) -> Floats:
        table = np.full((N_QUERIES, N_ITEMS), -np.inf)
        np.put_along_axis(table, self.items.astype(np.int64), scores, axis=1)
        return table

    @cached_property
    def world(self) -> World:
        """The world of the environment."""
        queries = np.arange(N_QUERIES, dtype=np.int32)
        scores = self.features.relevance.click_probability(queries, self.items)
        return World(
            simulator=self.simulator,
            candidates=CandidateTable(items=self.items, scores=scores),
            features=self.features,
        )

    @property
    def task(self) -> TaskConfig:
        """The task of the environment."""
        return TaskConfig(slate_size=self.K, n_candidates=N_CANDIDATES, max_steps=MAX_PAGES, history=1)

    def policy(self, name: str) -> QueryPolicy:
        """The policy 'logged' or one of `JUDGED`."""
        return QueryPolicy(self.scores[name])

    @cached_property
    def _marginals(self) -> dict[str, Floats]:
        """(Q, K, I) probability of each item at each position, by policy."""
        found = {}
        for name, table in self.scores.items():
            marginal = np.zeros((N_QUERIES, self.K, N_ITEMS))
            own = plackett_luce.position_marginals(
                np.take_along_axis(table, self.items.astype(np.int64), axis=1), self.K
            )
            for query in range(N_QUERIES):
                marginal[query][:, self.items[query]] = own[query]
            found[name] = marginal
        return found

    def propensity(self, name: str, pages: Pages) -> Propensity:
        """Exact propensities of the logged slates under a policy."""
        item = self._marginals[name][pages.query[:, None], np.arange(self.K), pages.slate]
        rates = np.exp(self.scores[name])  # (Q, I)
        shown = rates[pages.query[:, None], pages.slate]  # (n, K)
        left = rates.sum(axis=1)[pages.query][:, None] - np.cumsum(shown, axis=1) + shown
        return Propensity(item, np.cumprod(shown / left, axis=1))

    def largest_terms(self, name: str) -> float:
        """The largest possible term of IIPS with at most one click a position: a sum of largest item weights."""
        with np.errstate(invalid="ignore"):
            ratio = self._marginals[name] / self._marginals["logged"]  # nan where neither shows an item
        return float(np.nanmax(ratio, axis=(0, 2)).sum())

    def recorded(self, n_users: int, *, first_user: int) -> Pages:
        """Pages of whole sessions in the environment, as its recorder writes them."""
        return self._run(n_users, first_user, expected=None)[0]

    def recorded_truth(self, n_users: int, *, first_user: int) -> tuple[dict[str, Floats], NDArray[np.int64]]:
        """What each policy judged could expect of every page that the logging policy comes to.

        Returns:
            By policy (n,) expected clicks of one drawn slate, and the pages' users (n,).
        """
        pages, found = self._run(n_users, first_user, expected=np.random.default_rng([self.seed, first_user]))
        return found, pages.user

    def _run(
        self, n_users: int, first_user: int, *, expected: np.random.Generator | None
    ) -> tuple[Pages, dict[str, Floats]]:
        policy, end = self.policy("logged"), first_user + n_users
        core = SlateCore(
            self.world, self.task, n_users=min(_BATCH, n_users), seed=self.seed, first_user=first_user
        )
        observation = core.reset()
        kept: list[tuple[NDArray[np.int64], NDArray[np.int32], Pages]] = []
        hoped: list[dict[str, Floats]] = []
        while (core.state.user < end).any():
            user, step = core.state.user.copy(), core.state.step.copy()
            rows = np.flatnonzero(user < end)
            if expected is not None:
                state = core.state.take(rows)
                hoped.append({name: self._expected(name, state, expected) for name in JUDGED})
            actions = policy.rank(observation, Draw(self.seed + 1, user, step), slate_size=self.K)
            result = core.step(actions)
            page = Pages(
                user[rows], observation.query[rows, 0], result.slates[rows], result.feedback.click[rows]
            )
            kept.append((user[rows], step[rows], page))
            observation = result.observation
        order = np.lexsort((np.concatenate([s for _, s, _ in kept]), np.concatenate([u for u, _, _ in kept])))
        columns = ("user", "query", "slate", "click")
        whole = Pages(*(np.concatenate([getattr(p, name) for _, _, p in kept])[order] for name in columns))
        values = {name: np.concatenate([h[name] for h in hoped])[order] for name in JUDGED} if hoped else {}
        return whole, values

    def _expected(self, name: str, state: SessionState, rng: np.random.Generator) -> Floats:
        """(B,) expected clicks of one slate of a policy for users in `state`."""
        slates = self._draw(name, state.query, rng)
        logits = self.simulator.attractiveness.logits(state, self.simulator.memory, slates)
        return np.asarray(self.simulator.examination.click_probability(logits).sum(axis=1))

    def _draw(self, name: str, query: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
        """Slates (B, K) of a policy, catalogue rows."""
        scores = np.take_along_axis(self.scores[name], self.items.astype(np.int64), axis=1)[query]
        chosen = plackett_luce.sample(scores, rng.gumbel(size=scores.shape), self.K)
        return np.take_along_axis(self.items[query], chosen, axis=1).astype(np.int32)

    def passed(self, n_users: int, *, first_user: int) -> Pages:
        """Pages of users who do not remember earlier ones, all in one pass through the simulator's laws.

        Each user has one to four pages, of the queries that follow the first, and the same tastes on all of them.
        """
        rng = np.random.default_rng([self.seed, first_user, 1])
        state = self._visits(n_users, first_user, rng)
        slates = self._draw("logged", state.query, rng)
        logits = self.simulator.attractiveness.logits(state, self.simulator.memory, slates)
        click = self.simulator.examination.click(state, logits, seed=self.seed)
        return Pages(state.user, state.query, slates, click)

    def passed_truth(self, n_users: int, *, first_user: int) -> tuple[dict[str, Floats], NDArray[np.int64]]:
        """As `recorded_truth`, for `passed`."""
        rng = np.random.default_rng([self.seed, first_user, 2])
        state = self._visits(n_users, first_user, rng)
        return {name: self._expected(name, state, rng) for name in JUDGED}, state.user

    def _visits(self, n_users: int, first_user: int, rng: np.random.Generator) -> SessionState:
        users = np.arange(first_user, first_user + n_users, dtype=np.int64)
        begun = self.simulator.begin(users, seed=self.seed)
        pages = rng.integers(1, MAX_PAGES + 1, n_users)
        rows = np.repeat(np.arange(n_users), pages)
        step = np.arange(rows.size) - np.repeat(np.cumsum(pages) - pages, pages)
        state = begun.take(rows)
        query = (state.query + step) % N_QUERIES
        return replace(state, step=step.astype(np.int32), query=query.astype(np.int32))


def _examination(structure: Structure, K: int) -> Examination:
    falling: Floats = 1.0 / (1.0 + 0.3 * np.arange(K, dtype=np.float64))
    if structure == "independent":
        return PositionExamination(gamma=falling)
    if structure == "cascade":
        return CascadeExamination(after_click=np.full(K - 1, 0.1), after_skip=np.full(K - 1, 0.95))
    return MultinomialExamination(attention=falling)
