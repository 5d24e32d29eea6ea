"""Users whose chances stand in a table: by query and item, or by query, item and position."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from simulators.base import Feedback, ItemAppeal, SessionState
from simulators.examples.chances import ChanceTable
from simulators.examples.logged import LoggedSessions
from simulators.kernels.rng import Purpose, uniform_table
from simulators.registry import SimulatorInputs

__all__ = ["TableSimulator"]


class TableSimulator:
    """Clicks, purchases and departures by the chances of a table of the user's own.

    A shown item is clicked with its `click`, bought after a click with its `purchase`; the last item clicked on a page
    makes the user leave with its `leave`. What the table does not say is taken from the log: purchases per click (no
    column `purchase`), departures by page number (no column `leave`, and pages without a click), arrivals, queries.

    Args:
        inputs: The shop; its query texts and item ids are what the table is read by.
        table: Parquet or CSV file; see `ChanceTable`.
        otherwise: Chance of a click where the table has no row; by default the mean of the table.
        decay: Of a table without positions: the chance of a click falls by this factor from one position to the next.
        leave_unclicked: Chance to leave after a page without a click; by default as in the log.
    """

    slate_size: int | None = None

    def __init__(
        self,
        inputs: SimulatorInputs,
        table: Path,
        otherwise: float | None = None,
        decay: float = 1.0,
        leave_unclicked: float | None = None,
    ) -> None:
        for name, chance in (
            ("otherwise", otherwise),
            ("decay", decay),
            ("leave_unclicked", leave_unclicked),
        ):
            if chance is not None and not 0.0 <= chance <= 1.0:
                raise InputError(f"{name} is {chance}, expected 0 to 1", where="TableSimulator")
        self.n_items, self.n_queries = inputs.features.n_items, inputs.features.n_queries
        self.sessions = LoggedSessions(inputs.train)
        self.context_size = self.sessions.context_size
        self.table = ChanceTable.read(Path(table), queries=inputs.train.queries, item_ids=inputs.item_ids)
        if self.table.by_position and decay != 1.0:
            raise InputError(
                f"decay is {decay}, but the chances of the table differ by position already",
                where=str(table),
                mend="leave out the option decay, or the column position",
            )
        self.decay, self.leave_unclicked = decay, leave_unclicked
        self.otherwise = self.table.mean_click if otherwise is None else otherwise
        self.notes = self._coverage(inputs)

    def begin(self, users: NDArray[np.int64], *, seed: int) -> SessionState:
        """The users `users` (B,) as they arrive; nothing hidden."""
        return self.sessions.begin(users, np.zeros((len(users), 0), np.float32), seed=seed)

    def respond(self, state: SessionState, slates: NDArray[np.int32], *, seed: int) -> Feedback:
        """Answer `slates` (B, K) and advance `state` by one step."""
        k = slates.shape[1]
        chance, bought, row = self._chances(state.query, slates, np.arange(k))
        u = uniform_table(seed, state.user, state.step, Purpose.PLUG_IN, 2 * k + 1)
        click = u[:, :k] < chance
        purchase = click & (u[:, k : 2 * k] < bought)
        left = u[:, -1] < self._leave_chance(state, click, row)
        state.query = self.sessions.next_query(state, seed=seed)
        state.step += 1
        return Feedback(click=click.astype(np.uint8), purchase=purchase.astype(np.uint8), left=left)

    def appeal(self, state: SessionState, items: NDArray[np.int32]) -> ItemAppeal:
        """Chances of `items` (B, M) if each stood first; -1 gives 0."""
        chance, bought, _ = self._chances(state.query, items, np.zeros(items.shape[1], np.int64))
        return ItemAppeal(click=chance.astype(np.float32), purchase=bought.astype(np.float32))

    def examination_weights(self, n_positions: int) -> NDArray[np.float32]:
        """(K,) the decay; where the table knows positions, its mean chances relative to the best, made to fall."""
        if not self.table.by_position:
            return np.float32(self.decay) ** np.arange(n_positions, dtype=np.float32)
        rates = self.table.mean_by_position
        rates = rates[np.minimum(np.arange(n_positions), len(rates) - 1)]
        return np.minimum.accumulate(rates / max(rates.max(), 1e-12)).astype(np.float32)

    def _chances(
        self, query: NDArray[np.int32], items: NDArray[np.int32], position: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Of `items` (B, M) at `position` (M,): chance of a click, of a purchase given one, and row of the table."""
        row = self.table.find(query[:, None], items, position)
        known = row >= 0
        click = np.where(known, self.table.click[row], self.otherwise) * self.decay**position
        bought = np.full(items.shape, self.sessions.purchase_rate)
        if self.table.purchase is not None:
            bought = np.where(known, self.table.purchase[row], bought)
        there_is = items >= 0
        return np.where(there_is, click, 0.0), np.where(there_is, bought, 0.0), row

    def _leave_chance(
        self, state: SessionState, click: NDArray[np.bool_], row: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        any_click = np.asarray(click.any(axis=1))
        chance = self.sessions.leave_chance(state.step, any_click)
        if self.leave_unclicked is not None:
            chance = np.where(any_click, chance, self.leave_unclicked)
        if self.table.leave is not None:
            last = click.shape[1] - 1 - np.argmax(click[:, ::-1], axis=1)  # of the clicked ones
            of_last = np.take_along_axis(row, last[:, None], axis=1)[:, 0]
            chance = np.where(any_click & (of_last >= 0), self.table.leave[of_last], chance)
        return chance

    def _coverage(self, inputs: SimulatorInputs) -> tuple[str, ...]:
        valid = inputs.valid.take(inputs.valid.query >= 0)
        shown = valid.item >= 0
        if not shown.any():
            return self.table.notes
        row = self.table.find(valid.query[:, None], valid.item, np.arange(valid.slate_size))
        share = (row[shown] >= 0).mean()
        return (
            *self.table.notes,
            f"table: it holds {share:.0%} of what was shown in the held-out sessions; the rest is clicked with chance "
            f"{self.otherwise:.3g}"
            + ("" if math.isclose(self.decay, 1.0) else f" x {self.decay:g}^position"),
        )
