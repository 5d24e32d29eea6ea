"""Users who answer from the log, where the log knows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from simulators.base import Feedback, ItemAppeal, SessionState
from simulators.examples.logged import LoggedSessions
from simulators.kernels.rng import Purpose, uniform_table
from simulators.registry import SimulatorInputs

__all__ = ["SOURCES", "ReplaySimulator"]

SOURCES = ("query, item and position", "query and item", "position")
"""What an answer was drawn from, the most exact first."""

_CLICKS, _PURCHASES = 0, 1


class ReplaySimulator:
    """Each shown item is answered by what the log holds of it, drawn anew for each user.

    1. Where the log showed this item for this query at this position (at least `at_least` times): one of these logged
       outcomes (no click, a click, a purchase), each as likely.
    2. Else, where it showed the item for this query at other positions: clicks over the clicks that those positions'
       rates would have brought (COEC), times the rate of this position; purchases per click as logged.
    3. Else the rate of the position.

    Arrivals, next queries and departures are drawn from logged ones. `sources` says how many answers came from where.

    Source of 2: Zhang, Jones, "Comparing click logs and editorial labels for training query rewriting", WWW 2007.

    Args:
        inputs: The log.
        at_least: How often the log must have shown something for 1 and 2.
    """

    def __init__(self, inputs: SimulatorInputs, at_least: int = 1) -> None:
        if at_least < 1:
            raise InputError(f"at_least is {at_least}, expected 1 or more", where="ReplaySimulator")
        self.n_items, self.n_queries = inputs.features.n_items, inputs.features.n_queries
        self.slate_size: int | None = inputs.train.slate_size
        log = inputs.train
        self.sessions = LoggedSessions(log)
        self.context_size = self.sessions.context_size
        page, position = np.nonzero((log.item >= 0) & (log.query >= 0)[:, None])
        pair = self._pair(log.query[page], log.item[page, position])
        click, purchase = (a[page, position].astype(np.float64) for a in (log.click, log.purchase))
        rate = self.sessions.rates[position]
        counts = np.stack([click, purchase], axis=1)
        self.exact = _Outcomes(pair * log.slate_size + position, counts, np.ones(len(pair)), at_least)
        self.anywhere = _Outcomes(pair, counts, rate, at_least)
        self.notes = self._coverage(inputs)

    def begin(self, users: NDArray[np.int64], *, seed: int) -> SessionState:
        """The users `users` (B,) as they arrive; their hidden columns count the answers from each of `SOURCES`."""
        return self.sessions.begin(users, np.zeros((len(users), len(SOURCES)), np.float32), seed=seed)

    def respond(self, state: SessionState, slates: NDArray[np.int32], *, seed: int) -> Feedback:
        """Answer `slates` (B, K) and advance `state` by one step."""
        k = slates.shape[1]
        chance, bought, source = self._chances(state.query, slates, np.arange(k))
        u = uniform_table(seed, state.user, state.step, Purpose.PLUG_IN, k + 1)
        # One number decides both, as one logged outcome would: the purchases are the first of the clicks.
        click, purchase = u[:, :k] < chance, u[:, :k] < chance * bought
        left = u[:, k] < self.sessions.leave_chance(state.step, np.asarray(click.any(axis=1)))
        for level in range(len(SOURCES)):
            state.hidden[:, level] += ((source == level) & (slates >= 0)).sum(axis=1)
        state.query = self.sessions.next_query(state, seed=seed)
        state.step += 1
        return Feedback(click=click.astype(np.uint8), purchase=purchase.astype(np.uint8), left=left)

    def appeal(self, state: SessionState, items: NDArray[np.int32]) -> ItemAppeal:
        """Chances of `items` (B, M) if each stood first; -1 gives 0."""
        chance, bought, _ = self._chances(state.query, items, np.zeros(items.shape[1], np.int64))
        return ItemAppeal(click=chance.astype(np.float32), purchase=bought.astype(np.float32))

    def examination_weights(self, n_positions: int) -> NDArray[np.float32]:
        """(K,) click rates of the positions relative to the best."""
        return self.sessions.position_weights(n_positions)

    def sources(self, state: SessionState) -> dict[str, float]:
        """Share of the answers given to the users of `state` so far that came from each of `SOURCES`."""
        counts = state.hidden.sum(axis=0, dtype=np.float64)
        return dict(zip(SOURCES, (counts / max(counts.sum(), 1.0)).tolist(), strict=True))

    def _chances(
        self, query: NDArray[np.int32], items: NDArray[np.int32], position: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Of `items` (B, M) at `position` (M,): chance of a click, of a purchase given one, and the source."""
        pair = self._pair(query[:, None], items)
        here, there = self.exact.find(pair * self.sessions.rates.size + position), self.anywhere.find(pair)
        click = np.broadcast_to(self.sessions.rates[position], items.shape)
        bought = np.full(items.shape, self.sessions.purchase_rate)
        source = np.full(items.shape, 2)
        for level, table, row in ((1, self.anywhere, there), (0, self.exact, here)):
            known = row >= 0
            if not known.any():
                continue
            counts, weight = table.counts[row], table.weight[row]
            scale = self.sessions.rates[position] if level == 1 else 1.0
            click = np.where(known, np.minimum(scale * counts[..., _CLICKS] / weight, 1.0), click)
            share = counts[..., _PURCHASES] / np.maximum(counts[..., _CLICKS], 1.0)
            bought = np.where(known, share, bought)
            source = np.where(known, level, source)
        there_is = items >= 0
        return np.where(there_is, click, 0.0), np.where(there_is, bought, 0.0), source

    def _pair(self, query: NDArray[np.int32], item: NDArray[np.int32]) -> NDArray[np.int64]:
        return query.astype(np.int64) * self.n_items + item

    def _coverage(self, inputs: SimulatorInputs) -> tuple[str, ...]:
        valid = inputs.valid.take(inputs.valid.query >= 0)
        shown = valid.item >= 0
        if not shown.any() or valid.slate_size > self.sessions.rates.size:
            return ()
        source = self._chances(valid.query, valid.item, np.arange(valid.slate_size))[2][shown]
        share = np.bincount(source, minlength=len(SOURCES)) / source.size
        return (
            f"replay: of the {source.size:,} items shown in the held-out sessions, {share[0]:.0%} are answered from "
            f"outcomes logged for the same {SOURCES[0]}, {share[1]:.0%} for the same {SOURCES[1]} elsewhere on the "
            f"page, {share[2]:.0%} by the rate of the {SOURCES[2]} alone; a policy that shows other pages than "
            "the log's gets fewer answers from the log",
        )


class _Outcomes:
    """Logged outcomes by key, looked up by halving.

    Args:
        key: (n,) of each logged outcome.
        counts: (n, 2) clicked, purchased.
        weight: (n,) what clicks are divided by.
        at_least: Keys with fewer outcomes are left out.
    """

    def __init__(
        self, key: NDArray[np.int64], counts: NDArray[np.float64], weight: NDArray[np.float64], at_least: int
    ) -> None:
        found, at, n = np.unique(key, return_inverse=True, return_counts=True)
        enough = n >= at_least
        self.key = found[enough]
        self.counts = np.stack([np.bincount(at, c, len(found)) for c in counts.T], axis=1)[enough]
        self.weight = np.bincount(at, weight, len(found))[enough]

    def find(self, key: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of each key, any shape; -1 where there is none."""
        if not len(self.key):
            return np.full(key.shape, -1)
        row = np.minimum(np.searchsorted(self.key, key), len(self.key) - 1)
        return np.where(self.key[row] == key, row, -1)
