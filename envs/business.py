"""Rules of a shop: stock, positions that are sold, and at most so many items of a brand on a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from behavior.errors import InputError
from behavior.numeric import check_integer, check_real
from envs.kernels import business as kernels
from envs.observation import Observation
from envs.tables import prepare_candidates
from envs.world import TaskConfig, World
from simulators.base import Feedback
from simulators.kernels.rng import MAX_SEED

__all__ = ["BusinessRules", "ShopRules"]


@dataclass(frozen=True, kw_only=True)
class BusinessRules:
    """What a page has to keep to. Put it into `TaskConfig.rules`.

    Pages are filled from the top. Where no choice keeps all rules at a position, the sold position gives way first,
    then the brand's limit; and where fewer than K candidates of a query are in stock, the first of the others count
    as in stock.
    """

    max_per_brand: int = 2
    """Items of one brand on a page, at most."""
    sponsored_slots: tuple[int, ...] = ()
    """Positions (0-based) that are sold: they hold a sponsored item wherever one can be chosen."""
    sold_out: float = 0.0
    """Probability that an item is sold out for the whole of a user's session."""
    selling_out: float = 0.0
    """Probability that it sells out while the session lasts, at a page drawn evenly."""
    enforce: bool = True
    """True: a choice that breaks a rule is replaced by the next candidate that breaks none. False: brands and sold
    positions may be broken, and `info["costs"]` counts it; what is out of stock can never be shown."""
    seed: int = 0
    """Of the stock, which depends on user, page and item alone."""

    def bind(self, world: World, task: TaskConfig) -> ShopRules:
        """The rules at work in a world.

        Raises:
            InputError: A rule that makes no sense, or of which the world knows nothing.
        """
        check_real(self.sold_out, where="BusinessRules.sold_out", least=0.0, most=1.0)
        check_real(self.selling_out, where="BusinessRules.selling_out", least=0.0, most=1.0)
        check_integer(self.max_per_brand, where="BusinessRules.max_per_brand", least=1, most=1 << 31)
        check_integer(self.seed, where="BusinessRules.seed", least=0, most=MAX_SEED)
        if not isinstance(self.sponsored_slots, tuple | list):
            raise InputError(
                f"sponsored_slots is {self.sponsored_slots!r}",
                where="BusinessRules.sponsored_slots",
                mend="give a tuple of positions",
            )
        for k in self.sponsored_slots:
            check_integer(k, where="BusinessRules.sponsored_slots", least=0, most=task.slate_size - 1)
        for name, column in (("brand", world.brand), ("sponsored", world.sponsored)):
            if column is not None and column.shape != (world.features.n_items,):
                raise InputError(
                    f"{name} has shape {column.shape}, but there are {world.features.n_items} items",
                    where=f"World.{name}",
                    mend="give one entry per item",
                )
        if self.sponsored_slots and world.sponsored is None:
            raise InputError(
                "positions are sold, but the world does not know which items are sponsored",
                where="World.sponsored",
                mend="give World(sponsored=...), one boolean per item, or leave sponsored_slots empty",
            )
        if self.max_per_brand < task.slate_size and world.brand is None:
            raise InputError(
                f"at most {self.max_per_brand} items of a brand, but the world knows no brands",
                where="World.brand",
                mend="give World(brand=...), one code per item, or set max_per_brand to the slate size",
            )
        return ShopRules(self, world, task)


class ShopRules:
    """`BusinessRules` in a world; implements `envs.rules.PageRules`.

    Args:
        rules: The numbers.
        world: Brands, sponsors and candidates.
        task: Sizes and horizon.
    """

    COSTS = ("stock", "brand", "sponsored")

    def __init__(self, rules: BusinessRules, world: World, task: TaskConfig) -> None:
        n_items = world.features.n_items
        nothing = np.arange(n_items, dtype=np.int32)  # every item a brand of its own
        self.rules = rules
        self._candidates = prepare_candidates(world, task).items
        self._brand = nothing if world.brand is None else np.ascontiguousarray(world.brand, np.int32)
        self._sponsored = (
            np.zeros(n_items, np.bool_)
            if world.sponsored is None
            else np.ascontiguousarray(world.sponsored, np.bool_)
        )
        self._sold = np.isin(np.arange(task.slate_size), rules.sponsored_slots)
        self._stock = (
            np.uint64(rules.seed),
            task.slate_size,
            rules.sold_out,
            rules.selling_out,
            task.max_steps,
        )
        self._broken = np.zeros((0, kernels.N_COSTS))

    def place(
        self,
        rows: NDArray[np.int64],
        actions: NDArray[np.int64],
        query: NDArray[np.int32],
        user: NDArray[np.int64],
        step: NDArray[np.int32],
        positions: NDArray[np.int64],
        slates: NDArray[np.int32],
        repairs: NDArray[np.int32],
    ) -> None:
        """Turn actions into slates that keep the rules; see `PageRules`."""
        seed, _, sold_out, selling_out, pages = self._stock
        self._broken = np.zeros((actions.shape[0], kernels.N_COSTS))
        kernels.place(
            rows.shape[0],
            rows,
            actions,
            query,
            user,
            step,
            self._candidates,
            self._brand,
            self._sponsored,
            self.rules.max_per_brand,
            self._sold,
            self.rules.enforce,
            seed,
            sold_out,
            selling_out,
            pages,
            positions,
            slates,
            repairs,
            self._broken,
        )

    def hide(
        self,
        rows: NDArray[np.int64],
        observation: Observation,
        user: NDArray[np.int64],
        step: NDArray[np.int32],
    ) -> None:
        """Strike out what is not in stock; see `PageRules`."""
        kernels.hide(
            rows.shape[0],
            rows,
            user,
            step,
            *self._stock,
            observation.candidates,
            observation.scores,
            observation.seen,
        )

    def costs(
        self,
        rows: NDArray[np.int64],
        query: NDArray[np.int32],
        user: NDArray[np.int64],
        step: NDArray[np.int32],
        positions: NDArray[np.int64],
        slates: NDArray[np.int32],
        repairs: NDArray[np.int32],
        feedback: Feedback,
    ) -> Mapping[str, NDArray[np.float64]]:
        """What the pages asked for broke, by rule: (B,) choices each."""
        return {name: self._broken[:, c].copy() for c, name in enumerate(self.COSTS)}

    def legal(self, candidates: NDArray[np.int32], page: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Candidate positions (N,) that may stand next on a page.

        Args:
            candidates: (N,) as observed, what is out of stock struck out.
            page: (k,) positions chosen so far, k < K.
        """
        out = np.zeros(candidates.shape[0], np.bool_)
        kernels.legal_choices(
            np.asarray(page, np.int64),
            len(page),
            np.ascontiguousarray(candidates, np.int32),
            self._brand,
            self._sponsored,
            self.rules.max_per_brand,
            self._sold,
            self.rules.enforce,
            out,
        )
        return out
