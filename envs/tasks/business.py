"""`SlateRank-Business-v0`: stock, sponsored slots, brands."""

from __future__ import annotations

from envs.business import BusinessRules
from envs.generated import ShopSpec
from envs.tasks.suite import SuiteEnv, SuiteVectorEnv
from envs.world import TaskConfig
from simulators.shopper import Shopper

__all__ = ["BusinessEnv", "BusinessVectorEnv"]


class BusinessEnv(SuiteEnv):
    """Rank for a shopper under the rules of the shop.

    ## Description
    Some items are sold out and others sell out while the user looks on: they are struck out of the
    candidates. At most two items of a brand may stand on a page, and the second position is sold: it must
    hold a sponsored item. Sponsored items are no better than others. Both are public: `world.brand` and
    `world.sponsored`, by catalogue row. The rules are kept by repair: a choice that breaks one is replaced by
    the next candidate that does not. `info["costs"]` counts what the page asked for would have broken, by
    rule; `action_masks()` tells what may be chosen (slot by slot under `SlotBySlot`).

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

    ID = "SlateRank-Business-v0"
    SHOP = ShopSpec(
        n_topics=50,
        n_brands=12,
        sponsored_share=0.2,
        lure_quality=-0.5,
        shopper=Shopper(
            taste_mix=1.0,
            click_bias=-3.0,
            query_fit=2.0,
            taste_fit=3.0,
            lure_fit=0.5,
            purchase_bias=-2.5,
            boredom=0.3,
            click_joy=0.0,
            quality_joy=0.35,
            purchase_joy=0.0,
            annoyance=0.4,
            page_cost=-0.45,
            satisfaction_memory=0.7,
            leave_bias=-2.0,
            leave_satisfaction=1.8,
        ),
    )
    TASK = TaskConfig(
        slate_size=5,
        n_candidates=50,
        max_steps=15,
        rules=BusinessRules(max_per_brand=2, sponsored_slots=(1,), sold_out=0.1, selling_out=0.2),
    )


class BusinessVectorEnv(SuiteVectorEnv):
    """Many users of `BusinessEnv` in one batch."""

    TASK_ENV = BusinessEnv
