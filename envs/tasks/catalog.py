"""`SlateRank-Catalog1M-v0`: a million items."""

from __future__ import annotations

from dataclasses import replace

from envs.generated import ShopSpec
from envs.tasks.boredom import BoredomEnv
from envs.tasks.suite import SuiteEnv, SuiteVectorEnv
from envs.world import TaskConfig

__all__ = ["CatalogEnv", "CatalogVectorEnv"]


class CatalogEnv(SuiteEnv):
    """Rank for a shopper of a shop with a million items.

    ## Description
    The users of the Boredom task in a shop of a million items and ten thousand queries, with vectors as wide
    as those of a real text encoder after reduction. It needs half a gigabyte and some seconds to set up; a
    step costs little more than in a shop of a thousand.

    {spaces}
    ## Rewards
    {rewards}

    ## Starting State
    {start}

    ## Episode End
    The user leaves after a page with a chance that grows as satisfaction falls (`terminated`); after 25 pages
    the session is cut off (`truncated`). The last `info` has the sums of the session in `info["session"]`.

    {arguments}
    {reference}

    ## Version History
    * v0: first version.
    """

    ID = "SlateRank-Catalog1M-v0"
    SHOP = ShopSpec(
        n_items=1_000_000,
        n_queries=10_000,
        n_candidates=100,
        width=64,
        shopper=replace(BoredomEnv.SHOP.shopper, annoyance=0.3),
    )
    TASK = TaskConfig(slate_size=10, n_candidates=100, max_steps=25)


class CatalogVectorEnv(SuiteVectorEnv):
    """Many users of `CatalogEnv` in one batch."""

    TASK_ENV = CatalogEnv
