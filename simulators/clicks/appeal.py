"""Attractiveness (and satisfaction) of shown items: tables of query and item, or features.

Both are one linear form, `rows @ weights + the numbers of the groups that the item belongs to`, under a
Gaussian prior: a table has the constant as its only column and two groups, the item and the query with the
item, so a pair that is hardly shown is judged by the item, and an item that is hardly shown by all. With
features the columns are those of the simulators (`simulators.parts.rows`), and category and item add what
features leave open.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from behavior.errors import InputError
from simulators.clicks.config import AppealKind
from simulators.clicks.laws import NEVER
from simulators.clicks.pages import ClickPages

__all__ = ["Basis", "Design", "Group", "Numbers"]

_CONSTANT_PENALTY = 1e-3  # keeps the constant finite where all outcomes are alike
_CATEGORY_PENALTY, _ITEM_PENALTY = 0.1, 0.3
_LEAST_SCALE = 0.02  # a column that hardly ever moves must not be blown up: its weight would escape the prior


def _no_rows() -> InputError:
    return InputError(
        "attractiveness from features was asked for, but the pages carry no feature rows",
        where="appeal",
        mend="make the pages with pages_of(steps, n_items=..., tables=features)",
    )


@dataclass(frozen=True, kw_only=True)
class Group:
    """A number for each member of a group; -1 belongs to none."""

    name: str
    index: Tensor  # (n,) int64
    size: int
    tightness: float


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The parameters of the linear form, standardised units."""

    weights: Tensor  # (P,)
    groups: tuple[Tensor, ...]  # one (size,) each

    def leaves(self) -> list[Tensor]:
        """All of them."""
        return [self.weights, *self.groups]

    def copy(self) -> Numbers:
        """The same numbers in memory of their own."""
        return Numbers(
            weights=self.weights.detach().clone(), groups=tuple(g.detach().clone() for g in self.groups)
        )


@dataclass(frozen=True, kw_only=True)
class Design:
    """The shown items of some pages, ready for the linear form."""

    rows: Tensor  # (n, P) standardised
    groups: tuple[Group, ...]
    page: Tensor  # (n,)
    position: Tensor  # (n,)
    shape: tuple[int, int]  # (M, K)
    penalty: Tensor  # (P,)

    def logits(self, numbers: Numbers) -> Tensor:
        """Logits (n,) of the shown items, float64, without a gradient."""
        with torch.no_grad():
            z = (self.rows @ numbers.weights.to(self.rows.dtype)).to(torch.float64)
            for group, values in zip(self.groups, numbers.groups, strict=True):
                known = group.index >= 0
                z = z + torch.where(known, values[group.index.clamp(min=0)], 0.0)
            return z

    def dense(self, z: Tensor) -> Tensor:
        """The logits (n,) in their places (M, K); `NEVER` where nothing is shown."""
        if len(z) == self.shape[0] * self.shape[1]:
            return z.view(self.shape)
        empty = torch.full(self.shape, NEVER, dtype=z.dtype)
        return empty.index_put((self.page, self.position), z)

    def gradient(self, slope: Tensor) -> list[Tensor]:
        """From the slope (n,) of a sum of logits to that of each leaf of `Numbers`; written out, for speed."""
        found = [(slope.to(self.rows.dtype) @ self.rows).to(torch.float64)]
        for group in self.groups:
            index = torch.where(group.index >= 0, group.index, group.size)
            found.append(torch.bincount(index, slope, minlength=group.size + 1)[: group.size])
        return found

    def tightness(self, strength: float) -> list[Tensor]:
        """Precision of the prior of each leaf."""
        # Plain maximum likelihood is plain: not even the constant is held then.
        firm = _CONSTANT_PENALTY if strength > 0 else 0.0
        return [
            self.penalty * strength + firm,
            *(torch.tensor(strength * g.tightness, dtype=torch.float64) for g in self.groups),
        ]


class Basis:
    """What turns pages into a design; made from the training pages and used for all later ones.

    Args:
        train: Training pages.
        kind: "tables" or "features".
        items: Tables only: whether pairs are shrunk towards their item. Without it a table is nothing but its pairs.
    """

    def __init__(self, train: ClickPages, kind: AppealKind, *, items: bool = True) -> None:
        self.kind, self.items, self.n_items = kind, items, train.n_items
        self.n_positions = train.n_positions
        self.pairs = np.unique(train.pair[train.shown])
        if kind == "features":
            if train.features is None:
                raise _no_rows()
            values, fixed = train.features.values, train.features.penalty == 0
            self.mean = values.mean(axis=0, dtype=np.float64)
            self.scale = np.maximum(values.std(axis=0, dtype=np.float64), _LEAST_SCALE)
            self.mean[fixed], self.scale[fixed] = 0.0, 1.0

    def pair_index(self, pages: ClickPages) -> NDArray[np.int64]:
        """(n,) row of each shown pair in the table, -1 for pairs that training has not seen."""
        pair = pages.pair[pages.shown]
        found = np.minimum(np.searchsorted(self.pairs, pair), max(len(self.pairs) - 1, 0))
        return np.where(self.pairs[found] == pair, found, -1)

    def design(self, pages: ClickPages) -> Design:
        """The shown items of `pages`.

        Raises:
            InputError: The pages are not like the training pages: another length, catalogue, or no feature rows.
        """
        if (pages.n_positions, pages.n_items) != (self.n_positions, self.n_items):
            raise InputError(
                f"pages of {pages.n_positions} positions from {pages.n_items:,} items; the model was fitted to "
                f"pages of {self.n_positions} from {self.n_items:,}",
                where="pages",
                mend="make them from the same log and catalogue",
            )
        page, position = np.nonzero(pages.shown)
        item = torch.from_numpy(pages.item[pages.shown])
        if self.kind == "tables":
            rows = torch.ones(len(page), 1, dtype=torch.float64)
            penalty = torch.zeros(1, dtype=torch.float64)
            pair = torch.from_numpy(self.pair_index(pages))
            groups = [Group(name="pair", index=pair, size=len(self.pairs), tightness=1.0)]
            if self.items:
                groups.insert(0, Group(name="item", index=item, size=self.n_items, tightness=1.0))
        else:
            if pages.features is None:
                raise _no_rows()
            values = (pages.features.values - self.mean.astype(np.float32)) / self.scale.astype(np.float32)
            rows = torch.from_numpy(values)
            penalty = torch.from_numpy(pages.features.penalty.astype(np.float64))
            category, n = torch.from_numpy(pages.features.category), pages.features.n_categories
            groups = [
                Group(name="category", index=category, size=n, tightness=_CATEGORY_PENALTY),
                Group(name="item", index=item, size=self.n_items, tightness=_ITEM_PENALTY),
            ]
        return Design(
            rows=rows,
            groups=tuple(groups),
            page=torch.from_numpy(page),
            position=torch.from_numpy(position),
            shape=(pages.n_pages, pages.n_positions),
            penalty=penalty,
        )

    def start(self, design: Design, rate: float) -> Numbers:
        """Every item alike, at the logit of `rate`."""
        weights = torch.zeros(design.rows.shape[1], dtype=torch.float64)
        weights[design.penalty == 0] = float(np.log(rate / (1.0 - rate)))
        return Numbers(
            weights=weights,
            groups=tuple(torch.zeros(g.size, dtype=torch.float64) for g in design.groups),
        )
