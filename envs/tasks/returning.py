"""`SlateRank-Return-v0`: a life of several visits."""

from __future__ import annotations

from envs.generated import ShopSpec
from envs.tasks.suite import SuiteEnv, SuiteVectorEnv
from envs.world import TaskConfig
from simulators.shopper import Shopper

__all__ = ["ReturnEnv", "ReturnVectorEnv"]


class ReturnEnv(SuiteEnv):
    """Rank for a shopper who comes back if they were content.

    ## Description
    A visit is short, and more of the same makes it shorter; good items please. Whoever leaves comes back some
    days later with a chance that grows with satisfaction, with a new query, and with part of satisfaction and
    boredom still there; or never. An episode is the user's whole life. The context tells how many visits
    there were before and how many days lay between the last two.

    {spaces}
    ## Rewards
    {rewards}

    ## Starting State
    {start}

    ## Episode End
    The user leaves for good (`terminated`); after 30 pages the session is cut off (`truncated`). The last
    `info` has the sums of the session in `info["session"]`.

    {arguments}
    {reference}

    ## Version History
    * v0: first version.
    """

    ID = "SlateRank-Return-v0"
    SHOP = ShopSpec(
        n_topics=50,
        lure_quality=-0.6,
        shopper=Shopper(
            taste_mix=1.0,
            click_bias=-3.0,
            query_fit=2.0,
            taste_fit=3.0,
            lure_fit=0.7,
            purchase_bias=-2.5,
            boredom=0.4,
            click_joy=0.0,
            quality_joy=0.3,
            purchase_joy=0.0,
            annoyance=0.45,
            page_cost=-0.55,
            satisfaction_memory=0.7,
            leave_bias=-0.5,
            leave_satisfaction=0.5,
            return_bias=-0.5,
            return_satisfaction=1.5,
            return_memory=0.7,
        ),
    )
    TASK = TaskConfig(slate_size=5, n_candidates=50, max_steps=30)


class ReturnVectorEnv(SuiteVectorEnv):
    """Many users of `ReturnEnv` in one batch."""

    TASK_ENV = ReturnEnv
