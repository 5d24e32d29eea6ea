"""A family of greedy policies over what a simulator reveals, rolled out and tuned in that simulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from agents.kernels.greedy import FIXED, greedy_slates
from agents.worth import Worth
from encoders.features import CandidateTable, FeatureTables
from envs.observation import Observation
from envs.rules import PageRules, rules_of
from envs.world import TaskConfig, World
from simulators.base import InspectableSimulator, SessionState

__all__ = ["FIRST_PLANNER_USER", "GreedyFamily", "Tuning", "family_of", "stream_seed", "tune"]

FIRST_PLANNER_USER = 2**40
"""Users that planners practise on; environments and logs count theirs from far below."""


def stream_seed(seed: int, *path: int) -> int:
    """A 64-bit key for a planner's own random streams, unrelated to `seed` itself (hashed by SeedSequence)."""
    return int(np.random.SeedSequence([0x506C616E, seed, *path]).generate_state(1, np.uint64)[0])


class GreedyFamily:
    """Greedy policies that differ in their weights `theta`, in one task of one simulator.

    A candidate with click probability c and purchase probability p (given a click) is worth

        c^a (v + w p + b0 + b1 (logit p + 2) + sum_f g_f x_f) + d relevance - e boredom

    where v and w are what a click and a purchase of this item earn (in units of `worth.unit`), and candidates of a
    category that is on the page already are worth exp(-m) times as much for each such item. Each of a, b0, b1, m, d, e,
    g is `constant + slope * (share of pages still to come) + slopes * moods`: the worth of keeping a user fades
    towards the end, and a contented user takes more. The myopic policy is a = 1 and all else 0. Boredom and moods count
    where the simulator offers `boredom(state, items)`, (B, N), and `moods(state)`, (B, M).

    Args:
        simulator: Whom the policies see through.
        candidates: Candidates of every query.
        features: Item tables; the numeric columns are x, cut at `max_features`. None: no columns, no categories.
        slate_size: K.
        n_candidates: N.
        max_steps: T.
        worth: What is planned for.
        rules: Rules of the shop that bind pages; None: any page may be shown.
        max_features: Numeric item columns that are used. A simulator that offers `item_traits` (I, F), what its users
            feel but no agent is told, adds them, standardised, as further columns (those that `trait_names` names).
    """

    def __init__(
        self,
        simulator: InspectableSimulator,
        candidates: CandidateTable,
        features: FeatureTables | None,
        *,
        slate_size: int,
        n_candidates: int,
        max_steps: int,
        worth: Worth,
        rules: PageRules | None = None,
        max_features: int = 6,
    ) -> None:
        self.simulator, self.rules = simulator, rules
        self.items = np.ascontiguousarray(candidates.items[:, :n_candidates], np.int32)  # (Q, N)
        self.relevance = np.ascontiguousarray(candidates.scores[:, :n_candidates], np.float32)  # (Q, N)
        self.columns = _columns(simulator, features, max_features)  # (I, F)
        # Without categories every item is one of its own kind: nothing crowds.
        self.category = np.arange(simulator.n_items, dtype=np.int32)
        if features is not None:
            self.category = np.ascontiguousarray(features.item_category, np.int32)
        self.slate_size, self.max_steps = slate_size, max_steps
        self.worth = worth
        self.click_worth = worth.click / worth.unit
        self.buy = np.ascontiguousarray(worth.purchase / worth.unit)  # (I,)
        self._boredom = getattr(simulator, "boredom", None)
        self._moods = getattr(simulator, "moods", None)
        some = simulator.begin(np.arange(1, dtype=np.int64), seed=0)
        self.n_basis = int(self.basis(some).shape[1])  # Z

    @property
    def width(self) -> int:
        """Length Z * P of `theta`: a constant and Z - 1 slopes for each of P weights, constants first."""
        return self.n_basis * (FIXED + int(self.columns.shape[1]))

    def myopic(self) -> NDArray[np.float64]:
        """The weights (Z * P,) of the policy that cares for this page alone."""
        theta = np.zeros(self.width)
        theta[0] = 1.0
        return theta

    def basis(self, state: SessionState) -> NDArray[np.float64]:
        """What constants and slopes are multiplied by, (B, Z): one, the share of pages still to come, the moods."""
        left = (self.max_steps - 1 - state.step) / max(self.max_steps - 1, 1)
        columns = [np.ones((left.shape[0], 1)), np.maximum(left, 0.0)[:, None]]
        if self._moods is not None:
            columns.append(np.clip(self._moods(state), -4.0, 4.0).astype(np.float64))
        return np.ascontiguousarray(np.concatenate(columns, axis=1))

    def boredom(self, state: SessionState, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """Boredom (B, N) with the kinds of `items`; zeros where the simulator tells none."""
        if self._boredom is None:
            return np.zeros(items.shape, np.float32)
        return np.ascontiguousarray(self._boredom(state, items))

    def offers(self, state: SessionState) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Candidates and their relevance (B, N), without what the rules forbid here."""
        items, relevance = self.items[state.query], self.relevance[state.query]
        if self.rules is not None:
            page = _bare_observation(state, items, relevance)
            self.rules.hide(np.arange(items.shape[0]), page, state.user, state.step)
            items, relevance = page.candidates, page.scores
        return items, relevance

    def shown(self, state: SessionState, positions: NDArray[np.int64]) -> NDArray[np.int32]:
        """Catalogue rows (B, K) that candidate positions (B, K) lead to, after the rules' repairs."""
        if self.rules is None:
            return np.take_along_axis(self.items[state.query], positions, axis=1)
        slates = np.empty(positions.shape, np.int32)
        self.rules.place(
            np.arange(positions.shape[0]),
            positions,
            state.query,
            state.user,
            state.step,
            np.empty_like(positions),
            slates,
            np.empty(positions.shape[0], np.int32),
        )
        return slates

    def slates(
        self,
        state: SessionState,
        theta: NDArray[np.float64],
        *,
        items: NDArray[np.int32] | None = None,
        relevance: NDArray[np.float32] | None = None,
        skip: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        """Candidate positions (B, K) under `theta` (B, Z * P), out of `items` (B, N) (by default the query's)."""
        if items is None or relevance is None:
            items, relevance = self.offers(state)
        appeal = self.simulator.appeal(state, items)
        return self.greedy(state, theta, items, relevance, appeal.click, appeal.purchase, skip)

    def greedy(
        self,
        state: SessionState,
        theta: NDArray[np.float64],
        items: NDArray[np.int32],
        relevance: NDArray[np.float32],
        click: NDArray[np.float32],
        purchase: NDArray[np.float32],
        skip: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        """As `slates`, where the appeal (B, N) is known already."""
        B = items.shape[0]
        out = np.empty((B, self.slate_size), np.int64)
        greedy_slates(
            B,
            np.ascontiguousarray(items),
            np.ascontiguousarray(click),
            np.ascontiguousarray(purchase),
            np.ascontiguousarray(relevance),
            self.boredom(state, items),
            self.columns,
            self.category,
            np.ascontiguousarray(theta),
            self.basis(state),
            self.click_worth,
            self.buy,
            np.zeros(B, np.int64) if skip is None else skip,
            out,
        )
        return out

    def play(
        self,
        state: SessionState,
        theta: NDArray[np.float64],
        *,
        seed: int,
        first: NDArray[np.int32] | None = None,
        horizon: int | None = None,
    ) -> NDArray[np.float64]:
        """Scores (B,) from here to the end of the sessions.

        Args:
            state: Users before a page; used up (advanced in place).
            theta: (B, Z * P) the policy of each.
            seed: Key of the chance in these sessions.
            first: (B, K) catalogue rows of the next page; by default the policy's own.
            horizon: Pages looked ahead; by default all that are left.
        """
        score = np.zeros(state.user.shape[0])
        rows = np.flatnonzero(state.step < self.max_steps)
        if rows.shape[0] < score.shape[0]:
            state = state.take(rows)
        page = 0
        while rows.shape[0] and (horizon is None or page < horizon):
            if page == 0 and first is not None:
                shown = np.ascontiguousarray(first[rows])
            else:
                shown = self.shown(state, self.slates(state, theta[rows]))
            feedback = self.simulator.respond(state, shown, seed=seed)
            score[rows] += self.worth.of_page(shown, feedback)
            on = np.flatnonzero(~feedback.left & (state.step < self.max_steps))
            if on.shape[0] < rows.shape[0]:  # users do not depend on each other: the gone can be dropped
                rows, state = rows[on], state.take(on)
            page += 1
        return score


def family_of(world: World, task: TaskConfig, worth: Worth | None = None) -> GreedyFamily:
    """The family in a world whose simulator can be looked into, for the task's score or another worth."""
    simulator: Any = world.simulator
    return GreedyFamily(
        simulator,
        world.candidates,
        world.features,
        slate_size=task.slate_size,
        n_candidates=task.n_candidates,
        max_steps=task.max_steps,
        worth=worth or Worth.of_task(task, world.features, simulator.n_items),
        rules=rules_of(world, task),
    )


def _bare_observation(
    state: SessionState, items: NDArray[np.int32], relevance: NDArray[np.float32]
) -> Observation:
    """As much of an observation as rules strike candidates out of."""
    B = items.shape[0]
    nothing = np.zeros((B, 0), np.float32)
    none = np.zeros((B, 0), np.int32)
    return Observation(
        query=state.query[:, None],
        context=state.context,
        candidates=items,
        scores=relevance,
        seen=np.zeros(items.shape, np.float32),
        last_slate=none,
        last_click=nothing,
        last_purchase=nothing,
        clicked=none,
        progress=nothing,
    )


def _columns(
    simulator: InspectableSimulator, features: FeatureTables | None, max_features: int
) -> NDArray[np.float64]:
    """Item columns (I, F): the public numeric ones, then what the simulator tells oracles alone."""
    columns: list[NDArray[np.float64]] = []
    if features is not None:
        columns += list(np.asarray(features.item_numeric[:, :max_features], np.float64).T)
    hidden, names = getattr(simulator, "item_traits", None), getattr(simulator, "trait_names", ())
    for column in [] if hidden is None else np.asarray(hidden[:, : len(names)], np.float64).T:
        spread = float(column.std())
        if spread < 1e-9:
            continue
        column = (column - column.mean()) / spread
        known = [abs(float(np.mean(column * other))) / max(float(other.std()), 1e-9) for other in columns]
        if max(known, default=0.0) < 0.999:  # a public column may say the same
            columns.append(column)
    if not columns:
        return np.zeros((simulator.n_items, 0))
    return np.ascontiguousarray(np.clip(np.nan_to_num(np.stack(columns, axis=1)), -4.0, 4.0))


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How a planner practises before it serves."""

    rounds: int = 16
    """Rounds of the cross-entropy search; 0 leaves the myopic policy."""
    population: int = 24
    """Policies tried per round."""
    elite: int = 6
    """Best of them, which the next round is drawn around."""
    users: int = 320
    """Sessions per policy and round."""


def tune(
    family: GreedyFamily, tuning: Tuning, *, seed: int, progress: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The best weights found for a family, and the spread (Z * P,) at which the search ended.

    The cross-entropy method (Rubinstein 1999) searches the weights; every round has users of its own, whom all
    its policies serve. The winner is checked against the myopic policy on fresh users, and discarded where it is
    not better by two standard errors.
    """
    mean = family.myopic()
    wide = np.full((family.n_basis, family.width // family.n_basis), 0.3)
    wide[2:] = 0.1  # slopes by mood
    wide[:, [0, 3]] /= 3.0  # the click exponent, crowding
    spread = wide.reshape(-1)
    start = spread.copy()
    if not tuning.rounds:
        return mean, spread
    rng = np.random.default_rng(stream_seed(seed, 2))
    for r in tqdm(
        range(tuning.rounds), desc="oracle practises", leave=False, disable=None if progress else True
    ):
        thetas = mean + spread * rng.normal(size=(tuning.population, family.width))
        thetas[0] = mean
        scores = _scores(family, thetas, tuning.users, stream_seed(seed, 3, r)).mean(axis=1)
        best = thetas[np.argsort(-scores, kind="stable")[: tuning.elite]]
        mean = 0.3 * mean + 0.7 * best.mean(axis=0)
        spread = np.maximum(0.4 * spread + 0.6 * best.std(axis=0), 0.1 * start)
    rivals = np.stack([family.myopic(), mean])
    scores = _scores(family, rivals, 8 * tuning.users, stream_seed(seed, 4))
    gain = scores[1] - scores[0]
    return rivals[int(gain.mean() > 2.0 * gain.std() / np.sqrt(gain.shape[0]))], spread


def _practice_users(family: GreedyFamily, n: int, seed: int) -> SessionState:
    # Far apart: a simulator may give neighbours the same week.
    return family.simulator.begin(FIRST_PLANNER_USER + 9973 * np.arange(n, dtype=np.int64), seed=seed)


def _scores(family: GreedyFamily, thetas: NDArray[np.float64], users: int, seed: int) -> NDArray[np.float64]:
    """Scores (M, users) of each policy (M, Z * P) in the same sessions."""
    M = thetas.shape[0]
    state = _practice_users(family, users, seed).take(np.tile(np.arange(users), M))
    return family.play(state, np.repeat(thetas, users, axis=0), seed=seed).reshape(M, users)
