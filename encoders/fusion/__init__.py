"""Text joined with what else is known of items: numbers, categories, behaviour, images; any of it may be missing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from encoders.fusion.learning import Fold, FusionConfig, FusionModel, fit_fusion, folds_of
    from encoders.fusion.modalities import Modalities, behaviour, read_image_vectors, read_modalities
    from encoders.fusion.source import FusedRelevance, read_log

_HOME = {
    "Fold": "learning",
    "FusedRelevance": "source",
    "FusionConfig": "learning",
    "FusionModel": "learning",
    "Modalities": "modalities",
    "behaviour": "modalities",
    "fit_fusion": "learning",
    "folds_of": "learning",
    "read_image_vectors": "modalities",
    "read_log": "source",
    "read_modalities": "modalities",
}

__all__ = [
    "Fold",
    "FusedRelevance",
    "FusionConfig",
    "FusionModel",
    "Modalities",
    "behaviour",
    "fit_fusion",
    "folds_of",
    "read_image_vectors",
    "read_log",
    "read_modalities",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'encoders.fusion' has no attribute {name!r}")
    value = getattr(import_module(f"encoders.fusion.{_HOME[name]}"), name)
    globals()[name] = value
    return value
