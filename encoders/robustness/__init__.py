"""What the relevance model still knows when texts are misspelled, shortened, reworded or stuffed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from encoders.robustness.adversary import (
        AdversaryConfig,
        adversarial_loss,
        adversarial_token_loss,
        against,
    )
    from encoders.robustness.changes import Perturbation, drop_words, misspell, perturb, stuff, swap_synonyms
    from encoders.robustness.measure import (
        RobustnessConfig,
        RobustnessReport,
        RobustnessRow,
        measure_robustness,
    )

_HOME = {
    "AdversaryConfig": "adversary",
    "Perturbation": "changes",
    "RobustnessConfig": "measure",
    "RobustnessReport": "measure",
    "RobustnessRow": "measure",
    "adversarial_loss": "adversary",
    "adversarial_token_loss": "adversary",
    "against": "adversary",
    "drop_words": "changes",
    "measure_robustness": "measure",
    "misspell": "changes",
    "perturb": "changes",
    "stuff": "changes",
    "swap_synonyms": "changes",
}

__all__ = [
    "AdversaryConfig",
    "Perturbation",
    "RobustnessConfig",
    "RobustnessReport",
    "RobustnessRow",
    "adversarial_loss",
    "adversarial_token_loss",
    "against",
    "drop_words",
    "measure_robustness",
    "misspell",
    "perturb",
    "stuff",
    "swap_synonyms",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'encoders.robustness' has no attribute {name!r}")
    value = getattr(import_module(f"encoders.robustness.{_HOME[name]}"), name)
    globals()[name] = value
    return value
