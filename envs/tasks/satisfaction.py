"""`SlateRank-Satisfaction-v0`: what lures clicks disappoints."""

from __future__ import annotations

from envs.generated import ShopSpec
from envs.tasks.suite import SuiteEnv, SuiteVectorEnv
from envs.world import TaskConfig
from simulators.shopper import Shopper

__all__ = ["SatisfactionEnv", "SatisfactionVectorEnv"]


class SatisfactionEnv(SuiteEnv):
    """Rank for a shopper who is lured by some items and content with others.

    ## Description
    An item's lure raises the chance of a click, its quality what the user has of it afterwards, and the two
    run against each other. Users whom clicks disappoint leave, and those who are shown the same style again
    and again a little sooner. The shop sees lure in the popularity column and quality, with noise, in the
    rating column. Whoever counts clicks of the next page only loses most of the session.

    {spaces}
    ## Rewards
    {rewards}

    ## Starting State
    {start}

    ## Episode End
    The user leaves after a page with a chance that grows as satisfaction falls (`terminated`); after 15 pages
    the session is cut off (`truncated`). The last `info` has the sums of the session in `info["session"]`.

    {arguments}
    {reference}

    ## Version History
    * v0: first version.
    """

    ID = "SlateRank-Satisfaction-v0"
    SHOP = ShopSpec(
        n_topics=50,
        lure_quality=-0.5,
        shopper=Shopper(
            taste_mix=1.0,
            click_bias=-3.2,
            query_fit=2.5,
            taste_fit=3.0,
            lure_fit=0.7,
            purchase_bias=-2.5,
            boredom=0.1,
            click_joy=0.0,
            quality_joy=0.6,
            purchase_joy=0.0,
            annoyance=0.2,
            page_cost=-0.25,
            leave_bias=-2.0,
            leave_satisfaction=2.0,
        ),
    )
    TASK = TaskConfig(slate_size=5, n_candidates=50, max_steps=15)


class SatisfactionVectorEnv(SuiteVectorEnv):
    """Many users of `SatisfactionEnv` in one batch."""

    TASK_ENV = SatisfactionEnv
