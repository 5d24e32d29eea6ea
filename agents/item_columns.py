"""What a session says of each candidate, as numbers: the inputs of click models and linear bandits.

All are functions of the public observation and tables. Each candidate's columns depend on the session and on the
candidate, not on who else is served, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from agents.kernels import item_columns as kernels
from encoders.features import FeatureTables
from envs.observation import Observation

__all__ = ["FADING", "ItemColumns"]

FADING = 0.8
"""Weight of a page shown before, against the page after it."""

_NAMES = (
    "relevance",  # logit of the candidate's score
    "log_popularity",
    "purchase_relevance",  # the relevance model's logit of a purchase given a click
    "seen",  # log1p of the earlier showings in the session
    "seen_before",
    "like_query",  # cosine to the query
    "like_clicked",  # to the mean of the items clicked lately
    "like_last_clicks",  # to the mean of those clicked on the last page
    "like_last_skips",
    "like_recent",  # to the fading mean of what was shown lately
    "kind_clicked",  # how often the category was clicked lately
    "kind_last_clicked",
    "kind_last_skipped",
    "kind_recent",  # how often the category was shown lately, fading
    "kind_seen",  # earlier showings of candidates of the category
    "clicked_before",
)


class ItemColumns:
    """Observation -> columns (B, N, C).

    Args:
        features: Item tables.
        context_size: Width of the observed user context; used by the crosses and the session's columns.
        history: Recent clicks that make up what the user seems to like; fewer where the observation has fewer.
        memory: Entries M of `recent_items` to read; 0: the last page alone is remembered.
        crosses: Whether to add every product of a context and a numeric column (for linear models).
        session: Whether to add the context and log1p of clicks and purchases so far (for models with
            interactions; they cannot change an order by themselves).
        constant: Whether to add a column of ones.
    """

    def __init__(
        self,
        features: FeatureTables,
        *,
        context_size: int = 0,
        history: int = 10,
        memory: int = 0,
        crosses: bool = False,
        session: bool = False,
        constant: bool = False,
    ) -> None:
        self.history, self.memory, self.context_size = history, memory, context_size
        rows = np.nan_to_num(np.asarray(features.item_numeric, np.float32))
        self._numeric = np.concatenate([rows, np.zeros((1, rows.shape[1]), np.float32)])  # (I + 1, F)
        popularity = np.log(np.maximum(np.asarray(features.popularity, np.float64), 1e-6))
        relevance = features.relevance

        def table(values: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.require(values, np.float32, ["C", "W"])

        self._tables = (
            table(features.item_vectors),
            table(features.query_vectors),
            np.require(features.item_category, np.int32, ["C", "W"]),
            popularity,
            table(relevance.item),
            table(relevance.purchase_query),
            float(relevance.purchase_bias),
        )
        numeric, context = features.numeric_names, [f"context_{f}" for f in range(context_size)]
        names = [*_NAMES, *numeric]
        self._parts: list[Callable[[Observation], NDArray[np.float32]]] = []
        if crosses and context_size and numeric:
            names += [f"{c} x {n}" for c in context for n in numeric]
            self._parts.append(self._crosses)
        if session:
            names += [*context, "clicks_so_far", "purchases_so_far"]
            self._parts.append(self._session)
        if constant:
            names.append("constant")
            self._parts.append(lambda seen: np.ones((*seen.candidates.shape, 1), np.float32))
        self.names: tuple[str, ...] = tuple(names)
        """What each column is."""

    def __call__(self, observation: Observation) -> NDArray[np.float32]:
        """Columns (B, N, C), zeros at padding (but for what is the session's)."""
        B, N = observation.candidates.shape
        out = np.empty((B, N, len(self.names)), np.float32)
        own = np.empty((B, N, kernels.N_COLUMNS), np.float32)
        recent, fading = self._recent(observation)
        kernels.columns(
            B,
            np.ascontiguousarray(observation.query[:, 0]),
            np.ascontiguousarray(observation.candidates, np.int32),
            np.ascontiguousarray(observation.scores, np.float32),
            np.ascontiguousarray(observation.seen, np.float32),
            np.ascontiguousarray(observation.clicked[:, : self.history]),
            np.ascontiguousarray(observation.last_slate, np.int32),
            np.ascontiguousarray(observation.last_click, np.float64),
            recent,
            fading,
            self._tables,
            own,
        )
        out[:, :, : kernels.N_COLUMNS] = own
        at = kernels.N_COLUMNS + self._numeric.shape[1]
        out[:, :, kernels.N_COLUMNS : at] = self._numeric[observation.candidates]
        for part in self._parts:
            block = part(observation)
            out[:, :, at : at + block.shape[2]] = block
            at += block.shape[2]
        return out

    def _recent(self, observation: Observation) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Items shown lately (B, M), newest page first, and the weight (M,) of each place."""
        K = observation.last_slate.shape[1]
        items = observation.last_slate
        if self.memory:
            items = observation.recent_items[:, : self.memory]
        return np.ascontiguousarray(items, np.int32), FADING ** (np.arange(items.shape[1]) // K)

    def _crosses(self, observation: Observation) -> NDArray[np.float32]:
        numeric = self._numeric[observation.candidates]  # (B, N, F)
        context = observation.context[:, None, : self.context_size, None]  # (B, 1, X, 1)
        product: NDArray[np.float32] = context * numeric[:, :, None, :]
        return product.reshape(*numeric.shape[:2], -1)

    def _session(self, observation: Observation) -> NDArray[np.float32]:
        known = np.concatenate(
            [observation.context[:, : self.context_size], observation.progress[:, 2:4]], axis=1
        )
        return np.repeat(known[:, None, :], observation.candidates.shape[1], axis=1)
