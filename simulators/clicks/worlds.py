"""Logs of randomised pages from a click model whose parameters are known: what fits are tried on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from simulators.clicks.contract import ClickLaw
from simulators.clicks.pages import ClickPages
from simulators.clicks.registry import law_named

__all__ = ["World", "make_world"]

_GLOBALS: dict[
    str, dict[str, tuple[float, ...]]
] = {  # logits, or logarithms for attention; longer pages repeat the last
    "pbm": {"examination": (3.0, 1.2, 0.4, -0.2, -0.6, -1.0)},
    "dcm": {"after_click": (1.5, 0.6, 0.0, -0.4, -0.8)},
    "cascade": {"after_click": (1.0, 0.3, -0.2, -0.6, -1.0), "after_skip": (2.5, 2.0, 1.6, 1.2, 1.0)},
    "ccm": {"tau": (2.2, 1.0, -0.4)},
    "dbn": {"perseverance": (2.0,)},
    "mnl": {"attention": (-0.3, -0.6, -0.8, -1.0, -1.1)},
}


@dataclass(frozen=True, kw_only=True)
class World:
    """A click model with all its parameters."""

    law: ClickLaw
    globals: dict[str, torch.Tensor]
    appeal: NDArray[np.float64]  # (Q, I) logits
    satisfaction: NDArray[np.float64]  # (Q, I) logits
    n_positions: int

    def pages(self, n_pages: int, *, seed: int, pages_per_session: int = 3) -> ClickPages:
        """Pages of items drawn at random, answered."""
        rng = np.random.default_rng([seed, 0xC11C])
        n_queries, n_items = self.appeal.shape
        query = rng.integers(0, n_queries, n_pages)
        item = np.argsort(rng.random((n_pages, n_items)), axis=1)[:, : self.n_positions]
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        clicks = self.law.sample(
            torch.from_numpy(self.appeal[query[:, None], item]),
            self.globals,
            generator,
            torch.from_numpy(self.satisfaction[query[:, None], item]),
        )
        return ClickPages(
            item=item.astype(np.int64),
            click=np.asarray(clicks.numpy()),
            query=query.astype(np.int64),
            session=np.arange(n_pages) // pages_per_session,
            n_items=n_items,
        )


def make_world(
    name: str,
    *,
    n_queries: int = 4,
    n_items: int = 8,
    n_positions: int = 4,
    seed: int = 0,
    centre: float = -0.5,
) -> World:
    """A world of the click model `name`; items differ by a standard deviation of 1 in logits.

    Args:
        name: Any model but the neural one.
        n_queries: Queries.
        n_items: Items, all of them shown for all queries.
        n_positions: Length of a page.
        seed: Of the items' numbers.
        centre: Mean logit of attractiveness.
    """
    law = law_named(name)
    rng = np.random.default_rng([seed, 0x3017])
    values = {}
    for key, start in law.start(n_positions).items():
        if name == "ubm":  # looked at less the further down, and more right below a click
            place, last = np.arange(n_positions)[:, None], np.arange(n_positions)[None]
            gap = place + 1 - last
            value = 2.5 - 0.8 * np.maximum(gap - 1, 0) - 0.3 * (last > 0)
        else:
            given = _GLOBALS[name][key]
            value = np.array([given[min(j, len(given) - 1)] for j in range(len(start))])
        values[key] = torch.from_numpy(np.asarray(value, np.float64))
    shape = (n_queries, n_items)
    return World(
        law=law,
        globals=values,
        appeal=centre + rng.normal(size=shape),
        satisfaction=rng.normal(size=shape),
        n_positions=n_positions,
    )
