"""`SlateRank-Static-v0`: nothing carries over: a sanity check."""

from __future__ import annotations

from envs.generated import ShopSpec
from envs.tasks.suite import SuiteEnv, SuiteVectorEnv
from envs.world import TaskConfig
from simulators.shopper import Shopper

__all__ = ["StaticEnv", "StaticVectorEnv"]


class StaticEnv(SuiteEnv):
    """Rank for a shopper on whom nothing that is shown leaves a trace.

    ## Description
    Clicks depend on how an item fits the query and the user's hidden taste, purchases on taste and price.
    Users neither grow bored nor learn, and they leave by chance alone: whoever serves each page best serves
    the session best, so the planning gap is none. A learner that does not come near the myopic oracle here
    has a fault of its own.

    {spaces}
    ## Rewards
    {rewards}

    ## Starting State
    {start}

    ## Episode End
    The user leaves after a page with a constant chance of 8 % (`terminated`); after 15 pages the session is
    cut off (`truncated`). The last `info` has the sums of the session in `info["session"]`.

    {arguments}
    {reference}

    ## Version History
    * v0: first version.
    """

    ID = "SlateRank-Static-v0"
    SHOP = ShopSpec(
        n_topics=50,
        shopper=Shopper(
            taste_mix=1.0,
            click_bias=-4.0,
            query_fit=3.0,
            taste_fit=3.0,
            purchase_bias=-3.0,
            boredom=0.0,
            click_joy=0.0,
            purchase_joy=0.0,
            page_cost=0.0,
            leave_bias=-2.5,
            leave_satisfaction=0.0,
        ),
    )
    TASK = TaskConfig(slate_size=5, n_candidates=50, max_steps=15)


class StaticVectorEnv(SuiteVectorEnv):
    """Many users of `StaticEnv` in one batch."""

    TASK_ENV = StaticEnv
