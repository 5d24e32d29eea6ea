"""Sums over the pages that users were shown between two points of the curves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.observation import Observation
from envs.results import StepResult

__all__ = ["PageTally"]


class PageTally:
    """What was shown, clicked and bought, and how sessions went.

    Args:
        n_items: Items `I` of the catalogue.
    """

    def __init__(self, n_items: int) -> None:
        self.n_pages = 0
        self._shown = np.zeros(n_items, np.bool_)
        self._clicks: NDArray[np.int64] = np.zeros(0, np.int64)
        self._purchases: NDArray[np.int64] = np.zeros(0, np.int64)
        self._items = self._repeated = 0
        self._parts: NDArray[np.float64] = np.zeros(0)
        self._penalty: float | None = None
        self._part_names: tuple[str, ...] = ()
        self._sessions: dict[str, list[NDArray[Any]]] = {}

    def add(self, before: Observation, result: StepResult) -> None:
        """One page of every user: what they were offered, and what came of it."""
        feedback, slates = result.feedback, result.slates
        clicks = feedback.click.sum(0, dtype=np.int64)
        if not self.n_pages:
            self._clicks, self._purchases = np.zeros_like(clicks), np.zeros_like(clicks)
            self._part_names = tuple(result.reward_parts.as_dict())
            self._parts = np.zeros(len(self._part_names))
        self.n_pages += slates.shape[0]
        self._clicks += clicks
        self._purchases += feedback.purchase.sum(0, dtype=np.int64)
        self._parts += result.parts.sum(0)
        if result.penalty is not None:
            self._penalty = (self._penalty or 0.0) + float(result.penalty.sum())
        filled = slates >= 0
        self._shown[slates if filled.all() else slates[filled]] = True
        seen = np.take_along_axis(
            before.seen, result.positions, axis=1
        )  # (B, K) showings earlier in the session
        self._items += int(filled.sum())
        self._repeated += int(((seen > 0) & filled).sum())
        if result.finished.size:
            for name in ("reward", "score", "clicks", "purchases", "length", "left"):
                self._sessions.setdefault(name, []).append(getattr(result.episodes, name))

    def figures(self) -> dict[str, float]:
        """Tag to value, for the pages so far (at least one); sessions' figures where any has finished.

        `rollout/ep_rew_mean` and `rollout/ep_len_mean` are SB3's; `slate/` holds ours.
        """
        tags = {"reward": "rollout/ep_rew_mean", "length": "rollout/ep_len_mean", "left": "slate/left_share"}
        found = {
            tags.get(name, f"slate/{name}"): float(np.concatenate(values).mean())
            for name, values in self._sessions.items()
        }
        parts = dict(zip(self._part_names, self._parts / self.n_pages, strict=True))
        found |= {f"slate/page_{name}": float(parts[name]) for name in ("diversity", "relevance", "revenue")}
        if self._penalty is not None:
            found["slate/page_penalty"] = self._penalty / self.n_pages
        found["slate/coverage"] = float(self._shown.mean())
        found["slate/repetition"] = self._repeated / max(self._items, 1)
        for k, (clicks, purchases) in enumerate(zip(self._clicks, self._purchases, strict=True)):
            found[f"slate/clicks_at/{k + 1:02d}"] = float(clicks) / self.n_pages
            found[f"slate/purchases_at/{k + 1:02d}"] = float(purchases) / self.n_pages
        return found
