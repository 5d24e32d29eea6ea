"""`SlateRank-ColdStart-v0`: new items each week."""

from __future__ import annotations

from envs.generated import ShopSpec
from envs.tasks.suite import SuiteEnv, SuiteVectorEnv
from envs.world import TaskConfig
from simulators.shopper import Shopper

__all__ = ["ColdStartEnv", "ColdStartVectorEnv"]


class ColdStartEnv(SuiteEnv):
    """Rank for shoppers whose shop has new items each week.

    ## Description
    Half of the catalogue is there from the start, the rest arrives over twelve weeks. Of newcomers neither
    popularity nor rating is known (both read as average); text vectors and the week of arrival are.
    Users `1000 * w` to `1000 * w + 999` come in week w (then the first week comes again), and find the items
    that have arrived by then. A policy has to tell from an item's vector what it is worth; as ever,
    poor items and more of the same drive users away.

    {spaces}
    ## Rewards
    {rewards}

    ## Starting State
    A new user with a first query. `reset(seed=s)` starts again at `first_user`, `reset()` goes on to the next
    user, `reset(options={"user": u})` asks for user u. A session depends on seed and user only. The user's
    number decides the week.

    ## Episode End
    The user leaves after a page with a chance that grows as satisfaction falls (`terminated`); after 15 pages
    the session is cut off (`truncated`). The last `info` has the sums of the session in `info["session"]`.

    {arguments}
    {reference}

    ## Version History
    * v0: first version.
    """

    ID = "SlateRank-ColdStart-v0"
    SHOP = ShopSpec(
        n_items=2000,
        n_queries=240,
        n_topics=40,
        fresh_items=True,
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
            annoyance=0.4,
            page_cost=-0.45,
            satisfaction_memory=0.7,
            leave_bias=-2.0,
            leave_satisfaction=1.5,
            n_weeks=12,
        ),
    )
    TASK = TaskConfig(slate_size=5, n_candidates=50, max_steps=15)


class ColdStartVectorEnv(SuiteVectorEnv):
    """Many users of `ColdStartEnv` in one batch."""

    TASK_ENV = ColdStartEnv
