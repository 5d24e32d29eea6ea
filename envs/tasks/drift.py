"""`SlateRank-Drift-v0`: tastes move with clicks."""

from __future__ import annotations

from envs.generated import ShopSpec
from envs.tasks.suite import SuiteEnv, SuiteVectorEnv
from envs.world import TaskConfig
from simulators.shopper import Shopper

__all__ = ["DriftEnv", "DriftVectorEnv"]


class DriftEnv(SuiteEnv):
    """Rank for a shopper whose taste follows what they click.

    ## Description
    Each click moves the user's taste towards the clicked item. Purchases do not depend on taste but on a
    hidden need, a style that stays the same. A user whose taste lies elsewhere clicks little of what they
    need: to sell, one has to lead them there, page by page, at the price of clicks on the way. Clicks on good
    items keep users a little longer.

    {spaces}
    ## Rewards
    {rewards}

    ## Starting State
    {start}

    ## Episode End
    The user leaves after a page with a chance that grows as satisfaction falls, from 2 % where nothing was
    clicked (`terminated`); after 20 pages the session is cut off (`truncated`). The last `info` has the sums
    of the session in `info["session"]`.

    {arguments}
    {reference}

    ## Version History
    * v0: first version.
    """

    ID = "SlateRank-Drift-v0"
    SHOP = ShopSpec(
        n_topics=20,
        n_queries=40,
        n_styles=6,
        shopper=Shopper(
            taste_mix=0.3,
            click_bias=-4.2,
            query_fit=2.0,
            taste_fit=4.0,
            purchase_bias=-5.0,
            purchase_taste=0.0,
            purchase_need=6.0,
            purchase_price=0.5,
            boredom=0.0,
            drift=1.0,
            click_joy=0.0,
            quality_joy=0.3,
            purchase_joy=0.0,
            page_cost=0.0,
            leave_bias=-3.7,
            leave_satisfaction=1.2,
        ),
    )
    TASK = TaskConfig(slate_size=5, n_candidates=50, max_steps=20)


class DriftVectorEnv(SuiteVectorEnv):
    """Many users of `DriftEnv` in one batch."""

    TASK_ENV = DriftEnv
