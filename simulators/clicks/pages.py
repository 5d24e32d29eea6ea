"""The pages of a log as click models read them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from behavior.steps import LoggedSteps
from encoders.features import FeatureTables

__all__ = ["ClickPages", "FeatureRows", "pages_of"]


@dataclass(frozen=True, kw_only=True)
class FeatureRows:
    """What is known of each shown item for this user, now: `simulators.parts.rows` names the columns."""

    values: NDArray[np.float32]  # (n, P) one row for each shown item, in page order
    penalty: NDArray[np.float32]  # (P,) relative tightness of the prior, 0 for the constant
    category: NDArray[np.int64]  # (n,)
    n_categories: int

    def take(self, keep: NDArray[np.bool_]) -> FeatureRows:
        """The rows where `keep` (n,)."""
        return dataclasses.replace(self, values=self.values[keep], category=self.category[keep])


@dataclass(frozen=True, kw_only=True)
class ClickPages:
    """`M` pages of `K` positions, ordered by session and step."""

    item: NDArray[np.int64]  # (M, K), -1 empty
    click: NDArray[np.bool_]  # (M, K)
    query: NDArray[np.int64]  # (M,), -1 none
    session: NDArray[np.int64]  # (M,)
    n_items: int
    single_impressions: bool = False
    features: FeatureRows | None = None

    @property
    def n_pages(self) -> int:
        """Number of pages `M`."""
        return int(self.item.shape[0])

    @property
    def n_positions(self) -> int:
        """Number of positions `K`."""
        return int(self.item.shape[1])

    @property
    def shown(self) -> NDArray[np.bool_]:
        """(M, K) where an item stands."""
        return self.item >= 0

    @property
    def pair(self) -> NDArray[np.int64]:
        """(M, K) one number for each query and item; meaningless at empty positions."""
        return (self.query[:, None] + 1) * self.n_items + self.item

    def take(self, pages: NDArray[np.bool_]) -> ClickPages:
        """The pages where the mask (M,) is true."""
        page = np.nonzero(self.shown)[0]
        return dataclasses.replace(
            self,
            item=self.item[pages],
            click=self.click[pages],
            query=self.query[pages],
            session=self.session[pages],
            features=None if self.features is None else self.features.take(pages[page]),
        )

    def part(self, share: float) -> tuple[ClickPages, ClickPages]:
        """Earlier and later sessions, the later ones making up `share` of all."""
        sessions = np.unique(self.session)
        cut = sessions[min(int(len(sessions) * (1.0 - share)), len(sessions) - 1)]
        return self.take(self.session < cut), self.take(self.session >= cut)


def pages_of(
    steps: LoggedSteps, *, n_items: int, tables: FeatureTables | None = None, ring: int = 64
) -> ClickPages:
    """The pages of a log.

    Args:
        steps: The log.
        n_items: Items of the catalogue.
        tables: With them, each shown item gets its feature row, replayed through the simulators' own kernels, so that
            attractiveness can be fitted from features. Without them it is fitted as a table.
        ring: How many shown items a user remembers one by one.
    """
    features = None
    if tables is not None:
        from simulators.fitting.priors import row_penalty
        from simulators.fitting.replay import replay

        seen = replay(tables, steps, ring=ring)
        features = FeatureRows(
            values=seen.rows,
            penalty=row_penalty(tables, steps.context_names),
            category=seen.category,
            n_categories=tables.n_categories,
        )
    return ClickPages(
        item=steps.item.astype(np.int64),
        click=(steps.click > 0) & (steps.item >= 0),
        query=steps.query.astype(np.int64),
        session=steps.session,
        n_items=n_items,
        single_impressions=steps.single_impressions,
        features=features,
    )
