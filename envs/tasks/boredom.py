"""`SlateRank-Boredom-v0`: more of the same drives users away."""

from __future__ import annotations

from envs.generated import ShopSpec
from envs.tasks.suite import SuiteEnv, SuiteVectorEnv
from envs.world import TaskConfig
from simulators.shopper import Shopper

__all__ = ["BoredomEnv", "BoredomVectorEnv"]


class BoredomEnv(SuiteEnv):
    """Rank for a shopper who tires of what is shown again and again.

    ## Description
    Every showing of a style makes the user a little more bored with it, and boredom fades over the pages. A
    page full of what the user has had enough of is clicked less, and costs satisfaction; dissatisfied users
    leave. The favourite style earns most now and drives the user away soonest: a good policy rations it.

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

    ID = "SlateRank-Boredom-v0"
    SHOP = ShopSpec(
        n_topics=50,
        shopper=Shopper(
            taste_mix=1.0,
            click_bias=-3.5,
            query_fit=2.5,
            taste_fit=3.0,
            purchase_bias=-2.5,
            boredom=0.3,
            boredom_memory=0.8,
            annoyance=0.5,
            click_joy=0.0,
            purchase_joy=0.0,
            page_cost=-0.9,
            satisfaction_memory=0.5,
            leave_bias=-3.0,
            leave_satisfaction=2.0,
        ),
    )
    TASK = TaskConfig(slate_size=5, n_candidates=50, max_steps=25)


class BoredomVectorEnv(SuiteVectorEnv):
    """Many users of `BoredomEnv` in one batch."""

    TASK_ENV = BoredomEnv
