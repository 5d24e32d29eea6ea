"""`SlateRank-Funnel-v0`: view, click, cart, purchase; revenue counts."""

from __future__ import annotations

from envs.generated import ShopSpec
from envs.tasks.suite import SuiteEnv, SuiteVectorEnv
from envs.world import RewardMix, TaskConfig
from simulators.shopper import Shopper

__all__ = ["FunnelEnv", "FunnelVectorEnv"]


class FunnelEnv(SuiteEnv):
    """Rank for a shopper who has to be won before they buy.

    ## Description
    A clicked item may go into the cart, by taste, price and the user's price sensitivity; what is in the cart
    is bought with a chance that depends on intent. Intent grows with clicks on good items, fades from page to
    page, and is used up by buying. Dear items earn more and are carted less. A good policy warms up first and
    sells then: whoever has bought has what they came for, and sooner leaves, as does who is shown the same style
    again and again. `info["cart"]` tells what went into the cart.

    {spaces}
    ## Rewards
    Training reward and score are the revenue: the summed price of what was bought. Clicks, carts, purchases
    and the margin (price times the share the shop keeps) are logged apart in `info["reward_parts"]`;
    `RewardMix(margin=1.0, revenue=0.0)` trains for profit.

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

    ID = "SlateRank-Funnel-v0"
    SHOP = ShopSpec(
        n_topics=50,
        shopper=Shopper(
            taste_mix=1.0,
            click_bias=-3.0,
            query_fit=2.0,
            taste_fit=3.0,
            price_dislike=0.5,
            boredom=0.3,
            purchase_bias=-1.0,
            purchase_price=1.2,
            checkout_bias=-3.0,
            checkout_intent=1.2,
            intent_memory=0.85,
            intent_click=0.5,
            intent_quality=0.5,
            intent_purchase=0.5,
            click_joy=0.0,
            purchase_joy=-0.7,
            annoyance=0.4,
            page_cost=-0.6,
            satisfaction_memory=0.5,
            leave_bias=-2.5,
            leave_satisfaction=1.5,
        ),
    )
    TASK = TaskConfig(
        slate_size=5,
        n_candidates=50,
        max_steps=15,
        click_weight=0.0,
        purchase_weight=0.0,
        revenue_weight=1.0,
        reward=RewardMix(click=0.0, purchase=0.0, revenue=1.0, relevance=0.0),
    )


class FunnelVectorEnv(SuiteVectorEnv):
    """Many users of `FunnelEnv` in one batch."""

    TASK_ENV = FunnelEnv
