"""What can be known of hidden users from what was shown and answered.

A belief is a set of weighted guesses: users drawn from the population, each carried through the same pages with the
same answers, and weighed by how probable those were (sequential importance sampling; Doucet, de Freitas and Gordon,
"Sequential Monte Carlo Methods in Practice", 2001). Between pages a user's state changes by rule, so that resampling
could only lose guesses; where few are left that count, fresh ones are drawn from the population instead, carried
through all that happened so far, and the likeliest of old and new are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.planning import FIRST_PLANNER_USER, stream_seed
from behavior.errors import InputError
from simulators.base import Feedback, SessionState, TransparentSimulator
from simulators.kernels.rng import Purpose, uniform_table

__all__ = ["Belief", "BeliefFilter", "FilterConfig", "SeenPage", "systematic"]


@dataclass(frozen=True, kw_only=True)
class FilterConfig:
    """How carefully users are guessed."""

    guesses: int = 256
    """Guesses S kept of every user."""
    pool: int = 2048
    """Users of the population out of whom S guesses at a time are taken, by the context."""
    least: float = 0.1
    """Fresh guesses are drawn where the effective number of guesses falls below this share of S."""
    refreshes: int = 1
    """How often they are drawn for one page at most."""

    def __post_init__(self) -> None:
        if not 0 < self.guesses <= self.pool or self.refreshes < 0 or not 0 <= self.least < 1:
            raise InputError(
                f"guesses {self.guesses}, pool {self.pool}, least {self.least} and refreshes {self.refreshes} are "
                "out of range",
                where="FilterConfig",
                mend="0 < guesses <= pool, least from 0 to below 1, refreshes from 0",
            )


@dataclass(frozen=True)
class SeenPage:
    """A page that was shown to `B` users, its answer, and what was seen next; nobody has left."""

    slates: NDArray[np.int32]  # (B, K) catalogue rows
    click: NDArray[np.uint8]  # (B, K)
    purchase: NDArray[np.uint8]  # (B, K)
    query: NDArray[np.int32]  # (B,) of the next page
    context: NDArray[np.float32]  # (B, F) on the next page

    def take(self, rows: NDArray[np.int64]) -> SeenPage:
        """The pages at `rows`."""
        return SeenPage(
            self.slates[rows], self.click[rows], self.purchase[rows], self.query[rows], self.context[rows]
        )

    @classmethod
    def join(cls, pages: list[SeenPage]) -> SeenPage:
        """All pages as one batch."""
        return cls(
            np.concatenate([page.slates for page in pages]),
            np.concatenate([page.click for page in pages]),
            np.concatenate([page.purchase for page in pages]),
            np.concatenate([page.query for page in pages]),
            np.concatenate([page.context for page in pages]),
        )


@dataclass
class Belief:
    """Guesses about `B` users: row b * S + s of `state` is guess s of user b."""

    state: SessionState  # (B * S, ...)
    log_weight: NDArray[np.float64]  # (B, S) log-likelihood of all that was seen

    def chances(self) -> NDArray[np.float64]:
        """Posterior probabilities (B, S) of the guesses."""
        weight = np.exp(self.log_weight - self.log_weight.max(axis=1, keepdims=True))
        chances: NDArray[np.float64] = weight / weight.sum(axis=1, keepdims=True)
        return chances

    def effective(self) -> NDArray[np.float64]:
        """(B,) effective number of guesses, 1 / sum of squared probabilities."""
        number: NDArray[np.float64] = 1.0 / np.square(self.chances()).sum(axis=1)
        return number

    def rows(self, users: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows (len(users) * S,) of `state` that belong to the users at `users`."""
        S = self.log_weight.shape[1]
        rows: NDArray[np.int64] = (users[:, None] * S + np.arange(S)).reshape(-1)
        return rows

    def take(self, users: NDArray[np.int64]) -> Belief:
        """The beliefs about the users at `users`."""
        return Belief(self.state.take(self.rows(users)), self.log_weight[users])

    def put(self, users: NDArray[np.int64], other: Belief) -> None:
        """Overwrite the beliefs about the users at `users`."""
        self.state.put(self.rows(users), other.state)
        self.log_weight[users] = other.log_weight

    @classmethod
    def join(cls, beliefs: list[Belief]) -> Belief:
        """All beliefs as one batch."""
        states = [belief.state for belief in beliefs]
        return cls(
            SessionState(
                user=np.concatenate([state.user for state in states]),
                step=np.concatenate([state.step for state in states]),
                query=np.concatenate([state.query for state in states]),
                context=np.concatenate([state.context for state in states]),
                hidden=np.concatenate([state.hidden for state in states]),
            ),
            np.concatenate([belief.log_weight for belief in beliefs]),
        )


class BeliefFilter:
    """Follows what can be known of users from their observations alone.

    Args:
        simulator: Whose users are guessed.
        config: How carefully.
        seed: Key of the filter's own streams; all chance is a function of it, the user and the page.
    """

    def __init__(
        self, simulator: TransparentSimulator, config: FilterConfig | None = None, *, seed: int = 0
    ) -> None:
        self.simulator, self.config, self._seed = simulator, config or FilterConfig(), seed
        self._pools: dict[int, SessionState] = {}

    def begin(
        self,
        user: NDArray[np.int64],
        query: NDArray[np.int32],
        context: NDArray[np.float32],
        *,
        stream: int = 0,
    ) -> Belief:
        """What is known of users (B,) on their first page, from query (B,) and context (B, F).

        Args:
            user: Their numbers, which key the chance and say nothing else.
            query: Of the first page.
            context: Of the first page.
            stream: Another number gives other guesses.
        """
        B, S, n = user.shape[0], self.config.guesses, self.config.pool
        pool = self._pool(stream)
        density = np.empty((B, n))
        for b in range(0, B, 64):  # a matter of memory
            block = context[b : b + 64]
            many = pool.take(np.tile(np.arange(n), block.shape[0]))
            many.query[:] = np.repeat(query[b : b + 64], n)
            found = self.simulator.context_log_density(many, np.repeat(block, n, axis=0))
            density[b : b + 64] = found.reshape(-1, n)
        chances = np.exp(density - density.max(axis=1, keepdims=True))
        offset = uniform_table(
            stream_seed(self._seed, 6, stream), user, np.zeros(B, np.int32), Purpose.PLANNER, 1
        )
        state = pool.take(systematic(chances, offset[:, 0], S).reshape(-1))
        # Every guess has a number of its own: what a simulator draws of the past for one must not be drawn for all.
        numbers = uniform_table(
            stream_seed(self._seed, 8, stream), user, np.zeros(B, np.int32), Purpose.PLANNER, S
        )
        state.user[:] = FIRST_PLANNER_USER + (numbers * 2.0**32).astype(np.int64).reshape(-1)
        state.query[:] = np.repeat(query, S)
        state.context[:] = np.repeat(context, S, axis=0)
        return Belief(state, np.zeros((B, S)))

    def follow(self, belief: Belief, page: SeenPage) -> None:
        """Take in a page that all users of `belief` were shown, and its answer."""
        S = belief.log_weight.shape[1]
        many = page.take(np.repeat(np.arange(page.query.shape[0]), S))
        here = np.zeros(many.query.shape[0], np.bool_)
        answer = Feedback(click=many.click, purchase=many.purchase, left=here)
        found = self.simulator.absorb(
            belief.state, many.slates, answer, query=many.query, context=many.context
        )
        belief.log_weight += found.reshape(-1, S)

    def refresh(
        self,
        belief: Belief,
        user: NDArray[np.int64],
        query: NDArray[np.int32],
        context: NDArray[np.float32],
        pages: list[SeenPage],
    ) -> None:
        """Draw fresh guesses where too few count, carry them through the past, and keep the likeliest of all.

        Args:
            belief: About `B` users; changed in place.
            user: (B,) their numbers.
            query: (B,) of their first pages.
            context: (B, F) on their first pages.
            pages: What they were shown since, as many pages for every user.
        """
        S = self.config.guesses
        for attempt in range(self.config.refreshes):
            poor = np.flatnonzero(belief.effective() < self.config.least * S)
            if not poor.size:
                return
            stream = 1 + len(pages) * self.config.refreshes + attempt
            fresh = self.begin(user[poor], query[poor], context[poor], stream=stream)
            for page in pages:
                self.follow(fresh, page.take(poor))
            # Old and new were drawn alike, so their likelihoods compare.
            weight = np.concatenate([belief.log_weight[poor], fresh.log_weight], axis=1)  # (P, 2S)
            kept = np.argsort(-weight, axis=1, kind="stable")[:, :S]
            everyone = np.arange(poor.size)[:, None]
            both = Belief.join([belief.take(poor), fresh])
            at = np.where(kept < S, everyone * S + kept, (poor.size + everyone) * S + kept - S)
            belief.put(poor, Belief(both.state.take(at.reshape(-1)), weight[everyone, kept]))

    def _pool(self, stream: int) -> SessionState:
        if stream not in self._pools:
            # Far apart: a simulator may give neighbours the same week.
            numbers = FIRST_PLANNER_USER + 9973 * np.arange(self.config.pool, dtype=np.int64)
            self._pools[stream] = self.simulator.begin(numbers, seed=stream_seed(self._seed, 5, stream))
        return self._pools[stream]


def systematic(chances: NDArray[np.float64], offset: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Systematic resampling (Kitagawa 1996): (B, n) columns drawn in proportion to `chances` (B, M).

    Column m is drawn n * chances[b, m] / sum times, rounded up or down; `offset` (B,) in (0, 1) is all the chance.
    """
    B, M = chances.shape
    out = np.empty((B, n), np.int64)
    for b in range(B):
        levels = np.cumsum(chances[b])
        marks = (np.arange(n) + offset[b]) * (levels[-1] / n)
        out[b] = np.minimum(np.searchsorted(levels, marks, side="right"), M - 1)
    return out
