"""Users whom any scikit-learn classifier drives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from simulators.base import Feedback, ItemAppeal, SessionState
from simulators.examples.logged import LoggedSessions, departures
from simulators.fitting.replay import latest_sessions, record_memory, replay
from simulators.fitting.scores import log_loss
from simulators.kernels.rng import Purpose, uniform_table
from simulators.parts.rows import make_impression_rows, make_page_rows
from simulators.registry import SimulatorInputs, load_class

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

__all__ = ["ClassifierSimulator"]

_TILE = 256
"""Rows of one call of a classifier. A product of matrices rounds differently for each number of rows; with calls of
one size, filled up with zeros, a user's chances do not depend on who else is in the batch."""


class ClassifierSimulator:
    """Clicks, purchases given a click, and departures by three copies of a classifier, fitted to the log.

    What a classifier sees of an item is its row in `simulators.parts.rows` (relevance, price, popularity, what the
    session has seen and clicked so far, the user's context), and its position on the page; of a page, the page's row.
    Columns are brought to mean 0 and deviation 1. An event that the log never, or always, shows is taken at its rate.

    Speed is that of `predict_proba`, called on 256 rows at a time: boosted trees answer some thousand users a second,
    linear models some ten thousand. Derive from this class and override `new_classifier` for anything more special.

    Args:
        inputs: The log; its latest sessions are learned from (`inputs.fit.max_impressions`).
        classifier: A classifier with `predict_proba`, or its class as `module:Class`.
        settings: Keyword arguments of the class.
    """

    def __init__(
        self,
        inputs: SimulatorInputs,
        classifier: Any = "sklearn.ensemble:HistGradientBoostingClassifier",
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.classifier, self.settings, self.seed = classifier, settings or {}, inputs.seed
        self.n_items, self.n_queries = inputs.features.n_items, inputs.features.n_queries
        log = latest_sessions(inputs.train, inputs.fit.max_impressions)
        self.slate_size: int | None = log.slate_size
        self.sessions = LoggedSessions(log)
        self.context_size = self.sessions.context_size
        self.memory = record_memory(inputs.features, inputs.fit.ring)
        seen = replay(inputs.features, log, ring=inputs.fit.ring)
        self.widths = seen.rows.shape[1], seen.page_rows.shape[1]
        rows = np.column_stack([seen.rows, seen.position])
        clicked = seen.click > 0
        self.click = self._chance(rows, seen.click)
        self.purchase = self._chance(rows[clicked], seen.purchase[clicked])
        known, left = departures(log)
        self.leave = self._chance(seen.page_rows[known], left[known])
        self.notes = self._held_out(inputs)

    def new_classifier(self) -> BaseEstimator:
        """A fresh classifier, not fitted; called once for clicks, purchases and departures each."""
        if not isinstance(self.classifier, str):
            from sklearn.base import clone

            return clone(self.classifier)
        try:
            made = load_class(self.classifier)(**self.settings)
        except TypeError as error:
            raise InputError(str(error), where=self.classifier, mend="check the option settings") from error
        if "random_state" in made.get_params() and made.get_params()["random_state"] is None:
            made.set_params(random_state=self.seed)  # none of ours would draw from the global generator
        return made

    def begin(self, users: NDArray[np.int64], *, seed: int) -> SessionState:
        """The users `users` (B,) as they arrive; hidden: the record of the session."""
        return self.sessions.begin(users, self.memory.begin(len(users)), seed=seed)

    def respond(self, state: SessionState, slates: NDArray[np.int32], *, seed: int) -> Feedback:
        """Answer `slates` (B, K) and advance `state` by one step."""
        slates = np.require(slates, np.int32, ["C", "W"])
        k = slates.shape[1]
        u = uniform_table(seed, state.user, state.step, Purpose.PLUG_IN, 2 * k + 1)
        rows = self._rows(state, slates, np.arange(k))
        there_is = slates >= 0
        click = np.zeros(slates.shape, np.uint8)
        click[there_is] = u[:, :k][there_is] < self.click(rows[there_is])
        hit = click > 0
        purchase = np.zeros_like(click)
        purchase[hit] = u[:, k : 2 * k][hit] < self.purchase(rows[hit])
        page = make_page_rows(self.memory, state, slates, click, purchase, self.widths[1])
        left = u[:, -1] < self.leave(page)
        self.memory.remember(state, slates, click, purchase)
        state.query = self.sessions.next_query(state, seed=seed)
        state.step += 1
        return Feedback(click=click, purchase=purchase, left=left)

    def appeal(self, state: SessionState, items: NDArray[np.int32]) -> ItemAppeal:
        """Chances of `items` (B, M) if each stood first; -1 gives 0."""
        items = np.require(items, np.int32, ["C", "W"])
        rows = self._rows(state, items, np.zeros(items.shape[1], np.int64))
        click, purchase = np.zeros(items.shape, np.float32), np.zeros(items.shape, np.float32)
        there_is = items >= 0
        click[there_is], purchase[there_is] = self.click(rows[there_is]), self.purchase(rows[there_is])
        return ItemAppeal(click=click, purchase=purchase)

    def examination_weights(self, n_positions: int) -> NDArray[np.float32]:
        """(K,) click rates of the positions relative to the best."""
        return self.sessions.position_weights(n_positions)

    def _rows(
        self, state: SessionState, items: NDArray[np.int32], position: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        rows = make_impression_rows(self.memory, state, items, self.widths[0])
        place = np.broadcast_to(position.astype(np.float32), items.shape)
        return np.concatenate([rows, place[..., None]], axis=2)

    def _held_out(self, inputs: SimulatorInputs) -> tuple[str, ...]:
        held = replay(inputs.features, inputs.valid, ring=inputs.fit.ring)
        if not len(held.rows):
            return ()
        ours = log_loss(self.click(np.column_stack([held.rows, held.position])), held.click)
        rates = self.sessions.rates[np.minimum(held.position, len(self.sessions.rates) - 1)]
        return (
            f"classifier: log-loss of the {len(held.rows):,} shown items of the held-out sessions {ours:.4f}; the "
            f"constant rate of each position has {log_loss(rates, held.click):.4f}",
        )

    def _chance(self, rows: NDArray[np.float32], outcome: NDArray[Any]) -> _Chance:
        outcome = outcome.astype(np.int64)
        if len(np.unique(outcome)) < 2:
            return _Chance(float((outcome.sum() + 0.5) / (len(outcome) + 1.0)))
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        model = make_pipeline(StandardScaler(), self.new_classifier())
        if not hasattr(model, "predict_proba"):
            raise InputError(
                f"{type(model[-1]).__name__} gives no chances: it has no predict_proba",
                where=f"classifier {self.classifier}",
                mend="choose one that has, or wrap it in sklearn.calibration.CalibratedClassifierCV",
            )
        return _Chance(model.fit(rows.astype(np.float64), outcome))


class _Chance:
    """Chance of an event for rows, from a fitted classifier or constant.

    Args:
        source: The classifier, or the chance.
    """

    def __init__(self, source: Any) -> None:
        self.source = source

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,) of rows (n, P)."""
        if isinstance(self.source, float) or not len(rows):
            return np.full(len(rows), self.source if isinstance(self.source, float) else 0.0)
        tiles = np.zeros((-(-len(rows) // _TILE), _TILE, rows.shape[1]))
        tiles.reshape(-1, rows.shape[1])[: len(rows)] = rows
        return np.concatenate([self.source.predict_proba(tile)[:, 1] for tile in tiles])[: len(rows)]
