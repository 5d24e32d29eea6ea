"""Sizes of the learners' networks; apart from them, so that settings can be read without loading torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["NetworkConfig"]


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Sizes of the networks shared by the learners."""

    state_width: int = 64
    """Width of the two hidden layers over the session state."""
    candidate_width: int = 32
    """Hidden units of the small network that looks at one candidate."""
    gain_scale: float = 2.0
    """PPO: initial weight of the standardised expected gain; the higher, the less the policy explores."""
    value_scale: float = 10.0
    """Unit of the session values: their networks start at zero and would creep to returns of ten and more."""
    memory_encoder: Literal["sums", "gru", "transformer"] = "sums"
    """How the remembered pages (`TaskConfig.memory`) are read: fixed sums alone, or those and a learned encoder."""
    memory_width: int = 32
    """Numbers that the learned encoder gives, even."""
    item_width: int = 0
    """Width of a trainable projection of the candidates' vectors; 0: as they stand in the frozen table."""
    item_limit: int = 20_000
    """Largest catalogue whose items get trainable numbers of their own; beyond it only features tell them apart."""
    item_scale: float = 5.0
    """How much faster items' own numbers learn than what they share: each item is met far less often."""
    item_traits: int = 4
    """Trainable numbers of each item by which remembered pages are summed up, in catalogues up to `item_limit`."""
