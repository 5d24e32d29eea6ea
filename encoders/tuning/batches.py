"""Groups of one query and its items, and tables of what is known between the queries and items of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.groups import QueryGroup, draw_groups
from encoders.tuning.config import TuningConfig
from encoders.tuning.examples import Examples

__all__ = ["Lists", "PairLookup", "draw_batches", "with_negatives"]


@dataclass(frozen=True, kw_only=True)
class Lists:
    """A batch: `G` distinct queries, `U` distinct items, and what is known between them."""

    query: list[int]  # G rows
    item: list[int]  # U rows
    hits: torch.Tensor  # (G, U)
    misses: torch.Tensor  # (G, U)
    purchases: torch.Tensor  # (G, U)
    gain: torch.Tensor  # (G, U)
    teacher: torch.Tensor  # (G, U) 0 where the teacher said nothing
    shown: torch.Tensor  # (G, U) 1 where the pair is known


class PairLookup:
    """Finds the counts of any (query, item) of the examples.

    Args:
        examples: What is known.
    """

    def __init__(self, examples: Examples) -> None:
        pairs = examples.pairs
        self._n_items = len(examples.items)
        code = pairs.query.astype(np.int64) * self._n_items + pairs.item
        # Pairs of two logs may come twice; their counts are added, and the best gain stands.
        self._code, place = np.unique(code, return_inverse=True)
        values = np.zeros((len(self._code), 5), np.float32)
        for column, counts in enumerate((pairs.clicks, pairs.misses, pairs.purchases)):
            np.add.at(values[:, column], place, counts)
        np.maximum.at(values[:, 3], place, examples.gain)
        if examples.teacher is not None:
            values[place, 4] = examples.teacher
        self._values = values

    def lists(self, groups: Sequence[QueryGroup], others: Sequence[int] = ()) -> Lists:
        """The batch of `groups`: the union of their items, then `others`, which are none of them."""
        query = list(dict.fromkeys(group.query for group in groups))
        item = [*dict.fromkeys(item for group in groups for item in group.items), *others]
        code = np.asarray(query, np.int64)[:, None] * self._n_items + np.asarray(item, np.int64)  # (G, U)
        at = np.minimum(np.searchsorted(self._code, code), len(self._code) - 1)
        found = self._code[at] == code
        table = torch.from_numpy(np.where(found[..., None], self._values[at], np.float32(0.0)))
        return Lists(
            query=query,
            item=item,
            hits=table[..., 0],
            misses=table[..., 1],
            purchases=table[..., 2],
            gain=table[..., 3],
            teacher=table[..., 4],
            shown=torch.from_numpy(found.astype(np.float32)),
        )


def draw_batches(
    examples: Examples, config: TuningConfig, negatives: NDArray[np.int32] | None = None
) -> list[QueryGroup]:
    """Training groups in the order they are learned, `queries_per_batch` a batch.

    Args:
        examples: What to learn from.
        config: How many pairs.
        negatives: (Q, n) hard negatives of each query, -1 for none.
    """
    groups = draw_groups(
        examples.pairs, max_pairs=config.max_pairs, items_per_query=config.items_per_query, seed=config.seed
    )
    return with_negatives(groups, negatives)


def with_negatives(groups: list[QueryGroup], negatives: NDArray[np.int32] | None) -> list[QueryGroup]:
    """`groups` with the hard negatives (Q, n) of their queries among their items."""
    if negatives is None or not negatives.shape[1]:
        return groups
    return [
        replace(
            group,
            items=tuple(
                dict.fromkeys((*group.items, *(i for i in negatives[group.query].tolist() if i >= 0)))
            ),
        )
        for group in groups
    ]
