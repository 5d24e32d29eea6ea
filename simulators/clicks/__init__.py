"""Click models by maximum likelihood: how probable the clicks of a page are, under nine laws and a recurrent network.

`fit_click_model(name, pages)` fits one, `compare_click_models` all of them, on pages made from a log by `pages_of`;
docs/click-models.md shows how.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulators.clicks.compare import Comparison, compare_click_models
    from simulators.clicks.config import ClickFitConfig
    from simulators.clicks.em import fit_by_em
    from simulators.clicks.fit import fit_click_model
    from simulators.clicks.fitted import FittedClickModel
    from simulators.clicks.pages import ClickPages, pages_of
    from simulators.clicks.registry import CLICK_MODELS
    from simulators.clicks.scores import score

__all__ = [
    "CLICK_MODELS",
    "ClickFitConfig",
    "ClickPages",
    "Comparison",
    "FittedClickModel",
    "compare_click_models",
    "fit_by_em",
    "fit_click_model",
    "pages_of",
    "score",
]

_HOMES = {
    "CLICK_MODELS": "registry",
    "ClickFitConfig": "config",
    "ClickPages": "pages",
    "Comparison": "compare",
    "FittedClickModel": "fitted",
    "compare_click_models": "compare",
    "fit_by_em": "em",
    "fit_click_model": "fit",
    "pages_of": "pages",
    "score": "scores",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
