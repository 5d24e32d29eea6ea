"""A pointwise click model fitted on the log, ranked greedily: the usual practice that learners should beat."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.kernels.baselines import session_history
from agents.score_policy import ScorePolicy
from behavior.errors import InputError
from behavior.steps import LoggedSteps
from encoders.features import FeatureTables
from envs.observation import Observation

__all__ = ["ClickGreedyConfig", "ClickGreedyPolicy"]


@dataclass(frozen=True, kw_only=True)
class ClickGreedyConfig:
    """How the click model is fitted."""

    regularisation: float = 1.0
    """L2 penalty on the standardised weights."""
    history: int = 10
    """Recent clicks that make up what the user seems to like."""
    max_impressions: int = 1_000_000
    """The most recent impressions that are used."""
    temperature: float = 0.0
    """Of the policy, in logits of a click."""


class ClickGreedyPolicy(ScorePolicy):
    """Ranks by the click logit of a logistic regression; made by `fit`.

    The logit is linear in relevance, log popularity, the items' numeric columns, the number of earlier showings in the
    session, and the cosine to the items clicked lately. Positions enter the fit as a control, because what stands high
    is clicked more, and are left out of the ranking.

    Args:
        features: Item tables.
        weights: (4 + F,) weights of the raw inputs in the order above.
        config: How it was fitted.
    """

    name = "click-greedy"

    def __init__(
        self, features: FeatureTables, weights: NDArray[np.float64], config: ClickGreedyConfig | None = None
    ) -> None:
        self.config = config or ClickGreedyConfig()
        super().__init__(temperature=self.config.temperature)
        self.weights = np.asarray(weights, np.float64)
        self._inputs = _Inputs(features)
        if self.weights.shape != (len(self._inputs.names),):
            raise ValueError(f"{len(self._inputs.names)} weights are needed, found {self.weights.shape}")

    @property
    def names(self) -> tuple[str, ...]:
        """What each weight belongs to."""
        return self._inputs.names

    @classmethod
    def fit(
        cls, steps: LoggedSteps, features: FeatureTables, config: ClickGreedyConfig | None = None
    ) -> ClickGreedyPolicy:
        """Fit on every logged impression whose item is known.

        Raises:
            InputError: The log has no impressions, or only clicks, or none.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        config = config or ClickGreedyConfig()
        inputs = _Inputs(features)
        seen = np.zeros(steps.item.shape, np.float32)
        clicked = np.full((steps.n_steps, config.history), -1, np.int32)
        session_history(steps.session, steps.item, steps.click, seen, clicked)
        score = features.relevance.click_probability(steps.query, steps.item)
        columns = inputs(steps.item, score, seen, clicked)  # (M, K, C)

        known = steps.item >= 0
        rows = np.flatnonzero(known.ravel())[-config.max_impressions :]
        clicks = steps.click.ravel()[rows]
        if rows.size == 0 or clicks.min() == clicks.max():
            raise InputError(
                f"a click model needs impressions with and without clicks; found {rows.size} impressions, "
                f"{int(clicks.sum())} of them clicked",
                where="click-greedy",
                mend="give a log with clicks, or leave this policy out",
            )
        X = columns.reshape(-1, columns.shape[2])[rows]
        mean, scale = X.mean(axis=0), X.std(axis=0)
        scale[scale < 1e-9] = np.inf  # a constant column tells nothing: its weight becomes 0
        position = np.broadcast_to(np.arange(steps.slate_size), steps.item.shape).ravel()[rows]
        control = np.eye(steps.slate_size)[position]  # (M, K)
        model = LogisticRegression(C=1.0 / config.regularisation, max_iter=500)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            model.fit(np.hstack([(X - mean) / scale, control]), clicks)
        return cls(features, model.coef_[0, : X.shape[1]] / scale, config)

    def scores(self, observation: Observation) -> NDArray[np.float64]:
        """Click logit up to what is equal for all candidates of a page, (B, N)."""
        columns = self._inputs(
            observation.candidates, observation.scores, observation.seen, observation.clicked
        )
        total = np.zeros(columns.shape[:2])
        for c, weight in enumerate(self.weights):  # no matrix product: its last bits depend on the batch
            total += weight * columns[:, :, c]
        return total


class _Inputs:
    """The columns of the click model."""

    def __init__(self, features: FeatureTables) -> None:
        def with_none(table: NDArray[np.float32]) -> NDArray[np.float64]:
            rows = np.nan_to_num(np.asarray(table, np.float64))
            return np.concatenate([rows, np.zeros((1, *rows.shape[1:]))])

        self._vectors = with_none(features.item_vectors).astype(np.float32)  # (I + 1, D)
        self._numeric = with_none(features.item_numeric)  # (I + 1, F)
        self._log_popularity = np.append(
            np.log(np.maximum(features.popularity.astype(np.float64), 1e-6)), 0.0
        )
        self.names = ("relevance", "log_popularity", "seen", "like_clicked", *features.numeric_names)

    def __call__(
        self,
        items: NDArray[np.int32],
        score: NDArray[np.float32],
        seen: NDArray[np.float32],
        clicked: NDArray[np.int32],
    ) -> NDArray[np.float64]:
        """Columns (B, M, C) for `items` (B, M), their relevance and showings, and recent clicks (B, H)."""
        p = np.clip(score.astype(np.float64), 1e-4, 1 - 1e-4)
        count = np.maximum((clicked >= 0).sum(axis=1), 1)[:, None]
        liked = self._vectors[clicked].sum(axis=1) / count  # (B, D)
        alike = np.einsum("bmd,bd->bm", self._vectors[items], liked.astype(np.float32))
        parts = [np.log(p / (1 - p)), self._log_popularity[items], seen.astype(np.float64), alike]
        columns = np.empty((*items.shape, len(self.names)), np.float64)
        for c, part in enumerate(parts):
            columns[:, :, c] = part
        columns[:, :, len(parts) :] = self._numeric[items]
        return columns
