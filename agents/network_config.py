"""Sizes of the learners' networks; apart from them, so that settings can be read without loading torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from agents.settings import ABOVE_ZERO, check_choices, check_numbers
from behavior.errors import InputError

__all__ = ["NetworkConfig", "check_network"]

MemoryEncoder = Literal["sums", "gru", "transformer"]


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Sizes of the networks shared by the learners."""

    state_width: int = 64
    """Width of the two hidden layers over the session state."""
    candidate_width: int = 32
    """Hidden units of the small network that looks at one candidate."""
    gain_scale: float = 2.0
    """PPO: initial weight of the standardised expected gain; the higher, the less the policy explores. Gains that
    spread less than a tenth of a usual click over a page weigh less."""
    value_scale: float = 10.0
    """Unit of the session values: their networks start at zero and would creep to returns of ten and more."""
    memory_encoder: MemoryEncoder = "sums"
    """How the remembered pages (`TaskConfig.memory`) are read: fixed sums alone, or those and a learned encoder."""
    memory_width: int = 32
    """Numbers that the learned encoder gives; even for the transformer, whose two heads share them."""
    item_width: int = 0
    """Width of a trainable projection of the candidates' vectors; 0: as they stand in the frozen table."""
    item_limit: int = 20_000
    """Largest catalogue whose items get trainable numbers of their own; beyond it only features tell them apart."""
    item_scale: float = 5.0
    """How much faster items' own numbers learn than what they share: each item is met far less often."""
    item_traits: int = 4
    """Trainable numbers of each item by which remembered pages are summed up, in catalogues up to `item_limit`."""

    pair_limit: int = 200_000
    """Most pairs (queries x `N`) of which something of their own is learned; see `agents.query_item`."""
    pair_traits: int = 16
    """Trainable numbers of each query and item whose products correct the response model; 0: none."""
    pair_prior: float = 3.0
    """Events that a pair's expectation counts for against what was counted of it; 0: nothing is counted."""

    def __post_init__(self) -> None:
        check_choices(self, {"memory_encoder": get_args(MemoryEncoder)})
        check_numbers(
            self,
            integers={
                "state_width": 1,
                "candidate_width": 1,
                "memory_width": 1,
                "item_width": 0,
                "item_limit": 0,
                "item_traits": 0,
                "pair_limit": 0,
                "pair_traits": 0,
            },
            reals={
                "gain_scale": (0.0, 1e6),
                "value_scale": (ABOVE_ZERO, 1e6),
                "item_scale": (ABOVE_ZERO, 1e6),
                "pair_prior": (0.0, 1e6),
            },
        )
        if self.memory_encoder == "transformer" and self.memory_width % 2:
            raise InputError(
                f"memory_width is {self.memory_width}, which the transformer's two heads cannot share",
                where="NetworkConfig.memory_width",
                mend="choose an even number, or another memory_encoder",
            )


def check_network(network: Any, *, where: str) -> None:
    """Raise InputError where `network` is no `NetworkConfig`."""
    if not isinstance(network, NetworkConfig):
        raise InputError(
            f"network is a {type(network).__name__}",
            where=where,
            mend="give agents.network_config.NetworkConfig(...)",
        )
