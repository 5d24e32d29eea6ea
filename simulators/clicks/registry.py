"""The click models by name."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from behavior.errors import InputError

if TYPE_CHECKING:
    from simulators.clicks.contract import ClickLaw

__all__ = ["CLICK_MODELS", "NEURAL", "law_named"]

NEURAL = "neural"
"""The recurrent model; its likelihood is its own."""

CLICK_MODELS = ("pbm", "ubm", "cm", "dcm", "ccm", "sdbn", "dbn", "cascade", "mnl", NEURAL)
"""All that can be fitted."""


def law_named(name: str) -> ClickLaw:
    """The law of a click model; for the neural one, that of the model it starts from (position-based).

    Raises:
        InputError: There is none of this name.
    """
    from simulators.clicks import cascades, choice, positions

    laws: tuple[type[ClickLaw], ...] = (
        positions.PositionBased,
        positions.UserBrowsing,
        cascades.Cascade,
        cascades.Dependent,
        cascades.ClickChain,
        cascades.SimplifiedDynamicBayesian,
        cascades.DynamicBayesian,
        cascades.Tiring,
        choice.MultinomialChoice,
    )
    if name == NEURAL:
        return positions.PositionBased()
    for law in laws:
        if law.name == name:
            return law()
    near = difflib.get_close_matches(name, CLICK_MODELS, 1)
    raise InputError(
        f"unknown click model {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        where="click model",
        mend=f"one of {', '.join(CLICK_MODELS)}",
    )
