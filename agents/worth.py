"""What clicks, purchases and pages are worth in a task's score: the one definition that all oracles share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.features import FeatureTables
from envs.world import TaskConfig
from simulators.base import Feedback, ItemAppeal

__all__ = ["Worth"]


@dataclass(frozen=True)
class Worth:
    """A score that is additive over pages: clicks, purchases by item, and the page itself."""

    click: float  # of a click
    purchase: NDArray[np.float64]  # (I,) of a purchase of the item, on top of its click
    page: float = 0.0  # of every page seen: 1 and all else 0 is the length of the session

    @classmethod
    def of_task(cls, task: TaskConfig, features: FeatureTables | None, n_items: int) -> Worth:
        """The score of `task`; an item of unknown price brings no revenue (nor does any, without tables)."""
        purchase = np.full(n_items, float(task.purchase_weight))
        if features is not None and task.revenue_weight:
            purchase += task.revenue_weight * np.nan_to_num(features.price.astype(np.float64), nan=0.0)
        return cls(float(task.click_weight), purchase)

    @classmethod
    def of_length(cls, n_items: int) -> Worth:
        """Pages seen, whatever happens on them."""
        return cls(0.0, np.zeros(n_items), 1.0)

    def of_page(self, slates: NDArray[np.int32], feedback: Feedback) -> NDArray[np.float64]:
        """Score (B,) of pages `slates` (B, K) and what users did with them."""
        bought = np.where(feedback.purchase, self.purchase[slates], 0.0)
        clicks = feedback.click.sum(axis=1, dtype=np.int64)
        score: NDArray[np.float64] = self.page + self.click * clicks + bought.sum(axis=1)
        return score

    def expected(self, items: NDArray[np.int32], appeal: ItemAppeal) -> NDArray[np.float64]:
        """Expected score (B, N) of each of `items` (B, N) alone at the top of a page; 0 at padding."""
        value: NDArray[np.float64] = appeal.click.astype(np.float64) * (
            self.click + self.purchase[items] * appeal.purchase
        )
        return np.where(items >= 0, value, 0.0)

    @property
    def unit(self) -> float:
        """A typical worth of a click with what may follow it, so that weights mean the same in every task."""
        usual = float(np.abs(self.purchase).mean()) if self.purchase.size else 0.0
        return max(abs(self.click), 0.2 * usual) or 1.0
